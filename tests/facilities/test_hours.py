"""Opening hours: weekdays, nights, special days and clock changes. Needs no server."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from nexfit.domains.errors import BadInput
from nexfit.domains.facilities.hours import is_open, local_today, openings_on
from nexfit.domains.facilities.inputs import HoursChange, check_hours
from nexfit.domains.identity.validation import InvalidInput, checked


def opening(day: str, opens: str, closes: str) -> dict[str, Any]:
    return {"day": day, "openTime": opens, "closeTime": closes, "isClosed": False}


def gym(zone: str, hours: list[dict[str, Any]], **special: list[tuple[str, str]]) -> dict[str, Any]:
    """A facility; special days by `d` and the date's digits."""
    days = [
        {
            "date": datetime.strptime(day, "d%Y%m%d").replace(tzinfo=UTC),
            "openings": [{"openTime": opens, "closeTime": closes} for opens, closes in openings],
        }
        for day, openings in special.items()
    ]
    return {"timezone": zone, "operatingHours": hours, "specialDays": days}


WEEK = [
    opening("monday", "07:00", "23:00"),
    opening("friday", "22:00", "02:00"),
    {"day": "saturday", "isClosed": True},
    opening("sunday", "00:00", "00:00"),
    opening("tuesday", "09:00", "12:00"),
    opening("tuesday", "14:00", "18:00"),
]


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("2026-06-15 06:59:59", False),  # Monday
        ("2026-06-15 07:00", True),
        ("2026-06-15 22:59:59", True),
        ("2026-06-15 23:00", False),
        ("2026-06-16 11:59", True),  # Tuesday, with a break
        ("2026-06-16 12:00", False),
        ("2026-06-16 14:00", True),
        ("2026-06-17 10:00", False),  # no entry for Wednesday
        ("2026-06-19 21:59", False),  # Friday night
        ("2026-06-19 23:30", True),
        ("2026-06-20 01:59", True),  # is still Friday's opening, on a closed Saturday
        ("2026-06-20 02:00", False),
        ("2026-06-20 12:00", False),
        ("2026-06-21 00:00", True),  # Sunday, around the clock
        ("2026-06-21 23:59", True),
        ("2026-06-22 00:00", False),
        ("2026-06-22 03:00", False),
    ],
)
@pytest.mark.parametrize("zone", ["Europe/Istanbul", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "UTC"])
def test_a_facility_is_open_by_its_own_wall_clock(zone: str, local: str, expected: bool) -> None:
    now = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    assert is_open(gym(zone, WEEK), now) is expected


def test_hours_follow_the_clock_through_its_changes() -> None:
    nights = [opening("saturday", "22:00", "03:00"), opening("sunday", "02:15", "02:45")]

    def berlin(instant: str) -> bool:
        return is_open(gym("Europe/Berlin", nights), datetime.fromisoformat(instant))

    # 29 March 2026: 02:00 becomes 03:00, so the night ends an hour of real time early, and 02:15 never is.
    assert berlin("2026-03-29T00:59:00+00:00")  # 01:59
    assert not berlin("2026-03-29T01:00:00+00:00")  # 03:00
    # 25 October 2026: 03:00 becomes 02:00, so 02:30 is twice and open both times.
    assert berlin("2026-10-25T00:30:00+00:00")
    assert berlin("2026-10-25T01:30:00+00:00")
    assert not berlin("2026-10-25T02:00:00+00:00")  # 03:00
    # The same opening in summer and winter is another instant.
    summer, winter = datetime(2026, 7, 6, 5, 30, tzinfo=UTC), datetime(2026, 1, 5, 5, 30, tzinfo=UTC)
    assert is_open(gym("Europe/Berlin", WEEK), summer)
    assert not is_open(gym("Europe/Berlin", WEEK), winter)


def test_today_is_the_facilitys_day() -> None:
    now = datetime(2026, 12, 31, 21, 30, tzinfo=UTC)
    assert local_today("Europe/Istanbul", now) == date(2027, 1, 1)
    assert local_today("America/New_York", now) == date(2026, 12, 31)


