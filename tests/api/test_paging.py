"""Every connection, paged to its end from both sides in small pages, against an independent read of the database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from nexfit.stores.connections import Stores

from .conftest import Business, Client, facility_of, global_id, local
from .test_bad_input import cursors

Row = dict[str, Any]

CONNECTION = "totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor node { id } }"
PAGE_ARGUMENTS = "first: $first after: $after last: $last before: $before"
PAGE_VARIABLES = "$first: Int $after: String $last: Int $before: String"


@dataclass(frozen=True, slots=True)
class Connection:
    """A list of the schema: how it is asked for, and the global ids an independent read finds in it, in order."""

    field: str
    expected: list[str]
    by_member: bool = False

    def query(self, connection: str = CONNECTION) -> str:
        field = self.field % PAGE_ARGUMENTS
        declared = ("$id: ID! " if "$id" in field else "") + PAGE_VARIABLES
        return f"query ({declared}) {{ {field.replace('CONNECTION', connection)} }}"


async def page(client: Client, query: str, variables: Row) -> Row:
    """The connection in the answer, however deep it lies."""
    found: Any = await client.data(query, variables)
    while "totalCount" not in found and "pageInfo" not in found:
        [found] = found.values()
    connection: Row = found
    return connection


async def forwards(client: Client, query: str, variables: Row, size: int) -> list[str]:
    """All ids of a list, page by page from its start, checking what each page says of itself."""
    ids: list[str] = []
    after = None
    while True:
        found = await page(client, query, {**variables, "first": size, "after": after})
        assert found["pageInfo"]["hasPreviousPage"] == (after is not None)
        assert len(found["edges"]) == size or not found["pageInfo"]["hasNextPage"]
        ids += _ids(found)
        if not found["pageInfo"]["hasNextPage"]:
            return ids
        after = found["pageInfo"]["endCursor"]


async def backwards(client: Client, query: str, variables: Row, size: int) -> list[str]:
    """All ids of a list, page by page from its end."""
    ids: list[str] = []
    before = None
    while True:
        found = await page(client, query, {**variables, "last": size, "before": before})
        assert found["pageInfo"]["hasNextPage"] == (before is not None)
        assert len(found["edges"]) == size or not found["pageInfo"]["hasPreviousPage"]
        ids = _ids(found) + ids
        if not found["pageInfo"]["hasPreviousPage"]:
            return ids
        before = found["pageInfo"]["startCursor"]


def _ids(found: Row) -> list[str]:
    given = [edge["cursor"] for edge in found["edges"]]
    assert [found["pageInfo"]["startCursor"], found["pageInfo"]["endCursor"]] == (
        [given[0], given[-1]] if given else [None, None]
    )
    assert len(set(given)) == len(given)
    return [edge["node"]["id"] for edge in found["edges"]]


# --- what an independent read says is in each list


async def documents(stores: Stores, collection: str, filter: Row, sort: list[tuple[str, int]], type_: str) -> list[str]:
    """Ids in MongoDB's own order of the whole collection, filtered here."""
    found = await stores.mongo.database[collection].find(filter).sort(sort).to_list()
    return [global_id(type_, document["_id"]) for document in found]


async def rows(stores: Stores, sql: str, type_: str, *arguments: Any) -> list[str]:
    found = await stores.postgres.fetch(sql, *arguments)
    return [global_id(type_, ":".join(map(str, row.values()))) for row in found]


MEMBER_ORDERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "NAME": ("name_folded", lambda value: value.encode()),
    "LAST_PAYMENT": ("last_payment_at", lambda value: value),
    "LAST_VISIT": ("last_visit_at", lambda value: value),
    "JOINED": ("joined_at", lambda value: value),
}


