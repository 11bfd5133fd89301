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


@dataclass(frozen=True, slots=True)
class Policy:
    """A facility's `BookingPolicy` as spans of time."""

    opens: timedelta
    cutoff: timedelta
    freeze: timedelta
    grace: timedelta

    @classmethod
    def of(cls, facility: Mapping[str, Any]) -> Policy:
        """The policy of a facility record; what it does not say is the platform's default."""
        stored = BookingPolicy.model_validate(facility.get("bookingPolicy") or {})
        return cls(
            timedelta(days=stored.opens_days_before),
            timedelta(minutes=stored.cancel_minutes_before),
            timedelta(minutes=stored.freeze_minutes_before),
            timedelta(minutes=stored.no_show_minutes_after),
        )


def horizon_of(facility: Mapping[str, Any]) -> timedelta:
    """How far ahead the dates of a facility's classes are made: at least until their booking opens."""
    stored = BookingPolicy.model_validate(facility.get("bookingPolicy") or {})
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
