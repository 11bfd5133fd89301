"""Every list of the schema, paged to its end from both sides against an independent read, also while others write it.

The lists are found in the schema and their recipes in `lists.py`: a list without one fails `tests/contract`.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import asyncpg
import httpx
import pytest
from bson import ObjectId

from nexfit.settings import Settings
from nexfit.stores.connections import Stores

from .conftest import Business, Client, assert_refused, business_of, facility_of, global_id, local, login
from .lists import AS_IS, LISTS, Order, backwards, connections, forwards, orders_of, page, query, unasked
from .stored_rows import At

ROWS = 12
"""Rows that are added to every list before it is paged: many of them alike in what they are ordered by."""

WRITES = 10
"""Rows that come, and most of them go, while a list is walked in one direction."""

INNER = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor node { id } }"


@dataclass(slots=True)
class Listing:
    """One list of the schema with rows in it that many share a value of."""

    name: str
    client: Client
    at: At

    def query(self, order: str = "", inner: str = INNER) -> str:
        """An operation that asks for a page."""
        return query(self.name, self.at, order, inner)

    async def ids(self, order: Order = AS_IS, condition: object = None) -> list[str]:
        """What an independent read finds in it, in order."""
        return await LISTS[self.name].rows.ids(self.at, order.column, order.direction, condition)

    async def add(self) -> str:
        """One more row."""
        return await LISTS[self.name].rows.add(self.at)

    async def remove(self, id_: str) -> None:
        """One of those added is taken away."""
        await LISTS[self.name].rows.remove(self.at, id_)


@pytest.fixture(scope="module")
async def unguarded(small_settings: Settings) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection on which no trigger and no foreign key is looked at."""
    connection = await asyncpg.connect(small_settings.postgres.url.get_secret_value())
    await connection.execute("SET session_replication_role = replica")
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
async def place(small_stores: Stores) -> Business:
    """The facility whose lists are looked at."""
    return await business_of(small_stores, await facility_of(small_stores, "karsiyaka"))


@pytest.fixture(scope="module")
async def parents(small_stores: Stores, place: Business) -> dict[str, list[Any]]:
    """By type, whose lists are looked at: the first of them, and together with it the others."""
    database = small_stores.mongo.database
    owner = (await database.users.find_one({"email": "owner@demo.nexfit.app"}) or {})["_id"]
    facilities = [found["_id"] for found in await database.facilities.find({"ownerId": owner}).to_list()]
    here = ObjectId(local(place.facility))
    booked = await database.class_bookings.distinct("occurrenceId", {"facilityId": here})
    return {
        "Facility": [here, *(facility for facility in facilities if facility != here)],
        "ClassOccurrence": sorted(booked)[:4],
        "Coach": sorted(await database.reviews.distinct("subjectId", {"subjectType": "coach"}))[:4],
        "Member": [
            f"{row['facility_id']}:{row['user_id']}"
            for row in await small_stores.postgres.fetch(
                """SELECT facility_id, user_id FROM platform.member_facts WHERE facility_id = $1
                   ORDER BY last_visit_at DESC NULLS LAST, user_id LIMIT 4""",
                str(here),
            )
        ],
    }


@pytest.fixture(scope="module")
async def viewers(small_http: httpx.AsyncClient) -> dict[str, tuple[Client, ObjectId]]:
    """Everybody who views a list, signed in."""
    found = {}
    for email in sorted({list_.viewer for list_ in LISTS.values()}):
        client = await login(small_http, email)
        found[email] = client, ObjectId(local((await client.data("{ viewer { id } }"))["viewer"]["id"]))
    return found


@pytest.fixture(params=connections())
async def listing(
    request: pytest.FixtureRequest,
    viewers: dict[str, tuple[Client, ObjectId]],
    small_stores: Stores,
    unguarded: asyncpg.Connection[asyncpg.Record],
    place: Business,
    parents: dict[str, list[Any]],
) -> AsyncIterator[Listing]:
    """Each list of the schema, which is afterwards as it was."""
    name = request.param
    client, viewer = viewers[LISTS[name].viewer]
    at = At(small_stores, unguarded, Random(name), viewer, ObjectId(local(place.ids["Membership"])), parents)  # noqa: S311
    listing = Listing(name, client, at)
    before = await listing.ids()
    try:
        for _ in range(ROWS):
            await listing.add()
        yield listing
    finally:
        for id_ in set(await listing.ids()) - set(before):
            await listing.remove(id_)
    assert await listing.ids() == before


