"""Leaving a date, by the member, by staff for the member, or because the date does not take place."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bson import ObjectId

from nexfit.domains.classes.documents import BookingStatus, OccurrenceStatus
from nexfit.domains.classes.errors import DateBegun, InvalidTransition
from nexfit.domains.classes.places import (
    BOOKING_COLUMNS,
    BOOKINGS,
    DATE_COLUMNS,
    OCCURRENCES,
    ClassDesk,
    Place,
    find_date,
    find_place,
    move,
    tell,
)
from nexfit.domains.classes.policies import may_cancel_free
from nexfit.domains.classes.waitlist import give_back
from nexfit.domains.errors import NotFound
from nexfit.domains.identity.access import Actor, may
from nexfit.hybrid.unit_of_work import MongoWork
from nexfit.stores.mongo import Document


async def cancel(desk: ClassDesk, actor: Actor, booking: ObjectId, *, now: datetime) -> BookingStatus:
    """Give up a seat or a waiting place before the start; the state it ended in. Repeating it changes nothing more.

    After the cutoff a seat is given up late, and the week's quota stays used. Raises Unauthenticated, NotFound,
    InvalidTransition.
    """
    viewer = actor.require()
    place = await find_place(desk.mongo, booking)
    if place is None or not (actor.is_user(place.booking["userId"]) or may(actor, place.facility, "check_in")):
        raise NotFound("There is no such booking.", path=("booking",))

    async def body(work: MongoWork) -> BookingStatus:
        return await _leave(work, place, viewer, now)

    return await desk.change("cancel_booking", place.date["_id"], body)


async def _leave(work: MongoWork, place: Place, by: ObjectId, now: datetime) -> BookingStatus:
    booking = await work.mongo.find_one(BOOKINGS, {"_id": place.booking["_id"]}, BOOKING_COLUMNS)
    date = await work.mongo.find_one(OCCURRENCES, {"_id": place.date["_id"]}, DATE_COLUMNS)
    if booking is None or date is None:
        raise NotFound("There is no such booking.", path=("booking",))
    state = BookingStatus(booking["status"])
    if state in (BookingStatus.CANCELLED, BookingStatus.LATE_CANCELLED):
        return state
    waits = state is BookingStatus.WAITLISTED
    if not (waits or state is BookingStatus.BOOKED) or now >= date["startsAt"]:
        raise InvalidTransition(state=state)
    free = waits or may_cancel_free(date["startsAt"], now, place.policy)
    to = BookingStatus.CANCELLED if free else BookingStatus.LATE_CANCELLED
    kept = {} if free else {"usesQuota": place.policy.late_uses_quota}
    after = await move(work.mongo, booking, to, cancelledAt=now, **kept)
    tell(work, after, by, before=state)
    if waits:
        change = {"$inc": {"waitlisted": -1}, "$set": {"updatedAt": now}}
        await work.mongo.update(OCCURRENCES, {"_id": date["_id"]}, change)
    else:
        await give_back(work, date, place.policy, now)
    return to


async def cancel_date(desk: ClassDesk, actor: Actor, occurrence: ObjectId, *, reason: str | None, now: datetime) -> int:
    """Call off a date that has not begun; how many bookings it ended, whose quota is given back.

    Repeating it changes nothing. Raises Unauthenticated, NotFound, DateBegun.
    """
    viewer = actor.require()
    found = await find_date(desk.mongo, occurrence)
    if found is None or not may(actor, found[1], "classes_write"):
        raise NotFound("There is no such date.", path=("occurrence",))
    date = found[0]
    if date["status"] == OccurrenceStatus.CANCELLED:
        return 0
    if now >= date["startsAt"]:
        raise DateBegun

    return await desk.change(
        "cancel_class_date", occurrence, lambda work: call_off(work, [occurrence], viewer, reason, now)
    )


async def call_off(work: MongoWork, dates: Sequence[ObjectId], by: ObjectId, reason: str | None, now: datetime) -> int:
    """Call dates off with all their bookings, in three commands however many there are; how many bookings."""
    change: Document = {
        "status": str(OccurrenceStatus.CANCELLED),
        "seatsTaken": 0,
        "waitlisted": 0,
        "cancelledAt": now,
        "updatedAt": now,
    }
    if reason is not None:
        change["cancellationReason"] = reason
    # The dates first: whoever changes a booking changes its date, too, and meets this transaction there.
    await work.mongo.update(OCCURRENCES, {"_id": {"$in": list(dates)}}, {"$set": change})
    left = {
        "occurrenceId": {"$in": list(dates)},
        "status": {"$in": [str(BookingStatus.BOOKED), str(BookingStatus.WAITLISTED)]},
    }
    bookings = await work.mongo.find(BOOKINGS, left, BOOKING_COLUMNS)
    to = str(BookingStatus.CANCELLED_BY_FACILITY)
    await work.mongo.update(
        BOOKINGS,
        {"_id": {"$in": [one["_id"] for one in bookings]}, **left},
        {"$set": {"status": to, "cancelledAt": now}},
    )
    for one in bookings:
        tell(work, {**one, "status": to, "cancelledAt": now}, by, before=one["status"])
    return len(bookings)
