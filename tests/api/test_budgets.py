"""One batch per store per level: no field of the schema sends more commands for more parents or more rows."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from bson import ObjectId
from graphql import GraphQLField

from nexfit.hybrid.versions import GENERATION
from nexfit.stores.connections import Stores

from .conftest import Client, facility_of, global_id
from .walk import along, fields_of, lists, object_type, paths, shown, target


@pytest.fixture(autouse=True)
async def followed(stores: Stores) -> None:
    """As if somebody followed the change feeds: no view is given up because a machine is slow."""
    await stores.redis.send([("SET", GENERATION, "1:1")])


MORE_THAN_ONE = {
    ("CoachClient", "freeTimes"): 3,  # hours, sessions and classes
    ("Coach", "freeTimes"): 3,
    ("User", "earnings"): 2,  # whose days they are, and the ledger
    # A right at the row's facility is asked for beside the rows.
    ("MemberSubscription", "subscription"): 2,
    ("Subscription", "memberSubscription"): 2,
    ("Membership", "activeSubscribers"): 2,
    ("Member", "timeline"): 3,  # where the viewer may read money; then both stores are asked at once
    ("User", "progress"): 2,  # workouts, and programs for adherence
    ("User", "foodDiary"): 2,  # what was eaten, and the plan that is followed
    ("User", "bodyTrend"): 2,  # measurements and goals
}
"""Commands to both databases of the fields that need more than one."""

FACILITIES, VIEWER = "viewer { facilities(first: %d) { nodes %s } }", "viewer %s"
LIBRARY = {
    f"{name}(first: %d) {{ nodes %s }}": (type_, 1)
    for name, type_ in (
        ("exercises", "Exercise"),
        ("workoutTemplates", "WorkoutTemplate"),
        ("workoutPrograms", "WorkoutProgram"),
        ("foods", "Food"),
        ("nutritionPlans", "NutritionPlan"),
        ("coaches", "Coach"),
    )
}
STARTS = {FACILITIES: ("Facility", 2), VIEWER: ("User", 1), **LIBRARY}
"""By opening: the type it leads to, and the commands that takes, of which a list is one."""

_NEAR = [
    (opening, type_, path) for opening, (type_, steps) in STARTS.items() for path in paths(object_type(type_), steps)
]
_MISSED = lists() - {field for _, type_, path in _NEAR for field in fields_of(type_, path)}
_FAR = [
    (VIEWER, "User", path)
    for path in paths(object_type("User"), 2)
    if len(path) > 1 and fields_of("User", path)[-1] in _MISSED
]
BELOW = [
    pytest.param(opening, path, id=".".join([type_, *(name for name, _ in path)]))
    for opening, type_, path in (*_NEAR, *_FAR)
]


def counted(data: Any) -> int:
    """Objects with an id in an answer."""
    if isinstance(data, dict):
        return ("id" in data) + sum(map(counted, data.values()))
    return sum(map(counted, data)) if isinstance(data, list) else 0


def budget(start: str, path: list[tuple[str, GraphQLField]]) -> int:
    """Commands that a path may send to both databases, with every leaf at its end."""
    total, parent = 0, object_type(start)
    for name, field in path:
        total += MORE_THAN_ONE.get((parent.name, name), 1)
        parent = target(field)
    # Leaves that load: of a plan its subscribers, of a member the last visit and tags, of a person medical conditions
    # and the right to see them, of a relation what is shared, of a review who wrote it.
    total += {"Membership": 2, "Member": 2, "User": 2, "CoachClient": 1, "CoachReview": 1}.get(parent.name, 0)
    return total


@pytest.mark.parametrize(("opening", "path"), BELOW)
async def test_no_field_sends_more_commands_for_more_rows(
    owner: Client, member: Client, opening: str, path: list[tuple[str, GraphQLField]]
) -> None:
    client = owner if opening == FACILITIES else member
    start, commands = STARTS[opening]
    allowed = commands + budget(start, path)
    sent, found = {}, {}
    for size in (1, 50):
        end = target(path[-1][1]) if path else object_type(start)
        below = along(path, f"{{ {shown(end, size)} }}", size)
        query = f"{{ {opening % below if opening == VIEWER else opening % (size, below)} }}"
        for _ in range(6):  # the first fills the joined views; on a slow machine they may be gone again before the next
            data, log = await client.counted(query)
            if set(log.sent["redis"]) <= {"MGET", "EVAL"}:
                break
        sent[size] = log.count("mongo") + log.count("postgres")
        found[size] = counted(data)
        assert sent[size] <= allowed, log.sent
        assert log.count("redis") <= 3, log.sent
        assert set(log.sent["redis"]) <= {"MGET", "EVAL"}
    assert sent[1] <= sent[50] <= sent[1] + 2  # one row may lack what many have, such as an original
    assert found[50] >= found[1]


def test_every_list_of_the_schema_is_walked_into() -> None:
    reached = {field for _, type_, path in (*_NEAR, *_FAR) for field in fields_of(type_, path)}
    begun = {("Query", opening.partition("(")[0]) for opening in LIBRARY}
    # The first two have tests below, the timetable in tests/facilities; the others are lists of few rows.
    roots = {("Query", name) for name in ("facilities", "nodes", "schedule", "jobs", "dataRequests", "foodSubstitutes")}
    assert lists() - reached == roots | begun


async def test_the_list_of_facilities_is_one_command_however_many_there_are(guest: Client) -> None:
    query = f"{{ facilities(first: %d) {{ nodes {{ {shown(object_type('Facility'), 1)} }} }} }}"
    sent = []
    for size in (1, 5):
        data, log = await guest.counted(query % size)
        assert len(data["facilities"]["nodes"]) == size
        sent.append((log.count("mongo"), log.count("postgres")))
    assert sent == [(1, 0), (1, 0)]


async def test_a_cold_cache_is_filled_by_one_batch_for_all_parents(owner: Client, stores: Stores) -> None:
    query = """{ viewer { facilities(first: %d) { nodes { outstanding { invoices }
        revenue(from: "2026-01-01", to: "2026-06-15") { period } memberships { activeSubscribers } } } } }"""
    for size in (1, 10):
        await stores.redis.send([("FLUSHDB",)])
        data, log = await owner.counted(query % size)
        facilities = data["viewer"]["facilities"]["nodes"]
        plans = sum(len(facility["memberships"]) for facility in facilities)
        values = 2 * len(facilities) + plans
        sent = Counter(log.sent["redis"])
        # Of each view: one question for all (one more where what was at hand is outdated); versions for its tags and a
        # lease, where there were none; what was loaded.
        assert set(sent) == {"MGET", "GET", "SET", "EVAL"}
        assert sent["EVAL"] == values
        assert 6 <= sent["MGET"] <= 9
        assert sent["GET"] == values
        assert 2 * values < sent["SET"] <= 3 * values
        assert log.count("postgres") == 3
        assert log.count("mongo") == 3


NODES = {
    "Facility": (1, 0),
    "Membership": (1, 0),
    "Class": (1, 0),
    "ClassOccurrence": (1, 0),
    "User": (2, 1),
    "MemberSubscription": (2, 0),
    "Member": (1, 1),
    "Transaction": (1, 1),
    "Subscription": (1, 1),
    "Invoice": (1, 1),
}
"""Commands to MongoDB and PostgreSQL for any number of ids of one type: the rows, and the rights to see them."""


async def ids_of(stores: Stores, type_: str, facility: ObjectId) -> list[str]:
    """Up to a hundred ids of a type at a facility."""
    collections = {
        "Facility": ("facilities", {}),
        "Membership": ("memberships", {}),
        "Class": ("classes", {"facilityId": facility}),
        "ClassOccurrence": ("class_occurrences", {"facilityId": facility}),
        "MemberSubscription": ("member_subscriptions", {"facilityId": facility}),
    }
    tables = {
        "User": "SELECT user_id AS id FROM platform.member_facts WHERE facility_id = $1",
        "Member": "SELECT facility_id || ':' || user_id AS id FROM platform.member_facts WHERE facility_id = $1",
        "Transaction": "SELECT transaction_id AS id FROM finance.transactions WHERE facility_id = $1",
        "Subscription": "SELECT subscription_id AS id FROM finance.subscriptions WHERE facility_id = $1",
        "Invoice": "SELECT invoice_id AS id FROM finance.invoices WHERE facility_id = $1",
    }
    if type_ in collections:
        collection, matching = collections[type_]
        found = await stores.mongo.database[collection].find(matching).limit(100).to_list()
        return [global_id(type_, document["_id"]) for document in found]
    rows = await stores.postgres.fetch(f"{tables[type_]} LIMIT 100", str(facility))
    return [global_id(type_, row["id"]) for row in rows]


async def test_nodes_sends_one_batch_per_type(owner: Client, stores: Stores) -> None:
    facility = await facility_of(stores, "kadikoy")
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
    all_ids = []
    for type_, (mongo, postgres) in NODES.items():
        ids = await ids_of(stores, type_, facility)
        all_ids += ids[:10]
        assert len(ids) >= (5 if type_ == "Facility" else 10)
        for some in (ids[:1], ids):
            data, log = await owner.counted(query, {"ids": some})
            assert [node["id"] for node in data["nodes"]] == some
            assert (log.count("mongo"), log.count("postgres"), log.count("redis")) == (mongo, postgres, 0), type_
    data, log = await owner.counted(query, {"ids": all_ids[:100]})
    assert None not in data["nodes"]
    assert log.count("mongo") == sum(mongo for mongo, _ in NODES.values())
    assert log.count("postgres") == sum(postgres for _, postgres in NODES.values())


async def test_what_is_not_asked_for_is_not_read(owner: Client, stores: Stores) -> None:
    facility = global_id("Facility", await facility_of(stores, "kadikoy"))
    for selection, expected in (
        ("__typename", (1, 0)),
        ("name openNow", (1, 0)),
        ("members(first: 5) { nodes { status } }", (1, 1)),
        ("members(first: 5) { nodes { lastVisitAt } }", (2, 1)),
        ("members(first: 5) { nodes { user { id } } }", (2, 1)),
        ("members(first: 5) { totalCount }", (1, 2)),
        ("memberships { name }", (2, 0)),
        ("classes(first: 5) { nodes { name } }", (2, 0)),
        ("classes(first: 5) { nodes { name @skip(if: true) } }", (2, 0)),
        ("members(first: 5) @include(if: false) { nodes { status } }", (1, 0)),
    ):
        query = f"query ($id: ID!) {{ facility(id: $id) {{ {selection} }} }}"
        _, log = await owner.counted(query, {"id": facility})
        assert (log.count("mongo"), log.count("postgres")) == expected, selection
