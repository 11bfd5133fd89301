"""Seats of members whose membership ended, was suspended or is frozen go to whoever waits."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from nexfit.domains.classes import booking
from nexfit.domains.classes.release import release_seats

from .conftest import DAY, NOW, Gym


async def test_a_suspended_members_future_seats_go_to_who_waits(gym: Gym) -> None:
    soon, later, past = [await gym.date(NOW + days * DAY, capacity=1) for days in (2, 3, 1)]
    leaving, waiting = await gym.member(), await gym.member()
    for date in (soon, later, past):
        await booking.book(gym.desk, leaving, date, member=None, key=f"a{date}", now=NOW)
    for date in (soon, later):
        await booking.book(gym.desk, waiting, date, member=None, key=f"b{date}", now=NOW)
    assert await release_seats(gym.desk, now=NOW) == 0
    changed = {"$set": {"status": "suspended", "updatedAt": NOW + DAY}}
    await gym.database.member_subscriptions.update_one({"userId": leaving.user_id}, changed)
    at = NOW + DAY + timedelta(hours=1)
    done = await asyncio.gather(*(release_seats(desk, now=at) for desk in gym.desks))
    assert sum(done) == 2
    for date in (soon, later):
        assert await gym.states(date) == {"cancelled": 1, "booked": 1}
        held = [one["userId"] for one in await gym.bookings(date) if one["status"] == "booked"]
        assert held == [waiting.user_id]
    assert await gym.states(past) == {"booked": 1}  # it has begun


async def test_who_holds_another_membership_keeps_the_seat(gym: Gym) -> None:
    date = await gym.date(NOW + 2 * DAY)
    member = await gym.member()
    await booking.book(gym.desk, member, date, member=None, key="k", now=NOW)
    assert member.user_id is not None
    changed = {"$set": {"status": "expired", "updatedAt": NOW}}
    await gym.database.member_subscriptions.update_one({"userId": member.user_id}, changed)
    await gym.join(member.user_id, weekly=5)
    await release_seats(gym.desk, now=NOW)
    assert await gym.states(date) == {"booked": 1}
