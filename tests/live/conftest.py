"""The API served by uvicorn over seeded stores, and clients of its sockets. Redis database 12 is for these tests."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest
import uvicorn
from bson import ObjectId
from redis.asyncio import Redis
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from nexfit.app import create_app
from nexfit.domains.memberships.events import VisitRecorded
from nexfit.embedded import EmbeddedServers
from nexfit.hybrid.event_stream import STREAM, Entry, Envelope, entry_id
from nexfit.hybrid.events import Event
from nexfit.serving import server_options
from nexfit.settings import LiveSettings, Settings
from nexfit.stores.connections import Stores, open_stores
from tests.api.conftest import Client, facility_of, global_id, login, seeded

REDIS_DATABASE = 12

ACTIVITY = """subscription ($facility: ID!, $after: String) { facilityActivity(facility: $facility, after: $after) {
  __typename cursor ... on VisitActivity { at visit { id source } } ... on ActivityNotice { state } } }"""

LOGIN = """mutation { login(input: {email: "owner@demo.nexfit.app", password: "nexfit-demo"}) {
  accessToken refreshToken } }"""
LOGOUT = "mutation ($token: String!) { logout(input: {refreshToken: $token}) { userErrors { code } } }"

LIVE = LiveSettings(init_seconds=30, message_bytes=20_000, operations=5, connections_per_viewer=2_000)
"""Small, so that a test meets them soon, but for those of time, which a slow machine would meet by itself."""

HASTY = LiveSettings(init_seconds=2.0, heartbeat_seconds=1.0)
"""For tests of time."""


@contextmanager
def serve(app: ASGIApp, settings: Settings, **options: Any) -> Iterator[str]:
    """Serve an application in a thread on a free port; `host:port`."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        config = uvicorn.Config(app, log_level="warning", **{**server_options(settings), **options})
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=15)
            assert not thread.is_alive()


@pytest.fixture(scope="session")
async def live_settings(servers: EmbeddedServers) -> AsyncIterator[Settings]:
    """Seeded databases that every test here may write to."""
    async with seeded(servers.urls, scale=0.2, redis_database=REDIS_DATABASE) as made:
        http = made.http.model_copy(update={"cors_origins": ("https://app.example",)})
        yield made.model_copy(update={"live": LIVE, "http": http})


