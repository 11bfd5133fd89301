"""Planning classes: a template with its repetition, and the dates it makes as far ahead as the facility says.

A date is known by its class and its original start, so that making dates again makes none twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

from bson import ObjectId
from pydantic.alias_generators import to_camel

from nexfit.domains.classes import clashes
from nexfit.domains.classes.clashes import AHEAD, Plan, take_turns
from nexfit.domains.classes.errors import NoDates, NoSuchRoom, NotStaff, OffWeekdays, PastDate, RoomTooSmall
from nexfit.domains.classes.events import ClassChanged, ClassPlanned
from nexfit.domains.classes.inputs import ClassText, NewClass, Repetition
from nexfit.domains.classes.places import OCCURRENCES, ClassDesk
from nexfit.domains.classes.policies import horizon_of, waitlist_of
from nexfit.domains.classes.recurrence import first_start, starts_between
from nexfit.domains.classes.timetable import CLASSES
from nexfit.domains.errors import NotFound
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.domains.facilities.editing import permitted_facility
from nexfit.domains.facilities.hours import instant_of
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor
from nexfit.domains.text import fold
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork
from nexfit.stores.mongo import Document

FACILITY = ("timezone", "rooms", "bookingPolicy", "ownerId", "staff.userId", "staff.permissions")
"""Columns of a facility that planning reads."""

TEMPLATE = ("facilityId", "name", "schedule", "location", "waitlistLimit", "bookingPolicy", "instructor", "isActive")
"""Columns of a class that its dates are made from."""

A_LONG_TIME = timedelta(days=365)
"""After which a class is looked at again that makes no more dates as far as can be seen."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How dates of a class are held: where, by whom, and for how many."""

    room: str | None
    capacity: int
    waitlist: int
    instructor: Document | None

    @property
    def teacher(self) -> ObjectId | None:
        """The instructor's id."""
        return self.instructor["userId"] if self.instructor else None

    def stored(self) -> Document:
        """The part of a date that repeats it."""
        made: Document = {"capacity": self.capacity, "waitlistLimit": self.waitlist}
        if self.room is not None:
            made["room"] = self.room
        if self.instructor is not None:
            made["instructor"] = self.instructor
        return made

    @classmethod
    def of(cls, class_: Mapping[str, Any]) -> Shape:
        """As a class says."""
        location = class_["location"]
        return cls(location.get("room"), location["capacity"], class_.get("waitlistLimit", 0), class_.get("instructor"))


async def create(
    desk: ClassDesk, actor: Actor, facility: ObjectId, new: NewClass, *, key: str, now: datetime
) -> ObjectId:
    """Plan a class and make its dates as far ahead as the facility's policy says; its id.

    The same `key` and input give the first one again. Raises Unauthenticated, NotFound, Forbidden without
    `classes_write`, PastDate, NoDates, OffWeekdays, NoSuchRoom, RoomTooSmall, NotStaff, RoomTaken, InstructorTaken,
    IdempotencyConflict; then nothing was written.
    """
    by = actor.require()

    async def body(work: MongoWork) -> str:
        place = await permitted_facility(work, actor, facility, StaffPermission.CLASSES_WRITE, FACILITY)
        schedule = schedule_of(place, new.first_date, new.start_time, new.duration, new.recurrence)
        if schedule["startTime"] <= now:
            raise PastDate(path=("firstDate",))
        waits = waitlist_of(place) if new.waitlist_limit is None else new.waitlist_limit
        shape = await shaped(work, place, room=new.room, capacity=new.capacity, waitlist=waits, teacher=new.instructor)
        class_: Document = {
            "_id": ObjectId(),
            "facilityId": facility,
            **text_of(new),
            "schedule": schedule,
            "location": {"capacity": shape.capacity, **({"room": shape.room} if shape.room else {})},
            "waitlistLimit": shape.waitlist,
            "duration": new.duration,
            **({"instructor": shape.instructor} if shape.instructor else {}),
            "isActive": True,
            "createdAt": now,
            "updatedAt": now,
        }
        await take_turns(work.mongo, (facility, shape.teacher))
        await check_free(work, facility, schedule, shape, now)
        await work.mongo.insert(CLASSES, class_)
        made = await make_dates(work, class_, place, now)
        work.emit(ClassPlanned(facility_id=str(facility), class_id=str(class_["_id"]), dates=made))
        work.audit(audit("class.created", class_, by, None, told_of(class_)))
        return str(class_["_id"])

    asked = {"facility": str(facility), **new.model_dump(mode="json", exclude_unset=True)}
    return ObjectId(await once(desk.mongo, desk.units.mongo("create_class"), by, "createClass", key, asked, body))


