"""Calendars as files in iCalendar (RFC 5545). Every date is an event of its own, at an instant in UTC: no program that
reads it has to know a time zone, or when its clocks change. The same entries give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from icalendar import Calendar, Event

PRODUCT = "-//NexFit//Calendar//EN"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event. `status` is CONFIRMED, TENTATIVE or CANCELLED."""

    uid: str
    sequence: int
    made_at: datetime
    starts_at: datetime
    ends_at: datetime
    summary: str
    location: str
    description: str
    category: str | None
    status: str


def written(name: str, timezone: str | None, entries: Iterable[Entry]) -> bytes:
    """The file; `timezone` is only what the calendar is shown in."""
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", name)
    if timezone is not None:
        calendar.add("x-wr-timezone", timezone)
    for entry in entries:
        calendar.add_component(_event(entry))
    return bytes(calendar.to_ical())


def _event(entry: Entry) -> Event:
    event = Event()
    event.add("uid", f"{entry.uid}@nexfit")
    event.add("dtstamp", entry.made_at.astimezone(UTC))
    event.add("sequence", entry.sequence)
    event.add("dtstart", entry.starts_at.astimezone(UTC))
    event.add("dtend", entry.ends_at.astimezone(UTC))
    event.add("summary", entry.summary)
    event.add("status", entry.status)
    if entry.location:
        event.add("location", entry.location)
    if entry.description:
        event.add("description", entry.description)
    if entry.category:
        event.add("categories", [entry.category])
    return event
