"""Every mutation that names something, called with what belongs to another business: refused, and nothing changed."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from uuid import uuid4

import httpx
import pytest
from bson import ObjectId, json_util
from graphql import GraphQLInputObjectType, get_named_type, get_nullable_type, is_list_type, is_required_input_field

from nexfit.stores.connections import Stores

from .conftest import Business, Client, business_of, facility_of, global_id, local, login
from .test_access import texts
from .walk import object_type, schema, shown, some

NAMED = {
    "alternates": "Exercise",
    "booking": "ClassBooking",
    "class": "Class",
    "client": "User",
    "coach": "User",
    "enrolment": "ProgramEnrolment",
    "entry": "DiaryEntry",
    "exercise": "Exercise",
    "facility": "Facility",
    "food": "Food",
    "id": "Session",
    "instructor": "User",
    "invoice": "Invoice",
    "measurement": "Measurement",
    "member": "Member",
    "membership": "MemberSubscription",
    "note": "MemberNote",
    "occurrence": "ClassOccurrence",
    "original": "WorkoutTemplate",
    "package": "CoachingPackage",
    "plan": "Membership",
    "program": "WorkoutProgram",
    "purchase": "ProgramPurchase",
    "relation": "CoachClient",
    "review": "CoachReview",
    "session": "PtSession",
    "subject": "WorkoutTemplate",
    "substitute": "User",
    "template": "WorkoutTemplate",
    "transaction": "Transaction",
    "user": "User",
    "workout": "WorkoutLog",
}
"""What the ID fields of inputs name."""

NAMED_OF = {
    ("assignNutritionPlan", "template"): "NutritionPlan",
    ("changeCoachNote", "note"): "Note",
    ("copyWorkoutProgram", "original"): "WorkoutProgram",
    ("removeCoachNote", "note"): "Note",
    ("updateNutritionPlan", "plan"): "NutritionPlan",
}
"""The same where a mutation names something else by it."""

FOR_ONESELF = {"purchaseMembership", "inviteClient", "saveCoachReview", "reportCoachReview"}
"""What names something public and makes something of the viewer's own: nobody is a stranger to it."""

OWNED: Mapping[str, tuple[str, Callable[[ObjectId, ObjectId], dict[str, Any]]]] = {
    "CoachReview": ("reviews", lambda owner, _: {"authorId": owner, "subjectType": "coach", "subjectId": owner}),
    "CoachClient": ("coach_clients", lambda owner, member: {"coachId": owner, "clientId": member}),
    "Exercise": ("exercises", lambda owner, _: {"createdBy": owner, "isPublic": False}),
    "Food": ("foods", lambda owner, _: {"createdBy": owner, "isVerified": False}),
    "Measurement": ("measurements", lambda owner, _: {"userId": owner}),
    "NutritionPlan": ("nutrition_plans", lambda owner, _: {"createdBy": owner, "isPublic": False}),
    "ProgramEnrolment": ("program_enrolments", lambda owner, _: {"userId": owner}),
    "PtSession": ("pt_sessions", lambda owner, member: {"coachId": owner, "clientId": member, "facilityId": None}),
    "WorkoutLog": ("workout_logs", lambda owner, _: {"userId": owner}),
    "WorkoutProgram": ("workout_programs", lambda owner, _: {"createdBy": owner, "isPublic": False}),
    "WorkoutTemplate": ("workout_templates", lambda owner, _: {"createdBy": owner, "isPublic": False}),
}
"""What belongs to people: the studio's owner gets a copy of the demo's newest, which is deleted afterwards."""

REFUSALS = {"NOT_FOUND", "UNAUTHENTICATED", "FORBIDDEN", "MEMBERSHIP_REQUIRED", "BOOKING_CLOSED"}

assert schema.mutation_type is not None
MUTATIONS = {
    name: input_type
    for name, field in schema.mutation_type.fields.items()
    if name not in FOR_ONESELF
    and isinstance(input_type := get_named_type(field.args["input"].type), GraphQLInputObjectType)
    and any(get_named_type(part.type).name == "ID" for part in input_type.fields.values())
}
EMAILS = {
    "owner": "owner@demo.nexfit.app",
    "coach": "coach@demo.nexfit.app",
    "member": "client@demo.nexfit.app",
    "guest": None,
}


def made(mutation: str, ids: dict[str, str]) -> dict[str, Any]:
    """An input that names foreign things, and has some value wherever one is needed."""
    given: dict[str, Any] = {}
    for name, part in MUTATIONS[mutation].fields.items():
        named = get_named_type(part.type)
        if named.name == "ID":
            named_id = ids[NAMED_OF.get((mutation, name)) or NAMED[name]]
            given[name] = [named_id] if is_list_type(get_nullable_type(part.type)) else named_id
        elif is_required_input_field(part):
            given[name] = some(part.type, name)
    return given


