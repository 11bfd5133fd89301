"""The pool of PostgreSQL connections: kept at hand between statements, given to whoever waits, replaced when lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from nexfit.settings import PostgresSettings
from nexfit.stores.errors import StoreError, StoreUnavailable
from nexfit.stores.postgres import Postgres

WHO = "SELECT pg_backend_pid() AS pid"


@asynccontextmanager
async def opened(url: str, **settings: object) -> AsyncIterator[Postgres]:
    patient = {"connect_timeout": 20, "statement_timeout": 20}
    postgres = await Postgres.connect(PostgresSettings(url=url, **{**patient, **settings}))
    try:
        yield postgres
    finally:
        await postgres.close()


async def pid(postgres: Postgres) -> int:
    [row] = await postgres.fetch(WHO)
    found: int = row["pid"]
    return found


async def test_statements_after_one_another_share_a_connection_that_does_not_go_back_to_the_pool(
    postgres_url: str,
) -> None:
    async with opened(postgres_url) as postgres:
        assert len({await pid(postgres) for _ in range(20)}) == 1
        assert postgres._pool.get_size() == 1
        assert postgres._pool.get_idle_size() == 0
        pids = await asyncio.gather(*(pid(postgres) for _ in range(50)))
        assert len(set(pids)) <= 10


async def test_a_session_somebody_had_in_hand_is_reset_before_the_next_statement(postgres_url: str) -> None:
    async with opened(postgres_url, pool_size=1) as postgres:
        before = await pid(postgres)
        async with postgres.connection() as connection:
            await connection.execute("SET work_mem = '7MB'")
            assert await connection.fetchval("SELECT pg_backend_pid()") == before
        [row] = await postgres.fetch("SELECT current_setting('work_mem') AS memory")
        assert row["memory"] != "7MB"


async def test_nobody_starves_while_statements_and_transactions_share_one_connection(postgres_url: str) -> None:
    async with opened(postgres_url, pool_size=1, connect_timeout=20) as postgres:

        async def transaction() -> int:
            async with postgres.connection() as connection, connection.transaction():
                await connection.execute("SELECT pg_sleep(0.002)")
                found: int = await connection.fetchval("SELECT pg_backend_pid()")
                return found

        work = [pid(postgres) if number % 3 else transaction() for number in range(90)]
        assert len(set(await asyncio.gather(*work))) == 1


async def test_connections_go_from_hand_to_hand_and_no_waiter_takes_one_with_him(postgres_url: str) -> None:
    async with opened(postgres_url, pool_size=2, connect_timeout=20) as postgres:
        holding = [asyncio.create_task(postgres.fetch("SELECT pg_sleep(0.3)")) for _ in range(2)]
        await asyncio.sleep(0.1)
        waiting = [asyncio.create_task(pid(postgres)) for _ in range(10)]
        await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in found] == [True, False] * 5
        await asyncio.gather(*holding)
        assert postgres._pool.get_size() == 2
        assert postgres._pool.get_idle_size() == 0  # none went back in between
        # Whoever leaves in the very moment he is given one passes it on.
        held = await postgres._acquire(), await postgres._acquire()
        leaving, next_ = asyncio.create_task(pid(postgres)), asyncio.create_task(pid(postgres))
        await asyncio.sleep(0)
        postgres._hand_on(held[0])
        leaving.cancel()
        assert isinstance(await next_, int)
        await postgres._release(held[1])
        assert len(set(await asyncio.gather(*(pid(postgres) for _ in range(20))))) <= 2


async def test_nobody_waits_for_a_connection_longer_than_allowed(postgres_url: str) -> None:
    async with opened(postgres_url, pool_size=1, connect_timeout=0.2) as postgres, postgres.connection():
        with pytest.raises(StoreUnavailable):
            await pid(postgres)


async def test_a_statement_that_fails_or_is_left_harms_no_later_one(postgres_url: str) -> None:
    async with opened(postgres_url, pool_size=1) as postgres:
        with pytest.raises(StoreError):
            await postgres.fetch("SELECT 1 / 0")
        leaving = asyncio.create_task(postgres.fetch("SELECT pg_sleep(5), 'left' AS pid"))
        await asyncio.sleep(0.1)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert isinstance(await pid(postgres), int)


async def test_a_connection_that_was_ended_meanwhile_is_replaced(postgres_url: str) -> None:
    async with opened(postgres_url) as postgres:
        lost = await pid(postgres)
        admin = await asyncpg.connect(postgres_url)
        await admin.execute("SELECT pg_terminate_backend($1)", lost)
        await admin.close()
        deadline = time.monotonic() + 10
        while True:  # the end may be noticed by the very statement
            try:
                assert await pid(postgres) != lost
                break
            except StoreUnavailable:
                assert time.monotonic() < deadline


async def test_closing_does_not_wait_for_what_is_only_at_hand(postgres_url: str) -> None:
    async with opened(postgres_url, statement_timeout=60) as postgres:
        await asyncio.gather(*(pid(postgres) for _ in range(20)))
        started = time.monotonic()
        await postgres.close()
        assert time.monotonic() - started < 30
        with pytest.raises(StoreUnavailable):
            await pid(postgres)