async def update_text(desk: ClassDesk, actor: Actor, class_: ObjectId, text: ClassText, *, now: datetime) -> None:
    """Change what a class says of itself. How it is booked holds for all dates that have not begun; else they stay as
    they are. Raises Unauthenticated, NotFound, Forbidden."""
    by = actor.require()
    values = text_of(text)
    forgotten = {to_camel(name) for name in text.model_fields_set if to_camel(name) not in values}

    async def body(work: MongoWork) -> None:
        columns = ("facilityId", *map(to_camel, ClassText.model_fields))
        stored, _ = await permitted_class(work, actor, class_, columns)
        before = {name: stored.get(name) for name in (*values, *forgotten)}
        if all(before[name] == value for name, value in values.items()) and not any(before[one] for one in forgotten):
            return
        change: dict[str, Any] = {"$set": {**values, "updatedAt": now}}
        if forgotten:
            change["$unset"] = dict.fromkeys(forgotten, "")
        if "bookingPolicy" in before and before["bookingPolicy"] != values.get("bookingPolicy"):
            policy = values.get("bookingPolicy")
            change_of_dates = {"$set": {"bookingPolicy": policy}} if policy else {"$unset": {"bookingPolicy": ""}}
            await work.mongo.update(OCCURRENCES, {"classId": class_, "startsAt": {"$gt": now}}, change_of_dates)
            change["$set"]["datesDueAt"] = now  # booking may open earlier: the job looks how far ahead dates are made
        await work.mongo.update(CLASSES, {"_id": class_}, change)
        work.emit(ClassChanged(facility_id=str(stored["facilityId"]), class_id=str(class_)))
        work.audit(audit("class.updated", stored, by, before, {**dict.fromkeys(forgotten), **values}))

    await desk.units.mongo("update_class").run(body)


async def permitted_class(
    work: MongoWork, actor: Actor, class_: ObjectId, columns: Iterable[str]
) -> tuple[Document, Document]:
    """A class and its facility as the unit sees them, for who may plan there. Raises NotFound, Forbidden."""
    stored = await work.mongo.find_one(CLASSES, {"_id": class_}, columns)
    if stored is None:
        raise NotFound("There is no such class.", path=("class",))
    return stored, await permitted_facility(work, actor, stored["facilityId"], StaffPermission.CLASSES_WRITE, FACILITY)


def schedule_of(facility: Mapping[str, Any], first: date, clock: str, minutes: int, repetition: Repetition) -> Document:
    """A stored schedule. Raises OffWeekdays where a weekly class does not begin on one of its days."""
    if repetition.weekdays and (first.weekday() + 1) % 7 not in repetition.weekdays:
        raise OffWeekdays
    starts = instant_of(facility["timezone"], first, clock)
    recurrence: Document = {"frequency": str(repetition.frequency), "interval": repetition.interval}
    if repetition.weekdays:
        recurrence["weekdays"] = sorted(repetition.weekdays)
    if repetition.ends_on_date is not None:
        recurrence["endsOnDate"] = stored_day(repetition.ends_on_date)
    if repetition.max_occurrences is not None:
        recurrence["maxOccurrences"] = repetition.max_occurrences
    recurrence["exceptions"] = [stored_day(day) for day in sorted(set(repetition.exceptions))]
    return {
        "startTime": starts,
        "endTime": starts + timedelta(minutes=minutes),
        "timezone": facility["timezone"],
        "clock": clock,
        "recurrence": recurrence,
    }


async def shaped(
    work: MongoWork,
    facility: Mapping[str, Any],
    *,
    room: str | None,
    capacity: int,
    waitlist: int,
    teacher: ObjectId | None,
) -> Shape:
    """How dates are held, where the facility can do so. Raises NoSuchRoom, RoomTooSmall, NotStaff."""
    rooms = {fold(one["name"]): one for one in facility.get("rooms") or ()}
    if room is not None and rooms:
        found = rooms.get(fold(room))
        if found is None:
            raise NoSuchRoom
        room = found["name"]
        if found.get("capacity", capacity) < capacity:
            raise RoomTooSmall(most=found["capacity"])
    instructor = None
    if teacher is not None:
        works = teacher == facility.get("ownerId") or any(
            one["userId"] == teacher for one in facility.get("staff") or ()
        )
        person = await work.mongo.find_one("users", {"_id": teacher}, ("firstName", "lastName")) if works else None
        if person is None:
            raise NotStaff
        instructor = {"userId": teacher, "name": f"{person['firstName']} {person['lastName']}"}
    return Shape(room, capacity, waitlist, instructor)


async def check_free(
    work: MongoWork,
    facility: ObjectId,
    schedule: Mapping[str, Any],
    shape: Shape,
    now: datetime,
    *,
    class_: ObjectId | None = None,
    replaced: Collection[ObjectId] = (),
) -> None:
    """Refuse a schedule that has no dates, or none in peace. Raises NoDates, RoomTaken, InstructorTaken."""
    length = schedule["endTime"] - schedule["startTime"]
    since = max(now, schedule["startTime"])
    starts = starts_between(schedule, since, since + AHEAD)
    if not starts:
        raise NoDates
    spans = [(start, start + length) for start in starts]
    if any(later[0] < earlier[1] for earlier, later in pairwise(spans)):
        raise NoDates  # longer than the time until the next one: it would be in its own way
    plan = Plan(facility, shape.room, shape.teacher, spans)
    await clashes.check(work.mongo, plan, class_=class_, replaced=replaced)