async def test_a_list_is_paged_to_its_end_from_both_sides(listing: Listing) -> None:
    for order in orders_of(listing.name):
        expected = await listing.ids(order)
        assert len(set(expected)) == len(expected) >= ROWS
        for size in (100, 3) if order.text else (100, 7, 2, 1):
            assert await forwards(listing.client, listing.query(order.text), size) == expected, order
            assert await backwards(listing.client, listing.query(order.text), size) == expected, order


async def test_a_filtered_list_is_paged_to_its_end_from_both_sides(listing: Listing) -> None:
    filters = LISTS[listing.name].filters(listing.at)
    missed = unasked(listing.name, [*filters, LISTS[listing.name].given])
    assert not missed, f"no filter of LISTS['{listing.name}'] says {missed}"
    orders = orders_of(listing.name)
    for turn, (text, condition) in enumerate(filters.items()):
        order = orders[turn % len(orders)]
        expected = await listing.ids(order, condition)
        assert expected, f"{text} leaves nothing"
        asked = listing.query(f"{text} {order.text}")
        for size in (100, 3):
            assert await forwards(listing.client, asked, size) == expected, (text, order)
            assert await backwards(listing.client, asked, size) == expected, (text, order)
        total = await page(listing.client, listing.query(f"{text} {order.text}", "totalCount"))
        assert total == {"totalCount": len(expected)}


