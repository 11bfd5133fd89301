"""Opening hours: a pure rule over a facility's record, on its own wall clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

zone = lru_cache(maxsize=600)(ZoneInfo)
"""The IANA zone of a name; kept, because making one reads a file."""


def is_open(facility: Mapping[str, Any], now: datetime) -> bool:
    """Whether a facility (`timezone`, `operatingHours`, `specialDays`) is open at the instant `now`.

    An opening whose close is at or before its open ends on the next day, also where that day is a special one. Opening
    and closing are instants: a time that a clock change skips is as much later, one that it repeats is the first.
    """
    timezone = facility["timezone"]
    today = local_today(timezone, now)
    return any(
        instant_of(timezone, day, opens) <= now < instant_of(timezone, day + timedelta(days=closes <= opens), closes)
        for day in (today, today - timedelta(days=1))
        for opens, closes in openings_on(facility, day)
    )


def openings_on(facility: Mapping[str, Any], day: date) -> list[tuple[str, str]]:
    """When a facility opens and closes (HH:MM) on a local day: as the day itself says, else as its weekday does."""
    for special in facility.get("specialDays") or ():
        if special["date"].date() == day:
            return [(one["openTime"], one["closeTime"]) for one in special.get("openings") or ()]
    return [
        (entry["openTime"], entry["closeTime"])
        for entry in facility.get("operatingHours") or ()
        if entry["day"] == DAYS[day.weekday()] and not entry.get("isClosed")
    ]


@lru_cache(4096)
def instant_of(timezone: str, day: date, clock: str) -> datetime:
    """The instant at which a zone's clock shows HH:MM on a day.

    A time that is skipped on that day is as much later as the clock is put forward; one that is shown twice is the
    first of both.
    """
    return datetime.combine(day, time.fromisoformat(clock), zone(timezone)).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Week:
    """A facility's week: its Monday, and the instants between which it lies, the second one excluded."""

    monday: date
    begins: datetime
    ends: datetime


def local_week(timezone: str, now: datetime) -> Week:
    """The facility's week, Monday to Sunday on its own calendar, at the instant `now`."""
    today = local_today(timezone, now)
    monday = today - timedelta(days=today.weekday())

    def midnight(day: date) -> datetime:
        return datetime.combine(day, time(), zone(timezone)).astimezone(UTC)

    return Week(monday, midnight(monday), midnight(monday + timedelta(days=7)))


def local_today(timezone: str, now: datetime) -> date:
    """The facility's calendar day at the instant `now`."""
    return now.astimezone(zone(timezone)).date()