async def make_dates(work: MongoWork, class_: Mapping[str, Any], facility: Mapping[str, Any], now: datetime) -> int:
    """Make the dates of a class that are not there yet, up to the facility's horizon; how many.

    The class is written first: two that do this at once meet there.
    """
    schedule, until = class_["schedule"], now + horizon_of(facility, class_)
    further = first_start(schedule, until)
    due = further - horizon_of(facility, class_) if further is not None else now + A_LONG_TIME
    await work.mongo.update(CLASSES, {"_id": class_["_id"]}, {"$set": {"datesDueAt": due}})
    starts = starts_between(schedule, now, until)
    known = await work.mongo.find(
        OCCURRENCES, {"classId": class_["_id"], "originalStart": {"$in": starts}}, ("originalStart",)
    )
    there = {one["originalStart"] for one in known}
    made = [date_of(class_, start, now) for start in starts if start not in there]
    await work.mongo.insert(OCCURRENCES, *made)
    return len(made)


def date_of(class_: Mapping[str, Any], start: datetime, now: datetime) -> Document:
    """A date as its class makes it."""
    schedule = class_["schedule"]
    return {
        "_id": ObjectId(),
        "classId": class_["_id"],
        "facilityId": class_["facilityId"],
        "originalStart": start,
        "startsAt": start,
        "endsAt": start + (schedule["endTime"] - schedule["startTime"]),
        "timezone": schedule["timezone"],
        "seatsTaken": 0,
        "waitlisted": 0,
        "waitlistJoined": 0,
        "status": "scheduled",
        **Shape.of(class_).stored(),
        **({"bookingPolicy": class_["bookingPolicy"]} if class_.get("bookingPolicy") else {}),
        "createdAt": now,
        "updatedAt": now,
    }


def text_of(text: ClassText) -> Document:
    """The stored fields of what is said; nothing of what is forgotten."""
    given = text.model_dump(include=set(ClassText.model_fields), exclude_unset=True, exclude_none=True)
    policy = given.pop("booking_policy", None)
    if policy:
        given["bookingPolicy"] = {to_camel(name): value for name, value in policy.items()}
    return {name: str(value) if name == "difficulty" else value for name, value in given.items()}


def stored_day(day: date) -> datetime:
    """A calendar day as MongoDB stores it."""
    return datetime.combine(day, time(), UTC)


def told_of(class_: Mapping[str, Any]) -> Document:
    """A class as the audit keeps it."""
    shape, recurrence = Shape.of(class_), class_["schedule"]["recurrence"]
    return {
        "name": class_["name"],
        "startTime": class_["schedule"]["startTime"].isoformat(),
        "endTime": class_["schedule"]["endTime"].isoformat(),
        "frequency": recurrence["frequency"],
        "room": shape.room,
        "capacity": shape.capacity,
        "instructor": str(shape.teacher) if shape.teacher else None,
    }


def audit(
    action: str,
    class_: Mapping[str, Any],
    by: ObjectId | None,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    *,
    entity: str = "class",
    id_: ObjectId | None = None,
) -> Audit:
    """The audit entry of a change of a class, or of one of its dates."""
    return Audit(
        action,
        entity,
        str(id_ or class_["_id"]),
        facility_id=str(class_["facilityId"]),
        user_id=str(by) if by else None,
        before=before,
        after=after,
    )


async def make_due_dates(desk: ClassDesk, *, now: datetime, at_once: int = 200) -> int:
    """Make the dates that have come within their facility's horizon; how many.

    Any number of workers may run it at any time: every date is made once.
    """
    due = await desk.mongo.find(
        CLASSES,
        {"isActive": True, "$or": [{"datesDueAt": {"$lte": now}}, {"datesDueAt": None}]},
        (),
        limit=at_once,
    )
    made = 0
    for row in due:
        made += await desk.units.mongo("make_dates").run(_due(row["_id"], now))
    return made


def _due(class_: ObjectId, now: datetime) -> Callable[[MongoWork], Awaitable[int]]:
    async def body(work: MongoWork) -> int:
        stored = await work.mongo.find_one(CLASSES, {"_id": class_, "isActive": True}, TEMPLATE)
        place = await work.mongo.find_one("facilities", {"_id": stored["facilityId"]}, FACILITY) if stored else None
        if stored is None or place is None:
            return 0
        made = await make_dates(work, stored, place, now)
        if made:
            work.emit(ClassPlanned(facility_id=str(stored["facilityId"]), class_id=str(class_), dates=made))
        return made

    return body
