"""One leader per task over all processes: the process that holds the task's lock in PostgreSQL does the work.

When a leader dies its socket closes and the next process takes over within `PULSE`; when it hangs or is cut off, once
the server has missed it for `SILENCE`. A leader that wakes up after that may still finish what it was about to write,
so work must be safe to do twice, or be fenced by the position it moves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog
from prometheus_client import Gauge

from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.settings import PostgresSettings
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.named_locks import NamedLocks, named_locks

Work = Callable[[], Awaitable[None]]
"""Runs until it is cancelled; whatever it raises gives the task to another process."""

PULSE = 0.5
"""Seconds between two looks at which tasks are free; also how often a leader tells that it is alive."""

REST = 2.0
"""Seconds a process leaves a task alone after failing at it."""

LEADS = Gauge("nexfit_leads", "Tasks this process leads: of all processes together, one.", ["task"])

log = structlog.get_logger(__name__)


async def lead(settings: PostgresSettings, tasks: Mapping[str, Work]) -> None:
    """Run each task (by name) while this process leads it; ends only by being cancelled."""
    while True:
        stop_if_cancelled()
        try:
            async with named_locks(settings) as locks:
                await _Session(locks, tasks).run()
        except StoreUnavailable as error:
            log.warning("no leadership without postgres", error=str(error))
        except Exception:
            log.exception("leadership failed; it is offered anew")
        await asyncio.sleep(PULSE)


class _Session:
    """The tasks led through one session."""

    def __init__(self, locks: NamedLocks, tasks: Mapping[str, Work]) -> None:
        self._locks = locks
        self._tasks = tasks
        self._led: dict[str, asyncio.Task[None]] = {}
        self._resting: dict[str, float] = {}

    async def run(self) -> None:
        """Take what is free and work, until the session is lost. Raises StoreUnavailable."""
        lost = asyncio.Event()
        self._locks.on_loss(lost.set)
        try:
            while not lost.is_set():
                stop_if_cancelled()
                await self._settle()
                now = asyncio.get_running_loop().time()
                wanted = [name for name in self._tasks if name not in self._led and self._resting.get(name, 0) <= now]
                for name in await self._locks.take(wanted):
                    log.debug("leading", task=name)
                    self._led[name] = asyncio.create_task(_run(name, self._tasks[name]), name=f"leading {name}")
                await _first(lost.wait(), PULSE)
        finally:
            # Another process may lead from the moment the session is gone: everything stops here and now.
            await _stop(self._led.values())

    async def _settle(self) -> None:
        """Give back the tasks that ended by themselves."""
        for name, work in [*self._led.items()]:
            if work.done():
                del self._led[name]
                self._resting[name] = asyncio.get_running_loop().time() + REST
                await self._locks.give_back(name)


async def _run(name: str, work: Work) -> None:
    LEADS.labels(name).set(1)
    try:
        await work()
    except Exception:
        log.exception("a task failed; another process may try", task=name)
    finally:
        LEADS.labels(name).set(0)


async def _first(event: Awaitable[object], seconds: float) -> None:
    try:
        await asyncio.wait_for(event, seconds)
    except TimeoutError:
        return


async def _stop(works: Collection[asyncio.Task[None]]) -> None:
    for work in works:
        work.cancel()
    await asyncio.gather(*works, return_exceptions=True)
