"""When a date can be booked, left, entered and corrected. Pure rules; instants are UTC, the clock is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nexfit.domains.facilities.documents import BookingPolicy

CHECK_IN_OPENS = timedelta(minutes=30)
"""Before the start; it closes at the end."""

CORRECTION = timedelta(hours=24)
"""After the end, in which staff may say that somebody was there after all, or was not."""


_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Policy:
    """How a date is booked and left: `BookingPolicy` with its spans of time. `most_missed` None blocks nobody."""

    opens: timedelta
    cutoff: timedelta
    freeze: timedelta
    grace: timedelta
    late_uses_quota: bool
    missed_uses_quota: bool
    most_missed: int | None
    missed_within: timedelta

    @classmethod
    def of(cls, facility: Mapping[str, Any], date: Mapping[str, Any] = _NOTHING) -> Policy:
        """The policy of a date: what its class says, else its facility, else the platform."""
        stored = _stored(facility, date)
        return cls(
            timedelta(days=stored.opens_days_before),
            timedelta(minutes=stored.cancel_minutes_before),
            timedelta(minutes=stored.freeze_minutes_before),
            timedelta(minutes=stored.no_show_minutes_after),
            stored.late_cancel_uses_quota,
            stored.no_show_uses_quota,
            stored.most_no_shows,
            timedelta(days=stored.no_show_days),
        )


def _stored(facility: Mapping[str, Any], class_: Mapping[str, Any]) -> BookingPolicy:
    return BookingPolicy.model_validate(
        {**(facility.get("bookingPolicy") or {}), **(class_.get("bookingPolicy") or {})}
    )


def waitlist_of(facility: Mapping[str, Any]) -> int:
    """How many may wait for a date of a class that says nothing of it."""
    return _stored(facility, _NOTHING).waitlist_limit


def horizon_of(facility: Mapping[str, Any], class_: Mapping[str, Any] = _NOTHING) -> timedelta:
    """How far ahead the dates of a class are made: at least until their booking opens."""
    stored = _stored(facility, class_)
    return timedelta(days=max(stored.planned_days_ahead, stored.opens_days_before + 1))


def is_bookable(starts_at: datetime, now: datetime, policy: Policy) -> bool:
    """Whether members may book: from the window's opening until the start."""
    return starts_at - policy.opens <= now < starts_at


def may_cancel_free(starts_at: datetime, now: datetime, policy: Policy) -> bool:
    """Whether leaving now gives the week's quota back."""
    return now <= starts_at - policy.cutoff


def promotes(starts_at: datetime, now: datetime, policy: Policy) -> bool:
    """Whether a seat freed now goes to who waits; later nobody could still be expected to come."""
    return now < starts_at - policy.freeze


def may_check_in(starts_at: datetime, ends_at: datetime, now: datetime) -> bool:
    """Whether the door is open."""
    return starts_at - CHECK_IN_OPENS <= now <= ends_at


def may_correct(starts_at: datetime, ends_at: datetime, now: datetime) -> bool:
    """Whether staff may set attendance by hand."""
    return starts_at <= now <= ends_at + CORRECTION


def overlap(start: datetime, end: datetime, other_start: datetime, other_end: datetime) -> bool:
    """Whether two half-open intervals share a moment; one may begin when the other ends."""
    return start < other_end and other_start < end
