"""A facility's days as a pure fold over what happened there: no store, no clock, and no order of the events matters.

Every event counts on the facility's local day; a refund counts on its own. A person is active on the days that a
membership which was paid for covers, once however many there are; one that was cancelled covers none after that day.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Moved:
    """Money came in, or went back (`refund`, which a chargeback is, too)."""

    at: datetime
    amount: Decimal
    refund: bool


@dataclass(frozen=True, slots=True)
class Joined:
    """Somebody's first membership began."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """A membership that was paid for covers its holder from `first` until the day before `after`."""

    person: str
    first: date
    after: date


@dataclass(frozen=True, slots=True)
class Renewed:
    """One more term was paid."""

    day: date


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A membership was cancelled."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Visited:
    """Somebody came in."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Offered:
    """A date of a class took place, with so many seats."""

    at: datetime
    capacity: int


@dataclass(frozen=True, slots=True)
class Booked:
    """What became of a place on a date that starts `at`."""

    at: datetime
    status: str


Happened = Moved | Joined | Held | Renewed | Cancelled | Visited | Offered | Booked

_OF_STATUS = {"attended": "attended", "no_show": "no_shows", "late_cancelled": "late_cancelled"}
_SEATS = frozenset({"booked", "attended", "no_show"})


class Fold:
    """The days from `first` to `last`; events of other days are left out."""

    def __init__(self, zone: ZoneInfo, first: date, last: date) -> None:
        self._zone = zone
        self._first = first
        self._last = last
        self._money: defaultdict[date, Decimal] = defaultdict(Decimal)
        self._refunded: defaultdict[date, Decimal] = defaultdict(Decimal)
        self._counts: defaultdict[date, Counter[str]] = defaultdict(Counter)
        self._held: defaultdict[str, list[tuple[date, date]]] = defaultdict(list)

    def take(self, event: Happened) -> None:
        """Count one event."""
        if isinstance(event, Held):
            self._held[event.person].append((event.first, event.after))
            return
        day = event.day if isinstance(event, Renewed) else event.at.astimezone(self._zone).date()
        if not self._first <= day <= self._last:
            return
        counts = self._counts[day]
        match event:
            case Moved(amount=amount, refund=True):
                self._refunded[day] += amount
                counts["refunds"] += 1
            case Moved(amount=amount):
                self._money[day] += amount
                counts["payments"] += 1
            case Joined():
                counts["new"] += 1
            case Renewed():
                counts["renewals"] += 1
            case Cancelled():
                counts["cancellations"] += 1
            case Visited():
                counts["visits"] += 1
            case Offered(capacity=capacity):
                counts["classes"] += 1
                counts["capacity"] += capacity
            case Booked(status=status):
                counts["seats"] += status in _SEATS
                if status in _OF_STATUS:
                    counts[_OF_STATUS[status]] += 1

    def days(self, currency: str, exponent: int) -> list[dict[str, Any]]:
        """Every day as a row of `finance.analytics_daily`, earliest first, also one on which nothing happened."""
        unit = Decimal(1).scaleb(-exponent)
        active = self._active()
        rows = []
        day = self._first
        while day <= self._last:
            counts = self._counts.get(day, Counter())
            refunded = self._refunded.get(day, Decimal(0))
            rows.append(
                {
                    "date": day,
                    "new_members": counts["new"],
                    "active_members": active[day],
                    "total_revenue": (self._money.get(day, Decimal(0)) - refunded).quantize(unit),
                    "currency": currency,
                    "class_attendance": counts["attended"],
                    "subscription_renewals": counts["renewals"],
                    "subscription_cancellations": counts["cancellations"],
                    "metrics": {
                        "visits": counts["visits"],
                        "payments": counts["payments"],
                        "refunds": counts["refunds"],
                        "refunded": f"{refunded.quantize(unit):f}",
                        "classes": counts["classes"],
                        "capacity": counts["capacity"],
                        "seats": counts["seats"],
                        "noShows": counts["no_shows"],
                        "lateCancelled": counts["late_cancelled"],
                    },
                }
            )
            day += _DAY
        return rows

    def _active(self) -> dict[date, int]:
        """People with a membership on each day."""
        change: Counter[date] = Counter()
        for terms in self._held.values():
            until = self._first
            for first, after in sorted(terms):
                begins, ends = max(first, until), min(after, self._last + _DAY)
                if begins < ends:
                    change[begins] += 1
                    change[ends] -= 1
                    until = ends
        active: dict[date, int] = {}
        now, day = 0, self._first
        while day <= self._last:
            now += change[day]
            active[day] = now
            day += _DAY
        return active


def fold(
    zone: ZoneInfo, first: date, last: date, events: Iterable[Happened], currency: str, exponent: int
) -> list[dict[str, Any]]:
    """The days of events that are all at hand."""
    figures = Fold(zone, first, last)
    for event in events:
        figures.take(event)
    return figures.days(currency, exponent)
