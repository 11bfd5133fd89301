"""An application that caches responses, over its own seeded stores; every test begins with an empty cache."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from bson import ObjectId
from redis.asyncio import Redis

from nexfit.embedded import EmbeddedServers
from nexfit.hybrid.freshness import KEY
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.settings import HttpSettings, Settings
from nexfit.stores.commands import CommandLog, command_log
from nexfit.stores.connections import Stores, open_stores
from tests.api.conftest import Client, global_id, login, running, seeded

REDIS_DATABASE = 9


@pytest.fixture(scope="package")
async def settings(servers: EmbeddedServers) -> AsyncIterator[Settings]:
    """60 members; a test tidies up what it changed."""
    async with seeded(servers.urls, scale=0.2, redis_database=REDIS_DATABASE) as made:
        yield made.model_copy(update={"http": HttpSettings(response_cache=True)})


@pytest.fixture(scope="package")
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    """The stores behind the application."""
    async with open_stores(settings) as opened:
        yield opened


@pytest.fixture(scope="package")
async def facility(stores: Stores) -> ObjectId:
    """A facility of the chain, with classes, plans and members."""
    [person] = await stores.mongo.find("users", {"email": "owner@demo.nexfit.app"}, ["_id"])
    found = await stores.mongo.find("facilities", {"ownerId": person["_id"]}, ["_id"], sort=[("_id", 1)])
    result: ObjectId = found[0]["_id"]
    return result


@pytest.fixture
async def cache(settings: Settings) -> AsyncIterator[Redis]:
    """The emptied Redis database, as if somebody followed the change feeds."""
    async with Redis.from_url(settings.redis.url.get_secret_value()) as client:
        await client.flushdb()
        await client.set(KEY, "1:1")
        yield client
        await client.flushdb()


@pytest.fixture
async def http(settings: Settings, cache: Redis) -> AsyncIterator[httpx.AsyncClient]:
    """A freshly started application."""
    async with running(settings) as client:
        yield client


@dataclass(slots=True)
class Viewers:
    """Clients of one application: nobody in particular, the chain's owner, its member, and a stranger to it."""

    guest: Client
    owner: Client
    member: Client
    stranger: Client

    def all(self) -> Sequence[Client]:
        return self.guest, self.owner, self.member, self.stranger


async def viewers_of(http: httpx.AsyncClient) -> Viewers:
    """Signed in at an application."""
    emails = ("owner@demo.nexfit.app", "client@demo.nexfit.app", "studio@demo.nexfit.app")
    return Viewers(Client(http), *[await login(http, email) for email in emails])


@pytest.fixture
async def viewers(http: httpx.AsyncClient) -> Viewers:
    """Of the freshly started application."""
    return await viewers_of(http)


async def invalidate(stores: Stores, *tags: str) -> None:
    """What the follower of the change feeds does when it hears of a change."""
    await JoinedViews(stores.redis).invalidate(tags)


async def asked(
    client: Client, query: str, variables: dict[str, Any] | None = None, *, headers: dict[str, str] | None = None
) -> tuple[httpx.Response, CommandLog]:
    """The response, and what it cost the stores."""
    sent = {**(headers or {}), **({"authorization": f"Bearer {client.token}"} if client.token else {})}
    with command_log() as log:
        response = await client.http.post("/graphql", json={"query": query, "variables": variables}, headers=sent)
    return response, log


def store_commands(log: CommandLog) -> int:
    """Commands to the stores that are not a cache."""
    return log.count("mongo") + log.count("postgres")


async def until(what: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait for an async condition."""
    import asyncio

    deadline = time.monotonic() + seconds
    while not await what():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def changed(stores: Stores, collection: str, id_: ObjectId, **values: Any) -> AsyncIterator[None]:
    """A document with other values while the block runs, written past the application."""
    documents = stores.mongo.database[collection]
    before = await documents.find_one({"_id": id_}, dict.fromkeys(values, 1))
    assert before is not None
    await documents.update_one({"_id": id_}, {"$set": values})
    yield
    await documents.update_one({"_id": id_}, {"$set": {key: before[key] for key in values}})


def id_of(facility: ObjectId) -> dict[str, Any]:
    """Variables naming a facility."""
    return {"id": global_id("Facility", facility)}
