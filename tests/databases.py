"""Databases of a test: made on the running servers, migrated, and dropped afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from nexfit.embedded import ServerUrls
from nexfit.operations.setup import migrate_up
from nexfit.settings import MongoSettings, PostgresSettings, RedisSettings, Settings


@asynccontextmanager
async def migrated(urls: ServerUrls, *, redis_database: int | None = None, **more: Any) -> AsyncIterator[Settings]:
    """Settings of new databases with both schemas and nothing in them. `more` are settings of other kinds.

    The numbered Redis database must be empty, and is emptied afterwards; without one Redis is left alone.
    """
    name = f"nexfit_test_{uuid4().hex[:12]}"
    postgres = urlsplit(urls.postgres)._replace(path=f"/{name}").geturl()
    redis = urls.redis if redis_database is None else urlsplit(urls.redis)._replace(path=f"/{redis_database}").geturl()
    settings = Settings(
        mongo=MongoSettings(url=SecretStr(urls.mongo), database=name),
        postgres=PostgresSettings(url=SecretStr(postgres)),
        redis=RedisSettings(url=SecretStr(redis)),
        **more,
    )
    if redis_database is not None:
        async with Redis.from_url(redis) as cache:
            held = await cache.dbsize()
            assert held == 0, f"Redis database {redis_database} holds {held} keys of somebody else: not touching them"
    await _administer(urls, f"CREATE DATABASE {name}")
    await migrate_up(settings)
    yield settings
    connection = await asyncpg.connect(postgres)
    for row in await connection.fetch("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"):
        await connection.execute(f"ROLLBACK PREPARED '{row['gid']}'")  # left by a process that a test killed
    await connection.close()
    await _administer(urls, f"DROP DATABASE {name} WITH (FORCE)")
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(urls.mongo) as client:
        await client.drop_database(name)
    if redis_database is not None:
        async with Redis.from_url(redis) as cache:
            await cache.flushdb()


async def _administer(urls: ServerUrls, statement: str) -> None:
    admin = await asyncpg.connect(urls.postgres)
    try:
        await admin.execute(statement)
    finally:
        await admin.close()
