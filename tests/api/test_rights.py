"""The rights matrix: it covers the schema, and every field of every type answers every role as it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from bson import ObjectId
from graphql import GraphQLObjectType, get_named_type, is_leaf_type

from nexfit.api.rights import MATRIX, NoRight, entry_of, reach_of, right_of
from nexfit.api.schema import build_schema
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.domains.identity.access import ANYONE, MINE, SELF, SHOWN, Right, coach, staff
from nexfit.stores.connections import Stores

from .conftest import Business, Client, facility_of, global_id, local, login
from .viewers import ROLES, Role, Truth
from .walk import asked, object_type, schema

PARTLY = {("Member", "timeline")}
"""Lists in which some entries are for who may see money only."""

ENTITIES = sorted(name for name, entry in MATRIX.items() if entry.found is not None)
OFTEN_NULL = {
    ("Transaction", "original"),  # refunds alone have one
    ("Transaction", "description"),
    ("Transaction", "giftFrom"),
    ("User", "profileImage"),
    *(("Coach", name) for name in ("profileImage", "distance")),
    ("CoachReview", "reply"),
    ("CoachingPackage", "facility"),
    ("ClassOccurrence", "room"),
    ("Membership", "description"),
    ("Facility", "media"),
    ("Facility", "distance"),
    ("Facility", "rating"),
    ("Class", "image"),
    ("Class", "bookingPolicy"),
    ("Facility", "datesToSubstitute"),
    ("MemberSubscription", "cancelledAt"),
    ("MemberSubscription", "cancellationReason"),
    ("Subscription", "endDate"),
    ("Subscription", "billingDay"),
    ("Invoice", "subscription"),
    ("MembershipPurchase", "failure"),
    *(("ProgramPurchase", name) for name in ("failure", "paidAt", "enrolment")),  # nobody of the demo paid for one
    ("Session", "deviceName"),
    *(
        ("ClassBooking", name)
        for name in ("waitlistPosition", "passedOver", "promotedAt", "cancelledAt", "checkedInAt")
    ),
    ("ClassOccurrence", "viewerBooking"),
    ("Measurement", "notes"),
    ("CoachClient", "endDate"),
    ("CoachClient", "privateNotes"),
    ("CoachClient", "coachHours"),  # a part of no demo
    *(
        ("Exercise", name)  # of the demo's, which nobody made or imported
        for name in ("description", "force", "mechanic", "creator", "source", "author", "license", "createdAt")
    ),
    ("Exercise", "updatedAt"),
    *(("WorkoutLog", name) for name in ("clientId", "importedFrom", "revision", "editedAt", "place", "notes")),
    ("WorkoutLog", "templateVersion"),
    *((name, "forkedFrom") for name in ("WorkoutTemplate", "WorkoutProgram")),
    *((name, "imageUrl") for name in ("WorkoutTemplate", "WorkoutProgram")),
    *((name, "archivedAt") for name in ("WorkoutTemplate", "WorkoutProgram")),
    ("ProgramEnrolment", "assignedBy"),
    *(("Food", name) for name in ("image", "servings", "source", "creator", "createdAt", "updatedAt")),
    ("NutritionPlan", "forUser"),
    ("ProgramEnrolment", "endedAt"),
    ("AuditEntry", "before"),
    *(("PtSession", name) for name in ("cancelledAt", "cancellationReason", "cancelledBy", "feedback")),
}
"""Fields the sampled entities may lack a value of, whoever asks."""

# --- the matrix and the schema


def test_every_field_of_every_type_has_its_right() -> None:
    served = 0
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
            for name in type_.fields:
                assert right_of(type_.name, name) != Right(), (type_.name, name)
                served += 1
    assert served > 250
    assert all(name in schema.type_map for name in MATRIX)


@pytest.fixture
def matrix(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The matrix, to be changed by one test."""
    assert isinstance(MATRIX, dict)
    for name, entry in MATRIX.items():
        monkeypatch.setitem(MATRIX, name, replace(entry, fields=dict(entry.fields)))
    yield MATRIX
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m["User"].fields.pop("email"), r"User\.email has no entry"),
        (lambda m: m.pop("Money"), r"Money has no entry"),
        (lambda m: m["User"].fields.update(shoeSize=SELF), "User has no field shoeSize"),
        (lambda m: m["User"].fields.update(firstName=SELF), r"User\.firstName .* must be nullable"),
        (lambda m: m["Facility"].fields.update(transactions=ANYONE), r"Facility\.transactions leads to Transaction"),
        (lambda m: m["Facility"].fields.update(members=staff("check_in")), r"Facility\.members leads to Member"),
        (lambda m: m["Subscription"].fields.update(taxRate=staff("x")), r"Subscription\.taxRate .* must be nullable"),
    ],
)
def test_a_schema_with_a_field_nobody_decided_on_does_not_build(matrix: Any, change: Any, says: str) -> None:
    change(matrix)
    with pytest.raises(NoRight, match=says):
        build_schema()


