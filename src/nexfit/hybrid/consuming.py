"""Consumers of the stream of events: whatever is delivered again, an event's effect happens once.

The effect is written to PostgreSQL in the transaction that moves the consumer's position and keeps the event's id. Who
is killed in between has done nothing, and gets the event again; an event that stands in the stream twice, under two
numbers, is known by its id. Any number of processes may consume under one name: the row of the position is their turn.

What the stream does not bring, because it was emptied or the consumer was away for longer than it retains, is read from
the outbox, which keeps what was published for a day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Container, Sequence
from typing import NoReturn, TypeVar, cast

import structlog

from nexfit.hybrid import commit_metrics
from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.hybrid.event_reader import EventReader, Passage
from nexfit.hybrid.event_stream import Entry, Envelope
from nexfit.hybrid.relay import envelope_of
from nexfit.stores.connections import Stores
from nexfit.stores.errors import CommitUnknown, StoreError, StoreUnavailable, WriteConflict
from nexfit.stores.postgres import Row
from nexfit.stores.postgres_transactions import PostgresTransaction

SWEEP = 10.0
"""Seconds between two looks into the outbox."""

OVERDUE = 5.0
"""Seconds after which the outbox is asked for what the stream has not brought."""

AFTER_FAILURE = 0.3
"""Seconds to the next try when a store failed."""

MOST = 500
"""Entries read from the outbox at a time."""

_BEGIN = """
INSERT INTO platform.consumers (name, entry) SELECT $1, entry FROM platform.relay ON CONFLICT (name) DO NOTHING
"""
_POSITION = "SELECT entry FROM platform.consumers WHERE name = $1"
_TURN = "SELECT entry FROM platform.consumers WHERE name = $1 FOR UPDATE"
_MOVE = "UPDATE platform.consumers SET entry = $2, moved_at = now() WHERE name = $1"
_KEEP = """
INSERT INTO platform.consumed_events (consumer, event_id) SELECT $1, unnest($2::uuid[])
ON CONFLICT (consumer, event_id) DO NOTHING RETURNING event_id
"""
_MISSED = f"""
SELECT entry, event_id, aggregate_type, aggregate_id, event_type, facility_id, payload, created_at
  FROM finance.outbox WHERE entry > $1 AND published_at < now() - make_interval(secs => $2) ORDER BY entry LIMIT {MOST}
"""  # noqa: S608 - our own number
_PRUNE = """
DELETE FROM platform.consumed_events WHERE (consumer, event_id) IN (SELECT consumer, event_id
  FROM platform.consumed_events WHERE consumed_at < now() - interval '2 days' ORDER BY consumed_at LIMIT 5000)
"""

T = TypeVar("T")

Handle = Callable[[PostgresTransaction, Envelope], Awaitable[None]]
"""Writes the effect of one event; is given each at least once and what it writes counts once."""

log = structlog.get_logger(__name__)


class _Everywhere(Container[str]):
    def __contains__(self, facility: object) -> bool:
        return True


class Consumer:
    """Handles the events of some types, those that are published from its first run on."""

    def __init__(self, stores: Stores, name: str, types: Collection[str], handle: Handle) -> None:
        self._stores = stores
        self._name = name
        self._types = frozenset(types)
        self._handle = handle

    async def run(self) -> NoReturn:
        """Consume until cancelled, through every outage."""
        position = await self._patiently(self._begin)
        reader = EventReader(self._stores.redis, _Everywhere(), self._told, after=position)
        async with asyncio.TaskGroup() as together:
            together.create_task(self._sweep())
            together.create_task(reader.run())
        raise AssertionError("unreachable")

    async def catch_up(self, overdue: float = OVERDUE) -> None:
        """Handle what was published so many seconds ago and has not come. Raises StoreError."""
        while True:
            [held] = await self._stores.postgres.fetch(_POSITION, self._name)
            rows = await self._stores.postgres.fetch(_MISSED, held["entry"], overdue)
            if not rows:
                return
            log.warning("read from the outbox, not from the stream", consumer=self._name, entries=len(rows))
            await self._consume([_entry(row) for row in rows], rows[-1]["entry"])

    async def _begin(self) -> int:
        await self._stores.postgres.fetch(_BEGIN, self._name)
        [held] = await self._stores.postgres.fetch(_POSITION, self._name)
        return int(held["entry"])

    async def _sweep(self) -> NoReturn:
        async def step() -> None:
            await self.catch_up()
            await self._stores.postgres.fetch(_PRUNE)

        while True:
            stop_if_cancelled()
            await self._patiently(step)
            await asyncio.sleep(SWEEP)

    async def _told(self, passage: Passage) -> None:
        if passage.entries:
            await self._patiently(lambda: self._consume(passage.entries, passage.end))

    async def _consume(self, entries: Sequence[Entry], end: int) -> None:
        """The effects of these entries, and the position behind them. Raises StoreError where it may work later."""
        try:
            await self._apply(entries, end)
        except (StoreUnavailable, WriteConflict, CommitUnknown):
            raise
        except Exception as error:
            # One that cannot be handled keeps no other one from being so. It is left to a person.
            if len(entries) > 1:
                for entry in entries:
                    await self._consume([entry], entry.number)
                return
            commit_metrics.CONSUMED.labels(self._name, "failed").inc()
            named = [str(entry.envelope.event_id) for entry in entries]
            log.critical("an event cannot be handled", consumer=self._name, events=named, error=repr(error))
            await self._apply([], end)

    async def _apply(self, entries: Sequence[Entry], end: int) -> None:
        tx = await PostgresTransaction.begin(self._stores.postgres)
        try:
            held = cast("int", await tx.fetch_value(_TURN, self._name))
            wanted = [one for one in entries if one.number > held and one.envelope.type in self._types]
            fresh = set()
            if wanted:
                rows = await tx.fetch(_KEEP, self._name, [one.envelope.event_id for one in wanted])
                fresh = {row["event_id"] for row in rows}
            done = 0
            for one in wanted:
                if one.envelope.event_id in fresh:
                    fresh.remove(one.envelope.event_id)
                    await self._handle(tx, one.envelope)
                    done += 1
            if end > held:
                await tx.execute(_MOVE, self._name, end)
            await tx.commit()
        finally:
            await tx.rollback()
            await tx.close()
        commit_metrics.CONSUMED.labels(self._name, "handled").inc(done)
        commit_metrics.CONSUMED.labels(self._name, "repeated").inc(len(wanted) - done)

    async def _patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        while True:
            stop_if_cancelled()
            try:
                return await step()
            except StoreError as error:
                log.warning("events are not consumed at the moment", consumer=self._name, **error.brief())
                await asyncio.sleep(AFTER_FAILURE)


def _entry(row: Row) -> Entry:
    return Entry(row["entry"], envelope_of(row))
