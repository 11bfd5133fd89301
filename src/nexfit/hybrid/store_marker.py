"""Whether MongoDB and PostgreSQL belong to the same moment, or one of them was restored without the other.

Both keep an epoch and a tick. MongoDB's tick is counted up first and only from where PostgreSQL stands, so it is the
same or one ahead, whoever counts and whoever dies meanwhile. A store that was brought back to an earlier moment, by
more than a tick, shows another difference: then the decisions are of another history than the prepared transactions.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID, uuid4

from nexfit.stores.connections import Stores
from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.mongo import Mongo
from nexfit.stores.mongo_transactions import MongoTransaction

_COLLECTION = "store_marker"
_ID = "marker"

_LOOKS = 3
"""Looks before two stores are said to differ: between reading one and the other somebody may count."""

_BEGIN = """
INSERT INTO platform.store_marker (epoch, tick) VALUES ($1, 0) ON CONFLICT DO NOTHING
"""
_READ = "SELECT epoch, tick FROM platform.store_marker"
_TICK = """
UPDATE platform.store_marker SET tick = tick + 1, updated_at = now() WHERE epoch = $1 AND tick = $2
"""
_RENEW = """
INSERT INTO platform.store_marker (epoch, tick) VALUES ($1, 0)
  ON CONFLICT (only_row) DO UPDATE SET epoch = excluded.epoch, tick = 0, updated_at = now()
"""


@dataclass(frozen=True, slots=True)
class Marks:
    """What both stores say: epoch and tick, None where there is none."""

    postgres: tuple[str, int] | None
    mongo: tuple[str, int] | None
    pruned_before: dt.datetime | None = None
    """Decisions older than this may be gone."""

    @property
    def agree(self) -> bool:
        """Whether both are of one moment."""
        if self.postgres is None or self.mongo is None:
            return False
        return self.postgres[0] == self.mongo[0] and self.mongo[1] - self.postgres[1] in (0, 1)

    def __str__(self) -> str:
        def told(mark: tuple[str, int] | None) -> str:
            return f"epoch {mark[0][:8]} tick {mark[1]}" if mark else "no marker"

        return f"PostgreSQL has {told(self.postgres)}, MongoDB has {told(self.mongo)}"


async def compare(stores: Stores) -> Marks:
    """Both marks, made where neither store ever had one. Raises StoreError."""
    for look in range(_LOOKS):
        if look:
            await asyncio.sleep(0.05)
        marks = await _read(stores)
        if marks.mongo is None and (marks.postgres is None or marks.postgres[1] == 0):
            await _begin(stores)
            marks = await _read(stores)
        if marks.agree:
            break
    return marks


async def tick(stores: Stores) -> Marks:
    """Count on where both agree; the marks as they were. Raises StoreError."""
    marks = await compare(stores)
    if marks.agree and marks.postgres is not None:
        epoch, count = marks.postgres
        await stores.mongo.update_one(
            _COLLECTION,
            {"_id": _ID, "epoch": epoch, "tick": count},
            {"$set": {"tick": count + 1, "tickedAt": dt.datetime.now(dt.UTC)}},
        )
        await stores.postgres.fetch(_TICK, UUID(epoch), count)
    return marks


async def forget_decisions(mongo: Mongo, before: dt.datetime) -> None:
    """Say that decisions older than this may be gone, before they are. Raises StoreError."""
    await mongo.update_one(_COLLECTION, {"_id": _ID}, {"$max": {"prunedBefore": before}})


async def accept(stores: Stores) -> None:
    """Begin a new epoch: somebody has looked at both stores and takes them as they are. Raises StoreError."""
    epoch = uuid4()
    await stores.postgres.fetch(_RENEW, epoch)
    await _insert(stores.mongo, str(epoch), anew=True)


async def _read(stores: Stores) -> Marks:
    rows = await stores.postgres.fetch(_READ)
    found = await stores.mongo.find(_COLLECTION, {"_id": _ID}, ["epoch", "tick", "prunedBefore"], limit=1)
    return Marks(
        (str(rows[0]["epoch"]), rows[0]["tick"]) if rows else None,
        (found[0]["epoch"], found[0]["tick"]) if found else None,
        found[0].get("prunedBefore") if found else None,
    )


async def _begin(stores: Stores) -> None:
    await stores.postgres.fetch(_BEGIN, uuid4())
    (row,) = await stores.postgres.fetch(_READ)
    with suppress(ConstraintViolated, WriteConflict):  # somebody is faster
        await _insert(stores.mongo, str(row["epoch"]), anew=False)


async def _insert(mongo: Mongo, epoch: str, *, anew: bool) -> None:
    tx = MongoTransaction(mongo)
    try:
        if anew:
            await tx.delete(_COLLECTION, {"_id": _ID})
        await tx.insert(_COLLECTION, {"_id": _ID, "epoch": epoch, "tick": 0, "tickedAt": dt.datetime.now(dt.UTC)})
        await tx.commit(3.0)
    finally:
        await tx.rollback()
        await tx.close()