async def members(stores: Stores, facility: str, order: str, *, descending: bool) -> list[str]:
    """Members sorted here: without a value last going down and first going up, ties by the person's id."""
    column, key = MEMBER_ORDERS[order]
    found = await stores.postgres.fetch(
        f"SELECT facility_id, user_id, {column} AS value FROM platform.member_facts WHERE facility_id = $1", facility
    )
    lowest = [row for row in found if row["value"] is None]
    valued = [row for row in found if row["value"] is not None]
    ordered = sorted(lowest, key=lambda row: row["user_id"]) + sorted(
        valued, key=lambda row: (key(row["value"]), row["user_id"])
    )
    ids = [global_id("Member", f"{row['facility_id']}:{row['user_id']}") for row in ordered]
    return ids[::-1] if descending else ids


LISTS = (
    *(f"facilities {order} {direction}" for order in ("NAME", "CREATED_AT") for direction in ("ASC", "DESC")),
    *("classes NAME", "classes START_TIME", "schedule"),
    *(f"members {order} {direction}" for order in MEMBER_ORDERS for direction in ("ASC", "DESC")),
    "members overdue",
    *("memberSubscriptions", "transactions", "transactions failed", "subscriptions", "invoices", "invoices open"),
    *(
        "own facilities",
        "own memberSubscriptions",
        "own classBookings",
        "own subscriptions",
        "own invoices",
        "own transactions",
    ),
)

SINCE, UNTIL = datetime(2026, 6, 10, tzinfo=UTC), datetime(2026, 6, 12, tzinfo=UTC)

LEDGER = {"transactions": "transaction_id", "subscriptions": "subscription_id", "invoices": "invoice_id"}


async def connection(name: str, stores: Stores, facility: str) -> Connection:
    """The list of that name at a facility, or of who asks."""
    kind, *words = name.split()
    direction = {"ASC": 1, "DESC": -1}.get(words[-1] if words else "", 1)
    ordered = f"orderBy: {{ field: {words[0]}, direction: {words[-1]} }}" if len(words) == 2 else ""
    if kind == "facilities":
        sort = [("nameFolded" if words[0] == "NAME" else "createdAt", direction), ("_id", direction)]
        expected = await documents(stores, "facilities", {}, sort, "Facility")
        return Connection(f"facilities({ordered} %s) {{ CONNECTION }}", expected)
    if kind == "classes":
        sort = [("name" if words[0] == "NAME" else "schedule.startTime", 1), ("_id", 1)]
        offered = {"facilityId": ObjectId(facility), "isActive": True}
        expected = await documents(stores, "classes", offered, sort, "Class")
        return Connection(f"facility(id: $id) {{ classes(orderBy: {words[0]} %s) {{ CONNECTION }} }}", expected)
    if kind == "schedule":
        starting = {"facilityId": ObjectId(facility), "startsAt": {"$gte": SINCE, "$lt": UNTIL}}
        expected = await documents(
            stores, "class_occurrences", starting, [("startsAt", 1), ("_id", 1)], "ClassOccurrence"
        )
        field = f'schedule(since: "{SINCE.isoformat()}" until: "{UNTIL.isoformat()}" %s)'
        return Connection(f"facility(id: $id) {{ {field} {{ CONNECTION }} }}", expected)
    if name == "members overdue":
        expected = await rows(
            stores,
            """SELECT facility_id, user_id FROM platform.member_facts f WHERE facility_id = $1 AND EXISTS (
                 SELECT FROM finance.invoices i WHERE i.facility_id = f.facility_id AND i.user_id = f.user_id
                 AND i.status = 'open' AND i.due_date < (now() AT TIME ZONE 'Europe/Istanbul')::date)
               ORDER BY last_payment_at DESC NULLS LAST, user_id DESC""",
            "Member",
            facility,
        )
        field = "members(filter: { overdue: true } orderBy: { field: LAST_PAYMENT, direction: DESC } %s)"
        return Connection(f"facility(id: $id) {{ {field} {{ CONNECTION }} }}", expected)
    if kind == "members":
        expected = await members(stores, facility, words[0], descending=direction == -1)
        return Connection(f"facility(id: $id) {{ members({ordered} %s) {{ CONNECTION }} }}", expected)
    own = kind == "own"
    kind = words[0] if own else kind
    user = await stores.mongo.database["users"].find_one({"email": "client@demo.nexfit.app"}) or {}
    outer = "viewer" if own else "facility(id: $id)"
    if kind == "facilities":
        owner = await stores.mongo.database["users"].find_one({"email": "owner@demo.nexfit.app"}) or {}
        mine = {"ownerId": owner["_id"]}
        expected = await documents(stores, "facilities", mine, [("nameFolded", 1), ("_id", 1)], "Facility")
        return Connection("viewer { facilities(%s) { CONNECTION } }", expected)
    if kind == "classBookings":
        booked = {"userId": user["_id"]}
        expected = await documents(stores, "class_bookings", booked, [("date", -1), ("_id", -1)], "ClassBooking")
    elif kind == "memberSubscriptions":
        held = {"userId": user["_id"]} if own else {"facilityId": ObjectId(facility)}
        sort = [("startDate", -1), ("_id", -1)]
        expected = await documents(stores, "member_subscriptions", held, sort, "MemberSubscription")
    else:
        status = words[0] if words and not own else None
        column = LEDGER[kind]
        expected = await rows(
            stores,
            f"SELECT {column} FROM finance.{kind} WHERE {'user_id' if own else 'facility_id'} = $1"
            f" AND ($2::text IS NULL OR status = $2) ORDER BY created_at DESC, {column} DESC",
            kind.removesuffix("s").capitalize(),
            str(user["_id"]) if own else facility,
            status,
        )
        if status:
            kind = f"{kind}(status: {status.upper()} %s)"
    field = kind if "%s" in kind else f"{kind}(%s)"
    return Connection(f"{outer} {{ {field} {{ CONNECTION }} }}", expected, by_member=own)


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_is_paged_to_its_end_from_both_sides(
    owner: Client, member: Client, chain: Business, stores: Stores, name: str
) -> None:
    list_ = await connection(name, stores, local(chain.facility))
    client = member if list_.by_member else owner
    variables = {"id": chain.facility}
    assert list_.expected, "the demo has rows in every list"
    size = 7 if len(list_.expected) < 150 else 89
    query = list_.query().replace("totalCount", "")
    assert await forwards(client, query, variables, size) == list_.expected
    assert await backwards(client, query, variables, size) == list_.expected
    if len(list_.expected) < 40:
        assert await forwards(client, query, variables, 1) == list_.expected
        assert await backwards(client, query, variables, 1) == list_.expected


