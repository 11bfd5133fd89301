"""The fold over what happened: local days, a refund on its own, each person once, and no matter in which order."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from nexfit.domains.analytics.charts import share
from nexfit.domains.analytics.figures import (
    Booked,
    Cancelled,
    Happened,
    Held,
    Joined,
    Moved,
    Offered,
    Renewed,
    Visited,
    fold,
)

ISTANBUL, BERLIN = ZoneInfo("Europe/Istanbul"), ZoneInfo("Europe/Berlin")
FIRST, LAST = date(2026, 3, 28), date(2026, 3, 30)


def days(*events: Happened, zone: ZoneInfo = BERLIN) -> dict[date, dict[str, object]]:
    return {row["date"]: row for row in fold(zone, FIRST, LAST, events, "TRY", 2)}


def test_a_day_without_anything_is_there_with_nothing_in_it() -> None:
    found = days()
    assert list(found) == [FIRST, date(2026, 3, 29), LAST]
    assert str(found[FIRST]["total_revenue"]) == "0.00"
    assert found[FIRST]["metrics"] == {
        "visits": 0, "payments": 0, "refunds": 0, "refunded": "0.00", "classes": 0, "capacity": 0, "seats": 0,
        "noShows": 0, "lateCancelled": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("at", "day"),
    [
        (datetime(2026, 3, 28, 22, 59, tzinfo=UTC), date(2026, 3, 28)),
        (datetime(2026, 3, 28, 23, 0, tzinfo=UTC), date(2026, 3, 29)),
        (datetime(2026, 3, 29, 21, 59, tzinfo=UTC), date(2026, 3, 29)),  # the 23 hours of that day are over
        (datetime(2026, 3, 29, 22, 0, tzinfo=UTC), date(2026, 3, 30)),
    ],
)
def test_an_event_counts_on_its_local_day(at: datetime, day: date) -> None:
    found = days(Visited(at))
    assert [one for one, row in found.items() if row["metrics"]["visits"]] == [day]  # type: ignore[index]


def test_a_refund_counts_on_its_own_day_which_may_be_below_zero() -> None:
    noon = datetime(2026, 3, 28, 12, tzinfo=UTC)
    found = days(
        Moved(noon, Decimal("100.00"), refund=False), Moved(noon + timedelta(days=1), Decimal("30.50"), refund=True)
    )
    assert [str(row["total_revenue"]) for row in found.values()] == ["100.00", "-30.50", "0.00"]
    assert [row["metrics"]["refunded"] for row in found.values()] == ["0.00", "30.50", "0.00"]  # type: ignore[index]


def test_a_person_counts_once_on_each_day_some_membership_covers() -> None:
    day = date(2026, 3, 29)
    found = days(
        Held("a", date(2020, 1, 1), day), Held("a", FIRST, LAST), Held("a", FIRST, FIRST + timedelta(days=1)),
        Held("b", LAST, date(2030, 1, 1)), Held("c", date(2020, 1, 1), FIRST),
        Held("d", LAST + timedelta(days=1), date(2030, 1, 1)),
    )  # fmt: skip
    assert [row["active_members"] for row in found.values()] == [1, 1, 1]


def test_every_state_of_a_place_counts_where_it_belongs() -> None:
    at = datetime(2026, 3, 28, 12, tzinfo=UTC)
    found = days(
        Offered(at, 10), Offered(at, 5), Joined(at), Cancelled(at), Renewed(FIRST), Renewed(LAST),
        *(Booked(at, status) for status in (
            "booked", "attended", "attended", "no_show", "late_cancelled", "cancelled", "waitlisted", "expired",
            "cancelled_by_facility")),
    )[FIRST]  # fmt: skip
    assert (found["class_attendance"], found["new_members"], found["subscription_cancellations"]) == (2, 1, 1)
    assert found["subscription_renewals"] == 1
    assert found["metrics"] == {
        "visits": 0, "payments": 0, "refunds": 0, "refunded": "0.00", "classes": 2, "capacity": 15, "seats": 4,
        "noShows": 1, "lateCancelled": 1,
    }  # fmt: skip


def test_no_order_and_no_cut_of_the_range_changes_a_day() -> None:
    chance = random.Random(7)  # noqa: S311
    begin = datetime(2026, 10, 20, tzinfo=UTC)
    events: list[Happened] = []
    for _ in range(600):
        at = begin + timedelta(minutes=chance.randrange(12 * 1440))
        kind = chance.randrange(5)
        if kind == 0:
            events.append(Moved(at, Decimal(chance.randrange(1, 99999)) / 100, refund=chance.random() < 0.3))
        elif kind == 1:
            events.append(Visited(at))
        elif kind == 2:
            start = at.date()
            events.append(Held(str(chance.randrange(40)), start, start + timedelta(days=chance.randrange(1, 9))))
        elif kind == 3:
            events.append(Booked(at, chance.choice(["attended", "no_show", "booked"])))
        else:
            events.append(Joined(at))
    first, last = date(2026, 10, 22), date(2026, 10, 29)
    whole = fold(BERLIN, first, last, events, "TRY", 2)
    chance.shuffle(events)
    assert fold(BERLIN, first, last, events, "TRY", 2) == whole
    single = [first + timedelta(days=n) for n in range(8)]
    cut = [row for day in single for row in fold(BERLIN, day, day, events, "TRY", 2)]
    assert cut == whole


def test_a_share_of_nothing_is_not_there() -> None:
    assert share(1, 0) is None
    assert share(1, None) is None
    assert share(1, 3) == Decimal("0.3333")
    assert share(2, 3) == Decimal("0.6667")
