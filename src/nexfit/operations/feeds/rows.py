"""What follows from changed rows of PostgreSQL: tags for the cache, and MongoDB's copies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import structlog

from nexfit.domains import tags
from nexfit.domains.memberships import mirror
from nexfit.domains.memberships.projection import Pair, project
from nexfit.hybrid import feed_metrics, feed_positions, postgres_feed
from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.hybrid.feed_positions import SavedPosition
from nexfit.hybrid.freshness import Freshness
from nexfit.hybrid.postgres_feed import AFTER_FAILURE, LogLost, Mark, RowChange, RowChanges
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreError
from nexfit.stores.postgres import Postgres

ROWS, MIRROR = "rows", "mirror"
"""Names of the feeds."""

MIRRORED = frozenset({"finance.subscriptions", "finance.invoices", "finance.transactions"})
"""Tables that contracts repeat."""

MIRROR_EVERY = 0.2
"""Seconds between two looks at what to copy."""

SAVE_IDLE = 10.0
"""Seconds after which the mirror's position is saved though nothing happened, so that the log can be pruned."""

# Money was moved for somebody who is no member: the row its trigger made has no name yet.
_NAMELESS = """
SELECT facility_id, user_id FROM platform.member_facts JOIN unnest($1::text[], $2::text[]) AS p (facility_id, user_id)
USING (facility_id, user_id) WHERE name_folded = ''
"""

log = structlog.get_logger(__name__)


class RowTags:
    """Raises the tags of rows. Its mark is only in memory: whoever begins anew gives up every view instead."""

    def __init__(self, postgres: Postgres, freshness: Freshness) -> None:
        self._postgres = postgres
        self._freshness = freshness
        self._is_new = True
        self.mark: Mark | None = None

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            stop_if_cancelled()
            self._is_new = True
            try:
                await postgres_feed.follow(self._postgres, None, self._raise)
            except StoreError as error:
                log.warning("rows are not followed at the moment", feed=ROWS, error=str(error))
                await asyncio.sleep(AFTER_FAILURE)

    async def _raise(self, found: RowChanges) -> None:
        now = asyncio.get_running_loop().time()
        changes = found.changes
        if changes is None or self._is_new:
            self._freshness.give_up_everything()
        raised: set[str] = set()
        for change in changes or ():
            raised |= tags.filled(tags.ROWS.get(change.relation, ()), _values(change))
        await self._freshness.raise_tags(raised)
        self._freshness.caught_up(ROWS, now)
        self.mark, self._is_new = found.mark, False
        _measure(ROWS, found)


class Mirror:
    """Makes contracts in MongoDB repeat what PostgreSQL says, and names the facts of people who only paid."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._saved: SavedPosition | None = None
        self._saved_at = 0.0

    @property
    def mark(self) -> Mark | None:
        """How far it has surely come; None before it has begun."""
        return None if self._saved is None else _mark(self._saved)

    async def run(self) -> None:
        """Follow until cancelled. Raises FeedReplaced when another process does."""
        is_lost = False
        while True:
            stop_if_cancelled()
            try:
                saved = None if is_lost else await feed_positions.load(self._stores.postgres, MIRROR)
                self._saved, is_lost = saved or await self._begin(), False
                self._saved_at = time.monotonic()
                await postgres_feed.follow(self._stores.postgres, _mark(self._saved), self._copy, every=MIRROR_EVERY)
            except LogLost as error:
                log.critical("changes were missed: everything has to be compared", feed=MIRROR, error=str(error))
                feed_metrics.HISTORY_LOST.labels(MIRROR).inc()
                is_lost = True
            except StoreError as error:
                log.warning("changes are not followed at the moment", feed=MIRROR, error=str(error))
                await asyncio.sleep(AFTER_FAILURE)

    async def _begin(self) -> SavedPosition:
        """Go on from now, and leave a gap for the reconciler."""
        mark = await postgres_feed.mark_now(self._stores.postgres)
        return await feed_positions.begin(self._stores.postgres, MIRROR, _value(mark, ()))

    async def _copy(self, found: RowChanges) -> None:
        if self._saved is None:
            raise AssertionError("it has not begun")
        if found.changes is None:
            raise LogLost("postgres", "more changed than the log tells apart")
        pairs = {
            (change.facility_id, change.user_id)
            for change in found.changes
            if change.relation in MIRRORED and change.facility_id is not None and change.user_id is not None
        }
        if pairs:
            # Contracts without a subscription are the reconciler's: one may be about to be committed in PostgreSQL.
            wrong = await mirror.discrepancies(self._stores.postgres, self._stores.mongo, pairs)
            await mirror.repair(self._stores.mongo, [one for one in wrong if one.true is not None])
        pending = {(facility, user) for facility, user in self._saved.value["pending"]}
        if pairs or pending or found.rows or time.monotonic() - self._saved_at >= SAVE_IDLE:
            nameless = pending | await self._nameless(pairs)
            async with feed_positions.transaction(self._stores.postgres) as transaction:
                named = await project(transaction, self._stores.mongo, nameless, datetime.now(UTC))
                saved = await feed_positions.save(transaction, self._saved, _value(found.mark, named.busy))
            self._saved, self._saved_at = saved, time.monotonic()
        _measure(MIRROR, found)

    async def _nameless(self, pairs: Collection[Pair]) -> set[Pair]:
        if not pairs:
            return set()
        facilities, users = [facility for facility, _ in pairs], [user for _, user in pairs]
        rows = await self._stores.postgres.fetch(_NAMELESS, facilities, users)
        return {(row["facility_id"], row["user_id"]) for row in rows}


def _mark(saved: SavedPosition) -> Mark:
    return Mark(saved.value["snapshot"], saved.value["server"])


def _value(mark: Mark, pending: Collection[Pair]) -> dict[str, Any]:
    return {"snapshot": mark.snapshot, "server": mark.server, "pending": [*pending]}


def _values(change: RowChange) -> dict[str, str | None]:
    return {"facility_id": change.facility_id, "user_id": change.user_id, "plan_id": change.plan_id}


def _measure(feed: str, found: RowChanges) -> None:
    feed_metrics.CHANGES.labels(feed).inc(found.rows)
    if found.since is not None:
        feed_metrics.LAG.labels(feed).observe(max(0.0, time.time() - found.since.timestamp()))
