"""Nothing is lost and nothing old is served, whichever process or server goes away."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from nexfit.embedded import EmbeddedServers
from nexfit.hybrid import feed_metrics
from nexfit.hybrid.joined_views import JoinedViews, View
from nexfit.operations import mongo_schema
from nexfit.operations.background import background
from nexfit.settings import Settings
from nexfit.stores.connections import Stores, open_stores
from nexfit.stores.mongo_ddl import Database as SchemaDatabase

from .conftest import Database, fed, following, now, until
from .members import Member, fact, somebody, told_by_rows, told_by_stores, visit

TAKEOVER = 20.0
"""Seconds."""

NAMES = View("feeds_names", 1, lifetime=300)

Process = asyncio.subprocess.Process
Name = Callable[[], Awaitable[str]]


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[Process]:
    """A process that does the background work when nobody else does."""
    environment = os.environ | {
        "NEXFIT_MONGO_URL": settings.mongo.url.get_secret_value(),
        "NEXFIT_MONGO_DATABASE": settings.mongo.database,
        "NEXFIT_POSTGRES_URL": settings.postgres.url.get_secret_value(),
        "NEXFIT_REDIS_URL": settings.redis.url.get_secret_value(),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, Path(__file__).with_name("working.py")), env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _leads(process: Process, task: str = "feeds") -> None:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while f"task={task}" not in (line := (await process.stdout.readline()).decode()) or "leading" not in line:
            assert line, "the process ended"


async def _seconds(work: Awaitable[None]) -> float:
    """How long it took."""
    clock = asyncio.get_running_loop().time
    started = clock()
    await work
    return clock() - started


def _cached_name(stores: Stores, mongo: Database, member: Member) -> Name:
    """Reads the member's last name as another program sees it, through a joined view."""
    views = JoinedViews(stores.redis)

    async def load(_: Sequence[str]) -> dict[str, Any]:
        return {str(member.user): (await mongo.users.find_one({"_id": member.user}))["lastName"]}

    async def read() -> str:
        (name,) = await views.get(NAMES, [str(member.user)], load, tags=lambda _: [f"user:{member.user}"])
        return str(name)

    return read


async def _rename(mongo: Database, member: Member, name: str) -> None:
    await mongo.users.update_one({"_id": member.user}, {"$set": {"lastName": name}})


async def _agree(mongo: Database, postgres: asyncpg.Connection) -> bool:
    return await told_by_rows(postgres) == await told_by_stores(mongo, postgres, now())


async def test_another_process_follows_within_seconds_and_misses_nothing(
    settings: Settings, stores: Stores, mongo: Database, postgres: asyncpg.Connection
) -> None:
    members = [await somebody(mongo) for _ in range(2)]
    async with worker(settings) as first:
        await _leads(first)
        await until(lambda: fed(stores))
        async with worker(settings) as second:
            await asyncio.sleep(1.5)  # it has started and waits
            stop = asyncio.Event()

            async def write() -> None:
                number = 0
                while not stop.is_set():
                    number += 1
                    await visit(mongo, members[number % 2], now() + timedelta(seconds=number % 7))
                    await asyncio.sleep(0.01)

            writing = asyncio.create_task(write())
            read = _cached_name(stores, mongo, members[0])
            assert await read() != "Meanwhile"
            await asyncio.sleep(0.3)
            first.kill()
            taking_over = asyncio.create_task(_seconds(_leads(second)))
            await _rename(mongo, members[0], "Meanwhile")

            async def sees() -> bool:
                return await read() == "Meanwhile"

            # Nobody follows at the moment: the lease ends, and with it the trust in what is cached.
            await until(sees)
            assert await taking_over < TAKEOVER
            stop.set()
            await writing
            await until(lambda: _agree(mongo, postgres))


