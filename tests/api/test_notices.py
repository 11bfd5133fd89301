"""Who gets a seat or finds a date called off is told once, from the stream of events, and nobody else is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from nexfit.domains.classes.events import STATUSES
from nexfit.domains.classes.notices import KINDS
from nexfit.domains.memberships.events import MembershipStateChanged, RenewalDeclined
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.relay import relay
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.operations.notices import keep_noticed
from nexfit.stores.connections import Stores

from .conftest import Client, account
from .test_class_booking import BOOK, CALL_OFF, CANCEL, Studio, asks, studio

__all__ = ["studio"]  # the fixture

NOTICES = "{ viewer { notices { kind at occurrence { id startsAt status } } } }"


@pytest.fixture
async def told(small_stores: Stores) -> AsyncIterator[None]:
    """Events are relayed and consumed, as in the background of a worker."""
    work = [
        asyncio.create_task(relay(small_stores, JoinedViews(small_stores.redis).invalidate)),
        asyncio.create_task(keep_noticed(small_stores)),
    ]
    deadline = time.monotonic() + 20
    while not await small_stores.postgres.fetch("SELECT FROM platform.consumers WHERE name = 'notices'"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    yield
    for one in work:
        assert not one.done()
        one.cancel()
    await asyncio.gather(*work, return_exceptions=True)


async def _notices(client: Client, count: int) -> list[Any]:
    """The notices, once there are so many."""
    deadline = time.monotonic() + 30
    while len(found := (await client.data(NOTICES))["viewer"]["notices"]) < count:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)
    return list(found)


async def _member(studio: Studio) -> Client:
    """Somebody with an account and a membership, signed in."""
    user, _ = await account(studio.stores)
    await studio.join(user)
    return Client(studio.http, studio.tokens.issue(user, ObjectId(), datetime.now(UTC)).value)


@pytest.mark.usefixtures("told")
async def test_a_freed_seat_and_a_date_called_off_are_told_to_whom_they_concern(
    studio: Studio,
    small_owner: Client,
) -> None:
    date = await studio.date(capacity=1, waitlist=2, starts_in=timedelta(days=2))
    first, second, third = [await _member(studio) for _ in range(3)]
    for client in (first, second, third):
        booked = await asks(client, BOOK, occurrence=date)
        assert booked["userErrors"] == []
        if client is first:
            own = booked["booking"]["id"]
    assert (await asks(first, CANCEL, booking=own))["userErrors"] == []
    [given] = await _notices(second, 1)
    assert (given["kind"], given["occurrence"]["id"]) == ("SEAT_GIVEN", date)
    assert (await asks(small_owner, CALL_OFF, occurrence=date, reason="storm"))["userErrors"] == []
    told = await _notices(second, 2)
    assert [one["kind"] for one in told] == ["CALLED_OFF", "SEAT_GIVEN"]  # the latest first
    assert {one["occurrence"]["status"] for one in told} == {"CANCELLED"}
    assert [one["kind"] for one in await _notices(third, 1)] == ["CALLED_OFF"]
    assert (await first.data(NOTICES))["viewer"]["notices"] == []  # who left has nothing to be told


@pytest.mark.usefixtures("told")
async def test_a_declined_renewal_is_told_step_by_step(studio: Studio) -> None:
    user, _ = await account(studio.stores)
    await studio.join(user)
    member = Client(studio.http, studio.tokens.issue(user, ObjectId(), datetime.now(UTC)).value)
    held = await studio.stores.mongo.database["member_subscriptions"].find_one({"userId": user})
    assert held is not None
    which = {"subscription_id": held["subscriptionId"], "plan_id": str(held["membershipId"]), "user_id": str(user)}
    units = UnitsOfWork(studio.stores, JoinedViews(studio.stores.redis).invalidate)
    async with units.postgres("test") as work:
        for before, after in (
            ("active", "past_due"), ("past_due", "suspended"), ("suspended", "active"), ("active", "frozen"),
        ):  # fmt: skip
            work.emit(MembershipStateChanged(facility_id=str(studio.facility), before=before, after=after, **which))
        work.emit(RenewalDeclined(facility_id=str(studio.facility), **which))
    await _notices(member, 4)
    query = "{ viewer { notices { kind occurrence { id } memberSubscription { status } } } }"
    told = (await member.data(query))["viewer"]["notices"]
    assert sorted(one["kind"] for one in told) == [
        "MEMBERSHIP_ACTIVE_AGAIN", "MEMBERSHIP_SUSPENDED", "PAYMENT_DECLINED", "PAYMENT_DUE",
    ]  # fmt: skip
    assert all(one["occurrence"] is None and one["memberSubscription"] == {"status": "ACTIVE"} for one in told)


def test_what_people_did_themselves_is_no_news_to_them() -> None:
    assert KINDS.keys() < STATUSES.keys()
    assert {"ClassBooked", "WaitlistJoined", "BookingCancelled", "BookingLateCancelled"}.isdisjoint(KINDS)
