"""Limits of one operation, and points of one viewer: refused with a code before anything is validated or loaded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from graphql import GraphQLError, parse, validate

from nexfit.api.cost import cost_of
from nexfit.api.limits import MOST_LEVELS, Limits
from nexfit.api.schema import build_schema
from nexfit.domains.errors import TooMuch
from nexfit.domains.identity.addresses import client_address, network_of, networks
from nexfit.hybrid.allowances import Allowances
from nexfit.settings import LimitSettings, RedisSettings, Settings
from nexfit.stores.connections import Stores
from nexfit.stores.redis import RedisStore

from .conftest import Business, Client, assert_refused, login, running
from .test_overview import OVERVIEW

SCHEMA = build_schema()


def spreading(levels: int, end: str, below: str = "...{next} ...{next}") -> str:
    """Fragments f0 to fN that each spread the next one twice."""
    parts = [f"fragment f{n} on Query {{ {below.replace('{next}', f'f{n + 1}')} }}" for n in range(levels)]
    return "\n".join(["{ ...f0 }", *parts, f"fragment f{levels} on Query {{ {end} }}"])


def around(times: int, before: str, inside: str, after: str) -> str:
    return before * times + inside + after * times


HOSTILE: dict[str, tuple[str, str]] = {
    "748 bytes that took 11 seconds": ("rootFields", spreading(20, "__typename")),
    "fragments as many as fit": ("rootFields", spreading(90, "__typename")),
    "aliases in fragments": (
        "aliases",
        spreading(3, "a: __typename", "a: viewer { x: id y: id z: id } ...{next} ...{next}"),
    ),
    "directives in fragments": ("rootFields", spreading(12, "__typename @include(if: true)")),
    "a chain of fragments": ("depth", spreading(MOST_LEVELS + 20, "__typename", "...{next}")),
    "deep fields": (
        "depth",
        "{ node(id: 1) " + around(16, "{ ... on Class { facility { classes { nodes ", "{ id }", " } } } }") + "}",
    ),
    "deep inline fragments": ("depth", "{ " + around(MOST_LEVELS + 1, "... { ", "__typename", " }") + " }"),
    "aliases": ("aliases", "{ viewer { " + " ".join(f"a{n}: id" for n in range(31)) + " } }"),
    "root fields": ("rootFields", "{ " + "viewer { id } " * 21 + "}"),
    "root fields of a mutation": ("rootFields", "mutation { " + " ".join(f"a{n}: nope" for n in range(21)) + " }"),
    "root fields of the second operation": (
        "rootFields",
        "query A { viewer { id } } query B { " + "viewer { id } " * 21 + "}",
    ),
    "directives": ("directives", "{ viewer { " + "id @skip(if: false) " * 51 + "} }"),
    "directives of an operation": ("directives", "query " + "@nope " * 51 + "{ viewer { id } }"),
    "fields in an unused fragment": ("pairs", "{ viewer { id } } fragment f on User { " + "id " * 400 + "}"),
    "the same fields over and over": ("pairs", "{ viewer { " + "facilities { nodes { id name } } " * 100 + "} }"),
    "tokens": ("tokens", "{ viewer { " + "id " * 2_001 + "} }"),
    "tokens of a value": ("tokens", "{ nodes(ids: [" + "1 " * 2_001 + "]) { id } }"),
    "characters": ("characters", "{ viewer { id } } #" + "x" * 16_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_document_that_is_too_large_is_refused_by_its_shape(name: str) -> None:
    limit, document = HOSTILE[name]
    started = time.process_time()
    with pytest.raises(GraphQLError) as refused:
        Limits(LimitSettings()).parse(document)
    assert time.process_time() - started < 0.5
    assert isinstance(refused.value.original_error, TooMuch)
    assert refused.value.original_error.limit == limit


@pytest.mark.parametrize(
    "document",
    [
        "{ ...nope }",
        "{ ...a } fragment a on Query { ...a }",
        "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a viewer { id } }",
        "fragment a on Query { __typename }",
        "type A { a: Int }",
        "query A { viewer { id } } query B { viewer { id } }",
    ],
)
def test_what_is_wrong_but_small_is_left_to_validation(document: str) -> None:
    Limits(LimitSettings()).parse(document)


def test_the_time_a_document_takes_grows_with_its_length() -> None:
    """Fragments that spread one another twice: four times as many take about four times as long."""
    limits = Limits(LimitSettings())

    def seconds(levels: int) -> float:
        best, document = 9.0, spreading(levels, "__typename")
        for _ in range(7):
            started = time.process_time()
            with pytest.raises(GraphQLError):
                limits.parse(document)
            best = min(best, time.process_time() - started)
        return best

    assert seconds(80) < 8 * seconds(20)


def cost(source: str, variables: dict[str, Any] | None = None) -> int:
    document = parse(source)
    assert validate(SCHEMA, document) == []
    operations = [node for node in document.definitions if hasattr(node, "operation")]
    fragments = {node.name.value: node for node in document.definitions if not hasattr(node, "operation")}  # type: ignore[attr-defined]
    return cost_of(SCHEMA, operations[0], fragments)(variables or {})  # type: ignore[arg-type]


OCCURRENCES = "facilities(first: 2) { nodes { classes(first: 3) { nodes { %s { id } } } } }"
FRAGMENTS = """...f facilities(first: 1) { ...g } }
    fragment g on FacilityConnection { nodes { id } } fragment f on Query { viewer { id }"""


@pytest.mark.parametrize(
    ("selection", "variables", "expected"),
    [
        ("__typename", {}, 0),
        ("viewer { id firstName }", {}, 1),
        ("facilities { totalCount }", {}, 1),
        ("facilities { totalCount pageInfo { hasNextPage } }", {}, 2),
        ("facilities { nodes { id } }", {}, 21),
        ("facilities(first: 3) { nodes { id } }", {}, 4),
        ("facilities(last: 3) { edges { cursor node { id } } }", {}, 7),
        ("facilities(first: $n) { nodes { id } }", {}, 21),
        ("facilities(first: $n) { nodes { id } }", {"n": 5}, 6),
        ("facilities(first: $n) { nodes { id } }", {"n": None}, 21),
        ("facilities(first: $n) { nodes { id } }", {"n": 10**9}, 101),
        ("facilities(first: $n) { nodes { id } }", {"n": -5}, 1),
        ("facilities(first: $n) { nodes { id } }", {"n": "x"}, 21),
        ("facilities(first: $m) { nodes { id } }", {}, 8),
        ("facilities(first: $n) { nodes { classes(first: $m) { nodes { id } } } }", {"n": 10, "m": 10}, 1 + 10 * 12),
        (OCCURRENCES % "occurrences(first: 4)", {}, 1 + 2 * (2 + 3 * 5)),
        (OCCURRENCES % "occurrences", {}, 1 + 2 * (2 + 3 * 11)),
        ("facilities(first: 2) { nodes { memberships { id } } }", {}, 1 + 2 * 11),
        ('nodes(ids: ["a", "b"]) { id }', {}, 2),
        ("facilities(first: 5) { nodes @skip(if: true) { id } }", {}, 1),
        ("facilities(first: 5) { nodes @include(if: $yes) { id } }", {}, 6),
        ("facilities(first: 5) { nodes @include(if: $yes) { id } }", {"yes": False}, 1),
        ("a: viewer { id } b: viewer { id }", {}, 2),
        (FRAGMENTS, {}, 3),
        ("__schema { types { name } }", {}, 500),
        ('__type(name: "User") { name }', {}, 10),
    ],
)
def test_an_operation_costs_the_objects_it_may_answer_with(
    selection: str, variables: dict[str, Any], expected: int
) -> None:
    used = {name for name in ("n", "m", "yes") if f"${name}" in selection}
    declared = " ".join(
        {"n": "$n: Int", "m": "$m: Int = 7", "yes": "$yes: Boolean = true"}[name] for name in sorted(used)
    )
    assert cost(f"query ({declared}) {{ {selection} }}" if declared else f"{{ {selection} }}", variables) == expected


FREE = '{ since: "2026-06-01T00:00:00Z", until: "2026-06-02T00:00:00Z" }'


@pytest.mark.parametrize(
    ("declared", "filter", "variables", "is_dear"),
    [
        ("", f"{{ free: {FREE} }}", {}, True),
        ("", "{ free: null, rating: 4 }", {}, False),
        ("", "{ rating: 4 }", {}, False),
        ("($free: FreeTimeInput)", "{ free: $free }", {"free": {}}, True),
        ("($free: FreeTimeInput)", "{ free: $free }", {"free": None}, False),
        ("($free: FreeTimeInput)", "{ free: $free }", {}, False),
        ("($filter: CoachesFilter)", "$filter", {"filter": {"free": {}}}, True),
        ("($filter: CoachesFilter)", "$filter", {"filter": {"rating": 4}}, False),
        ("($filter: CoachesFilter)", "$filter", {"filter": "x"}, False),
        ("($filter: CoachesFilter)", "$filter", {}, False),
        (f"($filter: CoachesFilter = {{ free: {FREE} }})", "$filter", {}, True),
        (f"($filter: CoachesFilter = {{ free: {FREE} }})", "$filter", {"filter": None}, False),
    ],
)  # fmt: skip
def test_looking_for_a_free_time_costs_what_it_takes(
    declared: str, filter: str, variables: dict[str, Any], is_dear: bool
) -> None:
    query = f"query {declared} {{ coaches(first: 5, filter: {filter}) {{ nodes {{ id }} }} }}"
    assert cost(query, variables) == (2_006 if is_dear else 6)


def test_a_change_costs_more_and_a_hundred_ids_a_hundred() -> None:
    assert cost('mutation { login(input: { email: "a", password: "b" }) { accessToken viewer { id } } }') == 12
    assert cost("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ["a"] * 70}) == 70
    assert 150 < cost(OVERVIEW, {}) < 400


# --- a running application with the limits a server starts with


@pytest.fixture(scope="module")
async def limited(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Limits as they are by default, and few points."""
    limits = LimitSettings(points=2_000, points_per_second=50)
    async with running(settings.model_copy(update={"limits": limits})) as client:
        yield client


async def test_an_operation_that_asks_for_too_many_objects_is_refused_with_both_numbers(
    limited: httpx.AsyncClient,
) -> None:
    query = """query ($n: Int!) { facilities(first: $n) { nodes { classes(first: $n) { nodes { id } } } } }"""
    for media, status in (("application/json", 200), ("application/graphql-response+json", 400)):
        response = await limited.post(
            "/graphql", json={"query": query, "variables": {"n": 100}}, headers={"accept": media}
        )
        assert_refused(response, "COST_LIMIT", status=status)
        [error] = response.json()["errors"]
        asked = 1 + 100 * (2 + 100)
        assert error["extensions"] == {"code": "COST_LIMIT", "limit": "cost", "most": 5000, "asked": asked}
        assert "data" not in response.json()
    assert "errors" not in (await Client(limited).run(query, {"n": 2}))
    turkish = await limited.post(
        "/graphql", json={"query": query, "variables": {"n": 100}}, headers={"accept-language": "tr"}
    )
    assert turkish.json()["errors"][0]["message"].startswith("İşlemin yanıtında 10201 nesne")


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_document_is_refused_over_http(limited: httpx.AsyncClient, name: str) -> None:
    limit, document = HOSTILE[name]
    response = await limited.post("/graphql", json={"query": document})
    assert_refused(response, "COST_LIMIT")
    assert response.json()["errors"][0]["extensions"]["limit"] == limit


async def test_the_owners_overview_is_within_every_limit(settings: Settings, chain: Business) -> None:
    limits = LimitSettings(points_per_second=5)  # so that little comes back before it is looked at
    async with running(settings.model_copy(update={"limits": limits})) as http:
        owner = await login(http, "owner@demo.nexfit.app")
        variables = {"facility": chain.facility, "from": "2026-01-01", "to": "2026-06-15"}
        response = await owner.post(OVERVIEW, variables, extensions={"cost": True})
        cost = response.json()["extensions"]["cost"]
        assert 50 < cost["actualQueryCost"] <= cost["requestedQueryCost"] < 500
        status = cost["throttleStatus"]
        assert status["maximumAvailable"] == 50_000
        assert status["restoreRate"] == 5
        assert 45_000 < status["currentlyAvailable"] < 50_000
        plain = (await owner.post(OVERVIEW, variables)).json()
        assert "extensions" not in plain
        # GraphiQL's own question fits as well.
        from graphql import get_introspection_query

        assert "errors" not in await Client(http).run(get_introspection_query(input_value_deprecation=True))


async def test_who_has_used_up_its_points_waits_and_nobody_else(settings: Settings, chain: Business) -> None:
    limits = LimitSettings(points=300, points_per_second=0.1)
    async with running(settings.model_copy(update={"limits": limits})) as http:
        owner = await login(http, "owner@demo.nexfit.app")
        desk = await login(http, "desk@demo.nexfit.app")
        query = "{ facilities(first: 100) { nodes { id } } }"  # 101 points, and one for the request
        responses = [await owner.post(query) for _ in range(4)]
        assert [response.status_code for response in responses] == [200, 200, 429, 429]
        refused = responses[-1]
        assert_refused(refused, "RATE_LIMITED", status=429)
        assert "data" not in refused.json()
        seconds = int(refused.headers["retry-after"])
        assert 1 <= seconds <= 1_100
        assert refused.json()["errors"][0]["extensions"]["retryAfter"] == seconds
        assert (await desk.post(query)).status_code == 200
        for _ in range(300):  # what costs nothing still takes a point
            if (await owner.post("{ __typename }")).status_code == 429:
                break
        else:
            pytest.fail("requests that cost nothing are never refused")
        again = await login(http, "owner@demo.nexfit.app")  # another token is the same viewer
        assert (await again.post(query)).status_code == 429
        for way in ({"json": {"query": query}}, {"content": b"{"}):  # whatever it is that is sent
            response = await http.post("/graphql", headers={"authorization": f"Bearer {owner.token}"}, **way)
            assert response.status_code == 429


async def test_guests_of_one_address_share_their_points(settings: Settings) -> None:
    limits = LimitSettings(points=150, points_per_second=1)
    given = settings.model_copy(
        update={"limits": limits, "http": settings.http.model_copy(update={"trusted_proxies": ("127.0.0.0/8",)})}
    )
    query = {"query": "{ facilities(first: 100) { nodes { id } } }"}
    one, other = f"2001:db8:{uuid4().hex[:4]}::", f"2001:db8:{uuid4().hex[:4]}:7::"
    async with running(given) as http:

        async def status(forwarded: str) -> int:
            return (await http.post("/graphql", json=query, headers={"x-forwarded-for": forwarded})).status_code

        assert await status(f"{one}1") == 200
        assert await status(f"{one}2") == 429  # a /64 is one client
        assert await status(f"8.8.8.8, {one}3") == 429  # what stands before is the client's own word
        assert await status(f"{one}1, {other}1, 127.0.0.9") == 200
    untrusting = given.model_copy(update={"http": settings.http})
    async with running(untrusting) as http:
        assert {await status(f"198.51.100.{n}") for n in range(3)} >= {429}


# --- points


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_process_asks_redis_once_a_slice(stores: Stores) -> None:
    clock, viewer = Clock(), str(uuid4())
    allowances = Allowances(stores.redis, size=1_000, per_second=100, clock=clock)
    assert not allowances.at_hand(viewer, 1)
    assert await allowances.spend(viewer, 1) == 0
    assert allowances.at_hand(viewer, 5)
    assert allowances.at_hand(viewer, 5)
    assert not allowances.at_hand(viewer, 1)  # a tenth of a second's points are handed out
    assert 980 < allowances.available(viewer) < 991
    clock.now += 2
    assert not allowances.at_hand(viewer, 1)
    other = Allowances(stores.redis, size=1_000, per_second=100)
    spent = 0
    while await other.spend(viewer, 50) == 0:  # another process, the same bucket
        spent += 50
        assert spent < 1_100
    assert spent >= 900
    assert 0 < await other.spend(viewer, 50) <= 1
    assert 8 < await other.spend(viewer, 5_000) <= 10.1  # more than there can be: all of it


async def test_parallel_requests_never_get_more_than_there_is(stores: Stores) -> None:
    viewer = str(uuid4())
    processes = [Allowances(stores.redis, size=500, per_second=1) for _ in range(3)]
    waits = await asyncio.gather(*(processes[n % 3].spend(viewer, 10) for n in range(120)))
    assert 45 <= waits.count(0) <= 52


async def test_without_redis_a_process_counts_on_its_own() -> None:
    clock = Clock()
    redis = RedisStore(RedisSettings(url="redis://127.0.0.1:1/0"))
    allowances = Allowances(redis, size=100, per_second=10, clock=clock)
    assert [await allowances.spend("a", 40) for _ in range(3)] == [0, 0, 2.0]
    assert allowances.available("a") == 20
    clock.now += 2
    assert await allowances.spend("a", 40) == 0
    assert await allowances.spend("b", 40) == 0


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.5", None, "203.0.113.5"),
        ("203.0.113.5", b"198.51.100.1", "203.0.113.5"),
        ("10.0.0.1", b"198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", b"1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", b"198.51.100.1, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"10.0.0.3", "10.0.0.3"),
        ("10.0.0.1", b"2001:db8::1", "2001:db8::1"),
        ("", b"198.51.100.1", ""),
        ("10.0.0.1", b"x, " * 5_000 + b"198.51.100.1", "198.51.100.1"),
    ],
)
def test_only_a_trusted_proxy_says_where_a_request_comes_from(peer: str, forwarded: bytes, expected: str) -> None:
    assert client_address(peer, forwarded, networks(["10.0.0.0/8"])) == expected


def test_one_client_is_one_network() -> None:
    assert network_of("198.51.100.7") == "198.51.100.7"
    assert network_of("2001:db8:1:2:3:4:5:6") == network_of("2001:db8:1:2::") != network_of("2001:db8:1:3::")
    assert network_of("::ffff:198.51.100.7") == "198.51.100.7"
    assert network_of("unix") == "unix"
