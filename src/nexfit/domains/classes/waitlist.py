"""Who gets a seat that was freed: at most one member, first come first served."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nexfit.domains.classes import events
from nexfit.domains.classes.documents import BookingStatus
from nexfit.domains.classes.eligibility import hindrance
from nexfit.domains.classes.places import BOOKING_COLUMNS, BOOKINGS, OCCURRENCES, fact_of, move, tell
from nexfit.domains.classes.policies import Policy, promotes
from nexfit.domains.memberships.turns import take_turn
from nexfit.hybrid.unit_of_work import MongoWork


async def give_back(work: MongoWork, date: Mapping[str, Any], policy: Policy, now: datetime) -> None:
    """Free one seat of a date: to the first who waits and may have it, else to everybody.

    Members who may not have it now (no valid membership on the day, the week's quota used up, a clash) keep their place
    and are told why they were passed over.
    """
    if date["status"] == "scheduled" and promotes(date["startsAt"], now, policy) and await _promote(work, date, now):
        await work.mongo.update(
            OCCURRENCES, {"_id": date["_id"]}, {"$inc": {"waitlisted": -1}, "$set": {"updatedAt": now}}
        )
        return
    await work.mongo.update(OCCURRENCES, {"_id": date["_id"]}, {"$inc": {"seatsTaken": -1}, "$set": {"updatedAt": now}})


async def fill(work: MongoWork, date: Mapping[str, Any], policy: Policy, now: datetime) -> None:
    """Give the free seats of a date to those who wait and may have them, in their order."""
    free = date["capacity"] - date["seatsTaken"]
    while free > 0 and date["waitlisted"] and promotes(date["startsAt"], now, policy):
        if not await _promote(work, date, now):
            return
        change = {"$inc": {"waitlisted": -1, "seatsTaken": 1}, "$set": {"updatedAt": now}}
        await work.mongo.update(OCCURRENCES, {"_id": date["_id"]}, change)
        free -= 1


async def _promote(work: MongoWork, date: Mapping[str, Any], now: datetime) -> bool:
    waiting = await work.mongo.find(
        BOOKINGS,
        {"occurrenceId": date["_id"], "status": str(BookingStatus.WAITLISTED)},
        BOOKING_COLUMNS,
        sort=[("waitlistPosition", 1), ("_id", 1)],
    )
    for booking in waiting:
        await take_turn(work.mongo, booking["userId"])
        refused = await hindrance(work.mongo, booking["userId"], date, waiting=booking["_id"])
        if refused is not None:
            passed_over = {"at": now, "reason": str(refused.code)}
            await work.mongo.update(BOOKINGS, {"_id": booking["_id"]}, {"$set": {"passedOver": passed_over}})
            continue
        after = await move(work.mongo, booking, BookingStatus.BOOKED, promotedAt=now)
        tell(work, after, None, before=booking["status"], fact=fact_of(events.WaitlistPromoted, after))
        return True
    return False
