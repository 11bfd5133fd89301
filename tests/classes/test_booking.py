"""Booking and leaving a date (workflow 1): who gets a place, who does not and why, and what a place costs the week."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from bson import ObjectId

from nexfit.domains.classes import attendance, booking, cancellation
from nexfit.domains.classes.documents import BookingStatus
from nexfit.domains.classes.errors import (
    AlreadyBooked,
    BookingBlocked,
    BookingClash,
    BookingClosed,
    ClassFull,
    InvalidTransition,
)
from nexfit.domains.errors import NotFound, Refusal, Unauthenticated
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.memberships.errors import MembershipRequired, WeeklyLimitReached

from .conftest import DAY, NOW, Gym

HOUR = timedelta(hours=1)


async def book(gym: Gym, actor: Actor, date: ObjectId, **more: object) -> ObjectId:
    """Book as this actor at NOW."""
    return await booking.book(gym.desk, actor, date, **{"member": None, "key": str(ObjectId()), "now": NOW, **more})  # type: ignore[arg-type]


async def test_a_seat_then_the_waitlist_then_nothing(gym: Gym) -> None:
    date = await gym.date(NOW + DAY, capacity=2, waitlist=2)
    for _ in range(4):
        await book(gym, await gym.member(), date)
    with pytest.raises(ClassFull):
        await book(gym, await gym.member(), date)
    assert await gym.states(date) == {"booked": 2, "waitlisted": 2}
    assert [row.get("waitlistPosition") for row in await gym.bookings(date)] == [None, None, 1, 2]
    assert await gym.told(date) == ["ClassBooked", "ClassBooked", "WaitlistJoined", "WaitlistJoined"]


async def test_every_change_is_audited_and_a_refusal_leaves_nothing(gym: Gym) -> None:
    date = await gym.date(NOW + DAY)
    member = await gym.member()
    made = await book(gym, member, date)
    audits = await gym.database.audit_entries.find({"entityId": str(made)}).to_list()
    assert [(row["action"], row["userId"]) for row in audits] == [("class_booking.booked", member.user_id)]
    before = [await gym.database[name].count_documents({}) for name in ("class_bookings", "outbox", "audit_entries")]
    with pytest.raises(AlreadyBooked):
        await book(gym, member, date)
    after = [await gym.database[name].count_documents({}) for name in ("class_bookings", "outbox", "audit_entries")]
    assert after == before
    assert await gym.states(date) == {"booked": 1}


@pytest.mark.parametrize(
    ("starts_in", "refused"),
    [
        pytest.param(15 * DAY, BookingClosed, id="before the window opens"),
        pytest.param(14 * DAY, None, id="when it opens"),
        pytest.param(HOUR / 60, None, id="a minute before the start"),
        pytest.param(0 * HOUR, BookingClosed, id="at the start"),
    ],
)
async def test_the_window(gym: Gym, starts_in: timedelta, refused: type[Refusal] | None) -> None:
    date = await gym.date(NOW + starts_in)
    member = await gym.member()
    if refused is None:
        await book(gym, member, date)
        assert await gym.states(date) == {"booked": 1}
    else:
        with pytest.raises(refused):
            await book(gym, member, date)
        assert await gym.states(date) == {}


async def test_the_membership_is_valid_on_the_class_date_not_today(gym: Gym) -> None:
    date = await gym.date(NOW + 5 * DAY)
    for nobody in (
        Actor(ObjectId()),
        await gym.member(until=NOW + 4 * DAY),
        await gym.member(status="suspended"),
        await gym.member(status="frozen"),
    ):
        with pytest.raises(MembershipRequired):
            await book(gym, nobody, date)
    await book(gym, await gym.member(until=NOW + 5 * DAY), date)
    await book(gym, await gym.member(status="past_due"), date)
    assert await gym.states(date) == {"booked": 2}


async def test_the_weekly_limit_is_the_facilitys_local_week(gym: Gym) -> None:
    # NOW is a Monday. 20:30 UTC on a Sunday is still Sunday in Istanbul, 21:30 UTC is Monday already.
    sunday, monday = (NOW + 6 * DAY).replace(hour=20, minute=30), (NOW + 6 * DAY).replace(hour=21, minute=30)
    member = await gym.member(weekly=2)
    first = await book(gym, member, await gym.date(NOW + DAY))
    await book(gym, member, await gym.date(NOW + 2 * DAY))
    on_sunday = await gym.date(sunday)
    with pytest.raises(WeeklyLimitReached):
        await book(gym, member, on_sunday)
    await book(gym, member, await gym.date(monday))
    assert await cancellation.cancel(gym.desk, member, first, now=NOW) is BookingStatus.CANCELLED
    await book(gym, member, on_sunday)


async def test_a_late_cancel_uses_the_week_up(gym: Gym) -> None:
    member = await gym.member(weekly=1)
    date = await gym.date(NOW + HOUR)
    made = await book(gym, member, date)
    assert await cancellation.cancel(gym.desk, member, made, now=NOW) is BookingStatus.LATE_CANCELLED
    with pytest.raises(WeeklyLimitReached):
        await book(gym, member, await gym.date(NOW + DAY))
    assert await gym.told(date) == ["ClassBooked", "BookingLateCancelled"]


async def test_dates_that_touch_do_not_clash_and_those_that_overlap_do(gym: Gym) -> None:
    member = await gym.member()
    await book(gym, member, await gym.date(NOW + DAY))
    with pytest.raises(BookingClash):
        await book(gym, member, await gym.date(NOW + DAY + HOUR / 2))
    with pytest.raises(BookingClash):
        await book(gym, member, await gym.date(NOW + DAY - HOUR / 2))
    await book(gym, member, await gym.date(NOW + DAY + HOUR))
    await book(gym, member, await gym.date(NOW + DAY - HOUR))


async def test_a_freed_seat_passes_over_who_may_not_have_it_and_says_why(gym: Gym) -> None:
    date = await gym.date(NOW + DAY, capacity=1)
    holder = await gym.member()
    made = await book(gym, holder, date)
    lapsed, used_up, busy, next_one, last = [
        await gym.member(), await gym.member(weekly=1), await gym.member(), await gym.member(), await gym.member(),
    ]  # fmt: skip
    for member in (lapsed, used_up, busy, next_one, last):
        await book(gym, member, date)
    await gym.database.member_subscriptions.update_one({"userId": lapsed.user_id}, {"$set": {"status": "suspended"}})
    await book(gym, used_up, await gym.date(NOW + 2 * DAY))
    other = await gym.date(NOW + 3 * DAY)
    await book(gym, busy, other)
    moved = {"startsAt": NOW + DAY, "endsAt": NOW + DAY + HOUR}
    await gym.database.class_occurrences.update_one({"_id": other}, {"$set": moved})
    await gym.database.class_bookings.update_one({"occurrenceId": other}, {"$set": {"date": NOW + DAY}})

    await cancellation.cancel(gym.desk, holder, made, now=NOW)

    by_user = {row["userId"]: row for row in await gym.bookings(date)}
    assert by_user[next_one.user_id]["status"] == "booked"
    assert [by_user[member.user_id]["status"] for member in (lapsed, used_up, busy, last)] == ["waitlisted"] * 4
    assert [by_user[member.user_id]["passedOver"]["reason"] for member in (lapsed, used_up, busy)] == [
        "MEMBERSHIP_REQUIRED",
        "WEEKLY_LIMIT_REACHED",
        "BOOKING_CLASH",
    ]
    assert "passedOver" not in by_user[last.user_id]
    assert await gym.states(date) == {"cancelled": 1, "booked": 1, "waitlisted": 4}
    assert (await gym.told(date))[-2:] == ["BookingCancelled", "WaitlistPromoted"]


async def test_nobody_is_promoted_inside_the_freeze_window(gym: Gym) -> None:
    date = await gym.date(NOW + DAY, capacity=1)
    holder, waiting = await gym.member(), await gym.member()
    made = await book(gym, holder, date)
    await book(gym, waiting, date)
    await cancellation.cancel(gym.desk, holder, made, now=NOW + DAY - HOUR / 2)
    assert await gym.states(date) == {"late_cancelled": 1, "waitlisted": 1}


async def test_leaving_twice_is_leaving_once_and_nobody_leaves_what_has_begun(gym: Gym) -> None:
    date = await gym.date(NOW + DAY)
    member = await gym.member()
    made = await book(gym, member, date)
    with pytest.raises(InvalidTransition):
        await cancellation.cancel(gym.desk, member, made, now=NOW + DAY)
    for _ in range(2):
        assert await cancellation.cancel(gym.desk, member, made, now=NOW) is BookingStatus.CANCELLED
    assert await gym.states(date) == {"cancelled": 1}
    assert await gym.told(date) == ["ClassBooked", "BookingCancelled"]


async def test_strangers_see_no_booking_and_guests_are_to_sign_in(gym: Gym) -> None:
    date = await gym.date(NOW + DAY)
    member, stranger = await gym.member(), await gym.member()
    made = await book(gym, member, date)
    for refused, actor in ((NotFound, stranger), (Unauthenticated, GUEST)):
        with pytest.raises(refused):
            await cancellation.cancel(gym.desk, actor, made, now=NOW)
        with pytest.raises(refused):
            await cancellation.cancel_date(gym.desk, actor, date, reason=None, now=NOW)
    with pytest.raises(NotFound):
        await book(gym, stranger, date, member=member.user_id)
    with pytest.raises(NotFound):
        await book(gym, member, ObjectId())
    assert await gym.states(date) == {"booked": 1}


async def test_staff_book_a_walk_in_after_the_start_by_the_same_rules(gym: Gym) -> None:
    date = await gym.date(NOW - HOUR / 4, capacity=1, waitlist=0)
    walk_in = await gym.member()
    await book(gym, gym.owner, date, member=walk_in.user_id)
    with pytest.raises(ClassFull):
        await book(gym, gym.owner, date, member=(await gym.member()).user_id)
    with pytest.raises(MembershipRequired):
        await book(gym, gym.owner, await gym.date(NOW), member=ObjectId())
    assert await gym.states(date) == {"booked": 1}


async def test_a_date_called_off_gives_every_quota_back(gym: Gym) -> None:
    date = await gym.date(NOW + DAY, capacity=1)
    members = [await gym.member(weekly=1) for _ in range(3)]
    for member in members:
        await book(gym, member, date)
    assert await cancellation.cancel_date(gym.desk, gym.owner, date, reason="Burst pipe", now=NOW) == 3
    assert await cancellation.cancel_date(gym.desk, gym.owner, date, reason="Burst pipe", now=NOW) == 0
    assert await gym.states(date) == {"cancelled_by_facility": 3}
    for member in members:
        await book(gym, member, await gym.date(NOW + 2 * DAY))
    with pytest.raises(BookingClosed):
        await book(gym, await gym.member(), date)


@pytest.fixture
async def policy(gym: Gym) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """Makes the facility say something of booking, for one test."""

    async def says(**values: object) -> None:
        await gym.database.facilities.update_one({"_id": gym.facility}, {"$set": {"bookingPolicy": values}})

    yield says
    await gym.database.facilities.update_one({"_id": gym.facility}, {"$unset": {"bookingPolicy": ""}})


async def test_a_facility_decides_what_leaving_late_and_not_coming_cost(
    gym: Gym, policy: Callable[..., Awaitable[None]]
) -> None:
    await policy(lateCancelUsesQuota=False, noShowUsesQuota=False)
    member = await gym.member(weekly=1)
    late = await book(gym, member, await gym.date(NOW + HOUR))
    assert await cancellation.cancel(gym.desk, member, late, now=NOW) is BookingStatus.LATE_CANCELLED
    soon = await gym.date(NOW + 2 * HOUR)
    missed = await book(gym, member, soon)  # the late cancel cost nothing
    assert await attendance.close_dates(gym.desk, now=NOW + 4 * HOUR) >= 1
    assert await gym.states(soon) == {"no_show": 1}
    held = await book(gym, member, await gym.date(NOW + DAY))  # nor did the no-show
    await cancellation.cancel(gym.desk, member, held, now=NOW)
    await attendance.mark(gym.desk, gym.owner, missed, attended=True, now=NOW + 4 * HOUR)
    with pytest.raises(WeeklyLimitReached):  # who was there after all has used the week up
        await book(gym, member, await gym.date(NOW + 2 * DAY))
    await attendance.mark(gym.desk, gym.owner, missed, attended=False, now=NOW + 4 * HOUR)
    await policy()  # what was missed under the old rule costs what it cost then
    await book(gym, member, await gym.date(NOW + 2 * DAY))


async def test_a_class_says_otherwise_than_its_facility(gym: Gym, policy: Callable[..., Awaitable[None]]) -> None:
    await policy(opensDaysBefore=2, cancelMinutesBefore=0, lateCancelUsesQuota=False)
    date, usual = await gym.date(NOW + 4 * DAY), await gym.date(NOW + 4 * DAY + HOUR)
    own = {"opensDaysBefore": 5, "cancelMinutesBefore": 6 * 24 * 60, "lateCancelUsesQuota": True}
    await gym.database.class_occurrences.update_one({"_id": date}, {"$set": {"bookingPolicy": own}})
    member = await gym.member(weekly=1)
    with pytest.raises(BookingClosed):
        await book(gym, member, usual)
    made = await book(gym, member, date)
    assert await cancellation.cancel(gym.desk, member, made, now=NOW) is BookingStatus.LATE_CANCELLED
    with pytest.raises(WeeklyLimitReached):
        await book(gym, member, await gym.date(NOW + DAY))


async def test_who_misses_too_many_dates_books_nothing_until_the_first_is_long_ago(
    gym: Gym, policy: Callable[..., Awaitable[None]]
) -> None:
    member, other = await gym.member(), await gym.member()
    for before in (12, 9, 3):  # the first is too long ago to count
        day = await gym.date(NOW - before * DAY)
        for who in (member, other):
            booked = await book(gym, who, day, now=NOW - (before + 1) * DAY)
            if who is member or before != 3:
                end = NOW - before * DAY + HOUR
                await attendance.mark(gym.desk, gym.owner, booked, attended=False, now=end)
    await policy(mostNoShows=2, noShowDays=10)
    date = await gym.date(NOW + DAY)
    before = await gym.database.outbox.count_documents({})
    with pytest.raises(BookingBlocked) as refused:
        await book(gym, member, date)
    assert refused.value.values["at"] == (NOW + DAY).isoformat()
    assert await gym.database.outbox.count_documents({}) == before
    assert await gym.states(date) == {}
    await book(gym, other, date)
    await book(gym, gym.owner, date, member=member.user_id)  # staff may
    await book(gym, member, await gym.date(NOW + 3 * DAY), now=NOW + DAY)  # ten days after the first that counted
