"""Classes and their dates: the weekly timetable as `classes` and materialised `class_occurrences` documents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from bson import ObjectId

from nexfit.operations.demo.businesses import Branch, Row
from nexfit.operations.demo.calendar import Calendar, add_months, minutes, stored_date
from nexfit.operations.demo.chance import Chance
from nexfit.operations.demo.content.places import PEOPLE
from nexfit.operations.demo.content.timetable import HOLIDAYS, KINDS, TIMETABLE, Slot

WEEKS_BACK = 8
WEEKS_AHEAD = 4
WAITLIST_LIMIT = 5
MONTHLY_DAY = 15


@dataclass(slots=True)
class Session:
    """One date of a class; the generator of bookings fills `taken`, `waiting` and `joined`."""

    id: ObjectId
    class_id: ObjectId
    slot: Slot
    day: date
    starts_at: datetime
    ends_at: datetime
    cancelled: bool
    taken: int = 0
    waiting: int = 0
    joined: int = 0
    """Places on the waitlist that were ever given."""

    def called_off_at(self, now: datetime) -> datetime | None:
        """When the facility cancelled it; None if it takes place."""
        return min(self.starts_at, now) - timedelta(hours=5) if self.cancelled else None


@dataclass(slots=True)
class Timetable:
    """A branch's classes and their dates in order of time."""

    classes: list[Row]
    sessions: list[Session]
    instructors: dict[ObjectId, Row | None] = field(default_factory=dict)


def make(chance: Chance, calendar: Calendar, branch: Branch, copies: int) -> Timetable:
    """The branch's timetable; every class is held in `copies` rooms at once, the first with the named teacher."""
    made = Timetable([], [])
    random = chance.stream(f"timetable:{branch.content.key}")
    for copy in range(1, copies + 1):
        for slot in TIMETABLE[branch.content.key]:
            class_id = chance.object_id("class")
            teacher = _instructor(branch, slot) if copy == 1 else None
            made.instructors[class_id] = teacher
            made.classes.append(_class(calendar, branch, class_id, slot, copy, teacher))
            for day in _days(calendar, slot):
                cancelled = random.random() < 0.012
                starts = calendar.at(day, minutes(slot.start))
                ends = starts + timedelta(minutes=slot.minutes)
                made.sessions.append(
                    Session(chance.object_id("occurrence"), class_id, slot, day, starts, ends, cancelled)
                )
    made.sessions.sort(key=lambda session: (session.starts_at, session.id))
    return made


def occurrences(calendar: Calendar, branch: Branch, timetable: Timetable) -> Iterator[Row]:
    """`class_occurrences` documents; call after the bookings were made, because they carry the seat counters."""
    for session in timetable.sessions:
        created = calendar.at(session.day - timedelta(days=28), 180)
        row: Row = {
            "_id": session.id,
            "classId": session.class_id,
            "facilityId": branch.id,
            "originalStart": session.starts_at,
            "startsAt": session.starts_at,
            "endsAt": session.ends_at,
            "timezone": calendar.timezone,
            "capacity": session.slot.capacity,
            "seatsTaken": session.taken,
            "waitlisted": session.waiting,
            "waitlistJoined": session.joined,
            "waitlistLimit": WAITLIST_LIMIT,
            "status": "cancelled" if session.cancelled else "scheduled",
            "room": session.slot.room,
            "createdAt": created,
            "updatedAt": created,
        }
        teacher = timetable.instructors[session.class_id]
        if teacher is not None:
            row["instructor"] = teacher
        called_off = session.called_off_at(calendar.now)
        if called_off is not None:
            row["cancelledAt"] = row["updatedAt"] = called_off
            row["cancellationReason"] = "Eğitmen rahatsızlandı"
        yield row


def _instructor(branch: Branch, slot: Slot) -> Row:
    first, last = PEOPLE[slot.teacher]
    return {"userId": branch.staff_ids[slot.teacher], "name": f"{first} {last}"}


def _class(calendar: Calendar, branch: Branch, class_id: ObjectId, slot: Slot, copy: int, teacher: Row | None) -> Row:
    kind = KINDS[slot.kind]
    first = next(_takes_place(slot, calendar.opening, calendar.today))
    starts = calendar.at(first, minutes(slot.start))
    recurrence: Row = {
        "frequency": slot.frequency,
        "interval": slot.interval,
        # Stored weekdays count from Sunday.
        "weekdays": [(day + 1) % 7 for day in slot.days] if slot.frequency == "weekly" else [],
        "exceptions": [
            stored_date(date(year, month, day))
            for year in range(calendar.opening.year, calendar.today.year + 2)
            for month, day in HOLIDAYS
        ],
    }
    opened = calendar.at(calendar.opening, 600)
    row: Row = {
        "_id": class_id,
        "facilityId": branch.id,
        "name": kind.name if copy == 1 else f"{kind.name} {copy}",
        "description": kind.description,
        "schedule": {
            "startTime": starts,
            "endTime": starts + timedelta(minutes=slot.minutes),
            "timezone": calendar.timezone,
            "recurrence": recurrence,
        },
        "location": {"room": slot.room, "capacity": slot.capacity},
        "waitlistLimit": WAITLIST_LIMIT,
        "category": kind.category,
        "difficulty": kind.difficulty,
        "duration": slot.minutes,
        "tags": list(kind.tags),
        "isActive": True,
        "createdAt": opened,
        "updatedAt": opened,
    }
    if teacher is not None:
        row["instructor"] = teacher
    return row


def _days(calendar: Calendar, slot: Slot) -> Iterator[date]:
    """The local days in the materialised weeks on which the class takes place."""
    first = calendar.today - timedelta(weeks=WEEKS_BACK)
    last = calendar.today + timedelta(weeks=WEEKS_AHEAD)
    for day in _takes_place(slot, calendar.opening, last):
        if day >= first and (day.month, day.day) not in HOLIDAYS:
            yield day


def _takes_place(slot: Slot, opening: date, last: date) -> Iterator[date]:
    """The days the recurrence names from the opening on, holidays included."""
    if slot.frequency == "monthly":
        month = opening.replace(day=MONTHLY_DAY) if opening.day <= MONTHLY_DAY else None
        day = month or add_months(opening.replace(day=MONTHLY_DAY), 1)
        while day <= last:
            yield day
            day = add_months(day, slot.interval)
        return
    monday = opening - timedelta(days=opening.weekday())
    if slot.interval > 1 and all(monday + timedelta(days=day) < opening for day in slot.days):
        monday += timedelta(weeks=1)
    while monday <= last:
        for weekday in sorted(slot.days):
            day = monday + timedelta(days=weekday)
            if opening <= day <= last:
                yield day
        monday += timedelta(weeks=slot.interval)
