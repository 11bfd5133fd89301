"""Follows the changes of MongoDB documents; saves how far in PostgreSQL, with what follows from them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import structlog

from nexfit.hybrid import feed_metrics, feed_positions
from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.hybrid.feed_positions import SavedPosition
from nexfit.stores.change_stream import ChangeStream, DocumentChange, HistoryLost, StreamPosition, change_stream
from nexfit.stores.errors import StoreError
from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres import Postgres
from nexfit.stores.postgres_transactions import PostgresTransaction

BATCH = 500
"""Changes handled at a time."""

AFTER_FAILURE = 0.5
"""Seconds to the next try when a store failed."""

RETRY_PENDING = 0.5
"""Seconds between two tries at what somebody kept us from."""

SAVE_IDLE = 30.0
"""Seconds after which the position is saved though nothing happened, so that the oplog never outruns it."""

Pending = Sequence[Any]
"""What an effect could not do yet, in its own words, as JSON: kept with the position and handed back to it."""

Save = Callable[[PostgresTransaction, Pending], Awaitable[None]]

log = structlog.get_logger(__name__)


class Effect(Protocol):
    """What follows from changes. Must be right however often and however late it is told of a change."""

    async def __call__(self, changes: Sequence[DocumentChange], pending: Pending, save: Save) -> None:
        """Write what follows and call `save` once, in the last transaction, with what is still to be done.

        Raises StoreError: the same changes come again. Raises HistoryLost where a change says too little.
        """


class DocumentFeed:
    """The feed of this name over the collections, each with the top-level fields that say whom a document concerns.

    `on_caught_up` is told the moment (of the event loop's clock) up to which everything is handled, `on_gap` that
    changes were missed.
    """

    def __init__(
        self,
        mongo: Mongo,
        postgres: Postgres,
        name: str,
        collections: Mapping[str, Collection[str]],
        effect: Effect,
        *,
        on_caught_up: Callable[[float], None],
        on_gap: Callable[[], None],
    ) -> None:
        self._mongo = mongo
        self._postgres = postgres
        self._name = name
        self._collections = collections
        self._effect = effect
        self._on_caught_up = on_caught_up
        self._on_gap = on_gap

    async def run(self) -> None:
        """Follow until cancelled. Raises FeedReplaced when another process does."""
        while True:
            stop_if_cancelled()
            try:
                last = await feed_positions.load(self._postgres, self._name)
                if last is None:
                    await self._begin_anew()
                else:
                    await self._follow(last)
            except HistoryLost as error:
                log.critical("changes were missed: everything has to be compared", feed=self._name, error=str(error))
                feed_metrics.HISTORY_LOST.labels(self._name).inc()
                await self._patiently(self._begin_anew)
            except StoreError as error:
                log.warning("changes are not followed at the moment", feed=self._name, error=str(error))
                await asyncio.sleep(AFTER_FAILURE)

    async def _patiently(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            stop_if_cancelled()
            try:
                return await step()
            except StoreError as error:
                log.warning("changes are not followed at the moment", feed=self._name, error=str(error))
                await asyncio.sleep(AFTER_FAILURE)

    async def _begin_anew(self) -> None:
        """Go on from now, and leave a gap for the reconciler."""
        async with self._open(None) as stream:
            await feed_positions.begin(self._postgres, self._name, _value(stream.position, ()))
        self._on_gap()

    def _open(self, start: StreamPosition | None) -> AbstractAsyncContextManager[ChangeStream]:
        fields = {field for fields in self._collections.values() for field in fields}
        return change_stream(self._mongo, self._collections, fields, start)

    async def _follow(self, last: SavedPosition) -> None:
        start = StreamPosition(last.value["token"], tuple(last.value["time"]))
        async with self._open(start) as stream:
            read: asyncio.Queue[_Read] = asyncio.Queue(4 * BATCH)
            reader = asyncio.create_task(_read_on(stream, read), name=f"reading {self._name}")
            try:
                await self._handle(last, read)
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)

    async def _handle(self, last: SavedPosition, read: asyncio.Queue[_Read]) -> None:
        clock = asyncio.get_running_loop().time
        tried = saved = clock()
        while True:
            stop_if_cancelled()
            changes, position = await _batch(read)
            until = clock()
            is_due = last.value["pending"] and until - tried >= RETRY_PENDING
            if changes or is_due or until - saved >= SAVE_IDLE:
                last = await self._apply(changes, position, last)
                tried = saved = clock()
                self._measure(changes, last)
            if read.empty() and (not changes or time.time() - changes[-1].at.timestamp() < AFTER_FAILURE):
                self._on_caught_up(until)

    async def _apply(
        self, changes: Sequence[DocumentChange], position: StreamPosition, last: SavedPosition
    ) -> SavedPosition:
        saved: list[SavedPosition] = []

        async def save(transaction: PostgresTransaction, pending: Pending) -> None:
            saved[:] = [await feed_positions.save(transaction, last, _value(position, pending))]

        await self._effect(changes, last.value["pending"], save)
        return saved[0]

    def _measure(self, changes: Sequence[DocumentChange], last: SavedPosition) -> None:
        feed_metrics.CHANGES.labels(self._name).inc(len(changes))
        feed_metrics.BUSY.labels(self._name).set(len(last.value["pending"]))
        for change in changes:
            feed_metrics.LAG.labels(self._name).observe(max(0.0, time.time() - change.at.timestamp()))


_Read = tuple[DocumentChange | StoreError | None, StreamPosition | None]


async def _read_on(stream: ChangeStream, read: asyncio.Queue[_Read]) -> None:
    """Ask for the next changes while the last ones are handled."""
    try:
        while True:
            stop_if_cancelled()
            change = await stream.next()
            await read.put((change, stream.position))
    except StoreError as error:
        await read.put((error, None))


async def _batch(read: asyncio.Queue[_Read]) -> tuple[list[DocumentChange], StreamPosition]:
    """What was read by now, at least one answer of the server; a failure is raised when what was before it is done."""
    changes: list[DocumentChange] = []
    position: StreamPosition | None = None
    while position is None or (len(changes) < BATCH and not read.empty()):
        found, at = await read.get()
        if isinstance(found, StoreError) or at is None:
            if position is not None:
                read.put_nowait((found, at))
                break
            raise found if isinstance(found, StoreError) else AssertionError("nothing was read")
        position = at
        if found is not None:
            changes.append(found)
    return changes, position


def _value(position: StreamPosition, pending: Pending) -> dict[str, Any]:
    return {"token": position.token, "time": position.time, "pending": pending}
