"""A facility's figures from PostgreSQL: revenue by period, what is outstanding, subscribers per plan.

They are joined views: kept in Redis under the facility's `money` tag. Until a change feed invalidates what other
processes write, a value is served for at most `LIFETIME` seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any

from babel.numbers import get_currency_precision

from nexfit.hybrid.joined_views import JoinedViews, View
from nexfit.stores.postgres import Postgres, Row
from nexfit.stores.sql import load_sql

LIFETIME = 10.0
"""Seconds a figure may lag behind a write made elsewhere."""

REVENUE = View("facility_revenue", 1, LIFETIME)
OUTSTANDING = View("facility_outstanding", 1, LIFETIME)
SUBSCRIBERS = View("plan_subscribers", 1, LIFETIME)

sql = load_sql("nexfit.domains.finance")


class Period(StrEnum):
    """Calendar units revenue is summed by, on the facility's own calendar; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def money_tag(facility: str) -> str:
    """What a facility's figures depend on."""
    return f"facility:{facility}:money"


def plan_tag(plan: str) -> str:
    """What a plan's subscribers depend on."""
    return f"plan:{plan}:subscribers"


async def revenue(
    postgres: Postgres, views: JoinedViews, zones: Mapping[str, str], first: date, last: date, by: Period
) -> dict[str, list[dict[str, Any]]]:
    """Per facility (given with its zone) every period between two local days, both included, earliest first.

    Each has `period` (its first day), `total` net of refunds, `currency`, `transactions` and `refunds` (both counts).
    """

    async def load(items: Sequence[str]) -> dict[str, Any]:
        ids = [item.partition(":")[0] for item in items]
        rows = await postgres.fetch(sql.revenue, ids, [zones[id_] for id_ in ids], first, last, str(by))
        found: dict[str, list[Any]] = {id_: [] for id_ in ids}
        for row in rows:
            found[row["facility_id"]].append(_taken(row))
        return dict(zip(items, (found[id_] for id_ in ids), strict=True))

    items = [f"{id_}:{first}:{last}:{by}" for id_ in zones]
    values = await views.get(REVENUE, items, load, tags=lambda item: [money_tag(item.partition(":")[0])])
    return {
        id_: [
            {**period, "period": date.fromisoformat(period["period"]), "total": Decimal(period["total"])}
            for period in value
        ]
        for id_, value in zip(zones, values, strict=True)
    }


async def outstanding(
    postgres: Postgres, views: JoinedViews, todays: Mapping[str, date]
) -> dict[str, dict[str, Any] | None]:
    """Per facility (given with its local today) what members owe: counts and totals of open and of overdue invoices.

    None for a facility that never had anything to do with money.
    """

    async def load(items: Sequence[str]) -> dict[str, Any]:
        ids = [item.partition(":")[0] for item in items]
        rows = await postgres.fetch(sql.outstanding, ids, [todays[id_] for id_ in ids])
        found = {row["facility_id"]: _owed(row) for row in rows}
        return {item: found.get(id_) for item, id_ in zip(items, ids, strict=True)}

    items = [f"{id_}:{today}" for id_, today in todays.items()]
    values = await views.get(OUTSTANDING, items, load, tags=lambda item: [money_tag(item.partition(":")[0])])
    return {
        id_: value and {**value, "total": Decimal(value["total"]), "overdue_total": Decimal(value["overdue_total"])}
        for id_, value in zip(todays, values, strict=True)
    }


async def active_subscribers(postgres: Postgres, views: JoinedViews, plans: Sequence[str]) -> dict[str, int]:
    """People with access now per plan; a plan nobody holds is absent."""

    async def load(items: Sequence[str]) -> dict[str, Any]:
        rows = await postgres.fetch(sql.active_subscribers, list(items))
        return {row["plan_id"]: row["subscribers"] for row in rows}

    values = await views.get(SUBSCRIBERS, plans, load, tags=lambda plan: [plan_tag(plan)])
    return {plan: value for plan, value in zip(plans, values, strict=True) if value is not None}


async def analytics(postgres: Postgres, facilities: Sequence[str], first: date, last: date) -> dict[str, list[Row]]:
    """The stored daily figures of each facility between two local days, both included, earliest first."""
    rows = await postgres.fetch(sql.analytics_by_day, list(facilities), first, last)
    found: dict[str, list[Row]] = {facility: [] for facility in facilities}
    for row in rows:
        found[row["facility_id"]].append(row)
    return found


def _taken(row: Row) -> dict[str, Any]:
    """A row as JSON can carry it: the day in ISO 8601, the decimal as text."""
    return {
        "period": str(row["period"]),
        "total": str(row["total"].quantize(_unit(row["currency"]))),
        "currency": row["currency"],
        "transactions": row["transactions"],
        "refunds": row["refunds"],
    }


@lru_cache(256)
def _unit(currency: str) -> Decimal:
    """The smallest amount of a currency: a total is written alike whether it was stored or has just been added up."""
    return Decimal(1).scaleb(-get_currency_precision(currency))


def _owed(row: Row) -> dict[str, Any]:
    """A row as JSON can carry it."""
    return {
        "currency": row["currency"],
        "invoices": row["invoices"],
        "total": str(row["total"]),
        "overdue_invoices": row["overdue_invoices"],
        "overdue_total": str(row["overdue_total"]),
    }
