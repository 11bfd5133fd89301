"""Who sees what: every role over every guarded field and every type, and a walk through all that can be reached."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from nexfit.stores.connections import Stores

from .conftest import Business, Client, global_id, local
from .viewers import FACILITIES, PUBLIC, ROLES, Role, Truth
from .walk import along, object_type, paths, schema, target, tree

# --- guarded fields

GUARDED = {
    "staff": "staff { role joinedAt user { firstName } }",
    "staffInvitations": "staffInvitations { email role invitedBy { firstName } }",
    "datesToSubstitute": "datesToSubstitute { startsAt instructor { firstName } }",
    "members": "members(first: 1) { totalCount nodes { status } }",
    "memberSubscriptions": "memberSubscriptions(first: 1) { totalCount nodes { status } }",
    "revenue": 'revenue(from: "2026-01-01", to: "2026-06-15") { total { amount } }',
    "outstanding": "outstanding { total { amount } }",
    "transactions": "transactions(first: 1) { totalCount nodes { amount { amount } } }",
    "subscriptions": "subscriptions(first: 1) { totalCount nodes { amount { amount } } }",
    "invoices": "invoices(first: 1) { totalCount nodes { total { amount } } }",
    "overdueInvoices": "overdueInvoices(first: 1) { nodes { total { amount } } }",
    "expiringSubscriptions": "expiringSubscriptions(first: 1) { nodes { amount { amount } } }",
    "lapsedSubscriptions": "lapsedSubscriptions(first: 1) { nodes { amount { amount } } }",
    "till": "till { net { amount } }",
    "coachEarnings": 'coachEarnings(from: "2026-01-01", to: "2026-06-15") { earned { amount } }',
    "subscriptionPlan": "subscriptionPlan { planId isActive }",
    "membersCsv": "membersCsv { address }",
    "transactionsCsv": 'transactionsCsv(from: "2026-01-01", to: "2026-06-15") { address }',
    "invoicesCsv": 'invoicesCsv(from: "2026-01-01", to: "2026-06-15") { address }',
    "figuresCsv": 'figuresCsv(from: "2026-01-01", to: "2026-06-15") { address }',
    "figures": 'figures(from: "2026-01-01", to: "2026-06-15") { revenue { amount } }',
    "cohorts": 'cohorts(from: "2026-01-01", to: "2026-06-15") { members }',
    "auditLog": "auditLog(first: 1) { totalCount nodes { action } }",
    "today": "today { visits revenue { amount } }",
    "analytics": 'analytics(from: "2026-01-01", to: "2026-06-15") { totalRevenue { amount } }',
}


def guards() -> dict[str, str]:
    """The permission each guarded field of a facility names in its description."""
    described = {name: field.description or "" for name, field in object_type("Facility").fields.items()}
    return {name: found[1] for name, text in described.items() if (found := re.search(r"needs (\w+)", text))}


def without_times(node: dict[str, Any]) -> dict[str, Any]:
    """The fields of a facility, signed addresses without the second in which they end and what signs it."""
    return {
        name: {"address": value["address"].partition("?")[0]}
        if isinstance(value, dict) and "address" in value
        else value
        for name, value in node.items()
    }


@pytest.mark.parametrize("name", ROLES)
async def test_guarded_fields_answer_those_with_the_permission_only(roles: dict[str, Role], name: str) -> None:
    role, permissions = roles[name], guards()
    assert permissions.keys() == GUARDED.keys()
    fields = f"{{ id name {' '.join(GUARDED.values())} }}"
    answer = await role.client.run(f"{{ facilities(first: 100) {{ nodes {fields} }} }}")
    refused = {tuple(error["path"]): error["extensions"]["code"] for error in answer.get("errors", ())}
    nodes = answer["data"]["facilities"]["nodes"]
    assert len(nodes) == len(FACILITIES)
    for place, node in enumerate(nodes):
        assert node["name"]
        for field, permission in permissions.items():
            allowed = local(node["id"]) in role.may(permission)
            assert (node[field] is not None) == allowed, (node["name"], field)
            code = refused.pop(("facilities", "nodes", place, field), None)
            assert code == (None if allowed else "UNAUTHENTICATED" if name == "guest" else "FORBIDDEN")
            if allowed and "totalCount" in GUARDED[field] and field != "auditLog":  # the studio gave no money back
                assert node[field]["totalCount"] > 0
    assert refused == {}
    alone = await role.client.run(f"query ($id: ID!) {{ facility(id: $id) {fields} }}", {"id": nodes[0]["id"]})
    assert without_times(alone["data"]["facility"]) == without_times(nodes[0])


async def test_the_demo_has_every_kind_of_role(roles: dict[str, Role]) -> None:
    held = {
        name: [len(role.may(p)) for p in ("members_read", "finance_read", "analytics_read")]
        for name, role in roles.items()
    }
    assert held == {
        "guest": [0, 0, 0],
        "member": [0, 0, 0],
        "coach": [2, 0, 0],
        "desk": [2, 1, 0],
        "owner": [4, 4, 4],
        "studio_owner": [1, 1, 1],
    }


async def test_subscribers_of_a_plan_are_counted_for_staff_only(
    roles: dict[str, Role], businesses: list[Business], stores: Stores
) -> None:
    plans = [business.ids["Membership"] for business in businesses]
    counted = {
        row["plan_id"]: row["n"]
        for row in await stores.postgres.fetch(
            """SELECT plan_id, count(*) AS n FROM finance.subscriptions
               WHERE status IN ('active', 'past_due') GROUP BY 1"""
        )
    }
    for name, role in roles.items():
        for query in (
            "query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Membership { activeSubscribers facility { id } } } }",
            "{ facilities(first: 100) { nodes { memberships { id activeSubscribers facility { id } } } } }",
        ):
            data = await role.client.data(query, {"ids": plans})
            found = data.get("nodes") or [
                plan for facility in data["facilities"]["nodes"] for plan in facility["memberships"]
            ]
            assert len(found) >= len(plans)
            for plan in found:
                allowed = local(plan["facility"]["id"]) in role.may("members_read")
                assert plan["activeSubscribers"] == (counted.get(local(plan["id"]), 0) if allowed else None), name


# --- entities by id

NODES = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"


@pytest.mark.parametrize("name", ROLES)
async def test_node_finds_what_the_field_path_would(
    roles: dict[str, Role], businesses: list[Business], truth: Truth, name: str
) -> None:
    role = roles[name]
    ids = [id_ for business in businesses for id_ in business.ids.values()]
    for role_ in roles.values():
        if role_.user is not None:
            ids.append(global_id("User", role_.user))
    client = str(roles["member"].user)
    for type_, scope in truth.scope.items():  # and what is the member's own
        ids += [global_id(type_, id_) for id_, (_, person) in scope.items() if person == client][:3]
    outcomes = set()
    for start in range(0, len(ids), 100):
        part = ids[start : start + 100]
        found = (await role.client.data(NODES, {"ids": part}))["nodes"]
        for id_, node in zip(part, found, strict=True):
            type_ = base64.urlsafe_b64decode(id_ + "==").decode().partition(":")[0]
            visible = truth.visible(role, type_, local(id_))
            outcomes.add((type_, visible))
            assert (node == {"__typename": type_, "id": id_}) == visible, (type_, local(id_))
            assert node is not None or not visible
            # Foreign answers as unknown does, to the byte.
            if not visible:
                unknown = global_id(type_, local(id_)[:-6] + ("000000" if local(id_)[-6:] != "000000" else "000001"))
                query = "query ($id: ID!) { node(id: $id) { __typename id } }"
                answers = [await role.client.post(query, {"id": asked}) for asked in (id_, unknown)]
                assert answers[0].content == answers[1].content
    assert {type_ for type_, visible in outcomes if visible} >= set(PUBLIC)
    if name != "guest":
        assert ("User", True) in outcomes
    if name not in ("owner",):
        assert ("Transaction", False) in outcomes


async def test_nodes_shows_what_is_there_beside_what_is_hidden(
    studio_owner: Client, chain: Business, studio: Business
) -> None:
    both = [id_ for pair in zip(chain.ids.values(), studio.ids.values(), strict=True) for id_ in pair]
    found = (await studio_owner.data(NODES, {"ids": both}))["nodes"]
    types = list(chain.ids)
    for place, node in enumerate(found):
        assert (node is not None) == (place % 2 == 1 or types[place // 2] in (*PUBLIC, "NutritionPlan"))


# --- a person

PERSON = """{ id firstName lastName email phoneNumber roles createdAt facilities { totalCount } invoices { totalCount }
            memberSubscriptions { totalCount } subscriptions { totalCount } transactions { totalCount } }"""
CONTACT = ("email", "phoneNumber", "roles", "createdAt")
OWN = ("facilities", "invoices", "memberSubscriptions", "subscriptions", "transactions")


async def test_what_is_private_of_a_person_is_shown_to_the_person_and_to_staff(
    roles: dict[str, Role], truth: Truth, businesses: list[Business]
) -> None:
    facility = {"id": businesses[0].facility}
    below = {
        "instructor": "classes(first: 9) { nodes { instructor %s } }",
        "occurrence": 'classes(first: 3) { nodes { occurrences(since: "2026-01-01T00:00:00Z") { instructor %s } } }',
        "staff": "staff { user %s }",
        "member": "members(first: 9) { nodes { user %s } }",
        "contract": "memberSubscriptions(first: 9) { nodes { user %s } }",
        "payer": "transactions(first: 9) { nodes { user %s } }",
    }
    ways = {way: f"query ($id: ID!) {{ facility(id: $id) {{ {field % PERSON} }} }}" for way, field in below.items()}
    ways |= {
        "viewer": f"{{ viewer {PERSON} }}",
        "node": f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on User {PERSON} }} }}",
    }
    everybody = [global_id("User", id_) for id_ in list(truth.contact)[:60]]
    by_contact = ("staff", "member", "contract", "node")  # ways that lead through the right to read members
    for name, role in roles.items():
        for way, query in ways.items():
            answer = await role.client.run(query, {**facility, "ids": everybody})
            for person in people(answer["data"]):
                self, id_ = local(person["id"]) == str(role.user), local(person["id"])
                staff_sees = way in by_contact and id_ in truth.people_of(role.may("members_read"))
                assert person["firstName"]
                for field in CONTACT:
                    assert (person[field] is not None) == (self or staff_sees), (name, way, field)
                for field in OWN:
                    assert (person[field] is not None) == self, (name, way, field)


def people(data: Any) -> Iterator[dict[str, Any]]:
    """Every person in an answer."""
    if isinstance(data, dict):
        if "firstName" in data:
            yield data
        for value in data.values():
            yield from people(value)
    elif isinstance(data, list):
        for value in data:
            yield from people(value)


async def test_a_membership_shows_its_billing_to_who_may_see_money(
    roles: dict[str, Role], businesses: list[Business]
) -> None:
    query = """query ($id: ID!) { facility(id: $id) {
        memberSubscriptions(first: 5) { nodes { id subscription { id amount { amount } } } }
        subscriptions(first: 5) { nodes { id memberSubscription { id status user { email } } } } } }"""
    seen = set()
    for role in roles.values():
        for business in businesses:
            found = (await role.client.run(query, {"id": business.facility}))["data"]["facility"]
            facility = local(business.facility)
            for contract in (found["memberSubscriptions"] or {"nodes": []})["nodes"]:
                money = facility in role.may("finance_read")
                seen.add(("billing", money))
                assert (contract["subscription"] is not None) == money
            for billing in (found["subscriptions"] or {"nodes": []})["nodes"]:
                assert facility in role.may("members_read")
                seen.add(("contract", billing["memberSubscription"] is not None))
    assert seen == {("billing", True), ("billing", False), ("contract", True)}
    own = await roles["member"].client.data(
        """{ viewer { memberSubscriptions { nodes { subscription { id memberSubscription { id } } id } } } }"""
    )
    contracts = own["viewer"]["memberSubscriptions"]["nodes"]
    assert contracts
    assert all(contract["subscription"]["memberSubscription"]["id"] == contract["id"] for contract in contracts)


@pytest.fixture
async def draft(stores: Stores, roles: dict[str, Role], businesses: list[Business]) -> AsyncIterator[str]:
    """An invoice the facility has not issued to its member yet; taken back with its transaction."""
    invoice = await stores.postgres.fetch(
        """INSERT INTO finance.invoices (user_id, business_id, facility_id, net_amount, tax_amount, total_amount,
             currency, status, due_date, created_at)
           SELECT $1, business_id, facility_id, 100, 20, 120, currency, 'draft', $3, now()
           FROM finance.facility_accounts WHERE facility_id = $2 RETURNING invoice_id""",
        *(str(roles["member"].user), local(businesses[0].facility), date(2026, 7, 1)),
    )
    yield str(invoice[0]["invoice_id"])
    await stores.postgres.fetch("DELETE FROM finance.invoices WHERE invoice_id = $1", invoice[0]["invoice_id"])


async def test_a_draft_is_not_shown_to_whom_it_will_be_sent(
    roles: dict[str, Role], businesses: list[Business], stores: Stores, draft: str
) -> None:
    id_ = global_id("Invoice", UUID(draft))
    member, owner = roles["member"].client, roles["owner"].client
    assert (await member.data(NODES, {"ids": [id_]}))["nodes"] == [None]
    own = (await member.data("{ viewer { invoices(first: 100) { totalCount nodes { id status } } } }"))["viewer"]
    assert id_ not in [node["id"] for node in own["invoices"]["nodes"]]
    assert own["invoices"]["totalCount"] == len(own["invoices"]["nodes"])
    assert (await owner.data(NODES, {"ids": [id_]}))["nodes"] == [{"__typename": "Invoice", "id": id_}]
    query = "query ($id: ID!) { facility(id: $id) { invoices(first: 1, status: DRAFT) { nodes { id } } } }"
    found = await owner.data(query, {"id": businesses[0].facility})
    assert found["facility"]["invoices"]["nodes"] == [{"id": id_}]


# --- a walk through all that can be reached


def operations(ids: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Operations that reach every field within four steps of a root, and everything from given ids."""
    query = schema.query_type
    assert query is not None
    for root, opening in (("facilities", "facilities(first: 100) { nodes %s }"), ("viewer", "viewer %s")):
        start = target(query.fields[root])
        for path in paths(start, 2):
            end = tree(target(path[-1][1]) if path else start, 1, 2)
            yield f"{{ {opening % along(path, end, 2)} }}", {}
    by_type: dict[str, list[str]] = {}
    for id_ in ids:
        by_type.setdefault(base64.urlsafe_b64decode(id_ + "==").decode().partition(":")[0], []).append(id_)
    for name, some in by_type.items():
        yield (
            f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on {name} {tree(object_type(name), 1, 2)} }} }}",
            {"ids": some},
        )