@pytest.mark.parametrize("name", LISTS)
async def test_two_cursors_give_what_lies_between_them(
    owner: Client, member: Client, chain: Business, stores: Stores, name: str
) -> None:
    list_ = await connection(name, stores, local(chain.facility))
    client = member if list_.by_member else owner
    query, variables = list_.query(), {"id": chain.facility}
    expected, given = list_.expected[:100], cursors(await client.data(query, {**variables, "first": 100}))
    chance = random.Random(name)  # noqa: S311
    ends = {0, len(given) - 1}
    for _ in range(12):
        start, end = chance.choice(range(len(given))), chance.choice(range(len(given)))
        if ends:  # both ends of the list are always tried
            start = ends.pop()
        between = expected[start + 1 : end]
        for size in (100, 2):
            both = {**variables, "after": given[start], "before": given[end]}
            first = await page(client, query, {**both, "first": size})
            last = await page(client, query, {**both, "last": size})
            assert [edge["node"]["id"] for edge in first["edges"]] == between[:size]
            assert [edge["node"]["id"] for edge in last["edges"]] == (between[-size:] if between else [])
            assert first["pageInfo"]["hasNextPage"] == last["pageInfo"]["hasPreviousPage"] == (len(between) > size)
            assert first["totalCount"] == last["totalCount"] == len(list_.expected)


