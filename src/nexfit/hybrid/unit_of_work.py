"""The one place where changes are committed: in PostgreSQL, in MongoDB, or in both or neither.

    await units.both("sell_membership").run(body)     `body(work)` is run again after a conflict: the usual way
    async with units.both("sell_membership") as work: ...     run once; a conflict is the caller's to handle

Leaving by an exception undoes everything. What the body tells (audit entries, events, cache tags) becomes true with the
commit and not before. Units do not nest. A body of `run` does nothing that cannot be done twice, such as calling a
payment provider: it may run several times, and only its last run is committed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import ContextVar
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

import structlog

from nexfit.hybrid.audit import Audit
from nexfit.hybrid.commits import BothCommit, MongoCommit, PostgresCommit
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.outbox import Told
from nexfit.stores.connections import Stores
from nexfit.stores.errors import ConnectionLost, StoreUnavailable, WriteConflict
from nexfit.stores.mongo_transactions import MongoTransaction
from nexfit.stores.postgres_transactions import Isolation, PostgresTransaction

T = TypeVar("T")
W = TypeVar("W", bound="_Work")
W_co = TypeVar("W_co", bound="_Work", covariant=True)

TRIES = 40
"""Runs of a body at most."""

RETRY_SECONDS = 6.0
"""Seconds after which a body is not begun again."""

Purge = Callable[[Sequence[str]], Awaitable[None]]
"""Raises the versions of cache tags; may raise StoreUnavailable."""

log = structlog.get_logger(__name__)


class NestedUnitOfWork(RuntimeError):
    """A unit of work was opened inside another; the inner code is to take part in the outer one."""


class WrongHome(ValueError):
    """An event was emitted by a unit that does not write the store of the event's aggregate."""


class _Work:
    homes: frozenset[Home]

    def __init__(self, name: str) -> None:
        self.told = Told(name)

    def emit(self, event: Event) -> None:
        """Tell a fact, should this be committed. Raises WrongHome."""
        if event.home not in self.homes:
            raise WrongHome(f"{type(event).__name__} lives in {event.home}, which {self.told.unit} does not write")
        self.told.events.append(event)

    def audit(self, entry: Audit) -> None:
        """Keep an audit entry, should this be committed."""
        self.told.audits.append(entry)

    def invalidates(self, *tags: str) -> None:
        """Cache tags that are out of date once this is committed, besides those of the events."""
        self.told.tags.extend(tags)


class PostgresWork(_Work):
    """What a unit in PostgreSQL works with."""

    homes = frozenset[Home]({"postgres"})

    def __init__(self, name: str, postgres: PostgresTransaction) -> None:
        super().__init__(name)
        self.postgres = postgres


class MongoWork(_Work):
    """What a unit in MongoDB works with. Its audit entries and events reach PostgreSQL and the stream by the relay."""

    homes = frozenset[Home]({"mongo"})

    def __init__(self, name: str, mongo: MongoTransaction) -> None:
        super().__init__(name)
        self.mongo = mongo


class BothWork(_Work):
    """What a unit in both stores works with. `xid` names the commit; PostgreSQL first where locks are waited for."""

    homes = frozenset[Home]({"postgres", "mongo"})

    def __init__(self, name: str, postgres: PostgresTransaction, mongo: MongoTransaction, xid: str) -> None:
        super().__init__(name)
        self.postgres = postgres
        self.mongo = mongo
        self.xid = xid


class _Commit(Protocol):
    async def commit(self, told: Told) -> bool: ...
    async def end(self) -> None: ...