@pytest.fixture(scope="session")
async def live_stores(live_settings: Settings) -> AsyncIterator[Stores]:
    """The stores behind the server."""
    async with open_stores(live_settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def address(live_settings: Settings) -> Iterator[str]:
    """The running server's host and port."""
    with serve(create_app(live_settings), live_settings) as running:
        yield running


@pytest.fixture(scope="session")
def hasty(live_settings: Settings) -> Iterator[str]:
    """Host and port of a server that waits for nobody."""
    settings = live_settings.model_copy(update={"live": HASTY})
    with serve(create_app(settings), settings) as running:
        yield running


@pytest.fixture(scope="session")
async def live_http(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the server."""
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
async def owner(live_http: httpx.AsyncClient) -> Client:
    """The owner of the chain."""
    return await login(live_http, "owner@demo.nexfit.app")


@pytest.fixture(scope="session")
async def studio_owner(live_http: httpx.AsyncClient) -> Client:
    """The owner of the studio."""
    return await login(live_http, "studio@demo.nexfit.app")


@pytest.fixture(scope="session")
async def desk(live_http: httpx.AsyncClient) -> Client:
    """A receptionist of the chain."""
    return await login(live_http, "desk@demo.nexfit.app")


@pytest.fixture(scope="session")
async def gym(live_stores: Stores) -> ObjectId:
    """A facility of the chain, where the receptionist works."""
    database = live_stores.mongo.database
    [desk] = await database["users"].find({"email": "desk@demo.nexfit.app"}).to_list()
    facility = (await database["facilities"].find({"staff.userId": desk["_id"]}).sort("_id").to_list())[0]
    id_: ObjectId = facility["_id"]
    return id_


@pytest.fixture(scope="session")
async def studio(live_stores: Stores) -> ObjectId:
    """The studio."""
    return await facility_of(live_stores, "alsancak")


@dataclass(slots=True)
class Stream:
    """Writes entries as the relay does."""

    redis: Redis
    numbers: itertools.count[int]

    async def tell(self, facility: ObjectId, *, count: int = 1, user: ObjectId | None = None) -> list[int]:
        """Entries about visits of a facility; their numbers."""
        numbers = []
        async with self.redis.pipeline(transaction=False) as batch:
            for _ in range(count):
                entry = visit(facility, next(self.numbers), user or ObjectId())
                names = entry.fields()
                batch.xadd(STREAM, {names[0]: names[1], names[2]: names[3]}, id=entry_id(entry.number))
                numbers.append(entry.number)
            await batch.execute()
        return numbers

    async def put(self, *events: Event) -> None:
        """An entry for each of these facts."""
        for event in events:
            entry = entry_of(event, next(self.numbers))
            names = entry.fields()
            await self.redis.xadd(STREAM, {names[0]: names[1], names[2]: names[3]}, id=entry_id(entry.number))


def visit(facility: ObjectId, number: int, user: ObjectId) -> Entry:
    """An entry about somebody's visit."""
    now = datetime.now(UTC)
    return entry_of(
        VisitRecorded(
            facility_id=str(facility), visit_id=str(ObjectId()), user_id=str(user), at=now, source="front_desk"
        ),
        number,
    )


def entry_of(event: Event, number: int) -> Entry:
    """The entry the relay makes of a fact."""
    return Entry(
        number,
        Envelope(
            event.event_id,
            type(event).__name__,
            event.aggregate,
            event.aggregate_id,
            event.facility_id,
            datetime.now(UTC),
            orjson.loads(event.payload()),
        ),
    )


@pytest.fixture
async def stream(live_settings: Settings) -> AsyncIterator[Stream]:
    """The stream of events."""
    async with Redis.from_url(live_settings.redis.url.get_secret_value()) as redis:
        yield Stream(redis, itertools.count(int(time.time() * 1e6)))


class Socket:
    """A client of graphql-transport-ws that says what it is told to, right or wrong."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **message: Any) -> None:
        await self.connection.send(orjson.dumps(message).decode())

    async def receive(self, seconds: float = 30) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            message: dict[str, Any] = orjson.loads(await self.connection.recv())
        return message

    async def init(self, token: str | None = None) -> dict[str, Any]:
        """Open the connection, signed in or as a guest."""
        await self.send(type="connection_init", **({"payload": {"accessToken": token}} if token else {}))
        answer = await self.receive()
        assert answer["type"] == "connection_ack"
        return answer

    async def subscribe(self, id_: str, query: str, **variables: Any) -> None:
        await self.send(id=id_, type="subscribe", payload={"query": query, "variables": variables})

    async def follow(self, facility: ObjectId, after: str | None = None, id_: str = "1", query: str = ACTIVITY) -> Any:
        """Follow a facility's activity; the first notice."""
        await self.subscribe(id_, query, facility=global_id("Facility", facility), after=after)
        return await self.activity(id_)

    async def activity(self, id_: str = "1", seconds: float = 30) -> Any:
        """The next value of a subscription."""
        message = await self.receive(seconds)
        assert (message["id"], message["type"]) == (id_, "next"), message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"]["facilityActivity"]

    async def cursors(self, count: int, id_: str = "1") -> list[int]:
        """The cursors of the next values."""
        return [int((await self.activity(id_))["cursor"]) for _ in range(count)]

    async def closed(self, seconds: float = 30) -> tuple[int, str]:
        """Code and reason of the server's close, after what it sent before."""
        async with asyncio.timeout(seconds):
            try:
                while True:
                    await self.connection.recv()
            except ConnectionClosed:
                assert self.connection.close_code is not None
                return self.connection.close_code, self.connection.close_reason or ""


@asynccontextmanager
async def opened(address: str, **options: Any) -> AsyncIterator[Socket]:
    """A socket to the server."""
    given = {"subprotocols": ["graphql-transport-ws"], "compression": None, "max_queue": None, **options}
    async with connect(f"ws://{address}/graphql", **given) as connection:
        yield Socket(connection)
