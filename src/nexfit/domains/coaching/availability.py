"""When a coach can be trained with: weekly hours on the coach's own wall clock, and what is free of them.

The hours have the shape of a facility's, so that clock changes and openings past midnight follow one rule. They bind
clients who schedule for themselves; a coach may schedule at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from nexfit.domains.classes.bookings import seats_between
from nexfit.domains.classes.places import OCCURRENCES
from nexfit.domains.coaching.sessions import COLLECTION as SESSIONS
from nexfit.domains.errors import Forbidden
from nexfit.domains.facilities.hours import instant_of, local_today, openings_on
from nexfit.domains.facilities.inputs import HoursChange, ZoneText, check_hours
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.people import COACHES
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.errors import WriteConflict
from nexfit.stores.mongo import Mongo
from nexfit.stores.mongo_transactions import MongoTransaction

COLLECTION = "coach_hours"
PATIENCE = 2.0
"""Seconds for a commit."""
_COLUMNS = ("timezone", "operatingHours")

MOST_DAYS = 62
"""Days that free times are asked for at once."""

KEPT_AHEAD, RENEWED_AHEAD = timedelta(days=120), timedelta(days=100)
"""How far the hours are kept as instants, and how little of that may be left: a search needs MOST_DAYS."""

AT_ONCE = 200
"""Coaches whose hours are brought up to date in one go."""

LONGEST = timedelta(days=1)
"""No session and no date of a class is longer, so an index is read for a day before a range."""

Interval = tuple[datetime, datetime]
"""From an instant to another, the second one excluded."""


class WeeklyHours(HoursChange):
    """A coach's weekly hours in a time zone."""

    timezone: ZoneText


async def set_hours(units: UnitsOfWork, actor: Actor, hours: WeeklyHours, *, now: datetime) -> None:
    """The viewer's weekly hours as a coach, in place of what was there. Raises Unauthenticated, Forbidden, BadInput."""
    coach = actor.require()
    check_hours(hours)
    weekly = [
        {"day": str(one.day), "openTime": one.open_time, "closeTime": one.close_time, "isClosed": False}
        for one in hours.hours or ()
    ]

    async def body(work: MongoWork) -> None:
        if await work.mongo.find_one("users", {"_id": coach, "role": {"$in": COACHES}}, ()) is None:
            raise Forbidden("Only a coach has hours.")
        stored = {"timezone": hours.timezone, "operatingHours": weekly, "updatedAt": now}
        stored |= _ahead(stored, now)
        await work.mongo.update(COLLECTION, {"_id": coach}, {"$set": stored}, upsert=True)
        work.audit(
            Audit(
                "coach_hours.set",
                "coach_hours",
                str(coach),
                user_id=str(coach),
                after={"timezone": hours.timezone, "openings": len(weekly)},
            )
        )

    await units.mongo("set_coach_hours").run(body)


async def open_ahead(mongo: Mongo, *, now: datetime) -> int:
    """Keep the hours as instants for coaches of whom too few are kept; of how many. Raises StoreError."""
    due = {"$or": [{"openedUntil": {"$lt": now + RENEWED_AHEAD}}, {"openedUntil": {"$exists": False}}]}
    found = await mongo.find(COLLECTION, due, (*_COLUMNS, "updatedAt"), limit=AT_ONCE)
    for one in found:
        transaction = MongoTransaction(mongo)
        try:
            # One whose coach said something else meanwhile was opened with that.
            same = {"_id": one["_id"], "updatedAt": one["updatedAt"]}
            await transaction.update(COLLECTION, same, {"$set": _ahead(one, now)})
            await transaction.commit(PATIENCE)
        except WriteConflict:
            continue
        finally:
            await transaction.close()
    return len(found)


async def free_of_pairs(
    mongo: Mongo, pairs: Sequence[tuple[ObjectId, ObjectId]], since: datetime, until: datetime, minutes: int
) -> list[list[Interval]]:
    """When each (coach, client) could have a session of so many minutes in `[since, until)`, beside the sessions and
    classes of either. Five commands for all."""
    hours = await of_coaches(mongo, (coach for coach, _ in pairs))
    people = {person for pair in pairs for person in pair}
    busy, seats = await asyncio.gather(taken(mongo, people, since, until), seats_between(mongo, people, since, until))
    for one in seats:
        busy.setdefault(one["userId"], []).append((one["startsAt"], one["endsAt"]))
    return [
        free(
            opened(hours[coach], since, until) if coach in hours else [],
            [*busy.get(coach, ()), *busy.get(client, ())],
            timedelta(minutes=minutes),
        )
        for coach, client in pairs
    ]


