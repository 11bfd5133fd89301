"""Changing dates: one of them, or one and those that follow. What has begun or is booked is not rewritten silently."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from nexfit.domains.classes import clashes
from nexfit.domains.classes.clashes import Plan, take_turns
from nexfit.domains.classes.documents import Frequency, OccurrenceStatus
from nexfit.domains.classes.errors import CapacityTaken, ClassOver, DateBegun, DateBooked, DateCalledOff, PastDate
from nexfit.domains.classes.events import ClassChanged, ClassDateChanged
from nexfit.domains.classes.inputs import DateChange, FollowingChange, Repetition
from nexfit.domains.classes.places import BOOKINGS, DATE_COLUMNS, OCCURRENCES, ClassDesk
from nexfit.domains.classes.planning import (
    TEMPLATE,
    Shape,
    audit,
    check_free,
    date_of,
    make_dates,
    permitted_class,
    schedule_of,
    shaped,
    stored_day,
)
from nexfit.domains.classes.policies import Policy, horizon_of
from nexfit.domains.classes.recurrence import clock_of, dates_until, local_day, starts_between
from nexfit.domains.classes.timetable import CLASSES
from nexfit.domains.classes.waitlist import fill
from nexfit.domains.errors import NotFound
from nexfit.domains.facilities.hours import instant_of
from nexfit.domains.identity.access import Actor
from nexfit.hybrid.unit_of_work import MongoWork
from nexfit.stores.mongo import Document

_DATE = (*DATE_COLUMNS, "originalStart", "room", "instructor")


async def change_date(
    desk: ClassDesk, actor: Actor, occurrence: ObjectId, change: DateChange, *, now: datetime
) -> None:
    """Change one date that has not begun: when (if nobody has booked), where, by whom, for how many.

    Seats that are added go to who waits. Raises Unauthenticated, NotFound, Forbidden without `classes_write`,
    DateBegun, DateCalledOff, DateBooked, CapacityTaken, PastDate, NoSuchRoom, RoomTooSmall, NotStaff, RoomTaken,
    InstructorTaken; then nothing was written.
    """
    by = actor.require()

    async def body(work: MongoWork) -> None:
        date, class_, place = await _permitted(work, actor, occurrence, now)
        shape = await _shape(work, place, change, _held(date))
        starts, ends = _span(change, date, place["timezone"], now)
        moved = (starts, ends) != (date["startsAt"], date["endsAt"])
        if moved and (date["seatsTaken"] or date["waitlisted"]):
            raise DateBooked
        values = {**shape.stored(), "startsAt": starts, "endsAt": ends}
        before = {name: date.get(name) for name in (*values, "room", "instructor")}
        after = {**dict.fromkeys(before), **values}
        if before == after:
            return
        if moved or (before["room"], before["instructor"]) != (after["room"], after["instructor"]):
            await take_turns(work.mongo, (date["facilityId"], shape.teacher))
            plan = Plan(date["facilityId"], shape.room, shape.teacher, [(starts, ends)])
            await clashes.check(work.mongo, plan, replaced={occurrence})
        await _write(work, date, values, now)
        if moved:  # nobody holds a place, but somebody may have held one
            await work.mongo.update(BOOKINGS, {"occurrenceId": occurrence}, {"$set": {"date": starts}})
        work.emit(_changed(date))
        work.audit(
            audit(
                "class_date.changed", class_, by, _told(before), _told(after), entity="class_occurrence", id_=occurrence
            )
        )
        await fill(work, {**date, **values}, Policy.of(place, date), now)

    await desk.change("change_class_date", occurrence, body)


async def change_following(
    desk: ClassDesk, actor: Actor, occurrence: ObjectId, change: FollowingChange, *, now: datetime
) -> tuple[ObjectId, list[ObjectId]]:
    """Change a date that has not begun and all that follow, made or not; the class, and the dates that stay.

    Dates that anybody ever booked and dates that were called off stay, and no other takes place on their days. Raises
    what `change_date` raises, ClassOver, NoDates and OffWeekdays; then nothing was written.
    """
    by = actor.require()

    async def body(work: MongoWork) -> tuple[ObjectId, list[ObjectId]]:
        date, class_, place = await _permitted(work, actor, occurrence, now)
        if not class_["isActive"]:
            raise ClassOver
        following = await work.mongo.find(
            OCCURRENCES,
            {"classId": class_["_id"], "startsAt": {"$gte": date["startsAt"]}},
            _DATE,
            sort=[("startsAt", 1), ("_id", 1)],
        )
        kept = await _kept(work, following)
        schedule = _schedule(place, class_, date, change, [one for one in following if one["_id"] in kept])
        if schedule["startTime"] <= now:
            raise PastDate(path=("date",))
        shape = await _shape(work, place, change, Shape.of(class_))
        await take_turns(work.mongo, (class_["facilityId"], shape.teacher))
        replaced = [one for one in following if one["_id"] not in kept]
        await check_free(
            work,
            class_["facilityId"],
            schedule,
            shape,
            now,
            class_=class_["_id"],
            replaced={one["_id"] for one in replaced},
        )
        location = {"capacity": shape.capacity, **({"room": shape.room} if shape.room else {})}
        values: Document = {
            "schedule": schedule,
            "location": location,
            "waitlistLimit": shape.waitlist,
            "duration": (schedule["endTime"] - schedule["startTime"]) // timedelta(minutes=1),
            "updatedAt": now,
        }
        update: dict[str, Any] = {"$set": values}
        if shape.instructor:
            values["instructor"] = shape.instructor
        else:
            update["$unset"] = {"instructor": ""}
        await work.mongo.update(CLASSES, {"_id": class_["_id"]}, update)
        after = {name: value for name, value in {**class_, **values}.items() if name != "instructor"}
        if shape.instructor:
            after["instructor"] = shape.instructor
        await _replace(work, after, place, replaced, now)
        work.emit(ClassChanged(facility_id=str(class_["facilityId"]), class_id=str(class_["_id"])))
        was = {"from": date["startsAt"].isoformat(), **_told(Shape.of(class_).stored())}
        work.audit(
            audit(
                "class.following_changed",
                class_,
                by,
                was,
                {"from": schedule["startTime"].isoformat(), **_told(shape.stored()), "kept": len(kept)},
            )
        )
        return class_["_id"], [one["_id"] for one in following if one["_id"] in kept]

    return await desk.change("change_following_dates", occurrence, body)


async def _permitted(
    work: MongoWork, actor: Actor, occurrence: ObjectId, now: datetime
) -> tuple[Document, Document, Document]:
    """A date that can be changed, its class and its facility."""
    date = await work.mongo.find_one(OCCURRENCES, {"_id": occurrence}, _DATE)
    if date is None:
        raise NotFound("There is no such date.", path=("occurrence",))
    class_, place = await permitted_class(work, actor, date["classId"], TEMPLATE)
    if date["status"] == OccurrenceStatus.CANCELLED:
        raise DateCalledOff
    if now >= date["startsAt"]:
        raise DateBegun
    return date, class_, place


def _held(date: Mapping[str, Any]) -> Shape:
    return Shape(date.get("room"), date["capacity"], date.get("waitlistLimit", 0), date.get("instructor"))


async def _shape(work: MongoWork, place: Mapping[str, Any], change: DateChange, held: Shape) -> Shape:
    """How dates are held from now on; what is not given is as it was."""
    given = change.model_fields_set
    if given.isdisjoint({"room", "capacity", "instructor"}):
        waitlist = change.waitlist_limit if change.waitlist_limit is not None else held.waitlist
        return Shape(held.room, held.capacity, waitlist, held.instructor)
    made = await shaped(
        work,
        place,
        room=change.room if "room" in given else held.room,
        capacity=change.capacity or held.capacity,
        waitlist=change.waitlist_limit if change.waitlist_limit is not None else held.waitlist,
        teacher=change.instructor if "instructor" in given else None,
    )
    return made if "instructor" in given else Shape(made.room, made.capacity, made.waitlist, held.instructor)


def _span(change: DateChange, date: Mapping[str, Any], timezone: str, now: datetime) -> tuple[datetime, datetime]:
    """When a date takes place from now on. Raises PastDate."""
    starts, length = date["startsAt"], date["endsAt"] - date["startsAt"]
    if change.date is not None or change.start_time is not None:
        held: Document = {"timezone": timezone, "startTime": starts}
        starts = instant_of(timezone, change.date or local_day(held, starts), change.start_time or clock_of(held))
        if starts <= now:
            raise PastDate(path=("date",))
    if change.duration is not None:
        length = timedelta(minutes=change.duration)
    return starts, starts + length


async def _write(work: MongoWork, date: Mapping[str, Any], values: Mapping[str, Any], now: datetime) -> None:
    """Store a date's new values, as long as everybody who has a seat keeps it. Raises CapacityTaken."""
    update: dict[str, Any] = {"$set": {**values, "updatedAt": now}}
    gone = {name: "" for name in ("room", "instructor") if name not in values}
    if gone:
        update["$unset"] = gone
    fits = {"_id": date["_id"], "seatsTaken": {"$lte": values["capacity"]}}
    if await work.mongo.claim(OCCURRENCES, fits, update, ()) is None:
        raise CapacityTaken(taken=date["seatsTaken"])


