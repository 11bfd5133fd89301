"""One process leads, and when it ends, hangs or fails another one does so within 5 seconds."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from nexfit.embedded import EmbeddedServers
from nexfit.hybrid import leadership
from nexfit.hybrid.leadership import lead
from nexfit.settings import PostgresSettings

TAKEOVER = 20.0
"""Seconds."""

Process = asyncio.subprocess.Process


@asynccontextmanager
async def _process(url: str, task: str) -> AsyncIterator[Process]:
    """A process that is ready to lead the task."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, Path(__file__).with_name("leading.py"), url, task), stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _says(process: Process, what: str, seconds: float = TAKEOVER) -> None:
    """Wait for the words; the log's lines stand between them."""
    assert process.stdout is not None
    async with asyncio.timeout(seconds):
        while (line := (await process.stdout.readline()).decode()) != f"{what} {process.pid}\n":
            assert line, "the process ended"


async def _is_silent(process: Process) -> None:
    with pytest.raises(TimeoutError):
        await _says(process, "leads", 1.5)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_the_next_process_takes_over(postgres_url: str, how: signal.Signals) -> None:
    async with _process(postgres_url, how.name) as first:
        await _says(first, "leads", 20)
        async with _process(postgres_url, how.name) as second:
            await _is_silent(second)
            first.send_signal(how)
            await _says(second, "leads")
            if how is signal.SIGSTOP:
                first.send_signal(signal.SIGCONT)
                await _says(first, "stops")
                await _is_silent(first)


async def test_a_task_that_fails_is_tried_again_and_other_tasks_go_on(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "REST", 0.1)
    runs: asyncio.Queue[str] = asyncio.Queue()

    async def fails() -> None:
        await runs.put("fails")
        raise RuntimeError("not today")

    async def works() -> None:
        await runs.put("works")
        await asyncio.Event().wait()

    leading = asyncio.create_task(lead(PostgresSettings(url=SecretStr(postgres_url)), {"a": fails, "b": works}))
    async with asyncio.timeout(30):
        seen = [await runs.get() for _ in range(4)]
    leading.cancel()
    assert sorted(seen) == ["fails", "fails", "fails", "works"]


async def test_work_stops_when_the_session_is_lost_and_starts_again(postgres_url: str) -> None:
    events: asyncio.Queue[str] = asyncio.Queue()

    async def work() -> None:
        await events.put("starts")
        try:
            await asyncio.Event().wait()
        finally:
            await events.put("stops")

    leading = asyncio.create_task(lead(PostgresSettings(url=SecretStr(postgres_url)), {"lost": work}))
    async with asyncio.timeout(TAKEOVER):
        assert await events.get() == "starts"
        admin = await asyncpg.connect(postgres_url)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'nexfit-locks' AND datname = current_database()"
        )
        await admin.close()
        assert [await events.get(), await events.get()] == ["stops", "starts"]
    leading.cancel()


async def test_nobody_leads_without_postgres(servers: EmbeddedServers) -> None:
    nowhere = PostgresSettings(url=SecretStr("postgresql://nobody@127.0.0.1:1/nowhere"))

    async def work() -> None:
        raise AssertionError("led without a lock")

    leading = asyncio.create_task(lead(nowhere, {"task": work}))
    done, _ = await asyncio.wait({leading}, timeout=1.5)
    assert not done
    leading.cancel()
