"""A migrated PostgreSQL database per test module."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from nexfit.embedded import EmbeddedServers
from tests.databases import migrated_postgres

MIGRATIONS = Path(__file__).parents[2] / "migrations_pg"

Connect = Callable[[], Awaitable[asyncpg.Connection]]


@pytest.fixture(scope="module")
async def database(servers: EmbeddedServers) -> AsyncIterator[str]:
    """URL of the module's database with every migration applied."""
    async with migrated_postgres(servers.urls, f"nexfit_test_{uuid4().hex[:12]}") as url:
        yield url


@pytest.fixture
async def connect(database: str) -> AsyncIterator[Connect]:
    """Opens connections to the migrated database; they close with the test."""
    async with AsyncExitStack() as stack:

        async def open_connection() -> asyncpg.Connection:
            connection = await asyncpg.connect(database)
            stack.push_async_callback(connection.close)
            return connection

        yield open_connection


@pytest.fixture
async def connection(connect: Connect) -> asyncpg.Connection:
    """One connection to the migrated database."""
    return await connect()
