"""Who teaches in somebody's stead: all classes and dates of an instructor at a facility given to another at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from nexfit.domains.classes import clashes
from nexfit.domains.classes.clashes import AHEAD, Plan, take_turns
from nexfit.domains.classes.documents import OccurrenceStatus
from nexfit.domains.classes.events import InstructorReplaced
from nexfit.domains.classes.places import OCCURRENCES, ClassDesk
from nexfit.domains.classes.planning import FACILITY, shaped
from nexfit.domains.classes.recurrence import starts_between
from nexfit.domains.classes.timetable import CLASSES
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.domains.facilities.editing import permitted_facility
from nexfit.domains.identity.access import Actor
from nexfit.hybrid import documents_paging
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork
from nexfit.stores.mongo import Document, Mongo

_CLASS = ("schedule",)
_DATE = ("classId", "originalStart", "startsAt", "endsAt")


async def replace(
    desk: ClassDesk,
    actor: Actor,
    facility: ObjectId,
    instructor: ObjectId,
    substitute: ObjectId | None,
    *,
    now: datetime,
) -> int:
    """Give the classes and all dates of an instructor that have not begun to somebody else, or to nobody; how many
    dates. The instructor need not work there any more. All or nothing; repeating it changes nothing.

    Raises Unauthenticated, NotFound, Forbidden without `classes_write`, NotStaff, InstructorTaken or InstructorTrains
    for a substitute who is taken at one of the times.
    """
    by = actor.require()

    async def body(work: MongoWork) -> int:
        place = await permitted_facility(work, actor, facility, StaffPermission.CLASSES_WRITE, FACILITY)
        shape = await shaped(work, place, room=None, capacity=0, waitlist=0, teacher=substitute)
        await take_turns(work.mongo, (facility, instructor, substitute))
        theirs = {"facilityId": facility, "instructor.userId": instructor}
        classes = await work.mongo.find(CLASSES, {**theirs, "isActive": True}, _CLASS)
        coming = {**theirs, "startsAt": {"$gt": now}, "status": str(OccurrenceStatus.SCHEDULED)}
        dates = await work.mongo.find(OCCURRENCES, coming, _DATE)
        if substitute == instructor or not (classes or dates):
            return 0
        if substitute is not None:
            spans = _spans(classes, dates, now)
            replaced = {one["_id"] for one in dates}
            await clashes.check(work.mongo, Plan(facility, None, substitute, spans), replaced=replaced)
        change: Document = (
            {"$set": {"instructor": shape.instructor, "updatedAt": now}}
            if shape.instructor
            else {"$set": {"updatedAt": now}, "$unset": {"instructor": ""}}
        )
        await work.mongo.update(CLASSES, {"_id": {"$in": [one["_id"] for one in classes]}}, change)
        await work.mongo.update(OCCURRENCES, {"_id": {"$in": [one["_id"] for one in dates]}}, change)
        touched = {one["_id"] for one in classes} | {one["classId"] for one in dates}
        work.emit(InstructorReplaced(facility_id=str(facility), class_ids=sorted(map(str, touched))))
        after = {"instructor": str(substitute) if substitute else None, "dates": len(dates), "classes": len(classes)}
        id_, before = str(facility), {"instructor": str(instructor)}
        work.audit(Audit("class.instructor_replaced", "facility", id_, id_, str(by), before, after))
        return len(dates)

    return await desk.units.mongo("substitute_instructor").run(body)


def _spans(
    classes: Sequence[Mapping[str, object]], dates: Sequence[Document], now: datetime
) -> list[tuple[datetime, datetime]]:
    """When the dates are, made and planned, in order of time."""
    known = {(one["classId"], one["originalStart"]) for one in dates}
    spans = [(one["startsAt"], one["endsAt"]) for one in dates]
    for class_ in classes:
        schedule = class_["schedule"]
        assert isinstance(schedule, Mapping)  # noqa: S101  # every class has one
        length = schedule["endTime"] - schedule["startTime"]
        spans += [
            (start, start + length)
            for start in starts_between(schedule, now, now + AHEAD)
            if (class_["_id"], start) not in known
        ]
    return sorted(spans)


async def without_staff(
    mongo: Mongo, facilities: Sequence[Mapping[str, Any]], now: datetime, first: int, columns: Iterable[str]
) -> list[list[Document]]:
    """The next dates of each facility whose instructor does not work there any more, in one command. A facility is
    given with its owner and staff."""
    gone = [
        {
            "facilityId": one["_id"],
            "instructor.userId": {
                "$exists": True,
                "$nin": [one.get("ownerId"), *(entry["userId"] for entry in one.get("staff") or ())],
            },
        }
        for one in facilities
    ]
    return await documents_paging.first_by_parent(
        mongo,
        OCCURRENCES,
        "facilityId",
        [one["_id"] for one in facilities],
        {"startsAt": {"$gt": now}, "status": str(OccurrenceStatus.SCHEDULED), "$or": gone},
        sort=[("startsAt", 1), ("_id", 1)],
        limit=first,
        columns=columns,
        zoneless=True,
    )
