"""Databases for a crash test: migrated, dropped afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
from pymongo import AsyncMongoClient

from bench.crashes.worker import Where
from nexfit.embedded import ServerUrls
from nexfit.operations.setup import migrate_up


@contextmanager
def stores_on(urls: ServerUrls) -> Iterator[Where]:
    """New databases on running servers."""
    name = f"nexfit_crash_{uuid4().hex[:12]}"
    where = Where(urls.mongo, name, urlsplit(urls.postgres)._replace(path=f"/{name}").geturl(), urls.redis)
    asyncio.run(_make(urls, name, where))
    try:
        yield where
    finally:
        asyncio.run(_drop(urls, name, where))


async def _make(urls: ServerUrls, name: str, where: Where) -> None:
    admin = await asyncpg.connect(urls.postgres)
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    await migrate_up(where.settings())


async def _drop(urls: ServerUrls, name: str, where: Where) -> None:
    connection = await asyncpg.connect(where.postgres)
    for row in await connection.fetch("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"):
        await connection.execute(f"ROLLBACK PREPARED '{row['gid']}'")
    await connection.close()
    admin = await asyncpg.connect(urls.postgres)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(urls.mongo) as client:
        await client.drop_database(name)
