"""Server-sent events by graphql-sse's distinct connections form, read from a running server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
from bson import ObjectId

from tests.api.conftest import Client, global_id

from .conftest import ACTIVITY, LOGIN, LOGOUT, Stream

QUERY = "{ facilities(first: 1) { totalCount } }"


class Events:
    """The events of a response."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._chunks = response.aiter_text()
        self._text = ""
        self.heartbeats = 0

    async def next(self) -> tuple[str, Any]:
        """The next event and its data."""
        while True:
            while "\n\n" not in self._text:
                async with asyncio.timeout(30):
                    self._text += await anext(self._chunks)
            event, _, self._text = self._text.partition("\n\n")
            if event == ":":
                self.heartbeats += 1
                continue
            name, data = event.split("\n")
            assert name.startswith("event: ")
            assert data.startswith("data:")
            text = data.removeprefix("data:").strip()
            return name.removeprefix("event: "), orjson.loads(text) if text else None


@asynccontextmanager
async def events(http: httpx.AsyncClient, query: str, token: str | None = None, **variables: Any) -> AsyncIterator[Any]:
    """The stream that answers an operation."""
    headers = {"accept": "text/event-stream", **({"authorization": f"Bearer {token}"} if token else {})}
    body = {"query": query, "variables": variables}
    async with http.stream("POST", "/graphql", json=body, headers=headers) as response:
        yield Events(response)


async def test_a_query_is_one_event_and_the_end(live_http: httpx.AsyncClient) -> None:
    async with events(live_http, QUERY) as stream:
        assert stream.response.status_code == 200
        assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.response.headers["cache-control"] == "no-store"
        name, data = await stream.next()
        assert name == "next"
        assert data["data"]["facilities"]["totalCount"] > 0
        assert await stream.next() == ("complete", None)
    headers = {"accept": "text/event-stream", "graphql-preflight": "1"}
    async with live_http.stream("GET", "/graphql", params={"query": QUERY}, headers=headers) as response:
        assert (await Events(response).next())[0] == "next"


@pytest.mark.parametrize(
    "query",
    ["{ nothing }", "{ facilities(", 'subscription { facilityActivity(facility: "x") { cursor } }', ACTIVITY],
)
async def test_what_is_wrong_with_the_operation_is_an_event(live_http: httpx.AsyncClient, query: str) -> None:
    async with events(live_http, query) as stream:
        assert stream.response.status_code == 200
        name, data = await stream.next()
        assert name == "next"
        assert data["errors"]
        assert "data" not in data
        assert await stream.next() == ("complete", None)


async def test_what_is_wrong_with_the_request_is_a_status(live_http: httpx.AsyncClient) -> None:
    accept = {"accept": "text/event-stream"}
    assert (await live_http.post("/graphql", json={"query": 5}, headers=accept)).status_code == 400
    assert (await live_http.post("/graphql", content=b"{", headers=accept)).status_code == 415
    wrong = {**accept, "authorization": "Bearer x"}
    assert (await live_http.post("/graphql", json={"query": QUERY}, headers=wrong)).status_code == 401


async def test_a_subscription_follows_with_heartbeats_until_the_client_leaves(
    hasty: str, live_http: httpx.AsyncClient, owner: Client, gym: ObjectId, stream: Stream
) -> None:
    async with (
        httpx.AsyncClient(base_url=f"http://{hasty}", timeout=30) as http,
        events(http, ACTIVITY, owner.token, facility=global_id("Facility", gym)) as followed,
    ):
        _, first = await followed.next()
        assert first["data"]["facilityActivity"]["state"] == "STARTED"
        numbers = await stream.tell(gym, count=50)
        got = [int((await followed.next())[1]["data"]["facilityActivity"]["cursor"]) for _ in numbers]
        assert got == numbers
        seen, following = followed.heartbeats, asyncio.create_task(followed.next())
        async with asyncio.timeout(30):
            while followed.heartbeats == seen:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        [number] = await stream.tell(gym)
        assert (await following)[1]["data"]["facilityActivity"]["cursor"] == str(number)
    after = str(numbers[40])
    async with events(live_http, ACTIVITY, owner.token, facility=global_id("Facility", gym), after=after) as followed:
        assert (await followed.next())[1]["data"]["facilityActivity"]["state"] == "RESUMED"
        got = [int((await followed.next())[1]["data"]["facilityActivity"]["cursor"]) for _ in range(10)]
        assert got == [*numbers[41:], number]


async def test_a_session_that_ends_ends_the_stream(live_http: httpx.AsyncClient, gym: ObjectId, stream: Stream) -> None:
    signed_in = (await Client(live_http).data(LOGIN))["login"]
    async with events(live_http, ACTIVITY, signed_in["accessToken"], facility=global_id("Facility", gym)) as followed:
        await followed.next()
        await Client(live_http).data(LOGOUT, {"token": signed_in["refreshToken"]})
        name, data = await followed.next()
        assert (name, data["errors"][0]["extensions"]["code"]) == ("next", "UNAUTHENTICATED")
        assert await followed.next() == ("complete", None)


async def test_a_subscription_needs_a_stream(live_http: httpx.AsyncClient, owner: Client, gym: ObjectId) -> None:
    variables = {"facility": global_id("Facility", gym)}
    answer = await live_http.post(
        "/graphql",
        json={"query": ACTIVITY, "variables": variables},
        headers={"authorization": f"Bearer {owner.token}"},
    )
    assert answer.status_code == 406
    assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["BAD_USER_INPUT"]
    assert "data" not in answer.json()
