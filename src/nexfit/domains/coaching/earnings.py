"""What coaches earned: sessions that clients had, at their share of the package's price, from PostgreSQL's ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from nexfit.domains.coaching.packages import sql
from nexfit.stores.postgres import Postgres, Row


@dataclass(frozen=True, slots=True)
class Earner:
    """Whose earnings: a coach's, a facility's coaches', or a coach's at a facility; in days of a time zone."""

    coach: str | None
    facility: str | None
    timezone: str


async def by_period(
    postgres: Postgres, earners: Sequence[Earner], since: date, until: date, by: str
) -> list[list[Row]]:
    """Of each earner a row for every coach, period (day, week, month) and currency with a movement, from a local day to
    another, both included; in one statement. Raises StoreError.
    """
    found: list[list[Row]] = [[] for _ in earners]
    lists = zip(*((one.coach, one.facility, one.timezone) for one in earners), strict=True)
    for row in await postgres.fetch(sql.earnings, *map(list, lists), since, until, by):
        found[row["place"] - 1].append(row)
    return found
