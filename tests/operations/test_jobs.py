"""Jobs on any number of workers: each is run by one of them, what fails is tried again, what dies is taken over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from nexfit.embedded import EmbeddedServers
from nexfit.hybrid import job_queue
from nexfit.operations import jobs
from nexfit.operations.jobs import JOBS, Desk, Job, keep_working
from nexfit.settings import Settings
from nexfit.stores.connections import Stores, open_stores
from tests.databases import migrated

EVERY_SECOND = "* * * * * */1"


@pytest.fixture(scope="module")
async def opened(servers: EmbeddedServers) -> AsyncIterator[tuple[Settings, Stores]]:
    async with migrated(servers.urls) as settings, open_stores(settings) as stores:
        yield settings, stores


@asynccontextmanager
async def workers(opened: tuple[Settings, Stores], count: int, made: Sequence[Job]) -> AsyncIterator[list[Any]]:
    """So many workers, until the block ends."""
    running = [asyncio.create_task(keep_working(*opened, lambda: None, made)) for _ in range(count)]
    yield running
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def until(holds: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def state(stores: Stores, name: str) -> Any:
    return {row["name"]: row for row in await job_queue.jobs(stores.postgres)}.get(name)


async def test_four_workers_run_each_job_that_is_due_once(opened: tuple[Settings, Stores]) -> None:
    under_way, runs, seen = 0, 0, set()

    async def run(_: Desk, now: datetime) -> int:
        nonlocal under_way, runs
        under_way += 1
        assert under_way == 1
        await asyncio.sleep(0.2)
        under_way -= 1
        runs += 1
        seen.add(now.replace(microsecond=0))
        return 1

    async def three() -> bool:
        return runs >= 3

    async with workers(opened, 4, [Job("count", EVERY_SECOND, "counts", run)]):
        await until(three)
    ended = await opened[1].postgres.fetch(
        "SELECT count(*) AS n FROM platform.pgqueuer_log WHERE entrypoint = 'count' AND status = 'queued'"
    )
    assert len(seen) <= runs <= ended[0]["n"]
    assert (await state(opened[1], "count"))["last_run_at"] is not None


async def test_what_fails_is_kept_and_tried_again(opened: tuple[Settings, Stores]) -> None:
    stores, is_broken, runs = opened[1], True, 0

    async def run(_: Desk, __: datetime) -> int:
        nonlocal runs
        runs += 1
        if is_broken:
            raise ValueError("the bank is closed")
        return 1

    async def failed() -> bool:
        row = await state(stores, "bank")
        return row is not None and row["status"] == "failed"

    async def tried() -> bool:
        return runs >= 2

    async def healed() -> bool:
        row = await state(stores, "bank")
        return row["status"] != "failed" and row["last_run_at"] is not None

    async with workers(opened, 2, [Job("bank", EVERY_SECOND, "fails", run)]):
        await until(failed)
        assert "the bank is closed" in (await state(stores, "bank"))["failure"]
        await until(tried)  # when it is due again
        is_broken = False
        await job_queue.retry(stores.postgres, "bank")
        await until(healed)
    left = await stores.postgres.fetch("SELECT count(*) AS n FROM platform.pgqueuer WHERE entrypoint = 'bank'")
    assert left[0]["n"] <= 1


async def test_a_worker_that_died_leaves_its_job_to_another(opened: tuple[Settings, Stores]) -> None:
    """Somebody took the job and was never heard of again."""
    stores, runs = opened[1], 0
    await stores.postgres.fetch(
        """INSERT INTO platform.pgqueuer (priority, status, entrypoint, dedupe_key, queue_manager_id, heartbeat)
           VALUES (0, 'picked', 'orphan', 'orphan', gen_random_uuid(), now() - interval '1 minute') RETURNING id"""
    )

    async def run(_: Desk, __: datetime) -> int:
        nonlocal runs
        runs += 1
        return 0

    async def done() -> bool:
        left = await stores.postgres.fetch("SELECT 1 FROM platform.pgqueuer WHERE entrypoint = 'orphan'")
        return runs > 0 and not left

    async with workers(opened, 2, [Job("orphan", "0 0 1 1 *", "once a year", run)]):
        await until(done)
    assert runs == 1


async def test_every_job_runs_here_and_now(opened: tuple[Settings, Stores]) -> None:
    for job in JOBS:
        assert await jobs.run_now(*opened, job.name) >= 0
    with pytest.raises(KeyError):
        await jobs.run_now(*opened, "nothing")
