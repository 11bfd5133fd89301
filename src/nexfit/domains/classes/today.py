"""A facility's day so far: who came, how full its classes are and what was earned.

A joined view of MongoDB's `visits` and `class_occurrences` and PostgreSQL's ledger, kept under the tags of all three.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from bson import ObjectId

from nexfit.domains.facilities.hours import local_today, zone
from nexfit.domains.finance import overview
from nexfit.domains.finance.overview import LIFETIME, Period
from nexfit.hybrid.joined_views import JoinedViews, View
from nexfit.stores.mongo import Document, Mongo
from nexfit.stores.postgres import Postgres

TODAY = View("facility_today", 1, LIFETIME)


def tags(facility: str) -> tuple[str, ...]:
    """What a facility's day depends on."""
    return f"facility:{facility}:visits", f"facility:{facility}:classes", overview.money_tag(facility)


@dataclass(frozen=True, slots=True)
class _Day:
    """A local day of a facility: the instants between which it lies, the second one excluded."""

    day: date
    begins: datetime
    ends: datetime


async def of_facilities(
    mongo: Mongo, postgres: Postgres, views: JoinedViews, zones: Mapping[str, str], now: datetime
) -> dict[str, dict[str, Any]]:
    """The day of each facility (given with its zone), in one batch per store.

    Each has `date`, `visits`, `classes`, `capacity`, `seats_taken`, and `revenue` with its `currency`, which are None
    where there never was money.
    """
    days = {id_: _local_day(timezone, now) for id_, timezone in zones.items()}

    async def load(items: Sequence[str]) -> dict[str, Any]:
        asked = {id_: days[id_] for id_ in (item.partition(":")[0] for item in items)}
        visits, classes, money = await asyncio.gather(
            mongo.aggregate("visits", _sums(asked, "at", {"visits": {"$sum": 1}})),
            mongo.aggregate(
                "class_occurrences",
                _sums(
                    asked,
                    "startsAt",
                    {
                        "classes": {"$sum": 1},
                        "capacity": {"$sum": "$capacity"},
                        "seats_taken": {"$sum": "$seatsTaken"},
                    },
                    {"status": "scheduled"},
                ),
            ),
            _revenue(postgres, asked, zones),
        )
        found = {
            id_: {"date": str(day.day), "visits": 0, "classes": 0, "capacity": 0, "seats_taken": 0, **money[id_]}
            for id_, day in asked.items()
        }
        for row in (*visits, *classes):
            found[str(row.pop("_id"))] |= row
        return {f"{id_}:{asked[id_].day}": value for id_, value in found.items()}

    items = [f"{id_}:{day.day}" for id_, day in days.items()]
    values = await views.get(TODAY, items, load, tags=lambda item: tags(item.partition(":")[0]))
    return {
        id_: {
            **value,
            "date": date.fromisoformat(value["date"]),
            "revenue": value["revenue"] and Decimal(value["revenue"]),
        }
        for id_, value in zip(days, values, strict=True)
    }


def _local_day(timezone: str, now: datetime) -> _Day:
    day = local_today(timezone, now)

    def midnight(of: date) -> datetime:
        return datetime.combine(of, time(), zone(timezone)).astimezone(UTC)

    return _Day(day, midnight(day), midnight(day + timedelta(days=1)))


def _sums(
    days: Mapping[str, _Day], at: str, sums: Mapping[str, Any], more: Mapping[str, Any] | None = None
) -> list[Document]:
    """A pipeline that sums up what each facility has on its day; each branch is one range of an index."""
    branches = [
        {"facilityId": ObjectId(id_), at: {"$gte": day.begins, "$lt": day.ends}, **(more or {})}
        for id_, day in days.items()
    ]
    return [{"$match": {"$or": branches}}, {"$group": {"_id": "$facilityId", **sums}}]


async def _revenue(postgres: Postgres, days: Mapping[str, _Day], zones: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Per facility `revenue` and `currency`. Days that are told apart by zones alone are read in one statement."""
    dates = {id_: day.day for id_, day in days.items()}
    rows = await postgres.fetch(
        overview.sql.revenue_by_period,
        list(dates),
        [zones[id_] for id_ in dates],
        min(dates.values()),
        max(dates.values()),
        str(Period.DAY),
    )
    found: dict[str, dict[str, Any]] = {id_: {"revenue": None, "currency": None} for id_ in dates}
    for row in rows:
        if row["period"] == dates[row["facility_id"]]:
            found[row["facility_id"]] = {"revenue": str(row["total"]), "currency": row["currency"]}
    return found
