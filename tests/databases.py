"""Databases of a test: made on the running servers, with both schemas, and dropped afterwards.

Migrating takes a second of the processor and the suite does it some seventy times: so the first database of a server is
migrated, and the next ones are copies of it. Migrations have tests of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from nexfit.embedded import ServerUrls
from nexfit.operations import migrations, partitions
from nexfit.operations.mongo_files import CollectionFile, default_folder, read_folder
from nexfit.operations.setup import migrations_folder
from nexfit.settings import MongoSettings, PostgresSettings, RedisSettings, Settings

PATIENT: dict[str, dict[str, Any]] = {
    "mongo": {"timeout": 20, "server_selection_timeout": 20},
    "postgres": {"connect_timeout": 20, "statement_timeout": 20, "lock_timeout": 20},
    "redis": {"timeout": 10, "connect_timeout": 10},
}
"""Seconds to wait for a store on a machine with much else to do."""

IMPATIENT: dict[str, dict[str, Any]] = {"mongo": {}, "postgres": {}, "redis": {}}

_templates: dict[str, str] = {}
"""Name of the migrated database by URL of its server."""


@asynccontextmanager
async def migrated_postgres(urls: ServerUrls, name: str) -> AsyncIterator[str]:
    """URL of a new PostgreSQL database with every migration applied; dropped afterwards."""
    if urls.postgres not in _templates:
        template = f"nexfit_test_template_{uuid4().hex[:12]}"
        await _administer(urls, f"CREATE DATABASE {template}")
        connection = await asyncpg.connect(_postgres(urls, template))
        try:
            await migrations.up(connection, migrations_folder())
            await partitions.ensure_ahead(connection, datetime.now(UTC).date())
        finally:
            await connection.close()
        _templates[urls.postgres] = template
    await _administer(urls, f"CREATE DATABASE {name} TEMPLATE {_templates[urls.postgres]}")
    url = _postgres(urls, name)
    yield url
    connection = await asyncpg.connect(url)
    for row in await connection.fetch("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"):
        await connection.execute(f"ROLLBACK PREPARED '{row['gid']}'")  # left by a process that a test killed
    await connection.close()
    await _administer(urls, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def with_collections(url: str, name: str) -> AsyncIterator[None]:
    """A new MongoDB database of this name as `mongo_schema.up` makes it, but all indexes of a collection at once."""
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(url) as client:
        for file in _collections():
            images = {"enabled": file.pre_images}
            await client[name].create_collection(
                file.collection, validator=file.validator, changeStreamPreAndPostImages=images
            )
            if file.indexes:
                indexes = [index.description() for index in file.indexes]
                await client[name].command({"createIndexes": file.collection, "indexes": indexes})
    yield
    async with AsyncMongoClient(url) as client:
        await client.drop_database(name)


async def drop_template(urls: ServerUrls) -> None:
    """Leave nothing behind on a server that outlives the tests."""
    if template := _templates.pop(urls.postgres, None):
        await _administer(urls, f"DROP DATABASE {template} WITH (FORCE)")


@cache
def _collections() -> list[CollectionFile]:
    return read_folder(default_folder())


@asynccontextmanager
async def migrated(
    urls: ServerUrls, *, redis_database: int | None = None, patient: bool = True, **more: Any
) -> AsyncIterator[Settings]:
    """Settings of new databases with both schemas and nothing in them. `more` are settings of other kinds.

    The numbered Redis database must be empty, and is emptied afterwards; without one Redis is left alone. Who is not
    `patient` has the time limits that the application has by itself, which a slow machine may exceed.
    """
    limits = PATIENT if patient else IMPATIENT
    name = f"nexfit_test_{uuid4().hex[:12]}"
    redis = urls.redis if redis_database is None else urlsplit(urls.redis)._replace(path=f"/{redis_database}").geturl()
    if redis_database is not None:
        async with Redis.from_url(redis) as held:
            keys = await held.dbsize()
            assert keys == 0, f"Redis database {redis_database} holds {keys} keys of somebody else: not touching them"
    async with migrated_postgres(urls, name) as postgres, with_collections(urls.mongo, name):
        yield Settings(
            mongo=MongoSettings(url=SecretStr(urls.mongo), database=name, **limits["mongo"]),
            postgres=PostgresSettings(url=SecretStr(postgres), **limits["postgres"]),
            redis=RedisSettings(url=SecretStr(redis), **limits["redis"]),
            **more,
        )
    if redis_database is not None:
        async with Redis.from_url(redis) as held:
            await held.flushdb()


def _postgres(urls: ServerUrls, name: str) -> str:
    return urlsplit(urls.postgres)._replace(path=f"/{name}").geturl()


async def _administer(urls: ServerUrls, statement: str) -> None:
    admin = await asyncpg.connect(urls.postgres)
    try:
        await admin.execute(statement)
    finally:
        await admin.close()