def texts(data: Any) -> Iterator[str]:
    """Every text in an answer."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from texts(value)


async def figures_of(roles: dict[str, Role]) -> dict[str, set[str]]:
    """Sums of money of each facility, as its owner sees them; too large to be anybody's price."""
    query = """{ viewer { facilities(first: 9) { nodes { id outstanding { total { amount } overdueTotal { amount } }
        revenue(from: "2025-01-01", to: "2026-06-15") { total { amount } } } } } }"""
    found: dict[str, set[str]] = {}
    for owner in ("owner", "studio_owner"):
        for node in (await roles[owner].client.data(query))["viewer"]["facilities"]["nodes"]:
            sums = [node["outstanding"]["total"], node["outstanding"]["overdueTotal"]]
            sums += [period["total"] for period in node["revenue"]]
            found[local(node["id"])] = {one["amount"] for one in sums if float(one["amount"]) > 20_000}
    return found


@pytest.mark.parametrize("name", ROLES)
async def test_a_walk_through_everything_finds_nothing_foreign(
    roles: dict[str, Role], businesses: list[Business], truth: Truth, name: str
) -> None:
    role = roles[name]
    contacts = {text: person for person, known in truth.contact.items() for text in known}
    reachable = truth.people_of(role.may("members_read")) | {str(role.user)}
    payers = {
        person
        for type_ in ("Transaction", "Subscription", "Invoice")
        for facility, person in truth.scope[type_].values()
        if facility in role.may("finance_read")
    }
    figures = await figures_of(roles)
    known = set().union(*(figures[facility] for facility in role.may("finance_read") & figures.keys()))
    foreign = set().union(*figures.values()) - known
    assert len(foreign) > 10 or name == "owner"
    ids = [id_ for business in businesses for id_ in business.ids.values()]
    found: dict[str, int] = {}
    asked = 0
    for query, variables in operations(ids):
        answer = await role.client.run(query, variables)
        asked += 1
        for error in answer.get("errors", ()):
            assert error["extensions"]["code"] in ("FORBIDDEN", "UNAUTHENTICATED"), (error, query)
        assert answer["data"] is not None
        for text in texts(answer["data"]):
            assert text not in foreign, (text, query)
            if text in contacts:
                assert contacts[text] in reachable, (text, query)
            try:
                type_, _, id_ = (
                    base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode().partition(":")
                )
            except ValueError:
                continue
            if type_ in object_type_names and id_:
                found[type_] = found.get(type_, 0) + 1
                allowed = truth.visible(role, type_, id_) or (type_ == "User" and id_ in payers)
                assert allowed, (type_, id_, query)
    assert asked > 60
    assert found.keys() >= set(PUBLIC)
    if name in ("owner", "studio_owner"):  # the walk does lead to everything there is
        # For coach and client alone.
        not_theirs = {"CoachClient", "CoachingPackage", "PtSession", "Measurement", "MedicalRead", "WorkoutLog"}
        not_theirs |= {"ProgramEnrolment", "ProgramPurchase"}
        if not {facility for facility, _ in truth.scope["AuditEntry"].values()} & role.may("audit_read"):
            not_theirs.add("AuditEntry")
        assert found.keys() == object_type_names - not_theirs


object_type_names = {type_.name for type_ in schema.get_possible_types(schema.type_map["Node"])}  # type: ignore[arg-type]
