"""Booking a date: a seat, else a place on the waitlist, else `ClassFull`. Walk-ins take the same way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId

from nexfit.domains.classes import events
from nexfit.domains.classes.documents import BookingStatus
from nexfit.domains.classes.eligibility import hindrance
from nexfit.domains.classes.errors import AlreadyBooked, BookingBlocked, BookingClosed, ClassFull
from nexfit.domains.classes.places import (
    BOOKINGS,
    DATE_COLUMNS,
    OCCURRENCES,
    ClassDesk,
    fact_of,
    find_date,
    tell,
)
from nexfit.domains.classes.policies import Policy, is_bookable
from nexfit.domains.errors import NotFound
from nexfit.domains.identity.access import Actor, may
from nexfit.domains.memberships.turns import take_turn
from nexfit.hybrid.unit_of_work import MongoWork
from nexfit.stores.errors import ConstraintViolated
from nexfit.stores.mongo import Document
from nexfit.stores.mongo_transactions import MongoTransaction

_SEAT = {"status": "scheduled", "$expr": {"$lt": ["$seatsTaken", "$capacity"]}}
_WAITING = {"status": "scheduled", "$expr": {"$lt": ["$waitlisted", "$waitlistLimit"]}}


async def book(
    desk: ClassDesk, actor: Actor, occurrence: ObjectId, *, member: ObjectId | None, key: str, now: datetime
) -> ObjectId:
    """Give the viewer, or for staff with `check_in` the named member, a place on a date; the booking's id.

    The same `key` and input give the first booking again, whatever became of it. Raises Unauthenticated, NotFound,
    BookingClosed, BookingBlocked (staff may book all the same), AlreadyBooked, MembershipRequired, WeeklyLimitReached,
    BookingClash, ClassFull, IdempotencyConflict; then nothing was written.
    """
    viewer = actor.require()
    user = member or viewer
    found = await find_date(desk.mongo, occurrence)
    if found is None:
        raise NotFound("There is no such date.", path=("occurrence",))
    facility = found[1]
    by_staff = user != viewer
    if by_staff and not may(actor, facility, "check_in"):
        raise NotFound("There is no such member.", path=("user",))

    async def body(work: MongoWork) -> str:
        # The date first, because it is what everybody wants: who has lost that race learns so before anything else.
        date, place = await _claim(work.mongo, occurrence, now)
        if date is None or date["status"] != "scheduled":
            raise BookingClosed
        policy = Policy.of(facility, date)
        if not (now < date["endsAt"] if by_staff else is_bookable(date["startsAt"], now, policy)):
            raise BookingClosed
        if not by_staff:
            await _check_missed(work, user, date["facilityId"], policy, now)
        return str(await _take_place(work, date, place, user, viewer, now))

    asked = {"occurrence": str(occurrence), "user": str(user)}
    return ObjectId(await desk.once("bookClass", occurrence, viewer, key, asked, body))


async def _check_missed(work: MongoWork, user: ObjectId, facility: ObjectId, policy: Policy, now: datetime) -> None:
    """Raises BookingBlocked for who missed as many dates lately as the facility puts up with."""
    if policy.most_missed is None:
        return
    since = now - policy.missed_within
    missed = {"userId": user, "facilityId": facility, "date": {"$gt": since}, "status": str(BookingStatus.NO_SHOW)}
    found = await work.mongo.find(BOOKINGS, missed, ("date",), sort=[("date", -1)], limit=policy.most_missed)
    if len(found) == policy.most_missed:
        raise BookingBlocked(until=found[-1]["date"] + policy.missed_within)


async def _take_place(
    work: MongoWork,
    date: Mapping[str, Any],
    place: Document | None,
    user: ObjectId,
    by: ObjectId,
    now: datetime,
) -> ObjectId:
    await take_turn(work.mongo, user)
    refused = await hindrance(work.mongo, user, date)
    if refused is not None:
        raise refused
    if place is None:
        raise ClassFull
    booking: Document = {
        "_id": ObjectId(),
        "classId": date["classId"],
        "occurrenceId": date["_id"],
        "facilityId": date["facilityId"],
        "userId": user,
        "date": date["startsAt"],
        "bookedAt": now,
        **place,
    }
    try:
        await work.mongo.insert(BOOKINGS, booking)
    except ConstraintViolated as error:
        raise AlreadyBooked from error
    position = booking.get("waitlistPosition")
    tell(
        work,
        booking,
        by,
        before=None,
        fact=fact_of(events.WaitlistJoined, booking, position=position) if position else None,
    )
    return ObjectId(booking["_id"])


async def _claim(tx: MongoTransaction, occurrence: ObjectId, now: datetime) -> tuple[Document | None, Document | None]:
    """Take a seat or a waiting place by a conditional update of the date: the date, and the booking's state.

    The state is None where the date is full or called off; the date, where there is none.
    """
    seat = {"$inc": {"seatsTaken": 1}, "$set": {"updatedAt": now}}
    date = await tx.claim(OCCURRENCES, {"_id": occurrence, **_SEAT}, seat, DATE_COLUMNS)
    if date is not None:
        return date, {"status": str(BookingStatus.BOOKED)}
    waiting = {"$inc": {"waitlisted": 1, "waitlistJoined": 1}, "$set": {"updatedAt": now}}
    date = await tx.claim(OCCURRENCES, {"_id": occurrence, **_WAITING}, waiting, (*DATE_COLUMNS, "waitlistJoined"))
    if date is not None:
        return date, {"status": str(BookingStatus.WAITLISTED), "waitlistPosition": date["waitlistJoined"]}
    return await tx.find_one(OCCURRENCES, {"_id": occurrence}, DATE_COLUMNS), None