class _Open:
    """Whether a unit is open. Tasks begun inside it see the same object, also after its end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_open = True


_current: ContextVar[_Open | None] = ContextVar("nexfit_unit_of_work", default=None)


class Unit(Generic[W]):
    """A unit of work to be entered or run; each entry is a transaction of its own."""

    def __init__(
        self, name: str, begin: Callable[[], Awaitable[tuple[W, _Commit]]], purge: Purge, wake: Callable[[], None]
    ) -> None:
        self._name = name
        self._begin = begin
        self._purge = purge
        self._wake = wake
        self._work: W | None = None
        self._commit: _Commit | None = None
        self._open = _Open(name)

    async def __aenter__(self) -> W:
        outer = _current.get()
        if outer is not None and outer.is_open:
            raise NestedUnitOfWork(f"{self._name} was opened inside {outer.name}")
        self._work, self._commit = await self._begin()
        self._open = _Open(self._name)
        _current.set(self._open)
        return self._work

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        work, commit = self._work, self._commit
        assert work is not None and commit is not None  # noqa: PT018, S101  # __aenter__ has set both
        self._work = self._commit = None
        # A cancellation does not stop this half-way: from the first phase on there is an outcome to be brought about.
        await _to_the_end(self._close(commit) if kind is not None else self._finish(commit, work.told))

    async def run(self, body: Callable[[W], Awaitable[T]]) -> T:
        """What the body returns, committed. Run again after a conflict or a connection lost before the commit.

        Raises what the body raises, WriteConflict or ConnectionLost after the last try, StoreError, OutcomeUnknown.
        """
        deadline = asyncio.get_running_loop().time() + RETRY_SECONDS
        for tried in range(1, TRIES + 1):
            try:
                async with self as work:
                    result = await body(work)
            except (WriteConflict, ConnectionLost) as error:
                pause = random.uniform(0, min(0.2, 0.01 * 2**tried))  # noqa: S311
                if tried == TRIES or asyncio.get_running_loop().time() + pause > deadline:
                    raise
                log.info("runs again", unit=self._name, tried=tried, **error.brief())
                await asyncio.sleep(pause)
            else:
                return result
        raise AssertionError("unreachable")

    async def _finish(self, commit: _Commit, told: Told) -> None:
        try:
            is_seen = await commit.commit(told)
        finally:
            await self._close(commit)
        tags = told.all_tags()
        if tags and is_seen:
            try:
                await self._purge(tags)
            except StoreUnavailable as error:
                log.info("tags are left to the relay", unit=self._name, error=str(error))
        if told.events or told.tags or told.audits:
            self._wake()

    async def _close(self, commit: _Commit) -> None:
        self._open.is_open = False
        await commit.end()


class UnitsOfWork:
    """Makes units of work over the stores of a process. `purge` raises cache tags, `wake` tells the relay of news.

    `clock` is given where time is not the system's: PostgreSQL then stamps rows with it.
    """

    def __init__(
        self,
        stores: Stores,
        purge: Purge,
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._stores = stores
        self._purge = purge
        self._wake = wake
        self._clock = clock

    def postgres(self, name: str, isolation: Isolation = Isolation.READ_COMMITTED) -> Unit[PostgresWork]:
        """A change in PostgreSQL alone."""

        async def begin() -> tuple[PostgresWork, _Commit]:
            commit = await PostgresCommit.begin(self._stores, isolation)
            await self._set_clock(commit, commit.tx)
            return PostgresWork(name, commit.tx), commit

        return Unit(name, begin, self._purge, self._wake)

    def mongo(self, name: str) -> Unit[MongoWork]:
        """A change in MongoDB alone."""

        async def begin() -> tuple[MongoWork, _Commit]:
            commit = MongoCommit(self._stores)
            return MongoWork(name, commit.tx), commit

        return Unit(name, begin, self._purge, self._wake)

    def both(self, name: str, isolation: Isolation = Isolation.READ_COMMITTED) -> Unit[BothWork]:
        """A change in both stores or in neither, whichever process dies at whichever step."""

        async def begin() -> tuple[BothWork, _Commit]:
            commit = await BothCommit.begin(self._stores, isolation)
            await self._set_clock(commit, commit.postgres)
            return BothWork(name, commit.postgres, commit.mongo, commit.xid), commit

        return Unit(name, begin, self._purge, self._wake)

    async def _set_clock(self, commit: _Commit, tx: PostgresTransaction) -> None:
        if self._clock is None:
            return
        try:
            await tx.execute("SELECT set_config('nexfit.now', $1, true)", self._clock().isoformat())
        except BaseException:
            await commit.end()
            raise


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await to the end even when cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    is_cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            is_cancelled = True
    task.result()
    if is_cancelled:
        raise asyncio.CancelledError
