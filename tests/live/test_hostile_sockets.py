"""Hostile operations and messages on a running server's sockets: each answered or closed with its code, soon."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from nexfit.app import create_app
from nexfit.settings import LimitSettings, LiveSettings, Settings
from tests.api.conftest import _LEAKS, forget_views
from tests.api.test_limits import HOSTILE, around
from tests.api.test_raw_http import BIG, SECONDS

from .conftest import opened, serve

TRIES = 3
NODES = "query ($a: [ID!]!) { nodes(ids: $a) { id } }"
CURSOR = '{ facilities(after: "%s") { totalCount } }'
DEEP = "[" * 400 + "]" * 400


@pytest.fixture(scope="module")
def strict(live_settings: Settings) -> Iterator[str]:
    """A server with the limits it has by default, and few tries of passwords."""
    auth = live_settings.auth.model_copy(update={"tries_per_account": TRIES})
    limits = LimitSettings(points_per_second=0)
    settings = live_settings.model_copy(update={"limits": limits, "live": LiveSettings(), "auth": auth})
    with serve(create_app(settings), settings) as running:
        yield running


def operation(query: str, **more: Any) -> str:
    return json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query, **more}})


def with_variables(text: str) -> str:
    return operation(NODES).replace('"payload": {', f'"payload": {{"variables": {{"a": {text}}}, ')


ANSWERED: dict[str, tuple[str, str]] = {
    **{f"too large: {name}": (operation(document), "COST_LIMIT") for name, (_, document) in HOSTILE.items()},
    "an unknown fragment": (operation("{ ...nope }"), "BAD_USER_INPUT"),
    "a fragment in itself": (operation("{ ...a } fragment a on Query { ...a }"), "BAD_USER_INPUT"),
    "two operations and no name": (operation("query A { __typename } query B { __typename }"), "BAD_USER_INPUT"),
    "a name of no operation": (operation("query A { __typename }", operationName="B"), "BAD_USER_INPUT"),
    "150 nested selections": (operation("{ a" * 150 + "}" * 150), "COST_LIMIT"),
    "3,000 nested lists": (operation("{ nodes(ids: " + "[" * 3_000 + ") { id } }"), "BAD_USER_INPUT"),
    "a schema and its circles": (
        operation("{ __schema { types { " + around(6, "fields { type { ", "name", " } }") + " } } }"),
        "BAD_USER_INPUT",
    ),
    "a forged cursor": (operation(CURSOR % "YXJyYXljb25uZWN0aW9uOi01"), "BAD_USER_INPUT"),
    "a binary cursor": (operation(CURSOR % "//79/A=="), "BAD_USER_INPUT"),
    "400 brackets": (with_variables(DEEP), "BAD_USER_INPUT"),
    "a type that is misspelt": (operation("{ ... on Facilty { id } }"), "BAD_USER_INPUT"),
    "a hash of nothing": (
        operation("{ __typename }", extensions={"persistedQuery": {"version": 1, "sha256Hash": "a" * 64}}),
        "BAD_USER_INPUT",
    ),
    "a staleness of nothing": (operation("{ __typename }", extensions={"maxStaleness": "long"}), "BAD_USER_INPUT"),
}

CLOSED: dict[str, str] = {
    "a batch": '[{"id": "1", "type": "subscribe", "payload": {"query": "{ __typename }"}}]',
    "a batch of operations": '{"id": "1", "type": "subscribe", "payload": [{"query": "{ __typename }"}]}',
    "60,000 brackets": with_variables("[" * 30_000 + "]" * 30_000),
    "a 5000-digit integer": with_variables(BIG.decode()),
    "a huge exponent": with_variables("1e400"),
    "not a number": with_variables("NaN"),
    "half a surrogate pair": '{"id": "1", "type": "subscribe", "payload": {"query": "\\ud800"}}',
    "a NUL for a type": '{"id": "1", "type": "\\u0000", "payload": {"query": "{ __typename }"}}',
}


@pytest.mark.parametrize("name", ANSWERED)
async def test_a_hostile_operation_is_answered_soon_and_the_socket_lives(strict: str, name: str) -> None:
    sent, code = ANSWERED[name]
    async with opened(strict) as socket:
        await socket.init()
        started = time.process_time()
        await socket.connection.send(sent)
        answer = await socket.receive()
        assert time.process_time() - started < SECONDS
        payload = answer["payload"]
        errors = payload if answer["type"] == "error" else payload.get("errors", ())
        assert {error["extensions"]["code"] for error in errors} == {code}, answer
        assert not _LEAKS.search(json.dumps(answer)), answer
        if answer["type"] == "next":
            assert (await socket.receive())["type"] == "complete"
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}


@pytest.mark.parametrize("name", CLOSED)
async def test_what_cannot_be_read_closes_the_socket_with_its_code(strict: str, name: str) -> None:
    async with opened(strict) as socket:
        await socket.init()
        started = time.process_time()
        await socket.connection.send(CLOSED[name])
        code, reason = await socket.closed()
        assert time.process_time() - started < SECONDS
        assert code == 4400
        assert not _LEAKS.search(reason)


async def test_a_socket_is_no_way_around_the_limit_of_passwords(strict: str, live_settings: Settings) -> None:
    """Neither in aliases of one operation, nor in one operation after another, nor on another socket."""
    try_ = 'login(input: {email: "owner@demo.nexfit.app", password: "wrong"}) { userErrors { code } }'
    await forget_views(live_settings)
    codes = []
    for query in (f"mutation {{ a: {try_} b: {try_} }}", f"mutation {{ {try_} }}", f"mutation {{ {try_} }}"):
        async with opened(strict) as socket:
            await socket.init()
            await socket.subscribe("1", query)
            payloads = (await socket.receive())["payload"]["data"].values()
            codes += [payload["userErrors"][0]["code"] for payload in payloads]
    assert codes == ["INVALID_CREDENTIALS"] * TRIES + ["RATE_LIMITED"]
    await forget_views(live_settings)


async def test_the_server_is_well_after_all_of_it(strict: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://{strict}") as http:
        answer = await http.post("/graphql", json={"query": "{ facilities(first: 1) { nodes { name } } }"})
        assert len(answer.json()["data"]["facilities"]["nodes"]) == 1
