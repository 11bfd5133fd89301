"""Going through a program: day by day, with skipped days and fresh starts. In MongoDB's `program_enrolments`.

`active -> completed` with its last day, `active -> ended` by the person, `completed | ended -> active` by a restart.
A day is done or skipped when it is the pointer's; what became of it stays until a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, ClassVar

from bson import ObjectId

from nexfit.domains.errors import BadInput, ErrorCode, NotFound, Refusal
from nexfit.domains.identity.access import Actor
from nexfit.domains.training.enrolment_documents import DayState, EnrolmentStatus
from nexfit.domains.training.library import PROGRAMS, TEMPLATES, findable, version_of
from nexfit.domains.training.workouts import COLLECTION as LOGS
from nexfit.domains.training.workouts import KEPT
from nexfit.hybrid import documents_paging
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.paging import Key, Page, PageRequest, instant, object_id
from nexfit.hybrid.unit_of_work import BothWork, MongoWork, UnitsOfWork
from nexfit.stores.errors import ConstraintViolated
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "program_enrolments"
ORDER = "program_enrolments:CREATED_AT:DESC"
KEYS = (Key("createdAt", instant, descending=True), Key("_id", object_id, descending=True))
_EVERYTHING = (
    *("userId", "programId", "programVersion", "name", "status", "startDate", "pointer", "days", "restarts"),
    *("assignedBy", "purchaseId", "createdAt", "updatedAt", "endedAt"),
)


class EnrolmentChanged(Event):
    """Somebody began, went on in, restarted or left a program."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "program_enrolment"

    enrolment_id: str
    user_id: str
    status: str
    pointer: int

    @property
    def aggregate_id(self) -> str:
        """The enrolment."""
        return self.enrolment_id

    def tags(self) -> Sequence[str]:
        """What is kept of the person's training."""
        return (f"user:{self.user_id}:training",)


class NotThisDay(Refusal):
    """The day is not the one whose turn it is, or the program is over."""

    code = ErrorCode.INVALID_TRANSITION


class PurchaseRequired(Refusal):
    """The program has a price, and somebody who did not make it has not bought it."""

    code = ErrorCode.PURCHASE_REQUIRED

    def __init__(self) -> None:
        super().__init__("This program has a price: buy it first.", path=("program",))