async def free_of_coaches(
    mongo: Mongo, coaches: Sequence[ObjectId], since: datetime, until: datetime, minutes: int
) -> dict[ObjectId, list[Interval]]:
    """When each coach could have a session of so many minutes with somebody. Three commands for all."""
    hours = await of_coaches(mongo, coaches)
    busy = await taken(mongo, hours, since, until)
    least = timedelta(minutes=minutes)
    return {id_: free(opened(one, since, until), busy.get(id_, ()), least) for id_, one in hours.items()}


async def taken(
    mongo: Mongo, people: Iterable[ObjectId], since: datetime, until: datetime
) -> dict[ObjectId, list[Interval]]:
    """The sessions that people give or take and the classes they teach, around `[since, until)`. Two commands."""
    ids, begins = list(people), {"$gt": since - LONGEST, "$lt": until}
    if not ids:
        return {}
    near = {"$or": [{"coachId": {"$in": ids}}, {"clientId": {"$in": ids}}], "startTime": begins, **NOT_CANCELLED}
    classes = {"instructor.userId": {"$in": ids}, "startsAt": begins, **TAKES_PLACE}
    sessions, dates = await asyncio.gather(
        mongo.find(SESSIONS, near, ("coachId", "clientId", "startTime", "endTime")),
        mongo.find(OCCURRENCES, classes, ("instructor.userId", "startsAt", "endsAt")),
    )
    found: dict[ObjectId, list[Interval]] = {}
    for session in sessions:
        for person in {session["coachId"], session["clientId"]}:
            found.setdefault(person, []).append((session["startTime"], session["endTime"]))
    for date in dates:
        found.setdefault(date["instructor"]["userId"], []).append((date["startsAt"], date["endsAt"]))
    return found


NOT_CANCELLED = {"status": {"$ne": "cancelled"}}
"""Sessions that take somebody's time."""

TAKES_PLACE = {"status": "scheduled"}
"""Dates of classes that do."""


async def of_coaches(mongo: Mongo, coaches: Iterable[ObjectId]) -> dict[ObjectId, Mapping[str, Any]]:
    """The weekly hours of each coach, in one command; absent for those without."""
    found = await mongo.find(COLLECTION, {"_id": {"$in": list(set(coaches))}}, _COLUMNS)
    return {one["_id"]: one for one in found}


async def covers(tx: MongoTransaction, coach: ObjectId, since: datetime, until: datetime) -> bool:
    """Whether a time lies within the coach's hours."""
    hours = await tx.find_one(COLLECTION, {"_id": coach}, _COLUMNS)
    return hours is not None and any(begins <= since and until <= ends for begins, ends in opened(hours, since, until))


def _ahead(hours: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    until = now + KEPT_AHEAD
    spans = opened(hours, now - LONGEST, until)
    return {"openings": [{"startsAt": begins, "endsAt": ends} for begins, ends in spans], "openedUntil": until}


def opened(hours: Mapping[str, Any], since: datetime, until: datetime) -> list[Interval]:
    """The hours as instants, cut to `[since, until)`, in order; those that touch are one."""
    timezone = hours["timezone"]
    day, last = local_today(timezone, since) - timedelta(days=1), local_today(timezone, until)
    spans: list[Interval] = []
    while day <= last:
        for opens, closes in openings_on(hours, day):
            begins = max(instant_of(timezone, day, opens), since)
            ends = min(instant_of(timezone, day + timedelta(days=closes <= opens), closes), until)
            if begins < ends:
                spans.append((begins, ends))
        day += timedelta(days=1)
    joined: list[Interval] = []
    for begins, ends in sorted(spans):
        if joined and begins <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], ends))
        else:
            joined.append((begins, ends))
    return joined


def free(hours: Sequence[Interval], taken: Iterable[Interval], least: timedelta) -> list[Interval]:
    """What is left of the hours beside what is taken, where it is long enough."""
    left = list(hours)
    for begins, ends in taken:
        left = [
            part
            for start, end in left
            for part in ([(start, end)] if ends <= start or end <= begins else [(start, begins), (ends, end)])
            if part[0] < part[1]
        ]
    return [(begins, ends) for begins, ends in left if ends - begins >= least]
