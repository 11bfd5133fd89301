"""Seats of members whose membership ended, was suspended or is frozen go to whoever waits."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from nexfit.domains.classes import booking
from nexfit.domains.classes.release import release_frozen, release_seats

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


async def test_bookings_inside_a_pause_are_given_back_and_those_after_it_stay(gym: Gym) -> None:
    inside, after = await gym.date(NOW + 6 * DAY), await gym.date(NOW + 8 * DAY)
    member = await gym.member()
    for date in (inside, after):
        await booking.book(gym.desk, member, date, member=None, key=f"{date}", now=NOW)
    contract = await gym.database.member_subscriptions.find_one({"userId": member.user_id})
    # The pause as PostgreSQL holds it; what it does there is tested in tests/memberships.
    await gym.stores.postgres.fetch(
        "INSERT INTO finance.facility_accounts (facility_id, business_id, currency) VALUES ($1, $1, 'TRY') RETURNING 1",
        str(gym.facility),
    )
    await gym.stores.postgres.fetch(
        """WITH s AS (INSERT INTO finance.subscriptions (subscription_id, business_id, facility_id, user_id, plan_id,
             status, start_date, current_period_start, current_period_end, billing_cycle, amount, currency,
             payment_method)
           VALUES ($1::uuid, $2, $2, $3, $4, 'frozen', '2026-06-01', '2026-06-01', '2026-07-08', 'month', 1, 'TRY',
             'card')
           RETURNING subscription_id)
           INSERT INTO finance.freezes (subscription_id, facility_id, user_id, starts_on, ends_on, created_at)
             SELECT subscription_id, $2, $3, '2026-06-15', '2026-06-22', $5 FROM s RETURNING 1""",
        contract["subscriptionId"],
        str(gym.facility),
        str(member.user_id),
        str(contract["membershipId"]),
        NOW,
    )
    await gym.database.member_subscriptions.update_one({"_id": contract["_id"]}, {"$set": {"status": "frozen"}})
    for _ in range(2):
        await release_frozen(gym.desk, gym.stores.postgres, now=NOW)
    assert await gym.states(inside) == {"cancelled": 1}
    assert await gym.states(after) == {"booked": 1}