async def test_what_was_missed_is_compared_in_full(
    settings: Settings, stores: Stores, mongo: Database, postgres: asyncpg.Connection
) -> None:
    async with following(settings):
        pass
    await postgres.execute("UPDATE platform.feed_positions SET gap_since = NULL")
    member, other = await somebody(mongo, status="active"), await somebody(mongo, status="active")
    await mongo.visits.delete_many({"userId": member.user})
    await mongo.member_subscriptions.update_one({"_id": other.contract["_id"]}, {"$set": {"status": "frozen"}})
    await postgres.execute(
        "UPDATE platform.feed_positions SET position = jsonb_set(position, '{token,_data}', '\"82\"')"
        " WHERE name = 'documents'"
    )
    lost = feed_metrics.HISTORY_LOST.labels("documents")._value.get()

    moment = await postgres.fetchval("SELECT clock_timestamp()")

    async def is_made_up_for() -> bool:
        gaps = await postgres.fetchval("SELECT count(*) FROM platform.feed_positions WHERE gap_since IS NOT NULL")
        compared = "SELECT saved_at > $1 FROM platform.feed_positions WHERE name = 'compared'"
        return gaps == 0 and bool(await postgres.fetchval(compared, moment))

    async with background(settings):
        await until(is_made_up_for)
        await until(lambda: _agree(mongo, postgres))
        row = await fact(postgres, member.pair)
        assert row is not None
        assert row["last_visit_at"] is None
        # PostgreSQL decides over a contract.
        assert (await mongo.member_subscriptions.find_one({"_id": other.contract["_id"]}))["status"] == "active"
    assert feed_metrics.HISTORY_LOST.labels("documents")._value.get() == lost + 1


async def test_a_dropped_collection_and_one_without_pre_images_are_gaps(
    settings: Settings, mongo: Database, postgres: asyncpg.Connection
) -> None:
    member = await somebody(mongo, status="active")
    kept = await mongo.visits.find().to_list()

    async def last_visit(expected: Any) -> bool:
        row = await fact(postgres, member.pair)
        return row is not None and row["last_visit_at"] == expected

    async with background(settings):
        async with open_stores(settings) as stores:
            await until(lambda: fed(stores))
        await mongo.visits.drop()
        await until(lambda: last_visit(None))
        at = now()
        entry = await visit(mongo, member, at)
        await until(lambda: last_visit(at))
        await mongo.visits.delete_one({"_id": entry})  # of which the server cannot say whose it was
        await until(lambda: last_visit(None))
        schema: SchemaDatabase = mongo
        await mongo_schema.up(schema)
        await mongo.visits.insert_many(kept)
        await until(lambda: _agree(mongo, postgres))


@pytest.mark.parametrize("gone", ["redis", "mongo", "postgres"])
async def test_a_server_that_crashes_and_returns(
    servers: EmbeddedServers,
    settings: Settings,
    stores: Stores,
    mongo: Database,
    postgres: asyncpg.Connection,
    gone: str,
) -> None:
    member = await somebody(mongo, status="active")
    read = _cached_name(stores, mongo, member)
    server = servers.server(gone)  # type: ignore[arg-type]
    async with following(settings) as work:
        if gone == "redis":
            await read()
        await asyncio.to_thread(server.kill)
        if gone != "mongo":
            await _rename(mongo, member, "Anew")
        await asyncio.sleep(1)
        await asyncio.to_thread(server.start)
        if gone == "redis":
            # It is as it was before the change: nobody may go on seeing that.
            async def sees() -> bool:
                return await read() == "Anew"

            await until(sees)
            clock = asyncio.get_running_loop().time
            ends = clock() + 1
            while clock() < ends:
                assert await sees()
                await asyncio.sleep(0.01)
        if gone != "postgres":
            at = now()
            await visit(mongo, member, at)

            async def is_there() -> bool:
                row = await fact(postgres, member.pair)
                return row is not None and row["last_visit_at"] == at

            await until(is_there)
        async with asyncio.timeout(30):
            again = await asyncpg.connect(settings.postgres.url.get_secret_value())
            await until(lambda: _agree(mongo, again))
            await again.close()
        await until(lambda: fed(stores))
        assert not work.done(), work.exception()
