"""Stores with the demo in them, and a process that follows their changes. Redis database 4 is this folder's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from nexfit.embedded import EmbeddedServers
from nexfit.hybrid import freshness
from nexfit.operations.demo import seed
from nexfit.operations.feeds import follow_changes
from nexfit.operations.setup import migrate_up
from nexfit.settings import MongoSettings, PostgresSettings, RedisSettings, Settings
from nexfit.stores.connections import Stores, open_stores

REDIS_DATABASE = 4

Database = Any
"""PyMongo's own: what a script would write with."""


@pytest.fixture(scope="module")
async def settings(
    servers: EmbeddedServers, postgres_url: str, mongo_url: str, mongo_database: str
) -> AsyncIterator[Settings]:
    """Settings of this module's stores, migrated, with the demo of today (30 members)."""
    redis = urlsplit(servers.urls.redis)._replace(path=f"/{REDIS_DATABASE}").geturl()
    made = Settings(
        mongo=MongoSettings(url=SecretStr(mongo_url), database=mongo_database),
        postgres=PostgresSettings(url=SecretStr(postgres_url)),
        redis=RedisSettings(url=SecretStr(redis)),
    )
    async with Redis.from_url(redis) as cache:
        await migrate_up(made)
        async with open_stores(made) as stores:
            await seed(stores, scale=0.1)
        yield made
        await cache.flushdb()


@pytest.fixture(scope="module")
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    """The stores of this process."""
    async with open_stores(settings) as opened:
        yield opened


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
        work = asyncio.create_task(follow_changes(stores))
        try:
            await until(lambda: fed(stores))
            yield work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


@pytest.fixture
async def followed(settings: Settings) -> AsyncIterator[None]:
    """Changes are followed during the test."""
    async with following(settings):
        yield


async def fed(stores: Stores) -> bool:
    """Whether somebody promises that views are fresh."""
    (held,) = await stores.redis.send([("GET", freshness.KEY)])
    return held is not None


async def until(holds: Callable[[], Awaitable[Any]], seconds: float = 10.0) -> float:
    """How long it took (seconds) until it holds; fails when that takes too long."""
    clock = asyncio.get_running_loop().time
    started = clock()
    while not await holds():
        assert clock() - started < seconds, "it never came"
        await asyncio.sleep(0.01)
    return clock() - started


def now() -> datetime:
    """The present instant as MongoDB stores it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
