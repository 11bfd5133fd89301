"""Migrated, empty stores with a table and a collection of pairs to write. Redis database 10 is for these."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr
from pymongo import AsyncMongoClient

from nexfit.embedded import EmbeddedServers, ServerUrls
from nexfit.hybrid import fault_points
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.unit_of_work import BothWork, MongoWork, PostgresWork, UnitsOfWork
from nexfit.settings import MongoSettings, PostgresSettings, Settings
from nexfit.stores.connections import Stores, open_stores
from tests.databases import migrated
from tests.stores.conftest import Proxy, proxying

REDIS_DATABASE = 10

Database = Any
"""PyMongo's own: what a script would read with."""


class PairWritten(Event):
    """A pair's row got a value."""

    home: ClassVar[Home] = "postgres"
    aggregate: ClassVar[str] = "pair"
    name: str
    value: int

    @property
    def aggregate_id(self) -> str:
        return self.name

    def tags(self) -> Sequence[str]:
        return (f"pair:{self.name}",)


class PairFiled(PairWritten):
    """A pair's document got a value."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "pair document"


@asynccontextmanager
async def with_pairs(urls: ServerUrls, redis_database: int, *, patient: bool = True) -> AsyncIterator[Settings]:
    """Settings of new stores, with the schemas and nothing in them but empty pairs; dropped afterwards."""
    async with migrated(urls, redis_database=redis_database, patient=patient) as made:
        program = await asyncpg.connect(made.postgres.url.get_secret_value())
        await program.execute("CREATE TABLE pairs (name text PRIMARY KEY, value int NOT NULL CHECK (value >= 0))")
        await program.close()
        client: AsyncMongoClient[dict[str, Any]]
        async with AsyncMongoClient(urls.mongo) as client:
            await client[made.mongo.database].create_collection("pairs")
        yield made


@pytest.fixture(scope="session")
async def settings(servers: EmbeddedServers) -> AsyncIterator[Settings]:
    """Settings of stores that the tests of this folder share."""
    async with with_pairs(servers.urls, REDIS_DATABASE) as made:
        yield made


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


@dataclass
class Purged:
    """Stands where the cache is: remembers which tags were raised."""

    tags: list[str]

    async def __call__(self, tags: Sequence[str]) -> None:
        self.tags.extend(tags)


@pytest.fixture
def purged() -> Purged:
    """The tags raised in this test."""
    return Purged([])


@pytest.fixture
def units(stores: Stores, purged: Purged) -> UnitsOfWork:
    """Units of work over the stores."""
    return UnitsOfWork(stores, purged)


@pytest.fixture
def name() -> str:
    """The name of a pair nobody else has."""
    return uuid4().hex


Writer = Callable[[Any], Awaitable[None]]


async def write_row(work: PostgresWork | BothWork, name: str, value: int) -> None:
    """Give the pair's row a value, and tell so."""
    await work.postgres.execute(
        "INSERT INTO pairs VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value
    )
    work.emit(PairWritten(name=name, value=value))


async def write_document(work: MongoWork | BothWork, name: str, value: int) -> None:
    """Give the pair's document a value, and tell so."""
    await work.mongo.update("pairs", {"_id": name}, {"$set": {"value": value}}, upsert=True)
    work.emit(PairFiled(name=name, value=value))


@dataclass(frozen=True, slots=True)
class Kept:
    """What both stores hold of a pair, as another program reads it: values, and numbers of events."""

    row: int | None
    document: int | None
    row_events: int
    document_events: int


async def kept(postgres: asyncpg.Connection, mongo: Database, name: str) -> Kept:
    """What there is of a pair."""
    document = await mongo.pairs.find_one({"_id": name})
    return Kept(
        await postgres.fetchval("SELECT value FROM pairs WHERE name = $1", name),
        document["value"] if document else None,
        await postgres.fetchval("SELECT count(*) FROM finance.outbox WHERE aggregate_id = $1", name),
        await mongo.outbox.count_documents({"aggregateId": name}),
    )


NOTHING = Kept(None, None, 0, 0)


@contextmanager
def at_point(point: str, act: Callable[[], Any]) -> Iterator[None]:
    """Do something, once, when the protocol gets to a point."""
    is_done = False

    def reached(name: str) -> None:
        nonlocal is_done
        if name == point and not is_done:
            is_done = True
            act()

    fault_points.listen(reached)
    try:
        yield
    finally:
        fault_points.listen(None)


def through(url: SecretStr, proxy: Proxy) -> SecretStr:
    """The URL by way of the proxy."""
    parts = urlsplit(url.get_secret_value())
    credentials = parts.netloc.rpartition("@")[0]
    return SecretStr(parts._replace(netloc=f"{credentials}@127.0.0.1:{proxy.port}").geturl())


def upstream(url: SecretStr) -> tuple[str, int]:
    """Where a URL leads."""
    parts = urlsplit(url.get_secret_value())
    return parts.hostname or "", parts.port or 0


@dataclass(frozen=True, slots=True)
class Guarded:
    """Units of work whose connections to both servers can be stalled and cut."""

    units: UnitsOfWork
    stores: Stores
    postgres: Proxy
    mongo: Proxy


@pytest.fixture
async def guarded(settings: Settings, purged: Purged) -> AsyncIterator[Guarded]:
    """Units of work behind proxies."""

    async with proxying(upstream(settings.postgres.url)) as postgres, proxying(upstream(settings.mongo.url)) as mongo:
        database = settings.mongo.database
        way = settings.model_copy(  # with the time limits that the application has by itself
            update={
                "postgres": PostgresSettings(url=through(settings.postgres.url, postgres)),
                "mongo": MongoSettings(url=through(settings.mongo.url, mongo), database=database),
            }
        )
        async with open_stores(way) as stores:
            yield Guarded(UnitsOfWork(stores, purged), stores, postgres, mongo)


async def until(holds: Callable[[], Awaitable[Any]], seconds: float = 30.0) -> None:
    """Wait until it holds; on a machine with much else to do many looks have to be in vain as well."""
    clock = asyncio.get_running_loop().time
    started, looks = clock(), 0
    while not await holds():
        looks += 1
        assert clock() - started < seconds or looks < seconds / 0.02, "it never came"
        await asyncio.sleep(0.01)