class Writer:
    """Adds and takes away rows of a list until it is told to stop; a few of them are left at any time."""

    def __init__(self, listing: Listing) -> None:
        self.come: set[str] = set()
        self.there: list[str] = []
        self._listing = listing
        self._stop = False

    async def write(self) -> None:
        """Until the end."""
        while not self._stop:
            added = await self._listing.add()
            self.come.add(added)
            self.there.append(added)
            chance = self._listing.at.chance
            while len(self.there) > 8 or (self.there and chance.random() < 0.4):
                await self._listing.remove(self.there.pop(chance.randrange(len(self.there))))
            await asyncio.sleep(0)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Beside the block."""
        task = asyncio.create_task(self.write())
        try:
            yield
        finally:
            self._stop = True
            await task
        for id_ in self.there:
            await self._listing.remove(id_)


async def test_nothing_is_lost_or_repeated_while_rows_come_and_go(listing: Listing) -> None:
    for order in orders_of(listing.name):
        stays, writer = await listing.ids(order), Writer(listing)
        async with writer.writing():
            for walk, size in ((forwards, 3), (backwards, 2)):
                written = len(writer.come)
                while len(writer.come) < written + WRITES:
                    from_the_start = set(writer.there)
                    seen = await walk(listing.client, listing.query(order.text), size)
                    assert len(set(seen)) == len(seen), order
                    assert [id_ for id_ in seen if id_ in stays] == stays, order
                    assert from_the_start.intersection(writer.there) <= set(seen), order
        assert await listing.ids(order) == stays


async def test_a_cursor_outlives_its_row(listing: Listing) -> None:
    for order in orders_of(listing.name):
        gone = await listing.add()
        expected = await listing.ids(order)
        at = expected.index(gone)
        asked = listing.query(order.text)
        cursors = {
            edge["node"]["id"]: edge["cursor"]
            for size in ("first", "last")
            for edge in (await page(listing.client, asked, **{size: 100}))["edges"]
        }
        await listing.remove(gone)
        after = await page(listing.client, asked, first=100, after=cursors[gone])
        before = await page(listing.client, asked, last=100, before=cursors[gone])
        assert [edge["node"]["id"] for edge in after["edges"]] == expected[at + 1 :][:100]
        assert [edge["node"]["id"] for edge in before["edges"]] == expected[:at][-100:]


def _pairs(chance: Random, length: int, count: int) -> Iterator[tuple[int, int]]:
    """Places of two cursors, in either order, the ends of the list among them."""
    yield from ((0, length - 1), (length - 1, 0))
    for _ in range(count):
        yield chance.randrange(length), chance.randrange(length)


async def test_two_cursors_give_what_lies_between_them(listing: Listing) -> None:
    for order in orders_of(listing.name):
        asked = listing.query(order.text, f"totalCount {INNER}")
        expected = (await listing.ids(order))[:100]
        given = [edge["cursor"] for edge in (await page(listing.client, asked, first=100))["edges"]]
        for start, end in _pairs(listing.at.chance, len(given), 3 if order.text else 6):
            between = expected[start + 1 : end]
            for size in (100, 2):
                both = {"after": given[start], "before": given[end]}
                first = await page(listing.client, asked, first=size, **both)
                last = await page(listing.client, asked, last=size, **both)
                assert [edge["node"]["id"] for edge in first["edges"]] == between[:size]
                assert [edge["node"]["id"] for edge in last["edges"]] == (between[-size:] if between else [])
                assert first["pageInfo"]["hasNextPage"] == last["pageInfo"]["hasPreviousPage"] == (len(between) > size)
                assert first["totalCount"] == last["totalCount"] == len(await listing.ids())


async def test_a_total_costs_one_command_and_only_when_it_is_asked_for(listing: Listing) -> None:
    sent, total = [], len(await listing.ids())
    for inner in ("edges { node { id } }", "totalCount nodes { id }", "totalCount"):
        data, log = await listing.client.counted(listing.query(inner=inner), {"first": 2})
        sent.append(log.count("mongo") + log.count("postgres"))
        assert log.count("redis") == 0
        if "totalCount" in inner:
            found = data
            while "totalCount" not in found:
                [found] = found.values()
            assert found["totalCount"] == total
    assert sent[1] == sent[0] + 1
    assert sent[2] <= sent[1]
    toggled = listing.query(inner="totalCount @include(if: $count) nodes { id }")
    toggled = toggled.replace("query (", "query ($count: Boolean! ")
    for count in (True, False, True):
        _, log = await listing.client.counted(toggled, {"first": 2, "count": count})
        assert log.count("mongo") + log.count("postgres") == sent[0] + count


async def test_pages_of_many_parents_are_the_pages_of_each(listing: Listing) -> None:
    type_, _, field = listing.name.partition(".")
    if type_ in ("Query", "User"):
        return  # there is one parent: everybody, or who asks
    ids = [global_id(type_, parent) for parent in listing.at.parents[type_]]
    inner = "totalCount pageInfo { hasNextPage hasPreviousPage } edges { cursor node { id } }"
    declared = "query ($ids: [ID!]! $first: Int $last: Int $after: String)"
    for order in orders_of(listing.name):
        asked = f"{order.text} {LISTS[listing.name].given} first: $first last: $last after: $after"
        text = f"{declared} {{ nodes(ids: $ids) {{ ... on {type_} {{ id {field}({asked}) {{ {inner} }} }} }} }}"
        cursor = None
        for variables in ({"first": 3}, {"last": 3}, {"first": 100, "after": cursor}):
            together = (await listing.client.data(text, {"ids": ids, **variables}))["nodes"]
            assert len(together) >= 4
            for parent in together:
                alone = await listing.client.data(text, {"ids": [parent["id"]], **variables})
                assert alone["nodes"] == [parent]
            # One cursor for all parents bounds each of them by the same place.
            cursor = cursor or together[0][field]["edges"][0]["cursor"]
        assert together[0][field]["totalCount"] >= ROWS


async def test_the_same_list_under_two_aliases_is_two_lists(small_owner: Client, place: Business) -> None:
    text = """query ($id: ID!) { facility(id: $id) {
        a: members(first: 2) { nodes { id } } b: members(last: 2) { nodes { id } }
        c: members(first: 2) { edges { node { id } } nodes { user { id } } } } }"""
    found = (await small_owner.data(text, {"id": place.facility}))["facility"]
    assert [node["id"] for node in found["a"]["nodes"]] == [edge["node"]["id"] for edge in found["c"]["edges"]]
    assert found["a"] != found["b"]
    assert [local(edge["node"]["id"]).partition(":")[2] for edge in found["c"]["edges"]] == [
        local(node["user"]["id"]) for node in found["c"]["nodes"]
    ]


# --- sizes and cursors of nothing


async def test_a_page_has_one_to_a_hundred_items_from_one_end(listing: Listing) -> None:
    asked = listing.query()
    for size in (0, -1, 101, 1000, 2**31 - 1, -(2**31)):
        for end in ("first", "last"):
            assert_refused(await listing.client.post(asked, {end: size}), "BAD_USER_INPUT")
    assert_refused(await listing.client.post(asked, {"first": 1, "last": 1}), "BAD_USER_INPUT")
    for wrong in ("1", 1.5, True, [1, 2], {}, 2**31, 10**30):
        response = await listing.client.post(asked, {"first": wrong})
        assert_refused(response, "BAD_USER_INPUT")
        assert "data" not in response.json()
    for variables, most in (({"first": 1}, 1), ({"last": 1}, 1), ({"first": 100}, 100), ({"last": 100}, 100), ({}, 20)):
        found = await page(listing.client, asked, **variables)
        assert len(found["edges"]) == min(most, len(await listing.ids()))


def encoded(value: Any) -> str:
    """Text or JSON as a cursor carries it."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def decoded(cursor: str) -> list[Any]:
    """The name of the list and its order, and the place in it."""
    found: list[Any] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return found