@pytest.mark.parametrize("name", LISTS)
async def test_a_total_costs_one_command_and_only_when_it_is_asked_for(
    owner: Client, member: Client, chain: Business, stores: Stores, name: str
) -> None:
    list_ = await connection(name, stores, local(chain.facility))
    client = member if list_.by_member else owner
    sent = []
    for inner in ("edges { node { id } }", "totalCount nodes { id }", "totalCount"):
        data, log = await client.counted(list_.query(inner), {"id": chain.facility, "first": 2})
        sent.append(log.count("mongo") + log.count("postgres"))
        assert log.count("redis") == 0
        if "totalCount" in inner:
            found: Any = data
            while "totalCount" not in found:
                [found] = found.values()
            assert found["totalCount"] == len(list_.expected)
    assert sent[1] == sent[0] + 1
    assert sent[2] <= sent[1]
    toggled = list_.query("totalCount @include(if: $count) nodes { id }").replace("query (", "query ($count: Boolean! ")
    for count in (True, False, True):
        _, log = await client.counted(toggled, {"id": chain.facility, "first": 2, "count": count})
        assert log.count("mongo") + log.count("postgres") == sent[0] + count


async def test_pages_of_many_parents_are_the_pages_of_each(owner: Client, stores: Stores) -> None:
    fields = {
        "classes": "classes(%s)",
        "schedule": 'schedule(since: "2026-06-01T00:00:00Z" until: "2026-07-01T00:00:00Z" %s)',
        "members": "members(orderBy: { field: LAST_VISIT, direction: DESC } %s)",
        "memberSubscriptions": "memberSubscriptions(%s)",
        "transactions": "transactions(status: SUCCEEDED %s)",
        "subscriptions": "subscriptions(%s)",
        "invoices": "invoices(%s)",
    }
    for name, field in fields.items():
        inner = "totalCount pageInfo { hasNextPage hasPreviousPage } edges { cursor node { id } }"
        for arguments in ("first: 3", "last: 3"):
            asked = f"{field % arguments} {{ {inner} }}"
            together = await owner.data(f"{{ viewer {{ facilities(first: 10) {{ nodes {{ id {asked} }} }} }} }}")
            parents = together["viewer"]["facilities"]["nodes"]
            assert len(parents) >= 4
            for parent in parents:
                alone = await owner.data(
                    f"query ($id: ID!) {{ facility(id: $id) {{ id {asked} }} }}", {"id": parent["id"]}
                )
                assert alone["facility"] == parent
                assert parent[name]["totalCount"] >= 3
        # One cursor for all parents bounds each of them by the same place.
        [first, *_] = parents
        cursor = first[name]["edges"][0]["cursor"]
        asked = f"{field % 'first: 100 after: $cursor'} {{ edges {{ node {{ id }} }} }}"
        query = f"query ($cursor: String) {{ viewer {{ facilities(first: 10) {{ nodes {{ id {asked} }} }} }} }}"
        for parent in (await owner.data(query, {"cursor": cursor}))["viewer"]["facilities"]["nodes"]:
            one = f"query ($id: ID!, $cursor: String) {{ facility(id: $id) {{ id {asked} }} }}"
            assert (await owner.data(one, {"id": parent["id"], "cursor": cursor}))["facility"] == parent


async def test_the_same_list_under_two_aliases_is_two_lists(owner: Client, chain: Business) -> None:
    query = """query ($id: ID!) { facility(id: $id) {
        a: members(first: 2) { nodes { id } } b: members(last: 2) { nodes { id } }
        c: members(first: 2) { edges { node { id } } nodes { user { id } } } } }"""
    found = (await owner.data(query, {"id": chain.facility}))["facility"]
    assert [node["id"] for node in found["a"]["nodes"]] == [edge["node"]["id"] for edge in found["c"]["edges"]]
    assert found["a"] != found["b"]
    assert [local(edge["node"]["id"]).partition(":")[2] for edge in found["c"]["edges"]] == [
        local(node["user"]["id"]) for node in found["c"]["nodes"]
    ]


# --- rows that are alike


