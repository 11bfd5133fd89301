"""Stores with the demo in them, and a process that follows their changes. Redis databases 4 and 5 are for these."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from nexfit.embedded import EmbeddedServers, ServerUrls
from nexfit.hybrid import freshness
from nexfit.operations.demo import seed
from nexfit.operations.feeds import follow_changes
from nexfit.operations.member_facts import rebuild_member_facts
from nexfit.operations.reconcile.references import ReferencesComparison
from nexfit.settings import Settings
from nexfit.stores.connections import Stores, open_stores
from tests.databases import migrated

REDIS_DATABASE = 4

Database = Any
"""PyMongo's own: what a script would write with."""


@asynccontextmanager
async def seeded(urls: ServerUrls, redis_database: int) -> AsyncIterator[Settings]:
    """Settings of new stores, migrated, with the demo of today (90 members); dropped afterwards."""
    async with migrated(urls, redis_database=redis_database) as made:
        async with open_stores(made) as stores:
            await seed(stores, scale=0.3)
            # The demo is told at six in the morning. No booking shall pass while the tests look at members' next ones.
            soon = now() + timedelta(hours=1)
            await stores.mongo.database.class_bookings.delete_many({"date": {"$lt": soon}})
            await stores.mongo.database.class_occurrences.delete_many({"startsAt": {"$lt": soon}})
            await rebuild_member_facts(stores)
        yield made


@pytest.fixture(scope="session")
async def settings(servers: EmbeddedServers) -> AsyncIterator[Settings]:
    """Settings of stores that the tests of this folder share: none may count on what another one left."""
    async with seeded(servers.urls, REDIS_DATABASE) as made:
        yield made


@pytest.fixture(scope="module")
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    """The stores of this process. No module leaves behind what only a person could repair."""
    async with open_stores(settings) as opened:
        yield opened
        left = [found async for _, some in ReferencesComparison().suspects(opened, now()) for found in some]
        assert left == [], "documents are gone that rows name: put back what was deleted"


@pytest.fixture(scope="module")
async def mongo(settings: Settings) -> AsyncIterator[Database]:
    """The database as another program has it."""
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(settings.mongo.url.get_secret_value(), tz_aware=True) as client:
        yield client[settings.mongo.database]


@pytest.fixture
async def postgres(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A connection of another program."""
    connection = await asyncpg.connect(settings.postgres.url.get_secret_value())
    yield connection
    await connection.close()


@pytest.fixture
async def cache(settings: Settings) -> AsyncIterator[Redis]:
    """Redis as another program has it."""
    async with Redis.from_url(settings.redis.url.get_secret_value()) as client:
        yield client


@asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[asyncio.Task[None]]:
    """Changes are followed while the block runs; it begins when they are."""
    async with open_stores(settings) as stores:
        before = await _term(stores)  # the last follower's lease may not have ended

        async def has_begun() -> bool:
            return await _term(stores) > before

        work = asyncio.create_task(follow_changes(stores))
        try:
            await until(has_begun)
            yield work
        finally:
            work.cancel()
            ended, _ = await asyncio.wait({work}, timeout=5)
            assert ended, "it did not stop"


@pytest.fixture
async def followed(settings: Settings) -> AsyncIterator[None]:
    """Changes are followed during the test."""
    async with following(settings):
        yield


async def fed(stores: Stores) -> bool:
    """Whether somebody promises that views are fresh."""
    return await _term(stores) > 0


async def _term(stores: Stores) -> int:
    """The number of the follower that promises so; 0 without one."""
    (held,) = await stores.redis.send([("GET", freshness.KEY)])
    return int(held.partition(b":")[0]) if isinstance(held, bytes) else 0


async def until(holds: Callable[[], Awaitable[Any]], seconds: float = 30.0) -> float:
    """How long it took (seconds) until it holds; fails when that takes too long.

    On a machine with much else to do a look takes long, too: so many looks have to be in vain as well.
    """
    clock = asyncio.get_running_loop().time
    started = clock()
    looks = 0
    while not await holds():
        looks += 1
        assert clock() - started < seconds or looks < seconds / 0.02, "it never came"
        await asyncio.sleep(0.01)
    return clock() - started


def now() -> datetime:
    """The present instant as MongoDB stores it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