def test_a_right_is_within_another_when_nobody_more_has_it() -> None:
    assert staff("a").within(staff("a") | SELF)
    assert not (staff("a") | SELF).within(staff("a"))
    assert SELF.within(ANYONE)
    assert not ANYONE.within(SELF | staff("a") | coach("medical"))
    assert coach("medical").within(coach("medical", "photos"))
    assert not SHOWN.within(SELF)


# --- every type and field, for every role


class Samples:
    """Entities to ask for, of every type."""

    def __init__(self, truth: Truth, businesses: list[Business], roles: Mapping[str, Role]) -> None:
        self.truth = truth
        self.ids: dict[str, list[str]] = {}
        for business in businesses:
            for type_, id_ in business.ids.items():
                self.ids.setdefault(type_, []).append(id_)
        for role in roles.values():
            if role.user is not None:
                self.ids["User"].append(global_id("User", role.user))
        people = {str(role.user) for role in roles.values() if role.user is not None}
        for type_, scope in truth.scope.items():
            for person in people:
                own = [global_id(type_, id_) for id_, (_, whose) in scope.items() if whose == person]
                self.ids.setdefault(type_, []).extend(own[:3])
        coach = str(roles["coach"].user)
        clients = sorted(client for whose, client in truth.clients if whose == coach)[:4]
        assert clients
        self.ids["User"] += [global_id("User", client) for client in clients]
        self.ids["AuditEntry"] = [global_id("AuditEntry", id_) for id_ in list(truth.scope["AuditEntry"])[:20]]
        self.ids["MedicalRead"] = [global_id("MedicalRead", id_) for id_ in truth.scope["MedicalRead"]]
        self.ids["Coach"] = [global_id("Coach", id_) for id_ in sorted(truth.coaches)[:8]]
        self.ids["CoachReview"] = [global_id("CoachReview", id_) for id_ in sorted(truth.reviews)[:8]]
        self.ids["ProgramPurchase"] = [global_id("ProgramPurchase", id_) for id_ in truth.scope["ProgramPurchase"]]
        of_clients = ("CoachClient", "CoachingPackage", "PtSession", "Measurement", "WorkoutLog", "ProgramEnrolment")
        for type_ in of_clients:  # of the coach's clients, and of strangers
            scope = truth.scope[type_].items()
            self.ids[type_] += [global_id(type_, id_) for id_, (_, person) in scope if person in clients][:8]
            self.ids[type_] += [global_id(type_, id_) for id_, (_, person) in scope if person not in clients][:8]


@pytest.fixture(scope="module")
def samples(truth: Truth, businesses: list[Business], roles: dict[str, Role]) -> Samples:
    return Samples(truth, businesses, roles)


def whole(type_: str) -> str:
    """Every field of a type, with nothing but a name of what lies below."""
    parts = []
    for name, field in object_type(type_).fields.items():
        named = get_named_type(field.type)
        parts.append(asked(name, field, "" if is_leaf_type(named) else "{ __typename }", 2))
    return " ".join(parts)


def steady(value: Any) -> Any:
    """The value; of a signed address what it names, because its end depends on when it was made."""
    return value.partition("?")[0] if isinstance(value, str) and value.startswith("/documents/") else value


@pytest.mark.parametrize("type_", ENTITIES)
async def test_every_field_answers_every_role_as_the_matrix_says(
    roles: dict[str, Role], samples: Samples, type_: str
) -> None:
    entry = MATRIX[type_]
    query = f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ __typename ... on {type_} {{ {whole(type_)} }} }} }}"
    ids = samples.ids[type_]
    assert len(ids) >= 5
    answers = {}
    for name in ROLES:
        answer = await roles[name].client.run(query, {"ids": ids})
        refused = {tuple(error["path"]): error["extensions"]["code"] for error in answer.get("errors", ())}
        answers[name] = answer["data"]["nodes"], refused
    compared: set[tuple[str, bool]] = set()
    for place, id_ in enumerate(ids):
        seen: dict[str, Any] = {}
        for name in ROLES:
            node, refused = answers[name][0][place], answers[name][1]
            assert (node is not None) == samples.truth.visible(roles[name], type_, local(id_)), (name, local(id_))
            if node is None:
                continue
            for field, right in entry.fields.items():
                shown = reach_of(entry).within(right) or samples.truth.has(roles[name], type_, local(id_), right)
                code = refused.get(("nodes", place, field))
                if shown:
                    assert code is None, (name, field)
                    if right != MINE and (type_, field) not in PARTLY:
                        value = steady(node[field])
                        assert value == seen.setdefault(field, value), (name, field)
                    compared.add((field, node[field] is not None))
                else:
                    assert node[field] is None, (name, field)
                    expected = ("UNAUTHENTICATED" if name == "guest" else "FORBIDDEN") if entry.refuses else None
                    assert code == expected, (name, field)
                    compared.add((field, False))
    never = {field for field in entry.fields if (field, True) not in compared}
    assert never <= {field for of_type, field in OFTEN_NULL if of_type == type_}
    narrower = {field for field, right in entry.fields.items() if not reach_of(entry).within(right)}
    hidden = {field for field, shown in compared if not shown}
    # No role of the demo reads money without reading members; the test of single permissions below does.
    assert narrower - {"memberSubscription"} <= hidden


