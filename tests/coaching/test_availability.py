"""A coach's hours: on the coach's own clock, past midnight and over clock changes, and what is free of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nexfit.domains.coaching import availability
from nexfit.domains.coaching.availability import WeeklyHours, free, opened
from nexfit.domains.coaching.errors import OutsideHours
from nexfit.domains.errors import BadInput, Forbidden, Unauthenticated
from nexfit.domains.identity.access import GUEST

from .conftest import NOW, Practice


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def weekly(timezone: str, *openings: tuple[str, str, str]) -> dict[str, Any]:
    hours = [{"day": day, "openTime": opens, "closeTime": closes} for day, opens, closes in openings]
    return {"timezone": timezone, "operatingHours": hours}


def test_hours_are_those_of_the_coachs_clock_over_clock_changes() -> None:
    berlin = weekly("Europe/Berlin", ("sunday", "01:00", "04:00"))
    # 29 March 2026: 02:00 becomes 03:00. 25 October 2026: 03:00 becomes 02:00.
    assert opened(berlin, at("2026-03-28T00:00"), at("2026-03-30T00:00")) == [
        (at("2026-03-29T00:00"), at("2026-03-29T02:00"))
    ]
    assert opened(berlin, at("2026-10-24T00:00"), at("2026-10-26T00:00")) == [
        (at("2026-10-24T23:00"), at("2026-10-25T03:00"))
    ]


def test_hours_run_past_midnight_touch_and_are_cut() -> None:
    night = weekly("UTC", ("monday", "22:00", "02:00"), ("tuesday", "02:00", "03:00"), ("tuesday", "10:00", "11:00"))
    assert opened(night, at("2026-06-15T23:00"), at("2026-06-16T10:30")) == [
        (at("2026-06-15T23:00"), at("2026-06-16T03:00")),
        (at("2026-06-16T10:00"), at("2026-06-16T10:30")),
    ]
    assert opened(night, at("2026-06-16T03:00"), at("2026-06-16T10:00")) == []


def test_what_is_taken_is_not_free_and_short_rests_are_left_out() -> None:
    day = [(at("2026-06-15T09:00"), at("2026-06-15T17:00"))]
    taken = [
        (at("2026-06-15T08:00"), at("2026-06-15T09:00")),  # touches
        (at("2026-06-15T10:00"), at("2026-06-15T11:00")),
        (at("2026-06-15T10:30"), at("2026-06-15T12:00")),
        (at("2026-06-15T12:30"), at("2026-06-15T18:00")),
    ]
    assert free(day, taken, timedelta(hours=1)) == [(at("2026-06-15T09:00"), at("2026-06-15T10:00"))]
    assert free(day, taken, timedelta(minutes=30))[1:] == [(at("2026-06-15T12:00"), at("2026-06-15T12:30"))]
    assert free(day, [(day[0][0], day[0][1])], timedelta(minutes=15)) == []


def hours(**more: Any) -> WeeklyHours:
    """Tuesdays from 9 to 12 in Istanbul: 6:00 to 9:00 UTC."""
    opening = {"day": "tuesday", "open_time": "09:00", "close_time": "12:00"}
    return WeeklyHours(**({"timezone": "Europe/Istanbul", "hours": [opening]} | more))


async def test_a_client_schedules_within_the_hours_and_the_coach_at_any_time(practice: Practice) -> None:
    client, relation = await practice.client()
    package = await practice.sell(relation, 10)
    with pytest.raises(OutsideHours):
        await practice.schedule(relation, 22, actor=client)  # the coach has said none
    await availability.set_hours(practice.units, practice.coach, hours(), now=NOW)
    # NOW is Monday 9:00 UTC; in 21 hours it is Tuesday 9:00 in Istanbul.
    for outside in (20.75, 23.25, 26, 69):
        with pytest.raises(OutsideHours):
            await practice.schedule(relation, outside, actor=client)
    assert await practice.credits(package) == (0, 0, 10, 0)
    await practice.schedule(relation, 22, actor=client)
    await practice.schedule(relation, 30)
    pair = [(practice.coach.require(), client.require())]
    [found] = await availability.free_of_pairs(practice.stores.mongo, pair, NOW, NOW + timedelta(days=2), 60)
    assert found == [
        (NOW + timedelta(hours=21), NOW + timedelta(hours=22)),
        (NOW + timedelta(hours=23), NOW + timedelta(hours=24)),
    ]
    await availability.set_hours(practice.units, practice.coach, hours(hours=[]), now=NOW)
    assert await availability.free_of_pairs(practice.stores.mongo, pair, NOW, NOW + timedelta(days=2), 60) == [[]]


async def test_who_may_not_and_hours_that_overlap_change_nothing(practice: Practice) -> None:
    client = await practice.person()
    twice = [
        {"day": "monday", "open_time": "09:00", "close_time": "12:00"},
        {"day": "monday", "open_time": "11:00", "close_time": "13:00"},
    ]
    for refused, who, given in (
        (Unauthenticated, GUEST, hours()),
        (Forbidden, client, hours()),
        (BadInput, practice.coach, hours(hours=twice)),
    ):
        with pytest.raises(refused):
            await availability.set_hours(practice.units, who, given, now=NOW)
    assert await practice.database.coach_hours.count_documents({"_id": {"$in": [client.user_id]}}) == 0
    assert await availability.of_coaches(practice.stores.mongo, [practice.coach.require()]) == {}