def broken(order: str, place: list[Any]) -> Iterator[str]:
    """Cursors that no list in this order ever gave, made from one that it did."""
    yield from ("", "x", "!!!", "=", "💪", "A" * 1001, encoded(b"\xff\xfe\x00"), encoded(b"[1,2"), encoded(b"[" * 900))
    yield from map(encoded, (None, True, 5, "text", {}, [], [order], [order, *place, 1], [order, *place[:-1]]))
    yield encoded(b'["' + order.encode() + b'", NaN, Infinity]')
    yield encoded(f'["{order}", "\\ud800", "\\ud800"]'.encode())
    yield from (encoded([other, *place]) for other in ("", None, 0, order.lower(), order + " ", ["x"], "nope"))
    for at, part in enumerate(place):
        wrong = [-(10**30), 1.5, 1e308, 10**30, True, [], {}, "a\0b", None]
        if isinstance(part, int):  # of a row that has a number
            wrong += ["", "1", str(part), 2**63]
        elif at == len(place) - 1:
            wrong += [0, -1, "", "zz", "0" * 23, "0" * 25, "g" * 24, "None", "NaN"]
        elif part[:2] == "20":  # an instant
            wrong += [0, -1, "", "x", "2026-13-45T00:00:00+00:00", "2026-01-01T00:00:00", "infinity", "now", "NaN"]
            wrong += ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "10000-01-01T00:00:00+00:00"]
        yield from (encoded([order, *place[:at], one, *place[at + 1 :]]) for one in wrong)


async def test_a_cursor_of_nothing_is_refused(listing: Listing) -> None:
    for order in orders_of(listing.name):
        asked = listing.query(order.text)
        edges = (await page(listing.client, asked, first=100))["edges"]
        [valued, *_] = [edge["cursor"] for edge in edges if None not in decoded(edge["cursor"])]
        tag, *place = decoded(valued)
        column = LISTS[listing.name].rows.orders[order.column].removeprefix("-")
        for turn, cursor in enumerate(broken(tag, place)):
            variables = {"first": 1, ("after", "before")[turn % 2]: cursor}
            if column in LISTS[listing.name].rows.nullable and cursor == encoded([tag, None, *place[1:]]):
                await listing.client.data(asked, variables)  # the place of a row without the value
                continue
            response = await listing.client.post(asked, variables)
            assert_refused(response, "BAD_USER_INPUT")
            [error] = response.json()["errors"]
            assert error["path"], cursor
        for text in ("", "%_\\", "'; DROP TABLE x; --", "￿", "x" * 500):
            if len(place) > 1 and isinstance(place[0], str) and place[0][:2] != "20":
                cursor = encoded([tag, text, *place[1:]])
                response = await listing.client.post(asked, {"first": 1, "after": cursor})
                if len(cursor) <= 1000:
                    assert "errors" not in response.json(), response.text
                else:
                    assert_refused(response, "BAD_USER_INPUT")


async def test_a_cursor_belongs_to_its_list_and_order(
    listing: Listing, viewers: dict[str, tuple[Client, ObjectId]]
) -> None:
    """Also to the same list of somebody else: it is a place, and says nothing of who or what is there."""
    taken: dict[tuple[str, str], list[str]] = {}
    for order in orders_of(listing.name):
        found = await page(listing.client, listing.query(order.text), first=1)
        taken[listing.name, order.text] = [edge["cursor"] for edge in found["edges"]]
    for name, list_ in LISTS.items():
        if name != listing.name:
            client, viewer = viewers[list_.viewer]
            other = Listing(name, client, replace(listing.at, viewer=viewer))
            found = await page(client, other.query(), first=1)
            taken[name, ""] = [edge["cursor"] for edge in found["edges"]]
    for order in orders_of(listing.name):
        [own] = taken[listing.name, order.text]
        for (name, text), given in taken.items():
            for cursor in given:
                response = await listing.client.post(listing.query(order.text), {"after": cursor})
                if decoded(cursor)[0] == decoded(own)[0]:
                    assert "errors" not in response.json(), (name, text)
                    assert LISTS[name].rows.type_ == LISTS[listing.name].rows.type_
                else:
                    assert_refused(response, "BAD_USER_INPUT")
