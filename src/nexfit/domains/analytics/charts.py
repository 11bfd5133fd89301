"""What owners' charts are drawn from, each in one statement for all facilities that are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from nexfit.domains.analytics.reading import sql
from nexfit.stores.postgres import Postgres, Row

_SHARE = Decimal("0.0001")


async def figures(
    postgres: Postgres, facilities: Sequence[str], first: date, last: date, by: str
) -> dict[str, list[dict[str, Any]]]:
    """Per facility its periods between two local days, both included, earliest first; shares are None over nothing."""
    found: dict[str, list[dict[str, Any]]] = {facility: [] for facility in facilities}
    for row in await postgres.fetch(sql.by_period, list(facilities), first, last, by):
        found[row["facility_id"]].append(_period(row))
    return found


def _period(row: Row) -> dict[str, Any]:
    return {
        **row,
        "churn": share(row["cancellations"], row["active_before"]),
        "class_fill": share(row["seats"], row["capacity"]),
        "no_show_rate": share(row["no_shows"], (row["attendance"] or 0) + (row["no_shows"] or 0)),
    }


def share(part: int | None, whole: int | None) -> Decimal | None:
    """A part of a whole with four decimals; None without a whole."""
    if not whole or part is None:
        return None
    return (Decimal(part) / whole).quantize(_SHARE, ROUND_HALF_UP)


async def cohorts(
    postgres: Postgres, zones: Mapping[str, str], todays: Mapping[str, date], first: date, last: date
) -> dict[str, list[dict[str, Any]]]:
    """Per facility (given with its zone and its local today) the months of joining, and how many stayed each month."""
    rows = await postgres.fetch(
        sql.cohorts,
        list(zones),
        list(zones.values()),
        [todays[id_] for id_ in zones],
        first.replace(day=1),
        last.replace(day=1),
    )
    found: dict[str, list[dict[str, Any]]] = {facility: [] for facility in zones}
    for row in rows:
        kept = [share(kept, row["members"]) for kept in row["kept"]]
        found[row["facility_id"]].append({**row, "retention": kept})
    return found
