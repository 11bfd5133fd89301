"""Opening hours: a pure rule over a facility's record, on its own wall clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

zone = lru_cache(maxsize=600)(ZoneInfo)
"""The IANA zone of a name; kept, because making one reads a file."""


def is_open(hours: Sequence[Mapping[str, Any]], timezone: str, now: datetime) -> bool:
    """Whether the facility is open at the instant `now`.

    An opening whose close is at or before its open ends on the next day, so yesterday's openings count as well. A time
    that a clock change skips or repeats is taken by the wall clock as it shows.
    """
    local = now.astimezone(zone(timezone))
    today, minute = DAYS[local.weekday()], local.strftime("%H:%M")
    yesterday = DAYS[(local - timedelta(days=1)).weekday()]
    for entry in hours:
        if entry.get("isClosed"):
            continue
        opens, closes = entry["openTime"], entry["closeTime"]
        past_midnight = closes <= opens
        if entry["day"] == today and opens <= minute and (past_midnight or minute < closes):
            return True
        if entry["day"] == yesterday and past_midnight and minute < closes:
            return True
    return False


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
