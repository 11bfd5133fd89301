"""Rooms and instructors are in one place at a time: what lies in the way of dates, made or only planned, and what
personal training sessions lie in theirs.

Asked inside the transaction that writes the dates, after its turn at the facility's and the instructor's timetable was
taken: two that plan at once meet there, and the later one sees the dates of the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from bson import ObjectId

from nexfit.domains.classes.errors import InstructorTaken, InstructorTrains, RoomTaken
from nexfit.domains.classes.places import OCCURRENCES
from nexfit.domains.classes.policies import overlap
from nexfit.domains.classes.recurrence import starts_between
from nexfit.domains.classes.timetable import CLASSES
from nexfit.domains.text import fold
from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.mongo import Document, Mongo
from nexfit.stores.mongo_transactions import MongoTransaction

TURNS = "timetable_turns"
SESSIONS = "pt_sessions"
"""Of the coaching domain, which knows classes and is not known here but by what it stores."""

AHEAD = timedelta(days=400)
"""How far ahead repetitions are held against each other."""

_LONGEST = timedelta(days=1)
_DATE = ("classId", "facilityId", "originalStart", "startsAt", "endsAt", "status", "room", "instructor.userId")
_CLASS = ("facilityId", "schedule", "location.room", "instructor.userId")


@dataclass(frozen=True, slots=True)
class Plan:
    """Dates about to be written: where, by whom, and their half-open spans in order of time."""

    facility: ObjectId
    room: str | None
    instructor: ObjectId | None
    spans: Sequence[tuple[datetime, datetime]]


async def take_turns(tx: MongoTransaction, timetables: Iterable[ObjectId | None]) -> None:
    """From here on no other transaction plans at these facilities or for these instructors. Raises WriteConflict."""
    for id_ in sorted({one for one in timetables if one is not None}):
        try:
            await tx.update(TURNS, {"_id": id_}, {"$inc": {"turns": 1}}, upsert=True)
        except ConstraintViolated as error:  # the very first turn, taken by two at once
            raise WriteConflict("mongo", str(error)) from error


async def check(
    tx: MongoTransaction,
    plan: Plan,
    *,
    class_: ObjectId | None = None,
    replaced: Collection[ObjectId] = (),
) -> None:
    """Refuse a plan in which a room or an instructor is taken.

    It takes the place of what `class_` would make, and of the `replaced` dates. Raises RoomTaken, InstructorTaken.
    """
    if not plan.spans or (plan.room is None and plan.instructor is None):
        return
    since, until = plan.spans[0][0], plan.spans[-1][1]
    whose: list[Document] = [
        {"facilityId": plan.facility},
        *([{"instructor.userId": plan.instructor}] if plan.instructor else []),
    ]
    near = await _near(tx, whose, since, until, class_)
    taken = [one for one in near if one["status"] == "scheduled" and one.get("_id") not in replaced]
    taken.sort(key=lambda one: one["startsAt"])
    room = fold(plan.room) if plan.room else None
    for one in _meeting(taken, plan.spans):
        there = one["facilityId"] == plan.facility and room is not None and fold(one.get("room") or "") == room
        if there:
            raise RoomTaken(at=one["startsAt"])
        if plan.instructor is not None and (one.get("instructor") or {}).get("userId") == plan.instructor:
            raise InstructorTaken(at=one["startsAt"])
    if plan.instructor is not None:
        sessions = await trained(tx, [plan.instructor], since, until)
        for one in _meeting(sessions, plan.spans):
            raise InstructorTrains(at=one["startsAt"])


async def trained(
    store: Mongo | MongoTransaction, people: Collection[ObjectId], since: datetime, until: datetime
) -> list[Document]:
    """The training sessions people give or take within a time, as spans in their order; also those that are over."""
    among = {"$in": list(people)}
    near = {"startTime": {"$gt": since - _LONGEST, "$lt": until}, "status": {"$ne": "cancelled"}}
    found = await store.find(
        SESSIONS, {"$or": [{"coachId": among, **near}, {"clientId": among, **near}]}, ("startTime", "endTime")
    )
    spans = [{"startsAt": one["startTime"], "endsAt": one["endTime"]} for one in found if one["endTime"] > since]
    return sorted(spans, key=lambda one: one["startsAt"])


async def taught(
    store: Mongo | MongoTransaction, people: Collection[ObjectId], since: datetime, until: datetime
) -> list[Document]:
    """The dates people teach within a time, made or only planned, in no order."""
    near = await _near(store, [{"instructor.userId": {"$in": list(people)}}], since, until, None)
    return [
        one
        for one in near
        if one["status"] == "scheduled"
        and (one.get("instructor") or {}).get("userId") in people
        and overlap(since, until, one["startsAt"], one["endsAt"])
    ]


async def _near(
    store: Mongo | MongoTransaction,
    whose: Sequence[Document],
    since: datetime,
    until: datetime,
    class_: ObjectId | None,
) -> list[Document]:
    """The dates of some near a time: those that are made, and those that their classes, but this one, will make."""
    near = {"startsAt": {"$gt": since - _LONGEST, "$lt": until}}
    facilities = {one["facilityId"] for one in whose if "facilityId" in one}
    classes = await store.find(CLASSES, {"isActive": True, "$or": list(whose)}, _CLASS)
    elsewhere = [one["_id"] for one in classes if one["facilityId"] not in facilities]
    made = await store.find(
        OCCURRENCES,
        {"$or": [{**one, **near} for one in (*whose, *([{"classId": {"$in": elsewhere}}] if elsewhere else []))]},
        _DATE,
    )
    known = {(one["classId"], one["originalStart"]) for one in made}
    # A date that was moved out of sight is known by its original start.
    moved = await store.find(
        OCCURRENCES,
        {"classId": {"$in": [one["_id"] for one in classes]}, "originalStart": {"$gte": since, "$lt": until}},
        ("classId", "originalStart"),
    )
    known |= {(one["classId"], one["originalStart"]) for one in moved}
    planned = (_planned(one, known, since, until) for one in classes if one["_id"] != class_)
    return [*made, *chain.from_iterable(planned)]


def _planned(
    class_: Mapping[str, Any], known: Collection[tuple[ObjectId, datetime]], since: datetime, until: datetime
) -> list[Document]:
    schedule = class_["schedule"]
    length = schedule["endTime"] - schedule["startTime"]
    return [
        {
            "classId": class_["_id"],
            "facilityId": class_["facilityId"],
            "startsAt": start,
            "endsAt": start + length,
            "status": "scheduled",
            "room": class_["location"].get("room"),
            "instructor": class_.get("instructor"),
        }
        for start in starts_between(schedule, since - _LONGEST, until)
        if (class_["_id"], start) not in known
    ]


def _meeting(taken: Sequence[Document], spans: Sequence[tuple[datetime, datetime]]) -> Iterable[Document]:
    """What is taken during one of the spans; both are in order of time."""
    place = 0
    for start, end in spans:
        while place < len(taken) and taken[place]["startsAt"] <= start - _LONGEST:
            place += 1
        for one in taken[place:]:
            if one["startsAt"] >= end:
                break
            if overlap(start, end, one["startsAt"], one["endsAt"]):
                yield one
