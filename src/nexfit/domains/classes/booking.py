"""Booking a date: a seat, else a place on the waitlist, else `ClassFull`. Walk-ins take the same way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId

from nexfit.domains.classes import events
from nexfit.domains.classes.documents import BookingStatus
from nexfit.domains.classes.eligibility import hindrance
from nexfit.domains.classes.errors import AlreadyBooked, BookingClosed, ClassFull
from nexfit.domains.classes.places import (
    BOOKINGS,
    DATE_COLUMNS,
    OCCURRENCES,
    ClassDesk,
    fact_of,
    find_date,
    take_turn,
    tell,
)
from nexfit.domains.classes.policies import Policy, is_bookable
from nexfit.domains.errors import NotFound
from nexfit.domains.identity.access import Actor, may
from nexfit.hybrid.unit_of_work import MongoWork
from nexfit.stores.errors import ConstraintViolated
from nexfit.stores.mongo import Document
from nexfit.stores.mongo_transactions import MongoTransaction

_SEAT = {"status": "scheduled", "$expr": {"$lt": ["$seatsTaken", "$capacity"]}}
_WAITING = {"status": "scheduled", "$expr": {"$lt": ["$waitlisted", "$waitlistLimit"]}}


async def book(
    desk: ClassDesk, actor: Actor, occurrence: ObjectId, *, member: ObjectId | None, now: datetime
) -> ObjectId:
    """Give the viewer, or for staff with `check_in` the named member, a place on a date; the booking's id.

    Raises Unauthenticated, NotFound, BookingClosed, AlreadyBooked, MembershipRequired, WeeklyLimitReached,
    BookingClash, ClassFull; then nothing was written.
    """
    viewer = actor.require()
    user = member or viewer
    found = await find_date(desk.mongo, occurrence)
    if found is None:
        raise NotFound("There is no such date.", path=("occurrence",))
    date, facility = found
    by_staff = user != viewer
    if by_staff and not may(actor, facility, "check_in"):
        raise NotFound("There is no such member.", path=("user",))
    if date["status"] != "scheduled" or not (
        now < date["endsAt"] if by_staff else is_bookable(date["startsAt"], now, Policy.of(facility))
    ):
        raise BookingClosed

    async def body(work: MongoWork) -> ObjectId:
        return await _take_place(work, occurrence, user, viewer, now)

    return await desk.change("book_class", occurrence, body)


async def _take_place(work: MongoWork, occurrence: ObjectId, user: ObjectId, by: ObjectId, now: datetime) -> ObjectId:
    await take_turn(work.mongo, user)
    date = await work.mongo.find_one(OCCURRENCES, {"_id": occurrence}, DATE_COLUMNS)
    if date is None or date["status"] != "scheduled":
        raise BookingClosed
    refused = await hindrance(work.mongo, user, date)
    if refused is not None:
        raise refused
    booking = await _claim(work.mongo, date, user, now)
    position = booking.get("waitlistPosition")
    tell(
        work,
        booking,
        by,
        before=None,
        fact=fact_of(events.WaitlistJoined, booking, position=position) if position else None,
    )
    return ObjectId(booking["_id"])


async def _claim(tx: MongoTransaction, date: Mapping[str, Any], user: ObjectId, now: datetime) -> Document:
    """Take a seat or a waiting place by a conditional update of the date, and insert the booking that holds it."""
    booking: Document = {
        "_id": ObjectId(),
        "classId": date["classId"],
        "occurrenceId": date["_id"],
        "facilityId": date["facilityId"],
        "userId": user,
        "date": date["startsAt"],
        "bookedAt": now,
    }
    seat = {"$inc": {"seatsTaken": 1}, "$set": {"updatedAt": now}}
    waiting = {"$inc": {"waitlisted": 1, "waitlistJoined": 1}, "$set": {"updatedAt": now}}
    if await tx.claim(OCCURRENCES, {"_id": date["_id"], **_SEAT}, seat, ("_id",)) is not None:
        booking["status"] = str(BookingStatus.BOOKED)
    else:
        joined = await tx.claim(OCCURRENCES, {"_id": date["_id"], **_WAITING}, waiting, ("waitlistJoined",))
        if joined is None:
            raise ClassFull
        booking |= {"status": str(BookingStatus.WAITLISTED), "waitlistPosition": joined["waitlistJoined"]}
    try:
        await tx.insert(BOOKINGS, booking)
    except ConstraintViolated as error:
        raise AlreadyBooked from error
    return booking
