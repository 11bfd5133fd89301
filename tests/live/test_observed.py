"""What operators see of sockets and event streams: each operation, each subscription's end and each socket's close."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from bson import ObjectId
from websockets.exceptions import InvalidStatus

from nexfit.app import create_app
from nexfit.settings import OperationsSettings, Settings
from tests.api.conftest import Client, global_id, login
from tests.api.test_api_metrics import _value

from .conftest import Stream, opened, serve
from .test_event_streams import events

FOLLOWING = """subscription Following ($facility: ID!) { facilityActivity(facility: $facility) {
  cursor ... on ActivityNotice { state } } }"""
LOOKING = "query Looking { facilities(first: 3) { nodes { id } } }"
UNPUBLISHED = "query a_secret_word { viewer { id } }"


@pytest.fixture(scope="module")
def lines() -> Iterator[list[dict[str, Any]]]:
    """What is logged."""
    written: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("nexfit.request_log.write", written.append)
        yield written


@pytest.fixture(scope="module")
def watched(live_settings: Settings, lines: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that logs and counts everything and knows two operations by name."""
    manifest = Path(tmp_path_factory.mktemp("manifest")) / "operations.json"
    manifest.write_text(json.dumps({sha256(text.encode()).hexdigest(): text for text in (FOLLOWING, LOOKING)}))
    http = live_settings.http.model_copy(update={"metrics": True, "log_requests": True})
    operations = OperationsSettings(manifest=manifest)
    settings = live_settings.model_copy(update={"http": http, "operations": operations})
    with serve(create_app(settings), settings) as running:
        yield running