# --- permissions of staff, one by one


@pytest.mark.parametrize("permission", StaffPermission)
async def test_a_staff_entry_opens_what_its_permission_says_and_nothing_else(
    small_http: Any, small_stores: Stores, permission: StaffPermission
) -> None:
    """A client made staff of a facility with one permission, and of another one with all others."""
    client: Client = await login(small_http, "client@demo.nexfit.app")
    me = ObjectId(local((await client.data("{ viewer { id } }"))["viewer"]["id"]))
    facilities = small_stores.mongo.database["facilities"]
    here, there = await facility_of(small_stores, "alsancak"), await facility_of(small_stores, "cankaya")
    others = [str(one) for one in StaffPermission if one is not permission]
    try:
        for place, given in ((here, [str(permission)]), (there, others)):
            joined = (await facilities.find_one({"_id": place}))["createdAt"]
            entry = {"userId": me, "role": "reception", "permissions": given, "joinedAt": joined}
            await facilities.update_one({"_id": place}, {"$push": {"staff": entry}})
        guarded = {name: right for name, right in MATRIX["Facility"].fields.items() if not right.anyone}
        fields = " ".join(
            asked(name, field, "{ __typename }", 1)
            for name, field in object_type("Facility").fields.items()
            if name in guarded
        )
        fields += """ money: subscriptions(first: 3) { nodes { memberSubscription { id } } }
            people: memberSubscriptions(first: 3) { nodes { subscription { id } user { email } } }"""
        query = f"query ($a: ID!, $b: ID!) {{ a: facility(id: $a) {{ {fields} }} b: facility(id: $b) {{ {fields} }} }}"
        answer = await client.run(query, {"a": global_id("Facility", here), "b": global_id("Facility", there)})
        for name, right in guarded.items():
            assert (answer["data"]["a"][name] is not None) == (permission in right.permissions), name
            assert (answer["data"]["b"][name] is not None) == bool(right.permissions - {permission}), name
        # What is reached through one right and needs another one is not there.
        for place, opened in (("a", {permission}), ("b", set(StaffPermission) - {permission})):
            both = {StaffPermission.MEMBERS_READ, StaffPermission.FINANCE_READ} <= opened
            for billing in (answer["data"][place]["money"] or {"nodes": ()})["nodes"]:
                assert (billing["memberSubscription"] is not None) == both
            for contract in (answer["data"][place]["people"] or {"nodes": ()})["nodes"]:
                assert (contract["subscription"] is not None) == both
                assert contract["user"]["email"] is not None
    finally:
        await facilities.update_many({"_id": {"$in": [here, there]}}, {"$pull": {"staff": {"userId": me}}})
    # Taken out of the staff, the next question is answered as a stranger's.
    answer = await client.run(query, {"a": global_id("Facility", here), "b": global_id("Facility", there)})
    assert all(value is None for alias in "ab" for value in answer["data"][alias].values())


# --- private columns


async def test_private_columns_are_read_only_when_asked_for(owner: Client, guest: Client) -> None:
    """Rights cost a batch nothing where no private column is asked for, and no command where one is."""
    query = "{ facilities(first: 5) { nodes { classes(first: 5) { nodes { instructor { id firstName %s } } } } } }"
    _, plain = await guest.counted(query % "")
    _, private = await guest.counted(query % "email phoneNumber")
    assert plain.sent == private.sent
    answer = await guest.data(query % "email phoneNumber")
    people = [
        node["instructor"]
        for facility in answer["facilities"]["nodes"]
        for node in facility["classes"]["nodes"]
        if node["instructor"]
    ]
    assert people
    assert all(person["email"] is None and person["phoneNumber"] is None for person in people)


def test_what_has_an_id_is_found_by_a_right_of_its_own() -> None:
    implementers = {type_.name for type_ in schema.get_possible_types(schema.type_map["Node"])}  # type: ignore[arg-type]
    assert implementers == set(ENTITIES)
    assert all(entry_of(name).found is None for name in ("Money", "LoginPayload", "MemberConnection"))
