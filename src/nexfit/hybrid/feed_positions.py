"""How far each change feed was followed: PostgreSQL's `platform.feed_positions`, saved with the effect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nexfit.stores.postgres import Postgres
from nexfit.stores.postgres_transactions import PostgresTransaction

_LOAD = "SELECT position, version FROM platform.feed_positions WHERE name = $1"
# A feed that begins knows nothing of what was before: that is a gap like any other. A gap within a gap moves its
# moment, so that a comparison which began before it does not close it.
_BEGIN = """
INSERT INTO platform.feed_positions (name, position, gap_since) VALUES ($1, $2, now())
ON CONFLICT (name) DO UPDATE SET
  position = excluded.position, version = feed_positions.version + 1, saved_at = now(), gap_since = excluded.gap_since
RETURNING version
"""
_SAVE = """
UPDATE platform.feed_positions SET position = $2, version = version + 1, saved_at = now()
WHERE name = $1 AND version = $3 RETURNING version
"""
_GAPS = "SELECT name, gap_since FROM platform.feed_positions WHERE gap_since IS NOT NULL ORDER BY name"
_CLOSE = "UPDATE platform.feed_positions SET gap_since = NULL WHERE name = $1 AND gap_since = $2"
# Not a feed, but as much a moment up to which everything is known to be right.
_COMPARED = """
INSERT INTO platform.feed_positions (name, position) VALUES ('compared', '{}')
ON CONFLICT (name) DO UPDATE SET saved_at = now(), version = feed_positions.version + 1
"""
_SINCE_COMPARED = """
SELECT extract(epoch FROM now() - saved_at)::float8 AS seconds FROM platform.feed_positions WHERE name = 'compared'
"""


class FeedReplaced(Exception):
    """Another process follows the feed by now; nothing of this batch was kept."""


@dataclass(frozen=True, slots=True)
class SavedPosition:
    """A position as it is stored. `value` is the feed's own, as JSON; who saves the next one names the version."""

    name: str
    value: Mapping[str, Any]
    version: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes a feed missed up to a moment; what it keeps has to be compared in full."""

    feed: str
    since: datetime


async def load(postgres: Postgres, name: str) -> SavedPosition | None:
    """The feed's position, None when it was never followed. Raises StoreError."""
    for row in await postgres.fetch(_LOAD, name):
        return SavedPosition(name, row["position"], row["version"])
    return None


async def begin(postgres: Postgres, name: str, value: Mapping[str, Any]) -> SavedPosition:
    """Follow the feed from this position, leaving a gap before it. Raises StoreError."""
    (row,) = await postgres.fetch(_BEGIN, name, value)
    return SavedPosition(name, value, row["version"])


async def save(transaction: PostgresTransaction, last: SavedPosition, value: Mapping[str, Any]) -> SavedPosition:
    """Move on from `last`, together with everything else in the transaction. Raises FeedReplaced, StoreError."""
    version = await transaction.fetch_value(_SAVE, last.name, value, last.version)
    if not isinstance(version, int):
        raise FeedReplaced(last.name)
    return SavedPosition(last.name, value, version)


async def gaps(postgres: Postgres) -> list[Gap]:
    """The gaps nobody has made up for yet. Raises StoreError."""
    return [Gap(row["name"], row["gap_since"]) for row in await postgres.fetch(_GAPS)]


async def close_gap(postgres: Postgres, gap: Gap) -> None:
    """A full comparison has made up for the gap; one that opened again meanwhile stays. Raises StoreError."""
    await postgres.fetch(_CLOSE, gap.feed, gap.since)


async def compared(postgres: Postgres) -> None:
    """Everything has just been compared. Raises StoreError."""
    await postgres.fetch(_COMPARED)


async def since_compared(postgres: Postgres) -> float:
    """Seconds since everything was compared; 0 if it never was: a feed's first gap asks for that. Raises StoreError."""
    rows = await postgres.fetch(_SINCE_COMPARED)
    return float(rows[0]["seconds"]) if rows else 0.0


@asynccontextmanager
async def transaction(postgres: Postgres) -> AsyncIterator[PostgresTransaction]:
    """A transaction that commits when the block ends and rolls back when it raises. Raises StoreError."""
    begun = await PostgresTransaction.begin(postgres)
    try:
        yield begun
        await begun.commit()
    except BaseException:
        await begun.rollback()
        raise
    finally:
        await begun.close()
