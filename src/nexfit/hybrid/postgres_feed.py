"""Follows `platform.changes`: what was changed in PostgreSQL's money tables, by whomever.

A mark is the snapshot under which the log was read last. Reading on means reading the rows that it did not show, so a
transaction which was open or prepared at that time is delivered when it commits, and none is waited for.

A server that crashes may give numbers of transactions that were never committed to new ones. So a mark is good for the
session it was read in, and later only when a transaction that came after it was committed: a position that is saved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.stores.errors import StoreError
from nexfit.stores.postgres import Postgres, Row

EVERY = 0.1
"""Seconds between two looks at the log."""

AFTER_FAILURE = 0.5
"""Seconds to the next try when a store failed."""

MOST = 20_000
"""Scopes read at a time; where more are waiting they are not told apart any more."""

_SERVER = "(SELECT system_identifier FROM pg_control_system()) || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)"
_READ = f"""
SELECT pg_current_snapshot()::text AS snapshot,
  pg_snapshot_xmax($1::text::pg_snapshot) > pg_snapshot_xmax(pg_current_snapshot()) AS is_behind,
  {_SERVER} AS server, c.*
FROM (VALUES (true)) AS one (row) LEFT JOIN (
  SELECT relation, facility_id, user_id, plan_id, min(changed_at) AS since, count(*) AS rows FROM (
    SELECT * FROM platform.changes WHERE xid >= pg_snapshot_xmax($1::text::pg_snapshot)
    UNION ALL
    SELECT * FROM platform.changes WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::text::pg_snapshot)))
  ) AS unseen
  GROUP BY relation, facility_id, user_id, plan_id LIMIT {MOST + 1}
) AS c ON true
"""  # noqa: S608 - our own number
_NOW = f"SELECT pg_current_snapshot()::text AS snapshot, {_SERVER} AS server"
_PRUNE = """
DELETE FROM platform.changes
WHERE xid < ALL (SELECT pg_snapshot_xmin(mark::pg_snapshot) FROM unnest($1::text[]) AS mark)
"""


class Session(Protocol):
    """Where the log is read: the pool, or one connection of it."""

    async def fetch(self, sql: str, /, *arguments: object) -> list[Row]:
        """Rows of one statement."""


class LogLost(StoreError):
    """The mark is not of this server's history: it was restored, or a standby took over."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A snapshot, and the server and timeline it was taken on."""

    snapshot: str
    server: str


@dataclass(frozen=True, slots=True)
class RowChange:
    """Rows of a relation ("finance.invoices") changed that belong to these, as far as the relation knows such."""

    relation: str
    facility_id: str | None
    user_id: str | None
    plan_id: str | None


@dataclass(frozen=True, slots=True)
class RowChanges:
    """What was read of the log, and the mark to go on from. `changes` is None when they were too many to tell apart."""

    mark: Mark
    changes: Collection[RowChange] | None
    rows: int
    since: datetime | None
    """When the oldest of them was made."""


async def mark_now(session: Session) -> Mark:
    """The mark behind everything that is committed. Raises StoreError."""
    (row,) = await session.fetch(_NOW)
    return Mark(row["snapshot"], row["server"])


async def read_on(session: Session, mark: Mark) -> RowChanges:
    """What was committed since the mark, each scope once. Raises LogLost, StoreError."""
    rows = await session.fetch(_READ, mark.snapshot)
    first = rows[0]
    if first["is_behind"] or first["server"] != mark.server:
        raise LogLost("postgres", f"{mark} is not of the history of {first['server']}")
    next_mark = Mark(first["snapshot"], first["server"])
    if first["relation"] is None:
        return RowChanges(next_mark, (), 0, None)
    changes = [RowChange(row["relation"], row["facility_id"], row["user_id"], row["plan_id"]) for row in rows]
    return RowChanges(
        next_mark,
        changes if len(changes) <= MOST else None,
        sum(row["rows"] for row in rows),
        min(row["since"] for row in rows),
    )


async def prune(postgres: Postgres, marks: Collection[Mark]) -> None:
    """Delete what was read before all of the marks. Raises StoreError."""
    await postgres.fetch(_PRUNE, [mark.snapshot for mark in marks])


async def follow(
    postgres: Postgres, start: Mark | None, handle: Callable[[RowChanges], Awaitable[None]], *, every: float = EVERY
) -> None:
    """Hand on what is committed after `start` (None: from now on), also when that is nothing, until cancelled.

    Raises StoreError as soon as the log cannot be read in the same session any more or `handle` does, and LogLost.
    """
    async with postgres.connection() as session:
        mark = start or await mark_now(session)
        while True:
            stop_if_cancelled()
            found = await read_on(session, mark)
            await handle(found)
            mark = found.mark
            await asyncio.sleep(every)
