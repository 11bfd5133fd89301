"""Ending a class at once: no further dates, and those that people have booked called off or kept, as the owner says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bson import ObjectId

from nexfit.domains.classes.documents import BookingStatus, OccurrenceStatus
from nexfit.domains.classes.events import ClassEnded
from nexfit.domains.classes.places import BOOKING_COLUMNS, BOOKINGS, OCCURRENCES, ClassDesk, tell
from nexfit.domains.classes.planning import audit, permitted_class
from nexfit.domains.classes.timetable import CLASSES
from nexfit.domains.identity.access import Actor
from nexfit.hybrid.unit_of_work import MongoWork
from nexfit.stores.mongo import Document

_DATE = ("status", "startsAt", "seatsTaken", "waitlisted")
_LEFT = (str(BookingStatus.BOOKED), str(BookingStatus.WAITLISTED))


class BookedDates(StrEnum):
    """What becomes of dates that somebody has booked."""

    CALL_OFF = "CALL_OFF"
    KEEP = "KEEP"


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of the dates that had not begun: those kept, earliest first, and how many bookings were ended."""

    kept: Sequence[ObjectId]
    bookings: int


async def end(
    desk: ClassDesk, actor: Actor, class_: ObjectId, *, booked: BookedDates, reason: str | None, now: datetime
) -> Ended:
    """End a class, all or nothing. Dates nobody ever booked go; dates that people hold a place on are called off, with
    the quota given back, or kept until their day; what has begun stays.

    Repeating it changes nothing, but calling off what was kept. Raises Unauthenticated, NotFound, Forbidden without
    `classes_write`; then nothing was written.
    """
    by = actor.require()

    async def body(work: MongoWork) -> Ended:
        stored, _ = await permitted_class(work, actor, class_, ("facilityId", "isActive"))
        if stored["isActive"]:  # first: whoever makes its dates meanwhile runs again and makes none
            change = {"$set": {"isActive": False, "updatedAt": now}, "$unset": {"datesDueAt": ""}}
            await work.mongo.update(CLASSES, {"_id": class_}, change)
        coming = await work.mongo.find(
            OCCURRENCES,
            {"classId": class_, "startsAt": {"$gt": now}, "status": str(OccurrenceStatus.SCHEDULED)},
            _DATE,
            sort=[("startsAt", 1), ("_id", 1)],
        )
        ids = [one["_id"] for one in coming]
        known = await work.mongo.find(BOOKINGS, {"occurrenceId": {"$in": ids}}, ("occurrenceId",)) if ids else []
        ever = {one["occurrenceId"] for one in known}
        unknown = [one["_id"] for one in coming if one["_id"] not in ever]
        if unknown:
            await work.mongo.delete(OCCURRENCES, {"_id": {"$in": unknown}})
        kept = [one["_id"] for one in coming if booked is BookedDates.KEEP and (one["seatsTaken"] or one["waitlisted"])]
        off = [one["_id"] for one in coming if one["_id"] in ever and one["_id"] not in kept]
        ended = await _call_off(work, off, by, reason, now) if off else 0
        if stored["isActive"] or unknown or off:
            _tell(work, stored, by, kept=len(kept), off=len(off))
        return Ended(kept, ended)

    return await desk.units.mongo("end_class").run(body)


async def _call_off(work: MongoWork, dates: Sequence[ObjectId], by: ObjectId, reason: str | None, now: datetime) -> int:
    """Call dates off with all their bookings, in four commands however many there are; how many bookings."""
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
    left = {"occurrenceId": {"$in": list(dates)}, "status": {"$in": list(_LEFT)}}
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


def _tell(work: MongoWork, class_: Mapping[str, object], by: ObjectId, *, kept: int, off: int) -> None:
    work.emit(ClassEnded(facility_id=str(class_["facilityId"]), class_id=str(class_["_id"])))
    before = {"isActive": class_["isActive"]}
    work.audit(audit("class.ended", class_, by, before, {"isActive": False, "calledOff": off, "kept": kept}))
