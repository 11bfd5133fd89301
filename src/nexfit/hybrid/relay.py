"""Publishes what units of work told: from PostgreSQL's outbox to the stream in Redis, in order and without a gap.

One process relays; its term in `platform.relay` fences those before it. An event is given its place in the stream in
PostgreSQL first, and is written there after. So what the stream should hold is known at any time: when it ends earlier
than that, because a relay died in between or Redis was emptied, restarted or fell back, it is given the same
entries under the same numbers again, and nothing else is written before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from nexfit.hybrid import commit_metrics, idempotency, outbox_takeover
from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.hybrid.event_stream import RETAINED, STREAM, Entry, Envelope, entry_id, number_of
from nexfit.hybrid.outbox import TAGS_ONLY
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreError, StoreUnavailable, WriteConflict
from nexfit.stores.mongo import Document
from nexfit.stores.postgres import Row
from nexfit.stores.postgres_transactions import PostgresTransaction

POLL = 0.05
"""Seconds between two looks when nobody says that there is news."""

LOOK_AT_STREAM = 0.5
"""Seconds between two looks at whether the stream still ends where it should."""

PRUNE_EVERY = 60.0
"""Seconds between two deletions of what is old."""

AFTER_FAILURE = 0.3
"""Seconds to the next try when a store failed."""

SAY_EVERY = 30.0
"""Seconds between two lines of the log on the same outage."""

MOST = 500
"""Events published at a time."""

_LEAD = "UPDATE platform.relay SET term = term + 1 RETURNING term, entry"
_FENCE = "UPDATE platform.relay SET term = term WHERE term = $1 RETURNING true"
_UNPUBLISHED = f"""
SELECT position, event_id, aggregate_type, aggregate_id, event_type, facility_id, payload, tags, created_at
  FROM finance.outbox WHERE published_at IS NULL ORDER BY position LIMIT {MOST}
"""  # noqa: S608 - our own number
_PLACE = """
WITH leader AS (UPDATE platform.relay SET entry = $2 WHERE term = $1 RETURNING term)
UPDATE finance.outbox o SET entry = given.entry, published_at = clock_timestamp()
  FROM unnest($3::bigint[], $4::bigint[]) AS given (position, entry), leader
  WHERE o.position = given.position AND o.published_at IS NULL
  RETURNING o.position
"""
_PLACED_AFTER = f"""
SELECT entry, event_id, aggregate_type, aggregate_id, event_type, facility_id, payload, created_at
  FROM finance.outbox WHERE entry > $1 AND published_at > now() - make_interval(secs => $2) ORDER BY entry LIMIT {MOST}
