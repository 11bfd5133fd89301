"""Personal training sessions: `scheduled → completed | cancelled | no_show`, each with the credit it costs.

A session and its credit are written together or not at all, in MongoDB and PostgreSQL. Whoever schedules, and whoever
ends a relation, takes the turns of coach and client, so that of two at once one is run again and sees what the other
did: overlaps, the end of the relation and the last credit. The ledger's checks stand behind that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from bson import ObjectId

from nexfit.domains.classes import clashes
from nexfit.domains.classes.bookings import seats_between
from nexfit.domains.coaching import availability, packages
from nexfit.domains.coaching.documents import RelationStatus, SessionPlace, SessionStatus
from nexfit.domains.coaching.errors import (
    ClassClash,
    InvalidTransition,
    NoRelation,
    NoSession,
    OutsideHours,
    SessionBegun,
    SessionClash,
    SessionNotBegun,
    SessionState,
)
from nexfit.domains.coaching.events import SessionChanged
from nexfit.domains.coaching.relations import COLLECTION as RELATIONS
from nexfit.domains.coaching.sessions import COLLECTION
from nexfit.domains.errors import BadInput, NotFound
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import RIGHTS_COLUMNS, Actor, may
from nexfit.domains.memberships.turns import take_turn
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.turns import Turns
from nexfit.hybrid.unit_of_work import BothWork, MongoWork, UnitsOfWork
from nexfit.stores.mongo import Document, Mongo

T = TypeVar("T")

CANCEL_FREE = timedelta(hours=24)
"""A client who cancels earlier than this before the start gets the credit back."""

SHORTEST, LONGEST = 15, 240
"""Minutes of a session."""

AHEAD = timedelta(days=366)
"""How far ahead a session is scheduled."""

_IS_ACTIVE = {"relationship.status": str(RelationStatus.ACTIVE)}
_COLUMNS = ("coachId", "clientId", "facilityId", "startTime", "endTime", "duration", "status", "location", "workout")


@dataclass(frozen=True, slots=True)
class CoachDesk:
    """What scheduling works with; one per process."""

    units: UnitsOfWork
    mongo: Mongo
    turns: Turns

    async def change(self, name: str, coach: ObjectId, body: Callable[[BothWork], Awaitable[T]]) -> T:
        """Run a change of a coach's calendar, when it is its turn in this process. Raises what `Unit.run` raises."""
        async with self.turns.take(("coach", coach)):
            return await self.units.both(name).run(body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """When and where a session is."""

    starts_at: datetime
    minutes: int
    place: SessionPlace
    details: str | None = None
    facility: ObjectId | None = None

    @property
    def ends_at(self) -> datetime:
        """Its end, which the next one may start at."""
        return self.starts_at + timedelta(minutes=self.minutes)

    def check(self, now: datetime) -> None:
        """Raises BadInput for what no session can be."""
        if not SHORTEST <= self.minutes <= LONGEST:
            raise BadInput(
                "{name} must be between {least} and {most}.",
                path=("minutes",),
                name="minutes",
                least=SHORTEST,
                most=LONGEST,
            )
        if not now < self.starts_at <= now + AHEAD:
            raise BadInput("A session starts within the next year.", path=("startsAt",))
        if (self.place is SessionPlace.FACILITY) != (self.facility is not None):
            raise BadInput("A session at a facility names it, and no other does.", path=("facility",))


async def schedule(
    desk: CoachDesk, actor: Actor, relation: ObjectId, slot: Slot, *, key: str, now: datetime
) -> ObjectId:
    """Coach or client schedule a session, for a credit of the package that ends first; the session's id. A client does
    so within the coach's hours.

    The same `key` and input give the first session again. Raises Unauthenticated, BadInput, NotFound,
    InvalidTransition unless the relation is active, OutsideHours, SessionClash, ClassClash, NoCredits,
    IdempotencyConflict; then nothing was written in either store.
    """
    person = actor.require()
    either = {"_id": relation, "$or": [{"coachId": person}, {"clientId": person}]}
    known = await desk.mongo.find(RELATIONS, either, ("coachId",), limit=1)
    if not known:
        raise NoRelation
    coach = known[0]["coachId"]
    zone = await _zone(desk.mongo, coach, slot)

    async def body(work: BothWork) -> str:
        slot.check(now)
        found = await _active(work, {"_id": relation})
        if person != coach and not await availability.covers(work.mongo, coach, slot.starts_at, slot.ends_at):
            raise OutsideHours
        return str(await _schedule(work, found, slot, zone, person, now))

    asked = {"relation": str(relation), **_asked(slot)}
    async with desk.turns.take(("coach", coach)):
        unit = desk.units.both("schedule_session")
        return ObjectId(await once(desk.mongo, unit, person, "schedulePtSession", key, asked, body))


async def reschedule(
    desk: CoachDesk, actor: Actor, session: ObjectId, slot: Slot, *, key: str, now: datetime
) -> ObjectId:
    """A coach moves a session that has not begun: it is cancelled, its credit released, and a new one scheduled.

    The new session's id. Raises what `schedule` raises, and SessionState or SessionBegun for what cannot be moved.
    """
    coach = actor.require()
    zone = await _zone(desk.mongo, coach, slot)

    async def body(work: BothWork) -> str:
        slot.check(now)
        found = await work.mongo.find_one(COLLECTION, {"_id": session, "coachId": coach}, _COLUMNS)
        if found is None:
            raise NoSession
        relation = await _active(work, {"coachId": coach, "clientId": found["clientId"], **_IS_ACTIVE})
        if now >= found["startTime"]:
            raise SessionBegun
        await _end(work, found, SessionStatus.CANCELLED, coach, now, used=False, reason=None)
        return str(await _schedule(work, relation, slot, zone, coach, now))

    asked = {"session": str(session), **_asked(slot)}
    async with desk.turns.take(("coach", coach)):
        unit = desk.units.both("reschedule_session")
        return ObjectId(await once(desk.mongo, unit, coach, "reschedulePtSession", key, asked, body))


async def complete(desk: CoachDesk, actor: Actor, session: ObjectId, *, came: bool, now: datetime) -> None:
    """The coach, or staff with `classes_write` where it took place, says from the start on whether the client came.

    Either way the credit is used. Repeating it changes nothing. Raises Unauthenticated, NotFound, SessionState,
    SessionNotBegun.
    """
    person = actor.require()
    found = await _readable(desk.mongo, actor, session)
    to = SessionStatus.COMPLETED if came else SessionStatus.NO_SHOW

    async def body(work: BothWork) -> None:
        current = await _current(work, session)
        if current["status"] == to:
            return
        if now < current["startTime"]:
            raise SessionNotBegun
        await _end(work, current, to, person, now, used=True, reason=None)

    await desk.change("complete_session", found["coachId"], body)


async def cancel(desk: CoachDesk, actor: Actor, session: ObjectId, *, reason: str | None, now: datetime) -> None:
    """Coach or client cancel a session that has not begun. By the coach, and by the client until CANCEL_FREE before the
    start, the credit is released; later by the client it is used. Repeating it changes nothing.

    Raises Unauthenticated, NotFound, SessionState, SessionBegun.
    """
    person = actor.require()
    either = {"$or": [{"coachId": person}, {"clientId": person}]}
    known = await desk.mongo.find(COLLECTION, {"_id": session, **either}, ("coachId",), limit=1)
    if not known:
        raise NoSession

    async def body(work: BothWork) -> None:
        current = await _current(work, session)
        if current["status"] == SessionStatus.CANCELLED:
            return
        if current["status"] == SessionStatus.SCHEDULED and now >= current["startTime"]:
            raise SessionBegun
        late = person != current["coachId"] and now > current["startTime"] - CANCEL_FREE
        await _end(work, current, SessionStatus.CANCELLED, person, now, used=late, reason=reason)

    await desk.change("cancel_session", known[0]["coachId"], body)


async def rate(
    units: UnitsOfWork, actor: Actor, session: ObjectId, rating: int, notes: str | None, *, now: datetime
) -> None:
    """Coach and client each say how a completed session was; said again it replaces what was said.

    Raises Unauthenticated, NotFound, SessionState.
    """
    person = actor.require()

    async def body(work: MongoWork) -> None:
        either = {"$or": [{"coachId": person}, {"clientId": person}]}
        found = await work.mongo.find_one(COLLECTION, {"_id": session, **either}, _COLUMNS)
        if found is None:
            raise NoSession
        if found["status"] != SessionStatus.COMPLETED:
            raise SessionState(state=found["status"])
        side = "coach" if person == found["coachId"] else "client"
        opinion = {"rating": rating, **({"notes": notes} if notes else {})}
        await work.mongo.update(COLLECTION, {"_id": session}, {"$set": {f"feedback.{side}": opinion, "updatedAt": now}})
        work.audit(Audit("pt_session.rated", "pt_session", str(session), user_id=str(person), after={"rating": rating}))

    await units.mongo("rate_session").run(body)


async def release_future(work: BothWork, relation: Mapping[str, Any], by: ObjectId, now: datetime) -> None:
    """The relation ends in this unit: what has not begun is cancelled, and its credits are released."""
    pair = {"coachId": relation["coachId"], "clientId": relation["clientId"]}
    coming = {**pair, "status": str(SessionStatus.SCHEDULED), "startTime": {"$gt": now}}
    for session in await work.mongo.find(COLLECTION, coming, _COLUMNS):
        await _end(work, session, SessionStatus.CANCELLED, by, now, used=False, reason=None)


async def _schedule(
    work: BothWork, relation: Mapping[str, Any], slot: Slot, zone: str, by: ObjectId, now: datetime
) -> ObjectId:
    coach, client = relation["coachId"], relation["clientId"]
    await take_turns(work, relation)
    await clashes.take_turns(work.mongo, (coach, client))
    await _check_free(work, coach, client, slot)
    session: Document = {
        "_id": ObjectId(),
        "coachId": coach,
        "clientId": client,
        "startTime": slot.starts_at,
        "endTime": slot.ends_at,
        "duration": slot.minutes,
        "status": str(SessionStatus.SCHEDULED),
        "location": {"type": str(slot.place), **({"details": slot.details} if slot.details else {})},
        "createdAt": now,
        "updatedAt": now,
    }
    if slot.facility is not None:
        session["facilityId"] = slot.facility
    day = slot.starts_at.astimezone(ZoneInfo(zone)).date()
    await packages.reserve(work, relation["_id"], (str(coach), str(client)), session["_id"], day)
    await work.mongo.insert(COLLECTION, session)
    _tell(work, session, by, before=None)
    return ObjectId(session["_id"])


async def _check_free(work: BothWork, coach: ObjectId, client: ObjectId, slot: Slot) -> None:
    """Half-open: one session may start when another ends. Raises SessionClash, and ClassClash for what either of them
    teaches or has a seat in."""
    for side in ({"coachId": coach}, {"clientId": coach}, {"coachId": client}, {"clientId": client}):
        near = {
            **side,
            # Nothing is longer, so the index is read for a day and not from the beginning.
            "startTime": {"$gt": slot.starts_at - timedelta(days=1), "$lt": slot.ends_at},
            "endTime": {"$gt": slot.starts_at},
            "status": {"$ne": str(SessionStatus.CANCELLED)},
        }
        if await work.mongo.find_one(COLLECTION, near, ()) is not None:
            raise SessionClash
    if await clashes.taught(work.mongo, (coach, client), slot.starts_at, slot.ends_at):
        raise ClassClash
    if await seats_between(work.mongo, (coach, client), slot.starts_at, slot.ends_at):
        raise ClassClash


async def _end(
    work: BothWork,
    session: Mapping[str, Any],
    to: SessionStatus,
    by: ObjectId,
    now: datetime,
    *,
    used: bool,
    reason: str | None,
) -> None:
    """A scheduled session in its last state, its credit used or released. Raises SessionState."""
    if session["status"] != SessionStatus.SCHEDULED:
        raise SessionState(state=session["status"])
    change: Document = {"status": str(to), "updatedAt": now}
    if to is SessionStatus.CANCELLED:
        change |= {"cancelledAt": now, "cancelledBy": by}
        if reason:
            change["cancellationReason"] = reason
    await work.mongo.update(COLLECTION, {"_id": session["_id"]}, {"$set": change})
    await packages.settle(work, session["_id"], used=used)
    _tell(work, {**session, **change}, by, before=str(session["status"]), used=used)


async def take_turns(work: BothWork, relation: Mapping[str, Any]) -> None:
    """From here on no other transaction schedules anything for the two, or ends their relation."""
    for person in sorted((relation["coachId"], relation["clientId"])):
        await take_turn(work.mongo, person)


async def _active(work: BothWork, query: Mapping[str, Any]) -> Document:
    """The relation that is asked for, active. Raises NoRelation, InvalidTransition."""
    found = await work.mongo.find_one(RELATIONS, query, ("coachId", "clientId", "relationship.status"))
    if found is None:
        raise NoRelation
    if found["relationship"]["status"] != RelationStatus.ACTIVE:
        raise InvalidTransition(state=found["relationship"]["status"])
    return found


async def _current(work: BothWork, session: ObjectId) -> Document:
    found = await work.mongo.find_one(COLLECTION, {"_id": session}, _COLUMNS)
    if found is None:
        raise NoSession
    return found


async def _readable(mongo: Mongo, actor: Actor, session: ObjectId) -> Document:
    """A session the actor may complete. Raises NoSession."""
    found = await mongo.find(COLLECTION, {"_id": session}, ("coachId", "facilityId"), limit=1)
    if found and actor.is_user(found[0]["coachId"]):
        return found[0]
    place = found[0].get("facilityId") if found else None
    facilities = await mongo.find("facilities", {"_id": place}, RIGHTS_COLUMNS, limit=1) if place else []
    if not facilities or not may(actor, facilities[0], StaffPermission.CLASSES_WRITE):
        raise NoSession
    return found[0]


async def _zone(mongo: Mongo, coach: ObjectId, slot: Slot) -> str:
    """The zone in which a package's days are counted: of the facility, where the coach works. Raises NotFound."""
    if slot.facility is None:
        return "UTC"
    works = {"$or": [{"ownerId": coach}, {"staff.userId": coach}]}
    found = await mongo.find("facilities", {"_id": slot.facility, **works}, ("timezone",), limit=1)
    if not found:
        raise NotFound("There is no such {name}.", path=("facility",), name="facility")
    return str(found[0]["timezone"])


def _asked(slot: Slot) -> dict[str, Any]:
    return {
        "startsAt": slot.starts_at.isoformat(),
        "minutes": slot.minutes,
        "place": str(slot.place),
        "details": slot.details,
        "facility": str(slot.facility),
    }


def _tell(
    work: BothWork, session: Mapping[str, Any], by: ObjectId, *, before: str | None, used: bool | None = None
) -> None:
    status = SessionStatus(session["status"])
    pair = {"coachId": str(session["coachId"]), "clientId": str(session["clientId"])}
    work.emit(
        SessionChanged(
            session_id=str(session["_id"]),
            coach_id=pair["coachId"],
            client_id=pair["clientId"],
            starts_at=session["startTime"],
            status=status,
        )
    )
    work.audit(
        Audit(
            f"pt_session.{status}",
            "pt_session",
            str(session["_id"]),
            facility_id=str(session["facilityId"]) if session.get("facilityId") else None,
            user_id=str(by),
            before=None if before is None else {"status": before},
            after={"status": str(status), **pair, **({} if used is None else {"creditUsed": used})},
        )
    )
