"""Seats of members whose membership covers them no more: given back, and to whoever waits first."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from bson import ObjectId

from nexfit.domains.classes.documents import BookingStatus
from nexfit.domains.classes.eligibility import weekly_limits
from nexfit.domains.classes.places import (
    BOOKING_COLUMNS,
    BOOKINGS,
    DATE_COLUMNS,
    OCCURRENCES,
    ClassDesk,
    find_place,
    move,
    tell,
)
from nexfit.domains.classes.policies import Policy
from nexfit.domains.classes.waitlist import give_back
from nexfit.domains.memberships.documents import SubscriptionStatus
from nexfit.domains.memberships.freezing import begun_since
from nexfit.domains.memberships.turns import take_turn
from nexfit.hybrid.unit_of_work import MongoWork
from nexfit.stores.postgres import Postgres

LOOK_BACK = timedelta(days=2)
"""How long after a membership lost its access its bookings are looked for."""

AT_ONCE = 500
"""Memberships looked at in one go."""

_LOST = (
    SubscriptionStatus.SUSPENDED,
    SubscriptionStatus.CANCELLED,
    SubscriptionStatus.EXPIRED,
)
_LIVE = (str(BookingStatus.BOOKED), str(BookingStatus.WAITLISTED))


async def release_seats(desk: ClassDesk, *, now: datetime) -> int:
    """End future bookings that no membership of their member covers; how many.

    Any number of workers may run it at any time: a booking is ended once.
    """
    lost = await desk.mongo.find(
        "member_subscriptions",
        {"status": {"$in": [str(status) for status in _LOST]}, "updatedAt": {"$gte": now - LOOK_BACK}},
        ("userId", "facilityId"),
        sort=[("updatedAt", -1)],
        limit=AT_ONCE,
    )
    if not lost:
        return 0
    bookings = await desk.mongo.find(
        BOOKINGS,
        {
            "userId": {"$in": list({row["userId"] for row in lost})},
            "date": {"$gt": now},
            "status": {"$in": list(_LIVE)},
        },
        ("userId", "facilityId", "occurrenceId"),
        sort=[("date", 1)],
        limit=AT_ONCE,
    )
    whose = {(row["userId"], row["facilityId"]) for row in lost}
    released = 0
    for booking in bookings:
        if (booking["userId"], booking["facilityId"]) in whose:
            end = partial(_end, booking=booking["_id"], policy=await _policy(desk, booking["_id"]), now=now)
            released += await desk.change("release_seat", booking["occurrenceId"], end)
    return released


async def release_frozen(desk: ClassDesk, postgres: Postgres, *, now: datetime) -> int:
    """End bookings within the pauses of memberships that began lately, where no other membership covers them."""
    released = 0
    for pause in await begun_since(postgres, now - LOOK_BACK):
        user, facility = ObjectId(pause["user_id"]), ObjectId(pause["facility_id"])
        places = await desk.mongo.find("facilities", {"_id": facility}, ("timezone",), limit=1)
        zone = ZoneInfo(places[0]["timezone"] if places else "UTC")
        first, after = (datetime.combine(pause[name], time(), zone) for name in ("starts_on", "ends_on"))
        bookings = await desk.mongo.find(
            BOOKINGS,
            {
                "userId": user,
                "facilityId": facility,
                "date": {"$gte": max(first, now), "$lt": after},
                "status": {"$in": list(_LIVE)},
            },
            ("occurrenceId",),
        )
        for booking in bookings:
            end = partial(_end, booking=booking["_id"], policy=await _policy(desk, booking["_id"]), now=now)
            released += await desk.change("release_seat", booking["occurrenceId"], end)
    return released


async def _policy(desk: ClassDesk, booking: ObjectId) -> Policy:
    place = await find_place(desk.mongo, booking)
    return Policy.of({}) if place is None else place.policy


async def _end(work: MongoWork, *, booking: ObjectId, policy: Policy, now: datetime) -> int:
    held = await work.mongo.find_one(BOOKINGS, {"_id": booking}, BOOKING_COLUMNS)
    if held is None or held["status"] not in _LIVE:
        return 0
    date = await work.mongo.find_one(OCCURRENCES, {"_id": held["occurrenceId"]}, DATE_COLUMNS)
    if date is None or now >= date["startsAt"]:
        return 0
    await take_turn(work.mongo, held["userId"])
    if await weekly_limits(work.mongo, held["userId"], date):
        return 0
    after = await move(work.mongo, held, BookingStatus.CANCELLED, cancelledAt=now)
    tell(work, after, None, before=held["status"])
    if held["status"] == BookingStatus.WAITLISTED:
        change = {"$inc": {"waitlisted": -1}, "$set": {"updatedAt": now}}
        await work.mongo.update(OCCURRENCES, {"_id": date["_id"]}, change)
    else:
        await give_back(work, date, policy, now)
    return 1
