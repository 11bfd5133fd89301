"""A consumer's effect happens once, whatever is delivered again, killed in between, lost by the stream or refused."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from nexfit.hybrid.consuming import Consumer
from nexfit.hybrid.event_stream import STREAM, Envelope, entry_id, read_entry
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.settings import Settings
from nexfit.stores.connections import Stores, open_stores
from nexfit.stores.postgres_transactions import PostgresTransaction

from .conftest import Purged, until, write_row
from .test_relay import relaying

TYPES = {"PairWritten"}


@pytest.fixture(scope="module", autouse=True)
async def effects(settings: Settings) -> None:
    program = await asyncpg.connect(settings.postgres.url.get_secret_value())
    await program.execute("CREATE TABLE IF NOT EXISTS effects (consumer text NOT NULL, pair text NOT NULL)")
    await program.close()


def consumer(stores: Stores, name: str, refuses: str = "") -> Consumer:
    """Writes a row for each event; fails at the pair it refuses."""

    async def handle(tx: PostgresTransaction, envelope: Envelope) -> None:
        await tx.execute("INSERT INTO effects (consumer, pair) VALUES ($1, $2)", name, envelope.aggregate_id)
        if envelope.aggregate_id == refuses:
            raise ValueError("not this one")

    return Consumer(stores, name, TYPES, handle)


@asynccontextmanager
async def consuming(settings: Settings, name: str, refuses: str = "") -> AsyncIterator[None]:
    """A consumer of its own connections while the block runs; it has begun."""
    async with open_stores(settings) as stores:
        work = asyncio.create_task(consumer(stores, name, refuses).run())
        try:

            async def has_begun() -> bool:
                return bool(await stores.postgres.fetch("SELECT FROM platform.consumers WHERE name = $1", name))

            await until(has_begun)
            yield
        finally:
            assert not work.done()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


async def effects_of(postgres: asyncpg.Connection, name: str) -> Counter[str]:
    """How often each pair of the test had its effect."""
    rows = await postgres.fetch("SELECT pair FROM effects WHERE consumer = $1", name)
    return Counter(row["pair"] for row in rows if row["pair"].startswith(name[:32]))


async def written(units: UnitsOfWork, name: str, count: int) -> list[str]:
    """New pairs."""
    names = [f"{name} {time.monotonic_ns()} {number}" for number in range(count)]
    for one in names:
        await units.postgres("test").run(lambda work, one=one: write_row(work, one, 1))
    return names


async def arrive(postgres: asyncpg.Connection, name: str, names: list[str], seconds: float = 20) -> None:
    """Wait until each has had its effect; then a moment in which nothing else comes."""

    async def are_there() -> bool:
        return (await effects_of(postgres, name)).keys() >= {*names}

    await until(are_there, seconds)


async def test_each_event_has_its_effect_once_among_consumers_of_one_name(
    settings: Settings, units: UnitsOfWork, purged: Purged, postgres: asyncpg.Connection, name: str
) -> None:
    await written(units, name, 2)  # before there was a consumer: not its business
    async with relaying(settings, purged):
        async with consuming(settings, name), consuming(settings, name), consuming(settings, f"{name} other"):
            names = await written(units, name, 40)
            await arrive(postgres, name, names)
            await arrive(postgres, f"{name} other", names)
        found = await effects_of(postgres, name)
        assert {*names} <= found.keys()
        assert {*found.values()} == {1}


async def test_what_is_in_the_stream_again_has_no_effect_again(
    settings: Settings, stores: Stores, units: UnitsOfWork, purged: Purged, postgres: asyncpg.Connection, name: str
) -> None:
    async with Redis.from_url(settings.redis.url.get_secret_value()) as cache:
        async with relaying(settings, purged), consuming(settings, name):
            names = await written(units, name, 5)
            await arrive(postgres, name, names)
        # Nobody relays: the same events once more, under later numbers.
        found = await cache.xrange(STREAM)
        number = 0
        for id_, fields in found[-5:]:
            entry = read_entry(id_, [part for pair in fields.items() for part in pair])
            number = time.time_ns() // 1000
            parts = entry.fields()
            await cache.xadd(STREAM, {parts[0]: parts[1], parts[2]: parts[3]}, id=entry_id(number))
        async with consuming(settings, name):

            async def has_read_on() -> bool:
                held = await postgres.fetchval("SELECT entry FROM platform.consumers WHERE name = $1", name)
                return bool(held == number)

            await until(has_read_on)
        await cache.delete(STREAM)  # in which the relay did not write these
    assert await effects_of(postgres, name) == Counter(names)


async def test_killed_between_effect_and_commit_it_is_done_once_by_the_next(
    settings: Settings, units: UnitsOfWork, purged: Purged, postgres: asyncpg.Connection, name: str
) -> None:
    environment = os.environ | {
        "NEXFIT_MONGO_URL": settings.mongo.url.get_secret_value(),
        "NEXFIT_MONGO_DATABASE": settings.mongo.database,
        "NEXFIT_POSTGRES_URL": settings.postgres.url.get_secret_value(),
        "NEXFIT_REDIS_URL": settings.redis.url.get_secret_value(),
    }
    async with consuming(settings, name):
        pass  # from now on
    async with relaying(settings, purged):
        names = await written(units, name, 3)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, Path(__file__).with_name("consuming.py"), name),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while (line := await process.stdout.readline()) != b"written\n":
                assert line, "the process ended"
        process.kill()
        await process.communicate()
        assert await effects_of(postgres, name) == Counter()
        async with consuming(settings, name):
            await arrive(postgres, name, names)
    assert await effects_of(postgres, name) == Counter(names)


async def test_what_the_stream_lost_is_read_from_the_outbox(
    settings: Settings, stores: Stores, units: UnitsOfWork, purged: Purged, postgres: asyncpg.Connection, name: str
) -> None:
    async with consuming(settings, name):
        pass
    async with relaying(settings, purged):
        names = await written(units, name, 4)

        async def are_published() -> bool:
            unpublished = "SELECT count(*) FROM finance.outbox WHERE published_at IS NULL"
            return bool(await postgres.fetchval(unpublished) == 0)

        await until(are_published)
    async with Redis.from_url(settings.redis.url.get_secret_value()) as cache:
        await cache.delete(STREAM)  # and nobody relays who would give it again
    await consumer(stores, name).catch_up(overdue=0)
    assert await effects_of(postgres, name) == Counter(names)
    await consumer(stores, name).catch_up(overdue=0)
    assert await effects_of(postgres, name) == Counter(names)


async def test_one_that_cannot_be_handled_holds_up_no_other(
    settings: Settings, stores: Stores, units: UnitsOfWork, purged: Purged, postgres: asyncpg.Connection, name: str
) -> None:
    async with relaying(settings, purged), consuming(settings, name, refuses=name):
        first = await written(units, name, 2)
        await units.postgres("test").run(lambda work: write_row(work, name, 1))
        last = await written(units, name, 2)
        await arrive(postgres, name, first + last)
    assert await effects_of(postgres, name) == Counter(first + last)