"""  # noqa: S608
_PRUNE = (
    """DELETE FROM finance.outbox WHERE position IN (SELECT position FROM finance.outbox
         WHERE published_at < now() - interval '1 day' ORDER BY published_at LIMIT 20000)""",
    "DELETE FROM platform.copied_audits WHERE copied_at < now() - interval '7 days'",
)

# Answers the id the stream ends with when that is not the one expected; then nothing was written.
# ARGV: the id expected, the oldest id to keep, and an id with its two fields for each entry.
_APPEND = """
local last = '0-0'
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
if newest[1] then last = newest[1][1] end
if last ~= ARGV[1] then return last end
for i = 3, #ARGV, 5 do
  redis.call('XADD', KEYS[1], ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
end
if #ARGV > 2 then redis.call('XTRIM', KEYS[1], 'MINID', '~', ARGV[2]) end
return false
"""

Purge = Callable[[Sequence[str]], Awaitable[None]]

log = structlog.get_logger(__name__)


class RelayReplaced(Exception):
    """A process that began later relays."""


async def relay(stores: Stores, purge: Purge, news: asyncio.Event | None = None) -> None:
    """Publish until cancelled; `news` is set by whoever has something to publish, `purge` raises cache tags.

    Raises RelayReplaced.
    """
    news = news or asyncio.Event()
    said = 0.0
    while True:
        stop_if_cancelled()
        try:
            (row,) = await stores.postgres.fetch(_LEAD)
            await _Relay(stores, purge, news, row["term"], row["entry"]).run()
        except StoreError as error:
            if time.monotonic() - said >= SAY_EVERY:
                log.warning("nothing is published at the moment", error=str(error))
                said = time.monotonic()
            await asyncio.sleep(AFTER_FAILURE)


class _Relay:
    """One term. `_placed` is the last number given, `_written` the one the stream is known to end with."""

    def __init__(self, stores: Stores, purge: Purge, news: asyncio.Event, term: int, placed: int) -> None:
        self._stores = stores
        self._purge = purge
        self._news = news
        self._term = term
        self._placed = placed
        self._written = placed
        self._looked = self._pruned = float("-inf")

    async def run(self) -> None:
        """Publish until a store fails. Raises RelayReplaced, StoreError."""
        clock = asyncio.get_running_loop().time
        while True:
            stop_if_cancelled()
            self._news.clear()
            has_more = await self._take_over()
            rows = await self._stores.postgres.fetch(_UNPUBLISHED)
            if rows:
                await self._publish(rows)
            elif clock() - self._looked >= LOOK_AT_STREAM:
                await self._append([])
            if clock() - self._pruned >= PRUNE_EVERY:
                await self._prune()
                self._pruned = clock()
            if not has_more and len(rows) < MOST:
                await _first(self._news.wait(), POLL)

    async def _take_over(self) -> bool:
        """Bring what MongoDB holds to PostgreSQL; whether there may be more."""
        events, audits = await asyncio.gather(
            outbox_takeover.read_events(self._stores), outbox_takeover.read_audits(self._stores)
        )
        if not events and not audits:
            return False
        try:
            await self._keep(events, audits)
        except (StoreUnavailable, WriteConflict):
            raise
        except StoreError as error:
            # One that PostgreSQL refuses keeps no other one from going on. It stays where it is, for a person.
            log.critical("not everything can be taken over from mongo", error=str(error))
            events, audits = await self._keep_what_can_be(events, audits)
        await outbox_takeover.forget(self._stores, events, audits)
        return max(len(events), len(audits)) == outbox_takeover.MOST

    async def _keep(self, events: Sequence[Document], audits: Sequence[Document]) -> None:
        tx = await PostgresTransaction.begin(self._stores.postgres)
        try:
            if await tx.fetch_one(_FENCE, self._term) is None:
                raise RelayReplaced(f"term {self._term}")
            await outbox_takeover.write(tx, events, audits)
            await tx.commit()
        finally:
            await tx.rollback()
            await tx.close()

    async def _keep_what_can_be(
        self, events: Sequence[Document], audits: Sequence[Document]
    ) -> tuple[list[Document], list[Document]]:
        """Keep one by one; those that are kept."""
        kept: tuple[list[Document], list[Document]] = ([], [])
        for documents, done in zip((events, audits), kept, strict=True):
            for one in documents:
                try:
                    await self._keep(*(([one], []) if documents is events else ([], [one])))
                except (StoreUnavailable, WriteConflict):
                    raise
                except StoreError as error:
                    log.critical("refused by postgres", id=str(one["_id"]), error=str(error))
                else:
                    done.append(one)
        return kept

    async def _publish(self, rows: Sequence[Row]) -> None:
        await self._append([])  # while Redis is away nothing is given a place
        tags = list(dict.fromkeys(tag for row in rows for tag in row["tags"]))
        if tags:
            await self._purge(tags)
        entries: list[Entry] = []
        numbers: list[int | None] = []
        last = self._placed
        for row in rows:
            if row["event_type"] == TAGS_ONLY:
                numbers.append(None)
                continue
            last = max(last + 1, time.time_ns() // 1000)
            numbers.append(last)
            entries.append(Entry(last, envelope_of(row)))
        positions = [row["position"] for row in rows]
        placed = await self._stores.postgres.fetch(_PLACE, self._term, last, positions, numbers)
        if len(placed) != len(rows):
            raise RelayReplaced(f"term {self._term}")
        self._placed = last
        await self._append(entries)
        commit_metrics.PUBLISHED.inc(len(entries))
        for row in rows:
            commit_metrics.OUTBOX_LAG.observe(max(0.0, time.time() - row["created_at"].timestamp()))

    async def _append(self, entries: Sequence[Entry]) -> None:
        """Write to the end of the stream, after giving it what it has lost."""
        while (held := await self._try_append(entries)) is not None:
            if held > self._placed:
                # PostgreSQL was restored to an earlier moment, or a later term has begun: numbers go on rising.
                log.warning("the stream is ahead", stream=held, placed=self._placed)
                self._placed = self._written = held
                if entries:
                    return  # these are there, or will be given again by whoever leads
            else:
                await self._refill(held)
                if entries:
                    return  # they have a place, so they were among what was lost
        self._looked = asyncio.get_running_loop().time()

    async def _refill(self, held: int) -> None:
        """Give the stream, which ends with `held`, everything that has a later place."""
        self._written = held
        lost = 0
        while rows := await self._stores.postgres.fetch(_PLACED_AFTER, self._written, RETAINED):
            if await self._try_append([Entry(row["entry"], envelope_of(row)) for row in rows]) is not None:
                return  # somebody else writes, or it was lost again: the next look tells
            lost += len(rows)
        if lost:
            log.warning("the stream was given again what it had lost", entries=lost, after=held)
            commit_metrics.REFILLED.inc(lost)

    async def _try_append(self, entries: Sequence[Entry]) -> int | None:
        """The number the stream ends with where that is not what it should be; None when all is written."""
        oldest = time.time_ns() // 1000 - int(RETAINED * 1_000_000)
        parts = [part for entry in entries for part in (entry_id(entry.number), *entry.fields())]
        arguments = (entry_id(self._written), entry_id(oldest), *parts)
        (answer,) = await self._stores.redis.send([("EVAL", _APPEND, 1, STREAM, *arguments)])
        if isinstance(answer, bytes):
            return number_of(answer)
        if entries:
            self._written = entries[-1].number
        return None

    async def _prune(self) -> None:
        for statement in _PRUNE:
            await self._stores.postgres.fetch(statement)
        await idempotency.prune(self._stores.postgres)


def envelope_of(row: Row) -> Envelope:
    """The event of an outbox row."""
    return Envelope(
        event_id=row["event_id"],
        type=row["event_type"],
        aggregate=row["aggregate_type"],
        aggregate_id=row["aggregate_id"],
        facility_id=row["facility_id"],
        at=row["created_at"],
        payload=row["payload"],
    )


async def _first(event: Awaitable[object], seconds: float) -> None:
    try:
        await asyncio.wait_for(event, seconds)
    except TimeoutError:
        return
