"""Ending a class at once: no further dates, and those that people have booked called off or kept, as the owner says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bson import ObjectId

from nexfit.domains.classes.cancellation import call_off
from nexfit.domains.classes.documents import OccurrenceStatus
from nexfit.domains.classes.events import ClassEnded
from nexfit.domains.classes.places import BOOKINGS, OCCURRENCES, ClassDesk
from nexfit.domains.classes.planning import audit, permitted_class
from nexfit.domains.classes.timetable import CLASSES
from nexfit.domains.identity.access import Actor
from nexfit.hybrid.unit_of_work import MongoWork

_DATE = ("status", "startsAt", "seatsTaken", "waitlisted")


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
        ended = await call_off(work, off, by, reason, now) if off else 0
        if stored["isActive"] or unknown or off:
            _tell(work, stored, by, kept=len(kept), off=len(off))
        return Ended(kept, ended)

    return await desk.units.mongo("end_class").run(body)


def _tell(work: MongoWork, class_: Mapping[str, object], by: ObjectId, *, kept: int, off: int) -> None:
    work.emit(ClassEnded(facility_id=str(class_["facilityId"]), class_id=str(class_["_id"])))
    before = {"isActive": class_["isActive"]}
    work.audit(audit("class.ended", class_, by, before, {"isActive": False, "calledOff": off, "kept": kept}))
