"""Who came: check-in at the door, corrections by staff, and the job that closes dates that are over."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from bson import ObjectId

from nexfit.domains.classes.documents import BookingStatus
from nexfit.domains.classes.errors import CheckInClosed, InvalidTransition
from nexfit.domains.classes.places import (
    BOOKING_COLUMNS,
    BOOKINGS,
    OCCURRENCES,
    ClassDesk,
    find_date,
    find_place,
    move,
    tell,
)
from nexfit.domains.classes.policies import Policy, may_check_in, may_correct
from nexfit.domains.errors import NotFound
from nexfit.domains.identity.access import Actor, may
from nexfit.domains.memberships.documents import VisitSource
from nexfit.domains.memberships.turns import take_turn
from nexfit.hybrid.unit_of_work import MongoWork

LOOK_BACK = timedelta(days=14)
"""How far back the job looks for dates that were never closed, such as after an outage."""

AT_ONCE = 500
"""Bookings the job reads at a time."""


async def check_in(desk: ClassDesk, actor: Actor, booking: ObjectId, *, now: datetime) -> BookingStatus:
    """The member is here: `attended`, and a visit of the facility. A second scan changes nothing.

    By the member or by staff with `check_in`. Raises Unauthenticated, NotFound, CheckInClosed, InvalidTransition.
    """
    viewer = actor.require()
    place = await find_place(desk.mongo, booking)
    if place is None or not (actor.is_user(place.booking["userId"]) or may(actor, place.facility, "check_in")):
        raise NotFound("There is no such booking.", path=("booking",))

    async def body(work: MongoWork) -> BookingStatus:
        current = await work.mongo.find_one(BOOKINGS, {"_id": booking}, BOOKING_COLUMNS)
        state = BookingStatus(current["status"]) if current else None
        if current is None or state is BookingStatus.ATTENDED:
            return BookingStatus.ATTENDED
        if state is not BookingStatus.BOOKED:
            raise InvalidTransition(state=str(state))
        if not may_check_in(place.date["startsAt"], place.date["endsAt"], now):
            raise CheckInClosed
        await take_turn(work.mongo, current["userId"])  # who counts the member's visits meanwhile counts this one
        after = await move(work.mongo, current, BookingStatus.ATTENDED, checkedInAt=now)
        await work.mongo.insert(
            "visits",
            {
                "_id": ObjectId(),
                "facilityId": current["facilityId"],
                "userId": current["userId"],
                "at": now,
                "source": str(VisitSource.CLASS_CHECK_IN),
            },
        )
        tell(work, after, viewer, before=current["status"])
        return BookingStatus.ATTENDED

    return await desk.change("class_check_in", place.date["_id"], body)


async def mark(desk: ClassDesk, actor: Actor, booking: ObjectId, *, attended: bool, now: datetime) -> BookingStatus:
    """Staff with `check_in` say who came, from the start until 24 hours after the end.

    Raises Unauthenticated, NotFound, CheckInClosed, InvalidTransition.
    """
    viewer = actor.require()
    place = await find_place(desk.mongo, booking)
    if place is None or not may(actor, place.facility, "check_in"):
        raise NotFound("There is no such booking.", path=("booking",))
    to = BookingStatus.ATTENDED if attended else BookingStatus.NO_SHOW

    async def body(work: MongoWork) -> BookingStatus:
        current = await work.mongo.find_one(BOOKINGS, {"_id": booking}, BOOKING_COLUMNS)
        if current is None or current["status"] == to:
            return to
        if current["status"] not in (BookingStatus.BOOKED, BookingStatus.ATTENDED, BookingStatus.NO_SHOW):
            raise InvalidTransition(state=current["status"])
        if not may_correct(place.date["startsAt"], place.date["endsAt"], now):
            raise CheckInClosed
        more = {"checkedInAt": now, "usesQuota": True} if attended else {"usesQuota": place.policy.missed_uses_quota}
        tell(work, await move(work.mongo, current, to, **more), viewer, before=current["status"])
        return to

    return await desk.change("mark_attendance", place.date["_id"], body)


async def close_dates(desk: ClassDesk, *, now: datetime) -> int:
    """Mark who has not come to dates that are over, and end waiting for dates that have begun; how many bookings.

    Any number of workers may run it at any time: every booking is moved once.
    """
    over = await desk.mongo.find(
        BOOKINGS,
        {
            "status": {"$in": [str(BookingStatus.BOOKED), str(BookingStatus.WAITLISTED)]},
            "date": {"$gte": now - LOOK_BACK, "$lt": now},
        },
        ("occurrenceId",),
        sort=[("date", 1)],
        limit=AT_ONCE,
    )
    moved = 0
    for occurrence in dict.fromkeys(row["occurrenceId"] for row in over):
        found = await find_date(desk.mongo, occurrence)
        if found is not None:
            date, facility = found
            policy = Policy.of(facility, date)
            is_over = now >= date["endsAt"] + policy.grace
            end = partial(_close, occurrence=occurrence, missed=is_over, uses_quota=policy.missed_uses_quota, now=now)
            moved += await desk.change("close_date", occurrence, end)
    return moved


async def _close(work: MongoWork, *, occurrence: ObjectId, missed: bool, uses_quota: bool, now: datetime) -> int:
    ending = {BookingStatus.WAITLISTED: BookingStatus.EXPIRED}
    if missed:
        ending[BookingStatus.BOOKED] = BookingStatus.NO_SHOW
    bookings = await work.mongo.find(
        BOOKINGS, {"occurrenceId": occurrence, "status": {"$in": [str(status) for status in ending]}}, BOOKING_COLUMNS
    )
    expired = 0
    for booking in bookings:
        before = BookingStatus(booking["status"])
        waited = before is BookingStatus.WAITLISTED
        kept = {} if waited else {"usesQuota": uses_quota}
        tell(work, await move(work.mongo, booking, ending[before], **kept), None, before=before)
        expired += waited
    if expired:
        change = {"$inc": {"waitlisted": -expired}, "$set": {"updatedAt": now}}
        await work.mongo.update(OCCURRENCES, {"_id": occurrence}, change)
    return len(bookings)