class Archived(Refusal):
    """Who made the template or program has archived it."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self, *, path: str) -> None:
        super().__init__("This is archived: take that back first.", path=(path,))


# --- rules


def fresh(days: Iterable[Mapping[str, Any]]) -> list[Document]:
    """The days as nothing became of them yet."""
    kept = ("day", "isRestDay", "workoutTemplateId", "templateVersion", "notes")
    return [{**{name: one[name] for name in kept if name in one}, "state": str(DayState.PENDING)} for one in days]


def settled(
    enrolment: Mapping[str, Any], day: int, state: DayState, log: ObjectId | None, now: datetime
) -> Document | None:
    """The enrolment after its day was done or skipped; None where it is so already.

    Raises NotThisDay for another day than the pointer's, and in a program that is over.
    """
    if not 1 <= day <= len(enrolment["days"]):
        raise NotThisDay("It is the turn of day {day}.", path=("day",), day=enrolment["pointer"])
    there = enrolment["days"][day - 1]
    if there["state"] == state and there.get("workoutLogId") == log:
        return None
    if enrolment["status"] != EnrolmentStatus.ACTIVE:
        raise NotThisDay("This program is {state}.", path=("enrolment",), state=enrolment["status"])
    if day != enrolment["pointer"]:
        raise NotThisDay("It is the turn of day {day}.", path=("day",), day=enrolment["pointer"])
    became: Document = {**there, "state": str(state), "settledAt": now}
    if log is not None:
        became["workoutLogId"] = log
    days = [*enrolment["days"][: day - 1], became, *enrolment["days"][day:]]
    after = {**enrolment, "days": days, "pointer": day + 1}
    if day == len(days):
        after |= {"status": str(EnrolmentStatus.COMPLETED), "endedAt": now}
    return after


# --- reading


async def pages_of(
    mongo: Mongo,
    people: Sequence[ObjectId],
    status: EnrolmentStatus | None,
    request: PageRequest,
    columns: Iterable[str],
) -> list[Page]:
    """A page of each person's programs, the latest first, in one command."""
    conditions = {} if status is None else {"status": str(status)}
    return await documents_paging.pages_by_parent(
        mongo, COLLECTION, "userId", people, conditions, KEYS, request, {*columns, "userId"}
    )


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Enrolments by id, in one command; unknown ids are absent."""
    rows = await mongo.find(COLLECTION, {"_id": {"$in": list(set(ids))}}, {*columns, "userId"})
    return {row["_id"]: row for row in rows}


async def of_people(mongo: Mongo, people: Iterable[ObjectId]) -> dict[ObjectId, list[Document]]:
    """What adherence is computed from: every program of each person, in one command."""
    wanted = list(set(people))
    columns = ("userId", "startDate", "endedAt", "days.isRestDay", "days.state", "days.day")
    found: dict[ObjectId, list[Document]] = {person: [] for person in wanted}
    for row in await mongo.find(COLLECTION, {"userId": {"$in": wanted}}, columns):
        found[row["userId"]].append(row)
    return found


# --- changing


async def enrol(
    units: UnitsOfWork, actor: Actor, program: ObjectId, *, user: ObjectId | None, start: date, now: datetime
) -> ObjectId:
    """Begin a program that the viewer finds, or begin it for somebody whose coach the viewer was found to be.

    The program is taken as it is now, with its templates' versions. Begun already, that one is answered. What has a
    price is begun by who made it, by those it is assigned to by them, and by who has begun it before. Raises
    Unauthenticated, NotFound, Archived, PurchaseRequired, BadInput for a program without days.
    """
    viewer = actor.require()
    person = user or viewer

    async def body(work: MongoWork) -> ObjectId:
        live = {"userId": person, "programId": program, "status": str(EnrolmentStatus.ACTIVE)}
        known = await work.mongo.find_one(COLLECTION, live, ())
        if known is not None:
            return ObjectId(known["_id"])
        found = await work.mongo.find_one(PROGRAMS, {"_id": program, **findable(viewer)}, PROGRAM_COLUMNS)
        if found is None:
            raise NotFound("There is no such {name}.", path=("program",), name="program")
        if "archivedAt" in found:
            raise Archived(path="program")
        if found.get("pricing") and found["createdBy"] != viewer and not await has_begun(work, person, program):
            raise PurchaseRequired
        assigned = {"assignedBy": viewer} if viewer != person else {}
        return await begin(work, found, person, start=start, by=viewer, now=now, **assigned)

    try:
        return await units.mongo("enrol_in_program").run(body)
    except ConstraintViolated as violated:
        if violated.constraint != "live_unique":
            raise
        return await units.mongo("enrol_in_program").run(body)  # somebody was faster: theirs is answered


PROGRAM_COLUMNS = ("name", "version", "schedule", "createdBy", "pricing", "archivedAt")
"""What of a program `begin` needs."""


async def has_begun(work: MongoWork | BothWork, person: ObjectId, program: ObjectId) -> bool:
    """Whether somebody goes or went through a program."""
    return await work.mongo.find_one(COLLECTION, {"userId": person, "programId": program}, ()) is not None


async def begin(
    work: MongoWork | BothWork,
    program: Mapping[str, Any],
    person: ObjectId,
    *,
    start: date,
    by: ObjectId,
    now: datetime,
    **how: Any,
) -> ObjectId:
    """Write down that somebody begins a program, as it is now; `how` it came about is kept. Raises BadInput."""
    if not program.get("schedule"):
        raise BadInput("This program has no days.", path=("program",))
    row: Document = {
        "_id": ObjectId(),
        "userId": person,
        "programId": program["_id"],
        "programVersion": version_of(program),
        "name": program["name"],
        "status": str(EnrolmentStatus.ACTIVE),
        "startDate": datetime.combine(start, time(), UTC),
        "pointer": 1,
        "days": fresh(await _with_versions(work, program["schedule"])),
        "restarts": 0,
        "createdAt": now,
        "updatedAt": now,
        **how,
    }
    await work.mongo.insert(COLLECTION, row)
    _tell(work, by, row, "program.begun")
    return ObjectId(row["_id"])


async def take_back(work: BothWork, person: ObjectId, enrolment: ObjectId) -> None:
    """Undo that somebody began a program, as long as nothing became of any day. Raises NotThisDay."""
    kept = await work.mongo.find_one(COLLECTION, {"_id": enrolment, "userId": person}, _EVERYTHING)
    if kept is None or kept["pointer"] != 1 or kept.get("restarts"):
        raise NotThisDay("This program was begun already.", path=("purchase",))
    await work.mongo.delete(COLLECTION, {"_id": enrolment})
    _tell(work, person, {**kept, "status": str(EnrolmentStatus.ENDED)}, "program.given_back")


async def _with_versions(work: MongoWork | BothWork, schedule: Iterable[Mapping[str, Any]]) -> list[Document]:
    """The days with the versions their templates are in now; a rest where a template is gone."""
    days = sorted((dict(one) for one in schedule), key=lambda one: one["day"])
    ids = {one["workoutTemplateId"] for one in days if "workoutTemplateId" in one}
    rows = await work.mongo.find(TEMPLATES, {"_id": {"$in": list(ids)}}, ("version",))
    found = {row["_id"]: version_of(row) for row in rows}
    for place, one in enumerate(days, 1):
        version = found.get(one.get("workoutTemplateId"))
        one["day"] = place
        one["isRestDay"] = version is None
        if version is None:
            one.pop("workoutTemplateId", None)
        else:
            one["templateVersion"] = version
    return days


async def settle(
    units: UnitsOfWork,
    actor: Actor,
    enrolment: ObjectId,
    day: int,
    state: DayState,
    *,
    log: ObjectId | None,
    now: datetime,
) -> None:
    """Say that a day of the viewer's program was done, in a workout of theirs, or skipped. Repeating changes nothing.

    Raises Unauthenticated, NotFound, NotThisDay.
    """

    async def changed(work: MongoWork, viewer: ObjectId, kept: Document) -> Document | None:
        if log is not None:
            mine = await work.mongo.find_one(LOGS, {"_id": log, "userId": viewer, **KEPT}, ())
            if mine is None:
                raise NotFound("There is no such {name}.", path=("workout",), name="workout")
        return settled(kept, day, state, log, now)

    await _change(units, actor, enrolment, changed, f"program.day_{state}", now)


async def restart(units: UnitsOfWork, actor: Actor, enrolment: ObjectId, *, start: date, now: datetime) -> None:
    """Begin the viewer's program anew from its first day. Raises Unauthenticated, NotFound, NotThisDay.

    One that was restarted to begin on that day and has not gone on stays as it is.
    """

    async def changed(work: MongoWork, viewer: ObjectId, kept: Document) -> Document | None:
        begins = datetime.combine(start, time(), UTC)
        is_active = kept["status"] == EnrolmentStatus.ACTIVE
        if is_active and kept["pointer"] == 1 and kept["startDate"] == begins:
            return None
        if not is_active:
            other = {"userId": viewer, "programId": kept["programId"], "status": str(EnrolmentStatus.ACTIVE)}
            if await work.mongo.find_one(COLLECTION, other, ()) is not None:
                raise NotThisDay("The program was begun again already.", path=("enrolment",))
        return {
            **{name: value for name, value in kept.items() if name != "endedAt"},
            "status": str(EnrolmentStatus.ACTIVE),
            "startDate": begins,
            "pointer": 1,
            "days": fresh(kept["days"]),
            "restarts": kept.get("restarts", 0) + 1,
        }

    await _change(units, actor, enrolment, changed, "program.restarted", now)


async def end(units: UnitsOfWork, actor: Actor, enrolment: ObjectId, *, now: datetime) -> None:
    """Leave a program. Repeating changes nothing. Raises Unauthenticated, NotFound, NotThisDay for a completed one."""

    async def changed(_: MongoWork, __: ObjectId, kept: Document) -> Document | None:
        if kept["status"] == EnrolmentStatus.ENDED:
            return None
        if kept["status"] == EnrolmentStatus.COMPLETED:
            raise NotThisDay("This program is {state}.", path=("enrolment",), state=kept["status"])
        return {**kept, "status": str(EnrolmentStatus.ENDED), "endedAt": now}

    await _change(units, actor, enrolment, changed, "program.ended", now)


async def _change(
    units: UnitsOfWork,
    actor: Actor,
    enrolment: ObjectId,
    changed: Callable[[MongoWork, ObjectId, Document], Any],
    action: str,
    now: datetime,
) -> None:
    viewer = actor.require()

    async def body(work: MongoWork) -> None:
        kept = await work.mongo.find_one(COLLECTION, {"_id": enrolment, "userId": viewer}, _EVERYTHING)
        if kept is None:
            raise NotFound("There is no such {name}.", path=("enrolment",), name="enrolment")
        after = await changed(work, viewer, kept)
        if after is None:
            return
        after["updatedAt"] = now
        gone = {name: "" for name in kept if name not in after}
        change: dict[str, Any] = {"$set": {name: value for name, value in after.items() if name != "_id"}}
        await work.mongo.update(COLLECTION, {"_id": enrolment}, {**change, "$unset": gone} if gone else change)
        _tell(work, viewer, after, action)

    await units.mongo("change_enrolment").run(body)


def _tell(work: MongoWork | BothWork, by: ObjectId, row: Document, action: str) -> None:
    id_, user = str(row["_id"]), str(row["userId"])
    work.emit(EnrolmentChanged(enrolment_id=id_, user_id=user, status=row["status"], pointer=row["pointer"]))
    told = {"status": row["status"], "pointer": row["pointer"]}
    work.audit(Audit(action, "program_enrolment", id_, user_id=str(by), after=told))
