"""Bad ids, cursors, sizes, dates and texts: a typed refusal, or nothing found. Never a failure or a driver's words."""

from __future__ import annotations

import base64
import json
from typing import Any

from .conftest import Business, Client, assert_refused, global_id, local

NODE = "query ($id: ID!) { node(id: $id) { __typename id } }"
NODES = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"


def encoded(value: Any) -> str:
    """Text or JSON as a cursor carries it."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


# --- ids


async def test_an_id_that_names_nothing_finds_nothing(owner: Client, chain: Business) -> None:
    known = chain.ids["User"]
    padded = known + "=" * (-len(known) % 4)
    ids = [
        *("", " ", "x", "!!!!", "=", "====", "💪", "İ", "null", "0", "a\0b", "a\nb", "A" * 199, "A" * 100_000),
        encoded(b"User"),
        encoded(b"User:"),
        encoded(b":" + local(known).encode()),
        encoded(b"User:\xff\xfe"),
        encoded(b"User:zz"),
        encoded(b"User:000000000000000000000000"),
        encoded(b"user:" + local(known).encode()),
        encoded(b"Nope:" + local(known).encode()),
        encoded(b"Query:" + local(known).encode()),
        encoded(b"User:" + local(known).upper().encode() + b"\n"),
        encoded(b"User:" + local(known).encode() + b"\0"),
        encoded(b"User:" + local(known).encode() + b":x"),
        encoded(b"Member:" + local(known).encode()),
        encoded(b"Member:" + local(known).encode() + b":" + local(known).encode() + b":x"),
        encoded(b"Member:zz:zz"),
        encoded(b"Transaction:1"),
        encoded(b"Transaction:00000000-0000-0000-0000-000000000000"),
        encoded(b"Transaction:" + local(chain.ids["Transaction"]).replace("-", "").encode()),
        encoded(b"Transaction:" + local(chain.ids["Transaction"]).upper().encode()),
        encoded(b"Invoice:{" + local(chain.ids["Invoice"]).encode() + b"}"),
        # Other spellings of an id that exists: this server never wrote them.
        known + "AAAA",
        known[:-1],
        f" {known}",
        f"{known}\n",
        known.swapcase(),
        padded if padded != known else f"{known}=",
        *(global_id(other, local(known)) for other in chain.ids if other not in ("User", "Member")),
    ]
    for id_ in ids:
        answer = await owner.run(NODE, {"id": id_})
        assert answer == {"data": {"node": None}}, id_
        assert await owner.data("query ($id: ID!) { facility(id: $id) { name } }", {"id": id_}) == {"facility": None}
    for start in range(0, len(ids), 40):
        part = ids[start : start + 40]
        found = (await owner.data(NODES, {"ids": [*part, known]}))["nodes"]
        assert found == [None] * len(part) + [{"__typename": "User", "id": known}]


async def test_an_id_of_another_type_is_unknown_to_a_typed_field(owner: Client, chain: Business) -> None:
    for name, id_ in chain.ids.items():
        found = await owner.data("query ($id: ID!) { facility(id: $id) { __typename } }", {"id": id_})
        assert (found["facility"] is None) == (name != "Facility"), name
    query = "query ($f: ID!, $p: ID) { facility(id: $f) { members(filter: { plan: $p }) { totalCount } } }"
    for name, id_ in [*chain.ids.items(), ("garbage", "x"), ("empty", "")]:
        found = await owner.data(query, {"f": chain.facility, "p": id_})
        assert (found["facility"]["members"]["totalCount"] > 0) == (name == "Membership"), name


async def test_nodes_takes_a_hundred_ids_in_their_order_with_repetitions(owner: Client, chain: Business) -> None:
    a, b = chain.ids["Class"], chain.ids["Transaction"]
    assert await owner.data(NODES, {"ids": []}) == {"nodes": []}
    found = (await owner.data(NODES, {"ids": [a, b, "x", a] * 25}))["nodes"]
    assert [node and node["id"] for node in found] == [a, b, None, a] * 25
    assert_refused(await owner.post(NODES, {"ids": [a] * 101}), "BAD_USER_INPUT")


# --- dates and texts


async def test_ranges_of_days_are_checked(owner: Client, chain: Business) -> None:
    days = "query ($f: ID!, $from: Date!, $to: Date!) { facility(id: $f) { %s } }"
    revenue = days % "revenue(from: $from, to: $to, by: %s) { period }"
    analytics = days % "analytics(from: $from, to: $to) { date }"
    for query in (*(revenue % by for by in ("DAY", "WEEK", "MONTH")), analytics):
        for first, last in (
            ("2026-06-15", "2026-06-14"),
            ("9999-12-31", "0001-01-01"),
            ("0001-01-01", "9999-12-31"),
            ("1900-01-01", "2026-01-01"),
            ("0001-01-01", "0001-01-01"),
            ("9999-12-31", "9999-12-31"),
            ("1899-12-31", "1900-01-01"),
        ):
            response = await owner.post(query, {"f": chain.facility, "from": first, "to": last})
            assert_refused(response, "BAD_USER_INPUT")
        for day in ("1900-01-01", "2999-12-31", "2024-02-29"):
            await owner.data(query, {"f": chain.facility, "from": day, "to": day})
        for wrong in ("", "x", "2026-02-30", "2026-2-3", "20260203", "2026-W01-1", "2026-02-03T00:00:00Z", 20260203):
            response = await owner.post(query, {"f": chain.facility, "from": wrong, "to": "2026-06-15"})
            assert_refused(response, "BAD_USER_INPUT")
    day = {"f": chain.facility, "from": "2025-01-01", "to": "2026-02-04"}  # 400 days
    await owner.data(revenue % "DAY", day)
    assert_refused(await owner.post(revenue % "DAY", day | {"to": "2026-02-05"}), "BAD_USER_INPUT")


async def test_occurrences_are_asked_for_by_number_and_instant(owner: Client, chain: Business) -> None:
    query = """query ($f: ID!, $n: Int!, $since: DateTime) { facility(id: $f) { classes(first: 1) {
                 nodes { occurrences(first: $n, since: $since) { startsAt } } } } }"""
    for first in (0, -1, 51, 2**31 - 1):
        assert_refused(await owner.post(query, {"f": chain.facility, "n": first}), "BAD_USER_INPUT")
    wrong: list[Any] = ["", "x", "2026-06-15", "2026-06-15T10:00:00", 0, 1e9, "2026-06-15T25:00:00Z", "9" * 100]
    wrong += [
        "2026-W25-1T10:00:00Z",
        "20260615T100000Z",
        "2026-06-15T10Z",
        "2026-06-15T10:00:00+25:00",
        "now",
        "٢٠٢٦-٠٦-١٥T10:00:00Z",
    ]
    for since in [*wrong, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]:
        assert_refused(await owner.post(query, {"f": chain.facility, "n": 1, "since": since}), "BAD_USER_INPUT")
        if isinstance(since, str):
            literal = query.replace("since: $since", f'since: "{since}"').replace(", $since: DateTime", "")
            assert_refused(await owner.post(literal, {"f": chain.facility, "n": 1}), "BAD_USER_INPUT")
    for since in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-06-15T10:00:00.123456+03:00"):
        await owner.data(query, {"f": chain.facility, "n": 1, "since": since})


async def test_what_is_searched_for_is_text_and_no_pattern(owner: Client, chain: Business) -> None:
    members = "query ($f: ID!, $n: String) { facility(id: $f) { members(filter: { name: $n }) { totalCount } } }"
    total = (await owner.data(members, {"f": chain.facility}))["facility"]["members"]["totalCount"]
    assert total > 10
    for name in ("%", "_", "\\", "a%", "__", "'", "';--", "$1", ".*", "^", "{}", "💪", "\ufeffx\u200b%"):
        found = await owner.data(members, {"f": chain.facility, "n": name})
        assert found["facility"]["members"]["totalCount"] == 0, name
    for name in ("", " ", "\t"):
        found = await owner.data(members, {"f": chain.facility, "n": name})
        assert found["facility"]["members"]["totalCount"] == total, name
    facilities = "query ($c: String, $n: String) { facilities(filter: { city: $c, name: $n }) { totalCount } }"
    assert (await owner.data(facilities))["facilities"]["totalCount"] >= 5
    for text in (".*", "^", "$gt", "%", "\\", "💪", "{}"):
        for variables in ({"n": text}, {"c": text}):
            assert (await owner.data(facilities, variables))["facilities"]["totalCount"] == 0, variables
    assert (await owner.data(facilities, {"c": "İSTANBUL"}))["facilities"]["totalCount"] > 0
    assert (await owner.data(facilities, {"n": "çINAR"}))["facilities"]["totalCount"] > 0
    for bad in ("a\0b", "x" * 201):
        assert_refused(await owner.post(members, {"f": chain.facility, "n": bad}), "BAD_USER_INPUT")
        assert_refused(await owner.post(facilities, {"n": bad}), "BAD_USER_INPUT")
        assert_refused(await owner.post(facilities, {"c": bad}), "BAD_USER_INPUT")
    for wrong in ({"$gt": ""}, ["a"], 5, True):
        response = await owner.post(facilities, {"n": wrong})
        assert_refused(response, "BAD_USER_INPUT")
        assert "data" not in response.json()


async def test_a_filter_of_no_status_matches_nobody(owner: Client, chain: Business) -> None:
    query = """query ($f: ID!, $s: [MemberStatus!]) {
                 facility(id: $f) { members(filter: { status: $s }) { totalCount nodes { status } } } }"""
    assert (await owner.data(query, {"f": chain.facility, "s": []}))["facility"]["members"]["totalCount"] == 0
    found = (await owner.data(query, {"f": chain.facility, "s": ["EXPIRED", "ACTIVE"]}))["facility"]["members"]
    assert found["totalCount"] > 0
    assert {node["status"] for node in found["nodes"]} <= {"ACTIVE", "EXPIRED"}
    for wrong in (["active"], ["NOPE"], [None], [5], {"a": 1}):
        assert_refused(await owner.post(query, {"f": chain.facility, "s": wrong}), "BAD_USER_INPUT")