async def _kept(work: MongoWork, dates: list[Document]) -> set[ObjectId]:
    """Dates that stay: those that were called off, and those that anybody ever booked."""
    ids = [one["_id"] for one in dates]
    booked = await work.mongo.find(BOOKINGS, {"occurrenceId": {"$in": ids}}, ("occurrenceId",))
    return {one["occurrenceId"] for one in booked} | {
        one["_id"]
        for one in dates
        if one["status"] == OccurrenceStatus.CANCELLED or one["seatsTaken"] or one["waitlisted"]
    }


def _schedule(
    place: Mapping[str, Any],
    class_: Mapping[str, Any],
    date: Mapping[str, Any],
    change: FollowingChange,
    kept: list[Document],
) -> Document:
    """The class's schedule from the date on."""
    old = class_["schedule"]
    held = old.get("recurrence") or {"frequency": Frequency.ONCE}
    origin = local_day(old, date["originalStart"])
    first = change.date or origin
    clock = change.start_time or clock_of(old)
    minutes = change.duration or (old["endTime"] - old["startTime"]) // timedelta(minutes=1)
    repetition = change.recurrence
    if repetition is None:
        weekdays = [int(day) for day in held.get("weekdays") or ()]
        if len(weekdays) == 1 and first != origin:  # a weekly class that moves to another day
            weekdays = [(first.weekday() + 1) % 7]
        left = held.get("maxOccurrences")
        ends = held.get("endsOnDate")
        repetition = Repetition(
            frequency=held["frequency"],
            interval=held.get("interval", 1),
            weekdays=weekdays,
            ends_on_date=ends.date() if ends else None,
            max_occurrences=max(1, left - dates_until(old, origin)) if left else None,
            exceptions=[day.date() for day in held.get("exceptions") or () if day.date() >= first],
        )
    made = schedule_of(place, first, clock, minutes, repetition)
    days = {stored_day(local_day(old, one["startsAt"])) for one in kept}
    made["recurrence"]["exceptions"] = sorted({*made["recurrence"]["exceptions"], *days})
    return made