def test_a_special_day_takes_the_place_of_its_weekday() -> None:
    zone = "Europe/Istanbul"
    new_year = gym(
        zone,
        [opening(day, "18:00", "02:00") for day in ("wednesday", "thursday", "friday")],
        d20261231=[("10:00", "14:00"), ("20:00", "04:00")],
        d20270101=[],
    )

    def at(local: str) -> bool:
        return is_open(new_year, datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)))

    assert at("2026-12-31 01:59")  # Wednesday night is still Wednesday's
    assert not at("2026-12-31 02:00")
    assert at("2026-12-31 13:59")
    assert not at("2026-12-31 18:30")  # Thursday's own hours do not count
    assert at("2027-01-01 03:59")  # and new year's eve ends when it ends, on a closed day
    assert not at("2027-01-01 04:00")
    assert not at("2027-01-01 19:00")
    assert not at("2027-01-02 01:00")
    assert at("2027-01-07 19:00")
    assert openings_on(new_year, date(2027, 1, 8)) == [("18:00", "02:00")]


def test_an_hour_that_comes_twice_is_not_closed_in_between() -> None:
    """Berlin, 25 October 2026: the clock shows 02:00 to 03:00 twice."""

    def is_it(hours: list[dict[str, Any]], instant: str) -> bool:
        return is_open(gym("Europe/Berlin", hours), datetime.fromisoformat(instant))

    night = [opening("saturday", "22:00", "02:30")]
    assert is_it(night, "2026-10-25T00:29:59+00:00")
    assert not is_it(night, "2026-10-25T00:30:00+00:00")  # closed at the first 02:30
    assert not is_it(night, "2026-10-25T01:15:00+00:00")  # and not open again when 02:15 comes once more
    early = [opening("sunday", "02:30", "06:00")]
    assert not is_it(early, "2026-10-25T00:29:00+00:00")
    assert is_it(early, "2026-10-25T00:31:00+00:00")
    assert is_it(early, "2026-10-25T01:01:00+00:00")  # the clock shows 02:01, and the door is open
    assert is_it(early, "2026-10-25T04:59:00+00:00")
    # 29 March: 02:30 does not come, and the door opens when it would have.
    assert not is_it(early, "2026-03-29T01:29:00+00:00")
    assert is_it(early, "2026-03-29T01:30:00+00:00")


@pytest.mark.parametrize(
    "zone", ["Africa/Cairo", "America/Havana", "America/Asuncion", "Australia/Lord_Howe", "Asia/Beirut"]
)
def test_open_around_the_clock_means_at_every_instant(zone: str) -> None:
    """Also where clocks change at midnight, or by half an hour."""
    always = gym(zone, [opening(day, "00:00", "00:00") for day in ("monday", "tuesday", "wednesday", "thursday")])
    always["operatingHours"] += [opening(day, "00:00", "00:00") for day in ("friday", "saturday", "sunday")]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert all(is_open(always, start + timedelta(minutes=30 * half)) for half in range(48 * 365))


WRONG: list[dict[str, Any]] = [
    {"hours": [("monday", "07:00", "12:00"), ("monday", "11:59", "20:00")]},
    {"hours": [("monday", "20:00", "03:00"), ("tuesday", "02:00", "09:00")]},
    {"hours": [("sunday", "20:00", "03:00"), ("monday", "02:00", "09:00")]},
    {"hours": [("monday", "00:00", "00:00"), ("tuesday", "00:00", "00:00"), ("monday", "09:00", "10:00")]},
    {"special_days": [("2026-12-31", []), ("2026-12-31", [])]},
    {"special_days": [("2026-12-31", [("10:00", "12:00"), ("11:00", "13:00")])]},
]


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_openings_that_overlap_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        check_hours(change(wrong))


def change(given: dict[str, Any]) -> HoursChange:
    hours = [{"day": day, "open_time": opens, "close_time": closes} for day, opens, closes in given.get("hours", ())]
    days = [
        {"date": day, "openings": [{"open_time": opens, "close_time": closes} for opens, closes in openings]}
        for day, openings in given.get("special_days", ())
    ]
    return checked(HoursChange, hours=hours, special_days=days)


def test_openings_may_meet() -> None:
    check_hours(
        change({"hours": [("sunday", "20:00", "03:00"), ("monday", "03:00", "09:00"), ("monday", "09:00", "20:00")]})
    )
    check_hours(change({"special_days": [("2026-12-31", [("10:00", "12:00"), ("12:00", "02:00")])]}))


@pytest.mark.parametrize("clock", ["24:00", "7:00", "07:60", "", "07:00:00"])
def test_a_clock_shows_hours_and_minutes(clock: str) -> None:
    with pytest.raises(InvalidInput):
        change({"hours": [("monday", clock, "12:00")]})
