"""Every row of PostgreSQL's `platform.member_facts` made anew, in batches, while readers and the feeds go on.

A batch is read and written while no other projector writes, so a rebuild never undoes what a feed has just written,
and there is no moment at which rows are missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from datetime import UTC, datetime
from typing import Protocol

from bson import ObjectId

from nexfit.domains.memberships.contracts import COLLECTION
from nexfit.domains.memberships.projection import Pair, Projected, project, stored
from nexfit.hybrid.feed_positions import transaction
from nexfit.stores.errors import StoreError
from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres import Postgres

BATCH = 500
"""Members projected at a time: a fraction of a second, for which a feed waits at most."""

_NEXT_ROWS = """
SELECT facility_id, user_id FROM platform.member_facts WHERE (facility_id, user_id) > ($1::text, $2::text)
ORDER BY facility_id, user_id LIMIT $3
"""
_REPAIR_MONEY = "SELECT finance.repair_member_money($1::text[], $2::text[]) AS changed"

_FIRST = ObjectId("0" * 24)


class Stores(Protocol):
    """The stores a rebuild reads and writes."""

    @property
    def mongo(self) -> Mongo:
        """Where members live."""

    @property
    def postgres(self) -> Postgres:
        """Where their facts are sorted and filtered."""


async def rebuild_member_facts(
    stores: Stores, *, now: datetime | None = None, on_done: Callable[[int], None] = lambda _: None
) -> int:
    """Project every member as of `now`; answers how many rows were added, changed or removed.

    `on_done` is told after each batch how many members it has looked at. Raises StoreError.
    """
    written = 0
    async for pairs in all_members(stores):
        written += len((await project_all(stores, pairs, now or datetime.now(UTC))).written)
        on_done(len(pairs))
    return written


async def all_members(stores: Stores, size: int = BATCH) -> AsyncIterator[list[Pair]]:
    """Everybody with a row, in the order of its key, then those with a membership and no row, in batches."""
    async for pairs in rows_by_key(stores.postgres, size):
        yield pairs
    async for held in pairs_with_membership(stores.mongo, size):
        rows = await stored(stores.postgres, held)
        missing = sorted(pair for pair in held if pair not in rows)
        if missing:
            yield missing


async def rows_by_key(postgres: Postgres, size: int) -> AsyncIterator[list[Pair]]:
    """The keys of all rows, in their order, in batches. Raises StoreError."""
    last: Pair = ("", "")
    while rows := await postgres.fetch(_NEXT_ROWS, *last, size):
        pairs = [(row["facility_id"], row["user_id"]) for row in rows]
        last = pairs[-1]
        yield pairs


async def pairs_with_membership(mongo: Mongo, size: int) -> AsyncIterator[set[Pair]]:
    """Who holds or held a membership where, in batches in which nobody comes twice. Raises StoreError."""
    last = _FIRST
    while found := await mongo.find(
        COLLECTION, {"_id": {"$gt": last}}, ("facilityId", "userId"), sort=[("_id", 1)], limit=size
    ):
        yield {(str(row["facilityId"]), str(row["userId"])) for row in found}
        last = found[-1]["_id"]


async def project_all(stores: Stores, pairs: Collection[Pair], now: datetime) -> Projected:
    """Project these members, around the rows that somebody holds. Raises StoreError."""
    try:
        async with transaction(stores.postgres) as one:
            return await project(one, stores.mongo, pairs, now)
    except StoreError as error:
        if error.store != "postgres":
            raise
        await stores.postgres.ping()
        if len(pairs) == 1:
            return Projected([], [*pairs])
    # Somebody who has not committed is making one of the rows: found by halving, and left to the feeds.
    ordered = sorted(pairs)
    half = len(ordered) // 2
    first, second = await project_all(stores, ordered[:half], now), await project_all(stores, ordered[half:], now)
    return Projected(first.written + second.written, first.busy + second.busy)


async def repair_money(postgres: Postgres, pairs: Collection[Pair]) -> int:
    """Make the money of these members' rows what the ledger says; how many changed. Raises StoreError."""
    rows = await postgres.fetch(_REPAIR_MONEY, [facility for facility, _ in pairs], [user for _, user in pairs])
    return int(rows[0]["changed"])
