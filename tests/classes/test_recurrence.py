"""Repetitions on a wall clock, against counting by hand and by days. Needs no server."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexfit.domains.classes.inputs import Repetition
from nexfit.domains.classes.planning import schedule_of
from nexfit.domains.classes.recurrence import dates_until, first_start, starts_between
from nexfit.domains.identity.validation import InvalidInput, checked

BERLIN = {"timezone": "Europe/Berlin"}
ALWAYS = datetime(2000, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)


def schedule(first: str, clock: str, zone: str = "Europe/Berlin", **repetition: Any) -> dict[str, Any]:
    return schedule_of({"timezone": zone}, date.fromisoformat(first), clock, 60, checked(Repetition, **repetition))


def walls(made: dict[str, Any], since: str, until: str) -> list[str]:
    """What the class's clock shows at each start of a range of UTC days."""
    bounds = (datetime.fromisoformat(one).replace(tzinfo=UTC) for one in (since, until))
    zone = ZoneInfo(made["timezone"])
    return [start.astimezone(zone).strftime("%a %d %b %H:%M") for start in starts_between(made, *bounds)]


def test_six_in_the_evening_stays_so_when_clocks_change() -> None:
    made = schedule("2026-03-20", "18:00", frequency="weekly", weekdays=[5, 0])
    assert walls(made, "2026-03-20", "2026-04-04") == [
        "Fri 20 Mar 18:00", "Sun 22 Mar 18:00", "Fri 27 Mar 18:00", "Sun 29 Mar 18:00", "Fri 03 Apr 18:00",
    ]  # fmt: skip
    starts = starts_between(made, *ALWAYS)[2:4]
    assert [start.hour for start in starts] == [17, 16]  # in UTC


def test_a_time_that_does_not_come_moves_forward_on_that_day_only() -> None:
    made = schedule("2026-03-29", "02:30", frequency="daily")  # the first date is the very night
    assert walls(made, "2026-03-29", "2026-04-01") == ["Sun 29 Mar 03:30", "Mon 30 Mar 02:30", "Tue 31 Mar 02:30"]


def test_a_time_that_comes_twice_is_the_first() -> None:
    made = schedule("2026-10-24", "02:30", frequency="daily")
    starts = starts_between(made, datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 10, 27, tzinfo=UTC))
    assert [start.strftime("%d %H:%M") for start in starts] == ["24 00:30", "25 00:30", "26 01:30"]


def test_a_repetition_ends_on_a_day_or_after_a_number() -> None:
    until = schedule("2026-01-05", "09:00", frequency="weekly", weekdays=[1], ends_on_date=date(2026, 1, 26))
    assert len(starts_between(until, *ALWAYS)) == 4
    counted = schedule("2026-01-05", "09:00", frequency="weekly", weekdays=[1, 3], max_occurrences=5)
    assert len(starts_between(counted, *ALWAYS)) == 5
    assert dates_until(counted, date(2026, 1, 12)) == 2
    once = schedule("2026-01-05", "09:00", frequency="once")
    assert len(starts_between(once, *ALWAYS)) == 1
    assert first_start(once, once["startTime"]) == once["startTime"]
    assert first_start(once, once["startTime"] + timedelta(seconds=1)) is None


def test_skipped_days_are_skipped_and_counted() -> None:
    made = schedule(
        "2026-01-01", "09:00", frequency="daily", interval=2, max_occurrences=4, exceptions=[date(2026, 1, 3)]
    )
    assert walls(made, "2026-01-01", "2026-02-01") == ["Thu 01 Jan 09:00", "Mon 05 Jan 09:00", "Wed 07 Jan 09:00"]


def test_the_thirty_first_comes_in_long_months_only() -> None:
    made = schedule("2026-01-31", "09:00", frequency="monthly")
    assert walls(made, "2026-01-01", "2026-06-01") == ["Sat 31 Jan 09:00", "Tue 31 Mar 09:00", "Sun 31 May 09:00"]


def test_every_second_week_counts_from_the_first() -> None:
    made = schedule("2026-01-07", "09:00", frequency="weekly", interval=2, weekdays=[1, 3])
    assert walls(made, "2026-01-01", "2026-02-10") == [
        "Wed 07 Jan 09:00", "Mon 19 Jan 09:00", "Wed 21 Jan 09:00", "Mon 02 Feb 09:00", "Wed 04 Feb 09:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"frequency": "daily", "weekdays": [1]},
        {"frequency": "weekly", "weekdays": [7]},
        {"frequency": "weekly", "weekdays": [1, 1]},
        {"frequency": "weekly", "interval": 0},
        {"frequency": "weekly", "ends_on_date": "2026-01-01", "max_occurrences": 3},
        {"frequency": "weekly", "max_occurrences": 0},
        {"frequency": "weekly", "ends_on_date": "9999-01-01"},
        {"frequency": "yearly"},
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        checked(Repetition, **wrong)


ZONES = ["Europe/Istanbul", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "UTC"]


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    first=st.dates(date(2025, 1, 1), date(2027, 12, 31)),
    minute=st.integers(0, 1439),
    interval=st.integers(1, 4),
    days=st.sets(st.integers(0, 6)),
    frequency=st.sampled_from(["daily", "weekly"]),
)
def test_it_agrees_with_looking_at_every_day(
    zone: str, first: date, minute: int, interval: int, days: set[int], frequency: str
) -> None:
    """An oracle that asks of each day whether the class takes place on it, and when its clock shows the time."""
    own = (first.weekday() + 1) % 7
    weekdays = sorted(days | {own}) if frequency == "weekly" and days else []
    clock = f"{minute // 60:02}:{minute % 60:02}"
    made = schedule(first.isoformat(), clock, zone, frequency=frequency, interval=interval, weekdays=weekdays)
    monday = first - timedelta(days=first.weekday())
    expected = []
    for step in range(120):
        day = first + timedelta(days=step)
        if frequency == "daily":
            takes_place = step % interval == 0
        else:
            week = (day - monday).days // 7
            takes_place = week % interval == 0 and (day.weekday() + 1) % 7 in (weekdays or [own])
        if takes_place:
            expected.append(earliest(ZoneInfo(zone), day, clock))
    since = made["startTime"]
    last = datetime.combine(first + timedelta(days=120), datetime.min.time(), ZoneInfo(zone)).astimezone(UTC)
    assert starts_between(made, since, last) == [start for start in expected if start < last]
    middle = len(expected) // 2
    assert starts_between(made, expected[middle], last) == [one for one in expected[middle:] if one < last]


def earliest(zone: ZoneInfo, day: date, clock: str) -> datetime:
    """The first instant of a day's neighbourhood at which a clock shows the time, or as much later as it jumps."""
    begin = datetime.combine(day, datetime.min.time(), UTC) - timedelta(hours=14)
    wanted = f"{day} {clock}"
    for step in range(0, 60 * 42, 30):  # half-hour steps, because no zone jumps by less
        at = begin + timedelta(minutes=step + int(clock[3:]) % 30)
        if at.astimezone(zone).strftime("%Y-%m-%d %H:%M") == wanted:
            return at
    before = begin  # the clock jumps over it: by the offset before the jump it would have come here
    naive = datetime.fromisoformat(f"{day}T{clock}")
    offset = before.astimezone(zone).utcoffset()
    assert offset is not None
    return (naive - offset).replace(tzinfo=UTC)
