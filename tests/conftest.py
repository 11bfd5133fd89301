"""Real servers for all tests, and fresh databases on them for each test module.

The servers start once per run in a temporary folder; a URL in the environment replaces one. Nothing here skips:
a server that cannot start fails the tests that need it.
"""

import base64
import gc
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import hypothesis
import pytest
from argon2 import PasswordHasher
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from nexfit.domains.identity import passwords
from nexfit.embedded import EmbeddedServers
from tests.databases import drop_template

REDIS_DATABASE = 1

# Settings read the environment for what a test does not give: everything here keeps its encrypted fields under one key.
os.environ.setdefault("NEXFIT_ENCRYPTION_KEYS", f"test:{base64.b64encode(b'k' * 32).decode()}")
os.environ.setdefault("NEXFIT_ENCRYPTION_PERSON_KEYS", tempfile.mkdtemp(prefix="nexfit-person-keys-"))
os.environ.setdefault("NEXFIT_ENCRYPTION_INDEX_KEY", base64.b64encode(b"i" * 32).decode())


TRUE_COST = passwords.hasher
passwords.hasher = PasswordHasher(time_cost=1, memory_cost=1_024, parallelism=1)  # hundreds of people sign in here


LONG = (
    "tests/bench/test_bench.py",
    "tests/api/test_outage.py",
    "tests/bench/test_peers.py",
    "tests/writes/test_server_crashes.py",
    "tests/bench/test_hybrid.py",
    "tests/test_development.py",
    "tests/memberships/test_year.py",
    "tests/bench/test_daily_work.py",
    "tests/bench/test_plans.py",
    "tests/browser/test_graphiql.py",
    "tests/engine/test_differential.py",
    "tests/embedded/test_embedded_crashes.py",
    "tests/bench/test_feeds.py",
    "tests/api/test_server_kills.py",
)
"""Files that take the longest, which start first: at the end no worker shall wait for another one's last file."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first; `make test` keeps the order."""
    items.sort(key=lambda item: LONG.index(file) if (file := item.nodeid.partition("::")[0]) in LONG else len(LONG))


def pytest_collection_finish() -> None:
    """What was imported stays: the collector need not walk through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def true_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords cost what they cost in production: for tests of time."""
    monkeypatch.setattr(passwords, "hasher", TRUE_COST)


# A run tries what the last one tried, and a slow machine is no failure; HYPOTHESIS_PROFILE=default looks for more.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture(scope="session")
def _running() -> Iterator[EmbeddedServers]:
    with (
        tempfile.TemporaryDirectory(prefix="nexfit-test-") as folder,
        EmbeddedServers(Path(folder) / "servers", durable=False) as running,
    ):
        yield running


@pytest.fixture(scope="session")
async def servers(_running: EmbeddedServers) -> AsyncIterator[EmbeddedServers]:
    """The running servers: `servers.urls`, and `servers.server("postgres").stop()` and the like."""
    yield _running
    await drop_template(_running.urls)


@pytest.fixture(scope="module")
async def postgres_url(servers: EmbeddedServers) -> AsyncIterator[str]:
    """URL of an empty PostgreSQL database for this module, dropped afterwards."""
    name = f"nexfit_test_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(servers.urls.postgres)
    try:
        await admin.execute(f"CREATE DATABASE {name}")
    finally:
        await admin.close()
    yield urlsplit(servers.urls.postgres)._replace(path=f"/{name}").geturl()
    admin = await asyncpg.connect(servers.urls.postgres)
    try:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest.fixture(scope="session")
def mongo_url(servers: EmbeddedServers) -> str:
    """URL of the MongoDB server; use it with `mongo_database`."""
    return servers.urls.mongo


@pytest.fixture(scope="module")
async def mongo_database(mongo_url: str) -> AsyncIterator[str]:
    """Name of a MongoDB database for this module, dropped afterwards."""
    name = f"nexfit_test_{uuid4().hex[:12]}"
    yield name
    client: AsyncMongoClient[dict[str, object]]
    async with AsyncMongoClient(mongo_url) as client:
        await client.drop_database(name)


@pytest.fixture(scope="module")
async def redis_url(servers: EmbeddedServers) -> AsyncIterator[str]:
    """URL of an empty logical Redis database for this module, emptied afterwards."""
    url = urlsplit(servers.urls.redis)._replace(path=f"/{REDIS_DATABASE}").geturl()
    async with Redis.from_url(url) as client:
        held = await client.dbsize()
        assert held == 0, f"Redis database {REDIS_DATABASE} holds {held} keys of somebody else: not touching them"
        yield url
        await client.flushdb()
