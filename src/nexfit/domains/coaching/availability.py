"""When a coach can be trained with: weekly hours on the coach's own wall clock, and what is free of them.

The hours have the shape of a facility's, so that clock changes and openings past midnight follow one rule. They bind
clients who schedule for themselves; a coach may schedule at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from nexfit.domains.coaching.sessions import COLLECTION as SESSIONS
from nexfit.domains.errors import Forbidden
from nexfit.domains.facilities.hours import instant_of, local_today, openings_on
from nexfit.domains.facilities.inputs import HoursChange, ZoneText, check_hours
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.people import COACHES
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.mongo import Mongo
from nexfit.stores.mongo_transactions import MongoTransaction

COLLECTION = "coach_hours"
_COLUMNS = ("timezone", "operatingHours")

MOST_DAYS = 62
"""Days that free times are asked for at once."""

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


async def free_of_pairs(
    mongo: Mongo, pairs: Sequence[tuple[ObjectId, ObjectId]], since: datetime, until: datetime, minutes: int
) -> list[list[Interval]]:
    """When each (coach, client) could have a session of so many minutes in `[since, until)`. Two commands for all."""
    people = {person for pair in pairs for person in pair}
    hours = {
        found["_id"]: found
        for found in await mongo.find(COLLECTION, {"_id": {"$in": list({coach for coach, _ in pairs})}}, _COLUMNS)
    }
    near = {
        "$or": [{"coachId": {"$in": list(people)}}, {"clientId": {"$in": list(people)}}],
        "startTime": {"$gt": since - timedelta(days=1), "$lt": until},
        "status": {"$ne": "cancelled"},
    }
    sessions = await mongo.find(SESSIONS, near, ("coachId", "clientId", "startTime", "endTime"))
    return [
        free(
            opened(hours[coach], since, until) if coach in hours else [],
            [
                (session["startTime"], session["endTime"])
                for session in sessions
                if {coach, client} & {session["coachId"], session["clientId"]}
            ],
            timedelta(minutes=minutes),
        )
        for coach, client in pairs
    ]


async def of_coaches(mongo: Mongo, coaches: Iterable[ObjectId]) -> dict[ObjectId, Mapping[str, Any]]:
    """The weekly hours of each coach, in one command; absent for those without."""
    found = await mongo.find(COLLECTION, {"_id": {"$in": list(set(coaches))}}, _COLUMNS)
    return {one["_id"]: one for one in found}


async def covers(tx: MongoTransaction, coach: ObjectId, since: datetime, until: datetime) -> bool:
    """Whether a time lies within the coach's hours."""
    hours = await tx.find_one(COLLECTION, {"_id": coach}, _COLUMNS)
    return hours is not None and any(begins <= since and until <= ends for begins, ends in opened(hours, since, until))


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
