"""Which facilities are open, asked of MongoDB: the rule of `hours.is_open` as a query, one branch for each time zone.

An opening counts by instants. On most days that is a comparison of clocks; around a clock change the clocks that have
been shown by now are listed instead, so that the query and the rule never differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any

from nexfit.domains.facilities.hours import DAYS, instant_of, local_today, zone

Expression = Any
_Holds = Callable[[str], Expression]
_CLOCKS = tuple(f"{minute // 60:02}:{minute % 60:02}" for minute in range(1440))
_STEADY = timedelta(hours=50)
_A_DAY = timedelta(days=1)


def conditions(timezones: Iterable[str], now: datetime) -> list[dict[str, Any]]:
    """Alternatives of which a facility that is open at `now` matches one."""
    found = []
    for timezone in timezones:
        today = local_today(timezone, now)
        days = [_opens(timezone, day, now) for day in (today, today - _A_DAY)]
        found.append({"timezone": timezone, "$expr": {"$or": days}})
    return found


def _opens(timezone: str, day: date, now: datetime) -> Expression:
    """Whether an opening of a local day lasts now."""
    special = {
        "$filter": {
            "input": {"$ifNull": ["$specialDays", []]},
            "cond": {"$eq": ["$$this.date", datetime.combine(day, time(), UTC)]},
        }
    }
    weekday = {
        "$filter": {
            "input": {"$ifNull": ["$operatingHours", []]},
            "cond": {"$and": [{"$eq": ["$$this.day", DAYS[day.weekday()]]}, {"$ne": ["$$this.isClosed", True]}]},
        }
    }
    openings = {"$ifNull": [{"$first": "$$special.openings"}, []]}
    begun = _holds(timezone, day, now, later=False)("$$this.openTime")
    same_day, next_day = (_holds(timezone, end, now, later=True)("$$this.closeTime") for end in (day, day + _A_DAY))
    past_midnight = {"$lte": ["$$this.closeTime", "$$this.openTime"]}
    lasts = {"$and": [begun, {"$cond": [past_midnight, next_day, same_day]}]}
    chosen = {"$cond": [{"$gt": [{"$size": "$$special"}, 0]}, openings, weekday]}
    any_lasts = {"$anyElementTrue": [{"$map": {"input": chosen, "as": "this", "in": lasts}}]}
    return {"$let": {"vars": {"special": special}, "in": any_lasts}}


def _holds(timezone: str, day: date, now: datetime, *, later: bool) -> _Holds:
    """Whether a clock of that day is shown later than now, or else was by now."""
    here = zone(timezone)
    if (now - _STEADY).astimezone(here).utcoffset() == (now + _STEADY).astimezone(here).utcoffset():
        local = now.astimezone(here)
        if day != local.date():
            return lambda _: (day > local.date()) is later
        operator, minute = "$gt" if later else "$lte", local.strftime("%H:%M")
        return lambda clock: {operator: [clock, minute]}
    holding = [(instant_of(timezone, day, clock) > now) is later for clock in _CLOCKS]
    spans = []
    for holds, members in groupby(zip(_CLOCKS, holding, strict=True), key=lambda one: one[1]):
        if holds:
            clocks = [clock for clock, _ in members]
            spans.append((clocks[0], clocks[-1]))
    return lambda clock: {
        "$or": [{"$and": [{"$gte": [clock, first]}, {"$lte": [clock, last]}]} for first, last in spans]
    }