def members_query(order: str) -> str:
    field, direction = order.split()
    inner = f"members(orderBy: {{ field: {field}, direction: {direction} }} %s) {{ CONNECTION }}"
    return Connection(f"facility(id: $id) {{ {inner} }}", []).query().replace("totalCount", "")


@pytest.fixture(scope="module")
async def alike(small_stores: Stores) -> AsyncIterator[str]:
    """A facility of the owner with 24 more members, of whom many share a name or an instant, or have none."""
    postgres = small_stores.postgres
    facility = str(await facility_of(small_stores, "kadikoy"))
    people = [str(ObjectId()) for _ in range(24)]
    instants = [None, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)]
    for place, person in enumerate(people):
        await postgres.fetch(
            """INSERT INTO platform.member_facts
                 (facility_id, user_id, name_folded, last_payment_at, last_visit_at, joined_at)
               VALUES ($1, $2, $3, $4, $5, $6)""",
            *(facility, person, ("", "a", "a", "İ")[place % 4]),
            *(instants[place % 3], instants[place // 3 % 3], instants[place % 2]),
        )
    yield facility
    await postgres.fetch("DELETE FROM platform.member_facts WHERE user_id = ANY ($1::text[])", people)


@pytest.mark.parametrize("order", [f"{field} {direction}" for field in MEMBER_ORDERS for direction in ("ASC", "DESC")])
async def test_members_alike_or_without_a_value_keep_one_order(
    small_owner: Client, small_stores: Stores, alike: str, order: str
) -> None:
    field, direction = order.split()
    expected = await members(small_stores, alike, field, descending=direction == "DESC")
    query, variables = members_query(order), {"id": global_id("Facility", alike)}
    for size in (1, 5):
        assert await forwards(small_owner, query, variables, size) == expected
        assert await backwards(small_owner, query, variables, size) == expected
    given = cursors(await small_owner.data(query, {**variables, "first": 100}))
    places = range(0, len(given), 4)
    for start, end in ((start, end) for start in places for end in places):
        both = {**variables, "after": given[start], "before": given[end], "first" if start % 2 else "last": 100}
        found = await page(small_owner, query, both)
        assert [edge["node"]["id"] for edge in found["edges"]] == expected[start + 1 : end], (start, end)


# --- while others write


@pytest.mark.parametrize("order", ["NAME ASC", "LAST_PAYMENT DESC", "LAST_VISIT ASC", "JOINED DESC"])
async def test_members_are_neither_lost_nor_repeated_while_others_come_and_go(
    small_owner: Client, small_stores: Stores, order: str
) -> None:
    field, direction = order.split()
    postgres = small_stores.postgres
    busiest = await postgres.fetch("SELECT facility_id FROM platform.member_facts GROUP BY 1 ORDER BY count(*) DESC")
    facility = busiest[0]["facility_id"]
    before = await members(small_stores, facility, field, descending=direction == "DESC")
    list_ = Connection(
        f"facility(id: $id) {{ members(orderBy: {{ field: {field}, direction: {direction} }} %s) {{ CONNECTION }} }}",
        [],
    )
    chance, stop, come_and_gone = random.Random(order), asyncio.Event(), set()  # noqa: S311

    async def write() -> None:
        async with postgres.connection() as connection:
            while not stop.is_set():
                user = str(ObjectId(chance.randbytes(12)))
                come_and_gone.add(global_id("Member", f"{facility}:{user}"))
                moment = chance.choice([None, datetime(2026, chance.randint(1, 6), 1, tzinfo=UTC)])
                await connection.execute(
                    """INSERT INTO platform.member_facts
                         (facility_id, user_id, name_folded, last_payment_at, last_visit_at, joined_at)
                       VALUES ($1, $2, $3, $4, $4, $4)""",
                    *(facility, user, chance.choice("abcşz") + user, moment),
                )
                await asyncio.sleep(0)
                if chance.random() < 0.7:
                    await connection.execute("DELETE FROM platform.member_facts WHERE user_id = $1", user)

    writer = asyncio.create_task(write())
    try:
        for walk in (forwards, backwards) * 2:
            seen = await walk(
                small_owner, list_.query().replace("totalCount", ""), {"id": global_id("Facility", facility)}, 3
            )
            assert len(set(seen)) == len(seen)
            assert [id_ for id_ in seen if id_ not in come_and_gone] == before
    finally:
        stop.set()
        await writer
        await postgres.fetch(
            "DELETE FROM platform.member_facts WHERE user_id = ANY ($1::text[])",
            [local(id_).partition(":")[2] for id_ in come_and_gone],
        )
    assert len(come_and_gone) > 20


async def test_classes_are_neither_lost_nor_repeated_while_others_come_and_go(
    small_owner: Client, small_stores: Stores
) -> None:
    collection = small_stores.mongo.database["classes"]
    template = await collection.find_one({"isActive": True}) or {}
    facility = template["facilityId"]
    list_ = await connection("classes START_TIME", small_stores, str(facility))
    chance, stop, made = random.Random(3), asyncio.Event(), []  # noqa: S311

    async def write() -> None:
        while not stop.is_set():
            start = template["schedule"]["startTime"] + timedelta(minutes=30 * chance.randint(-400, 400))
            schedule = {**template["schedule"], "startTime": start, "endTime": start + timedelta(hours=1)}
            made.append(ObjectId())
            await collection.insert_one({**template, "_id": made[-1], "schedule": schedule})
            if chance.random() < 0.7:
                await collection.delete_one({"_id": made[-1]})

    writer = asyncio.create_task(write())
    try:
        query, variables = list_.query().replace("totalCount", ""), {"id": global_id("Facility", facility)}
        while len(made) < 25:
            for walk in (forwards, backwards):
                seen = await walk(small_owner, query, variables, 2)
                assert len(set(seen)) == len(seen)
                assert [id_ for id_ in seen if ObjectId(local(id_)) not in made] == list_.expected
    finally:
        stop.set()
        await writer
        await collection.delete_many({"_id": {"$in": made}})


@pytest.mark.parametrize("name", ["memberSubscriptions", "schedule"])
async def test_documents_of_a_facility_are_neither_lost_nor_repeated_while_others_come_and_go(
    small_owner: Client, small_stores: Stores, name: str
) -> None:
    facility = await facility_of(small_stores, "karsiyaka")
    list_ = await connection(name, small_stores, str(facility))
    collections = {"memberSubscriptions": "member_subscriptions", "schedule": "class_occurrences"}
    collection = small_stores.mongo.database[collections[name]]
    template = await collection.find_one({"_id": ObjectId(local(list_.expected[0]))}) or {}
    chance, stop, made = random.Random(name), asyncio.Event(), []  # noqa: S311

    def another() -> Row:
        made.append(ObjectId())
        if name == "schedule":
            start = SINCE + timedelta(minutes=chance.randint(0, 2 * 24 * 60 - 1))
            return {"_id": made[-1], "classId": ObjectId(), "startsAt": start, "endsAt": start + timedelta(hours=1)}
        start = template["startDate"] + timedelta(days=chance.randint(-400, 400))
        return {"_id": made[-1], "userId": ObjectId(), "subscriptionId": str(uuid4()), "startDate": start}

    async def write() -> None:
        while not stop.is_set():
            await collection.insert_one({**template, **another()}, bypass_document_validation=True)
            if chance.random() < 0.7:
                await collection.delete_one({"_id": made[-1]})

    writer = asyncio.create_task(write())
    try:
        query, variables = list_.query().replace("totalCount", ""), {"id": global_id("Facility", facility)}
        while len(made) < 25:
            for walk in (forwards, backwards):
                seen = await walk(small_owner, query, variables, 9)
                assert len(set(seen)) == len(seen)
                assert [id_ for id_ in seen if ObjectId(local(id_)) not in made] == list_.expected
    finally:
        stop.set()
        await writer
        await collection.delete_many({"_id": {"$in": made}})
