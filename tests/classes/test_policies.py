"""The rules of time, without any store: windows, local weeks and overlaps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nexfit.domains.classes.policies import Policy, may_cancel_free, overlap, promotes
from nexfit.domains.facilities.hours import local_week

AT = datetime(2026, 6, 15, 16, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_facility_that_says_nothing_has_the_platforms_policy() -> None:
    policy = Policy.of({})
    assert (policy.opens, policy.cutoff, policy.freeze, policy.grace) == (
        timedelta(days=14), 2 * HOUR, HOUR / 2, HOUR / 2,
    )  # fmt: skip
    assert Policy.of({"bookingPolicy": {"cancelMinutesBefore": 0}}).cutoff == timedelta(0)


def test_the_cutoff_itself_is_in_time_and_the_freeze_itself_is_too_late() -> None:
    policy = Policy.of({"bookingPolicy": {"cancelMinutesBefore": 60, "freezeMinutesBefore": 60}})
    assert may_cancel_free(AT, AT - HOUR, policy)
    assert not may_cancel_free(AT, AT - HOUR + timedelta(seconds=1), policy)
    assert promotes(AT, AT - HOUR - timedelta(seconds=1), policy)
    assert not promotes(AT, AT - HOUR, policy)


@pytest.mark.parametrize(
    ("instant", "zone", "monday", "hours"),
    [
        (datetime(2026, 6, 14, 21, 0, tzinfo=UTC), "Europe/Istanbul", "2026-06-14T21:00:00+00:00", 168),
        (datetime(2026, 6, 14, 20, 59, tzinfo=UTC), "Europe/Istanbul", "2026-06-07T21:00:00+00:00", 168),
        # Clocks go forward on 29 March and back on 25 October in Warsaw: those weeks have another length.
        (datetime(2026, 3, 27, 12, 0, tzinfo=UTC), "Europe/Warsaw", "2026-03-22T23:00:00+00:00", 167),
        (datetime(2026, 10, 25, 12, 0, tzinfo=UTC), "Europe/Warsaw", "2026-10-18T22:00:00+00:00", 169),
    ],
)
def test_a_week_is_monday_to_sunday_on_the_facilitys_clock(
    instant: datetime, zone: str, monday: str, hours: int
) -> None:
    week = local_week(zone, instant)
    assert week.begins.astimezone(UTC).isoformat() == monday
    assert week.ends.astimezone(UTC) - week.begins.astimezone(UTC) == timedelta(hours=hours)
    assert week.begins <= instant < week.ends


def test_intervals_are_half_open() -> None:
    assert overlap(AT, AT + HOUR, AT + HOUR / 2, AT + 2 * HOUR)
    assert overlap(AT, AT + HOUR, AT - HOUR, AT + 2 * HOUR)
    assert not overlap(AT, AT + HOUR, AT + HOUR, AT + 2 * HOUR)
    assert not overlap(AT, AT + HOUR, AT - HOUR, AT)
