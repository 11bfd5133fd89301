"""What two people do at the same moment: seats, quotas, clashes and promotions, over two processes' desks.

Who counts is a reader of the database that shares nothing with the code under test. `python -m bench lastseat` asks
for the last seat by HTTP, fifty times.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from bench import reader
from nexfit.domains.classes import attendance, booking, cancellation, changing
from nexfit.domains.classes.errors import BookingClash, ClassFull
from nexfit.domains.errors import IdempotencyConflict, Refusal
from nexfit.domains.identity.access import Actor
from nexfit.domains.memberships.errors import WeeklyLimitReached

from .conftest import DAY, NOW, Gym
from .test_planning import change_of, dates, plan


async def outcomes(calls: list[Coroutine[Any, Any, Any]]) -> Counter[str]:
    """How often each refusal came, and `done`; anything unexpected is raised."""
    found: Counter[str] = Counter()
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, Refusal):
            raise result
        found[type(result).__name__ if isinstance(result, Refusal) else "done"] += 1
    return found


def book(gym: Gym, number: int, actor: Actor, date: ObjectId) -> Coroutine[Any, Any, ObjectId]:
    """Book at one of the two desks."""
    return booking.book(gym.desks[number % 2], actor, date, member=None, key=str(ObjectId()), now=NOW)


async def test_the_last_seat_goes_to_one_of_two_hundred(gym: Gym) -> None:
    members = [await gym.member() for _ in range(200)]
    for round_ in range(4):
        date = await gym.date(NOW + (1 + round_) * DAY, capacity=1, waitlist=50)
        members = members[20:] + members[:20]
        found = await outcomes([book(gym, number, member, date) for number, member in enumerate(members)])
        assert found == {"done": 51, ClassFull.__name__: 149}
        assert await gym.states(date) == {"booked": 1, "waitlisted": 50}
        places = [row["waitlistPosition"] for row in await gym.bookings(date) if row["status"] == "waitlisted"]
        assert sorted(places) == list(range(1, 51))
        assert await reader.of_date(gym.database, date) == []


async def test_one_member_at_once_keeps_the_weekly_limit_and_one_place_at_a_time(gym: Gym) -> None:
    member = await gym.member(weekly=2)
    dates = [await gym.date(NOW + DAY + timedelta(hours=2 * number)) for number in range(8)]
    found = await outcomes([book(gym, number, member, date) for number, date in enumerate(dates)])
    assert found == {"done": 2, WeeklyLimitReached.__name__: 6}

    busy = await gym.member()
    same_time = [await gym.date(NOW + 2 * DAY) for _ in range(8)]
    found = await outcomes([book(gym, number, busy, date) for number, date in enumerate(same_time)])
    assert found == {"done": 1, BookingClash.__name__: 7}


async def test_seats_freed_at_once_promote_one_member_each_in_order(gym: Gym) -> None:
    date = await gym.date(NOW + DAY, capacity=5, waitlist=20)
    holders = [await gym.member() for _ in range(5)]
    held = [await book(gym, 0, holder, date) for holder in holders]
    waiting = [await gym.member() for _ in range(8)]
    for member in waiting:
        await book(gym, 0, member, date)
    calls = [
        cancellation.cancel(gym.desks[number % 2], holder, made, now=NOW)
        # Everybody leaves twice, at both desks.
        for number, (holder, made) in enumerate([*zip(holders, held, strict=True), *zip(holders, held, strict=True)])
    ]
    assert await outcomes(calls) == {"done": 10}
    assert await gym.states(date) == {"cancelled": 5, "booked": 5, "waitlisted": 3}
    seated = {row["userId"] for row in await gym.bookings(date) if row["status"] == "booked"}
    assert seated == {member.user_id for member in waiting[:5]}
    assert Counter(await gym.told(date))["WaitlistPromoted"] == 5
    assert await reader.of_date(gym.database, date) == []


async def test_two_who_promote_the_same_waitlist_promote_nobody_twice(gym: Gym) -> None:
    """Each of two staff gives three seats more and takes two members off the date, at desks of their own."""
    class_ = await plan(gym, room="Promotions", capacity=4, waitlist_limit=20)
    date = (await dates(gym, class_))[0]["_id"]
    holders, waiting = [[await gym.member() for _ in range(number)] for number in (4, 12)]
    held = [await book(gym, 0, member, date) for member in [*holders, *waiting]][:4]
    barred = waiting[1]
    await gym.database.member_subscriptions.update_one({"userId": barred.user_id}, {"$set": {"status": "suspended"}})
    seats = [changing.change_date(desk, gym.owner, date, change_of(capacity=7), now=NOW) for desk in gym.desks]
    taken_off = [
        cancellation.cancel(gym.desks[number % 2], gym.owner, made, now=NOW)
        for number, made in enumerate([*held[:2], *held[:2]])  # both take the same two off
    ]
    assert await outcomes([*seats, *taken_off]) == {"done": 6}
    assert await gym.states(date) == {"cancelled": 2, "booked": 7, "waitlisted": 7}
    seated = {row["userId"] for row in await gym.bookings(date) if row["status"] == "booked"}
    promoted = [waiting[0], *waiting[2:6]]
    assert seated == {member.user_id for member in [*holders[2:], *promoted]}
    [passed] = [row["passedOver"] for row in await gym.bookings(date) if row["userId"] == barred.user_id]
    assert passed["reason"] == "MEMBERSHIP_REQUIRED"
    assert Counter(await gym.told(date))["WaitlistPromoted"] == 5
    assert await reader.of_date(gym.database, date) == []


async def test_booking_leaving_and_coming_in_any_order_never_oversell(gym: Gym) -> None:
    seed = random.randrange(1 << 30)  # noqa: S311
    print(f"seed {seed}")
    chance = random.Random(seed)  # noqa: S311
    date = await gym.date(NOW + timedelta(minutes=25), capacity=3, waitlist=4)
    members = [await gym.member() for _ in range(12)]

    async def lives(number: int, member: Actor) -> None:
        for _ in range(6):
            desk = gym.desks[chance.randrange(2)]
            try:
                made = await booking.book(desk, member, date, member=None, key=str(ObjectId()), now=NOW)
                await asyncio.sleep(chance.random() / 50)
                if chance.random() < 0.2:
                    await attendance.check_in(desk, member, made, now=NOW)
                else:
                    await cancellation.cancel(desk, member, made, now=NOW)
            except Refusal:
                await asyncio.sleep(chance.random() / 100)

    watching = True

    async def watch() -> int:
        looks = 0
        while watching:
            stored = await gym.database.class_occurrences.find_one({"_id": date})
            assert 0 <= stored["seatsTaken"] <= 3, seed
            assert 0 <= stored["waitlisted"] <= 4, seed
            looks += 1
            await asyncio.sleep(0.002)
        return looks

    watcher = asyncio.create_task(watch())
    await asyncio.gather(*(lives(number, member) for number, member in enumerate(members)))
    watching = False
    assert await watcher > 10
    states = await gym.states(date)
    assert states["booked" if "booked" in states else "attended"] >= 1
    visits = await gym.database.visits.count_documents({"userId": {"$in": [member.user_id for member in members]}})
    assert visits == states.get("attended", 0)
    assert await reader.of_date(gym.database, date) == []


async def test_closing_dates_on_four_workers_moves_every_booking_once(gym: Gym) -> None:
    dates = [await gym.date(NOW + DAY + timedelta(hours=2 * number), capacity=2) for number in range(4)]
    for date in dates:
        for _ in range(3):
            await book(gym, 0, await gym.member(), date)
    after = NOW + 3 * DAY
    moved = await asyncio.gather(*(attendance.close_dates(gym.desks[worker % 2], now=after) for worker in range(4)))
    assert sum(moved) >= 12
    for date in dates:
        assert await gym.states(date) == {"no_show": 2, "expired": 1}
        assert Counter(await gym.told(date)) == {
            "ClassBooked": 2, "WaitlistJoined": 1, "ClassMissed": 2, "WaitlistExpired": 1,
        }  # fmt: skip
    assert await attendance.close_dates(gym.desk, now=after) == 0


async def test_fifty_copies_of_one_request_are_one_booking(gym: Gym) -> None:
    date = await gym.date(NOW + DAY, capacity=10)
    member, other = await gym.member(), await gym.date(NOW + 2 * DAY)
    copies = [
        booking.book(gym.desks[number % 2], member, date, member=None, key="tap", now=NOW) for number in range(50)
    ]
    assert len(set(await asyncio.gather(*copies))) == 1
    assert await gym.states(date) == {"booked": 1}
    # Also long after, when the date could not be booked any more.
    late = await booking.book(gym.desk, member, date, member=None, key="tap", now=NOW + 5 * DAY)
    assert [row["_id"] for row in await gym.bookings(date)] == [late]
    with pytest.raises(IdempotencyConflict):
        await booking.book(gym.desk, member, other, member=None, key="tap", now=NOW)
    assert await gym.states(other) == {}