async def _replace(
    work: MongoWork, class_: Mapping[str, Any], place: Mapping[str, Any], dates: list[Document], now: datetime
) -> None:
    """Bring dates nobody booked to what their class says now: those that still come are changed, the others go."""
    schedule = class_["schedule"]
    coming = set(starts_between(schedule, now, now + horizon_of(place, class_)))
    gone = [one["_id"] for one in dates if one["originalStart"] not in coming]
    if gone:
        await work.mongo.delete(OCCURRENCES, {"_id": {"$in": gone}})
    for one in dates:
        if one["originalStart"] in coming:
            made = date_of(class_, one["originalStart"], now)
            values: Document = {
                name: made[name]
                for name in ("startsAt", "endsAt", "timezone", "capacity", "waitlistLimit", "room", "instructor")
                if name in made
            }
            await _write(work, one, values, now)
    await make_dates(work, class_, place, now)


def _changed(date: Mapping[str, Any]) -> ClassDateChanged:
    return ClassDateChanged(
        facility_id=str(date["facilityId"]), occurrence_id=str(date["_id"]), class_id=str(date["classId"])
    )


def _told(values: Mapping[str, Any]) -> Document:
    """Values of a date as the audit keeps them."""
    told: Document = {}
    for name, value in values.items():
        if isinstance(value, datetime):
            told[name] = value.isoformat()
        elif name == "instructor":
            told[name] = str(value["userId"]) if value else None
        else:
            told[name] = value
    return told