@pytest.fixture(scope="module")
async def foreign(small_http: httpx.AsyncClient, small_stores: Stores) -> AsyncIterator[Business]:
    """The studio, to which none of the viewers belongs, with a session of its owner and what is the owner's."""
    database = small_stores.mongo.database
    facility = await facility_of(small_stores, "alsancak")
    business = await business_of(small_stores, facility)
    owner = await login(small_http, "studio@demo.nexfit.app")
    sessions = (await owner.data("{ viewer { sessions(first: 1) { nodes { id } } } }"))["viewer"]["sessions"]
    business.ids["Facility"] = business.facility
    business.ids["Session"] = sessions["nodes"][0]["id"]
    upcoming = await database["class_occurrences"].find_one(
        {"facilityId": facility, "status": "scheduled"}, sort=[("startsAt", -1)]
    )
    assert upcoming is not None
    business.ids["ClassOccurrence"] = global_id("ClassOccurrence", upcoming["_id"])
    studio = await database["facilities"].find_one({"_id": facility})
    assert studio is not None
    copies = []
    for type_, (collection, changed) in OWNED.items():
        newest = await database[collection].find_one({}, sort=[("_id", -1)])
        assert newest is not None, collection
        of_owner = changed(studio["ownerId"], ObjectId(local(business.ids["User"])))
        copy = {name: value for name, value in {**newest, **of_owner}.items() if value is not None}
        copies.append((collection, ObjectId()))
        await database[collection].insert_one({**copy, "_id": copies[-1][1]})
        business.ids[type_] = global_id(type_, copies[-1][1])
    for type_ in ("CoachingPackage", "DiaryEntry", "MemberNote", "Note"):  # the demo has none: ids of nothing
        business.ids[type_] = global_id(type_, "6a" * 12 if type_ != "MemberNote" else uuid4())
    # The studio sells no program: somebody else's purchase at the chain is as foreign to each viewer.
    [buyer] = await database["users"].find({"email": EMAILS["member"]}, {}).to_list()
    [bought] = await small_stores.postgres.fetch(
        "SELECT purchase_id AS id FROM finance.purchases WHERE program_id IS NOT NULL AND user_id <> $1"
        " ORDER BY 1 LIMIT 1",
        str(buyer["_id"]),
    )
    business.ids["ProgramPurchase"] = global_id("ProgramPurchase", bought["id"])
    yield business
    for collection, id_ in copies:
        await database[collection].delete_one({"_id": id_})


async def state(stores: Stores, foreign: Business) -> str:
    """Everything foreign that a mutation could change, and how much there is of what people have."""
    facility = ObjectId(local(foreign.facility))
    found: list[Any] = []
    for collection, key in (
        *((name, "facilityId") for name in ("class_bookings", "class_occurrences", "member_subscriptions", "visits")),
        *((name, "facilityId") for name in ("outbox", "audit_entries")),
        ("facilities", "_id"),
    ):
        found += await stores.mongo.database[collection].find({key: facility}, sort=[("_id", 1)]).to_list()
    found += await stores.mongo.database["sessions"].find({}, {"endedAt": 1}, sort=[("_id", 1)]).to_list()
    found += await stores.mongo.database["consents"].find({}, sort=[("_id", 1)]).to_list()
    for type_, (collection, _) in OWNED.items():
        found += await stores.mongo.database[collection].find({"_id": ObjectId(local(foreign.ids[type_]))}).to_list()
        found.append(await stores.mongo.database[collection].estimated_document_count())
    for table in ("transactions", "subscriptions", "invoices", "refunds", "credit_notes", "outbox"):
        rows = await stores.postgres.fetch(
            f"SELECT t::text FROM finance.{table} t WHERE facility_id = $1 ORDER BY 1", str(facility)
        )
        found += [row["t"] for row in rows]
    return hashlib.sha256(json_util.dumps(found).encode()).hexdigest()


def test_every_id_an_input_takes_is_known_here() -> None:
    taken = {
        name
        for input_type in MUTATIONS.values()
        for name, part in input_type.fields.items()
        if get_named_type(part.type).name == "ID"
    }
    assert taken <= NAMED.keys()
    assert len(MUTATIONS) >= 10


@pytest.mark.parametrize("role", EMAILS)
async def test_nothing_foreign_is_changed_or_shown(
    small_http: httpx.AsyncClient, small_stores: Stores, foreign: Business, role: str
) -> None:
    email = EMAILS[role]
    client = Client(small_http) if email is None else await login(small_http, email)
    people = await small_stores.mongo.database["users"].find({}, {"email": 1, "phoneNumber": 1}).to_list()
    viewer = (await client.data("{ viewer { email } }"))["viewer"]
    contacts = {text for user in people for text in (user["email"], user.get("phoneNumber")) if text} - {email}
    before = await state(small_stores, foreign)
    for name, input_type in MUTATIONS.items():
        field = object_type("Mutation").fields[name]
        payload = object_type(get_named_type(field.type).name)
        query = f"mutation ($input: {input_type.name}!) {{ {name}(input: $input) {{ {shown(payload, 5)} }} }}"
        answer = await client.run(query, {"input": made(name, foreign.ids)})
        if answer.get("errors"):
            codes = {error["extensions"]["code"] for error in answer["errors"]}
            assert codes <= {"UNAUTHENTICATED", "FORBIDDEN"}, (name, answer)
        else:
            result = answer["data"][name]
            errors = result.pop("userErrors")
            for error in errors:  # of a value, only that the thing it names is none for the viewer
                of_name = error["code"] == "BAD_USER_INPUT" and error["path"][-1] in NAMED
                assert of_name or error["code"] in REFUSALS, (name, answer)
            assert errors, (name, answer)
            assert not any(result.values()), (name, answer)
        assert contacts.isdisjoint(texts(answer)), name
        assert await state(small_stores, foreign) == before, name
    assert (viewer is None) == (role == "guest")
