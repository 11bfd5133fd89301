"""Partitions made ahead of time for PostgreSQL's big tables, and the watch over their default partitions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from dateutil.relativedelta import relativedelta

from nexfit.operations.migrations import Connection

_ENSURE = "SELECT platform.ensure_partition($1::text::regclass, $2, $3)"

# A bound of a timestamptz column is written with time and offset, one of a date column is a bare date.
_COVERAGE = """
SELECT max(CASE WHEN b.upper LIKE '%:%' THEN (b.upper::timestamptz AT TIME ZONE 'UTC')::date ELSE b.upper::date END)
FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid
  CROSS JOIN LATERAL substring(pg_get_expr(c.relpartbound, c.oid) FROM $$TO \\('([^']+)'\\)$$) AS b(upper)
WHERE i.inhparent = $1::text::regclass
"""


@dataclass(frozen=True, slots=True)
class Partitioned:
    """A partitioned table, the length of its partitions, and how many to have ready beyond the present one."""

    table: str
    unit: Literal["month", "year"]
    ahead: int


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """The first day no partition is made for, and how many rows the default partition caught (at rest 0)."""

    table: str
    covered_until: date
    stray_rows: int


PARTITIONED = (
    Partitioned("finance.transactions", "month", 12),
    Partitioned("finance.audit_logs", "month", 12),
    Partitioned("finance.analytics_daily", "year", 2),
)


async def ensure_ahead(connection: Connection, today: date) -> list[str]:
    """Make the partitions of `today` and the times after it that are missing; answers their names.

    Rows the default partition holds for one of them move into it. Each partition is its own transaction, so that a
    table which is locked for long (the driver's lock time-out passes through) leaves the earlier ones made.
    """
    made = []
    for one in PARTITIONED:
        for step in range(one.ahead + 1):
            day = today + (relativedelta(months=step) if one.unit == "month" else relativedelta(years=step))
            name = await connection.fetchval(_ENSURE, one.table, one.unit, day)
            if name is not None:
                made.append(str(name))
    return made


async def report(connection: Connection) -> list[PartitionReport]:
    """How far each table's partitions reach, and what its default partition caught."""
    found = []
    for one in PARTITIONED:
        covered = await connection.fetchval(_COVERAGE, one.table)
        # The name is this module's own; a statement cannot take it as a parameter.
        stray = await connection.fetchval(f"SELECT count(*) FROM {one.table}_default")  # noqa: S608
        found.append(PartitionReport(one.table, covered, stray))
    return found