@pytest.fixture(scope="module")
async def watched_http(watched: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{watched}", timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
async def viewer(watched_http: httpx.AsyncClient) -> Client:
    return await login(watched_http, "owner@demo.nexfit.app")


async def logged(lines: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    """The lines, once there are these."""
    async with asyncio.timeout(20):
        while sorted(line["event"] for line in lines) != sorted(kinds):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    found = sorted(lines, key=lambda line: kinds.index(line["event"]))
    lines.clear()
    return found


async def test_operations_on_a_socket_are_logged_with_the_socket(
    watched: str, lines: list[dict[str, Any]], viewer: Client, gym: ObjectId, stream: Stream
) -> None:
    lines.clear()
    async with opened(watched, additional_headers={"x-request-id": "socket-7"}) as socket:
        await socket.init(viewer.token)
        await socket.subscribe("a", LOOKING)
        assert [(await socket.receive())["type"] for _ in range(2)] == ["next", "complete"]
        await socket.subscribe("b", UNPUBLISHED)
        assert [(await socket.receive())["type"] for _ in range(2)] == ["next", "complete"]
        await socket.subscribe("c", "{ nothing }")
        assert (await socket.receive())["type"] == "error"
        looked, unpublished, wrong = await logged(lines, "request", "request", "request")
        await socket.follow(gym, id_="d", query=FOLLOWING)
        await stream.tell(gym, count=3)
        await socket.cursors(3, "d")
        [began] = await logged(lines, "request")
        assert lines == []  # it has not ended
        await socket.send(id="d", type="complete")
        [ended] = await logged(lines, "subscription")
        await socket.follow(gym, id_="e", query=FOLLOWING)
        await logged(lines, "request")
    left, closed = await logged(lines, "subscription", "socket")
    assert (looked["operation"], looked["status"], looked["transport"]) == ("Looking", 200, "websocket")
    assert (looked["cost"], looked["executor"], looked["codes"]) == (4, "plan", ())
    assert looked["commands"]["mongo"] >= 1
    assert looked["ms"] > 0
    assert looked["kind"] == "user"
    assert (unpublished["operation"], unpublished["viewer"]) == (None, looked["viewer"])
    assert (wrong["status"], wrong["codes"]) == (400, ("BAD_USER_INPUT",))
    assert [line["request_id"] for line in (looked, unpublished, wrong, began, ended, left)] == [
        *(f"socket-7.{number}" for number in (1, 2, 3, 4, 4)),
        "socket-7.5",
    ]
    assert (began["operation"], began["cost"], began["commands"]["mongo"]) == ("Following", ended["cost"], 1)
    assert (ended["operation"], ended["results"], ended["codes"]) == ("Following", 4, ())
    assert left["results"] == 1
    assert (closed["request_id"], closed["close_code"], closed["operations"]) == ("socket-7", 1000, 5)
    assert closed["viewer"] == looked["viewer"]
    assert closed["ms"] > ended["ms"]
    told = json.dumps([looked, unpublished, wrong, began, ended, left, closed], default=str)
    for secret in ("a_secret_word", global_id("Facility", gym), viewer.token or "x", "owner@"):
        assert secret not in told


async def test_every_close_has_its_code_in_the_log(watched: str, lines: list[dict[str, Any]]) -> None:
    lines.clear()
    for origin, status in (("https://evil.example", 403),):
        with pytest.raises(InvalidStatus):
            async with opened(watched, origin=origin):
                pass
        [refused] = await logged(lines, "socket")
        assert (refused["close_code"], refused["operations"], refused["viewer"]) == (status, 0, None)
    async with opened(watched, subprotocols=None) as socket:
        assert (await socket.closed())[0] == 4406
    assert (await logged(lines, "socket"))[0]["close_code"] == 4406
    async with opened(watched) as socket:
        await socket.init()
        await socket.connection.send("nothing")
        assert (await socket.closed())[0] == 4400
    [closed] = await logged(lines, "socket")
    assert (closed["close_code"], closed["kind"]) == (4400, "guest")
    async with opened(watched) as socket:
        await socket.init()
        await socket.connection.close(3999, "mine")
    assert (await logged(lines, "socket"))[0]["close_code"] == 3999
    async with opened(watched) as socket:
        await socket.init()
        socket.connection.transport.abort()
    assert (await logged(lines, "socket"))[0]["close_code"] in (1005, 1006)


async def test_operations_of_event_streams_are_logged_as_well(
    lines: list[dict[str, Any]], watched_http: httpx.AsyncClient, viewer: Client, gym: ObjectId, stream: Stream
) -> None:
    lines.clear()
    async with events(watched_http, LOOKING) as followed:
        assert (await followed.next())[0] == "next"
    [looked] = await logged(lines, "request")
    assert (looked["operation"], looked["status"], looked["transport"], looked["cost"]) == ("Looking", 200, "sse", 4)
    async with events(watched_http, FOLLOWING, viewer.token, facility=global_id("Facility", gym)) as followed:
        await followed.next()
        [began] = await logged(lines, "request")
        await stream.tell(gym, count=2)
        for _ in range(2):
            await followed.next()
    [ended] = await logged(lines, "subscription")
    assert (began["operation"], began["kind"], began["commands"]["mongo"]) == ("Following", "user", 1)
    assert (ended["results"], ended["request_id"], ended["transport"]) == (3, began["request_id"], "sse")
    async with events(watched_http, FOLLOWING, facility=global_id("Facility", gym)) as followed:
        assert "errors" in (await followed.next())[1]
    assert (await logged(lines, "request"))[0]["codes"] == ("UNAUTHENTICATED",)
    refused = await watched_http.post("/graphql", json={"query": 5}, headers={"accept": "text/event-stream"})
    assert refused.status_code == 400
    [line] = await logged(lines, "request")
    assert (line["status"], line["codes"], line["transport"]) == (400, ("BAD_USER_INPUT",), "sse")


async def test_metrics_count_sockets_and_their_operations(
    watched: str, lines: list[dict[str, Any]], watched_http: httpx.AsyncClient, viewer: Client, gym: ObjectId
) -> None:
    async def values() -> dict[str, float]:
        text = (await watched_http.get("/metrics")).text
        return {name: _value(text, name) if f"\n{name} " in text else 0.0 for name in names}

    names = {
        'nexfit_requests_total{operation="Looking",status="200",transport="websocket"}': 1,
        'nexfit_requests_total{operation="Following",status="200",transport="websocket"}': 1,
        'nexfit_requests_total{operation="other",status="400",transport="websocket"}': 1,
        'nexfit_subscription_seconds_count{operation="Following"}': 1,
        "nexfit_socket_seconds_count": 2,
        'nexfit_socket_closes_total{code="1000"}': 1,
        'nexfit_socket_closes_total{code="other"}': 1,
    }
    before = await values()
    lines.clear()
    async with opened(watched) as socket:
        await socket.init(viewer.token)
        await socket.subscribe("1", LOOKING)
        assert [(await socket.receive())["type"] for _ in range(2)] == ["next", "complete"]
        await socket.subscribe("2", "{ nothing }")
        await socket.receive()
        await socket.follow(gym, id_="3", query=FOLLOWING)
    async with opened(watched) as socket:
        await socket.connection.close(3123)
    await logged(lines, "request", "request", "request", "subscription", "socket", "socket")
    after = await values()
    assert {name: after[name] - before[name] for name in names} == names
    assert 'code="3123"' not in (await watched_http.get("/metrics")).text
