"""Computes what changed of the daily figures, soon after it was committed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import structlog

from nexfit.domains.analytics.keeping import refresh
from nexfit.domains.analytics.reading import sql
from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.operations.member_facts import Stores as Both
from nexfit.stores.change_stream import DocumentChange
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreError
from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres_transactions import PostgresTransaction

REST = 2.0
"""Seconds between two looks; so old a figure may be."""

AFTER_FAILURE = 5.0

WHEN = {"visits": "at", "class_bookings": "date", "class_occurrences": "startsAt"}
"""By collection, the field that says on which day a document counts."""

FIELDS = {collection: frozenset({"facilityId", at}) for collection, at in WHEN.items()}
"""What the change feed has to tell of each collection."""

log = structlog.get_logger(__name__)

Mark = tuple[str, date, date]
"""A facility and the first and last day in UTC that changed."""


async def marks_of(mongo: Mongo, changes: Sequence[DocumentChange]) -> list[Mark]:
    """The days that changed documents count on, before and after. Raises StoreError."""
    found: set[tuple[str, date]] = set()
    unknown: dict[str, list[object]] = {}
    for change in changes:
        at = WHEN.get(change.collection)
        if at is None:
            continue
        for side in change.sides():
            if isinstance(side.get(at), datetime) and side.get("facilityId") is not None:
                found.add((str(side["facilityId"]), side[at].astimezone(UTC).date()))
        if not any(at in side for side in change.sides()):
            unknown.setdefault(change.collection, []).append(change.id)
    for collection, ids in unknown.items():  # which keep no pre-images: an update told the id alone
        at = WHEN[collection]
        for document in await mongo.find(collection, {"_id": {"$in": ids}}, ("facilityId", at)):
            found.add((str(document["facilityId"]), document[at].astimezone(UTC).date()))
    return [(facility, day, day) for facility, day in sorted(found)]


async def mark(work: PostgresTransaction, marks: Sequence[Mark]) -> None:
    """Leave the marks with everything else in the transaction. Raises StoreError."""
    if marks:
        await work.execute(sql.mark, *map(list, zip(*marks, strict=True)))


async def mark_recent(stores: Both, *, now: datetime, since: datetime | None = None) -> None:
    """Mark the last days of every facility, from two before `since` (default: now) on: nobody knows what was missed.

    Raises StoreError.
    """
    accounts = await stores.postgres.fetch(sql.accounts, None)
    first = (since or now).astimezone(UTC).date() - timedelta(days=2)
    marks = [(account["facility_id"], first, now.date()) for account in accounts]
    if marks:
        await stores.postgres.fetch(sql.mark, *map(list, zip(*marks, strict=True)))


async def keep_figures(stores: Stores, every: float = REST) -> None:
    """Compute what is marked, again and again, until cancelled. Raises StoreError at the start."""
    await mark_recent(stores, now=datetime.now(UTC))
    while True:
        stop_if_cancelled()
        try:
            changed = await refresh(stores.mongo, stores.postgres, now=datetime.now(UTC))
        except StoreError as error:
            log.warning("daily figures could not be computed", error=str(error))
            await asyncio.sleep(AFTER_FAILURE)
        else:
            if changed:
                log.info("computed daily figures", days=changed)
            await asyncio.sleep(every)
