"""Entries into facilities: MongoDB's `visits`, let in by a contract whose plan may limit the visits of a week."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from bson import ObjectId

from nexfit.domains.facilities import directory
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.domains.facilities.hours import Week, local_today, local_week
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import RIGHTS_COLUMNS, Actor, may, refusal
from nexfit.domains.memberships.contracts import COLLECTION as CONTRACTS
from nexfit.domains.memberships.documents import SubscriptionStatus, VisitSource
from nexfit.domains.memberships.errors import MembershipRequired, WeeklyLimitReached
from nexfit.domains.memberships.events import VisitRecorded
from nexfit.domains.memberships.turns import take_turn
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "visits"

ADMITTING = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE)
"""States in which a contract lets its holder in; who is past due still comes in while reminders go out."""

_COLUMNS = ("facilityId", "userId", "at", "source")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A visit, and how many more the week allows; None without a limit."""

    visit: ObjectId
    left: int | None


def covers(contract: Mapping[str, Any], today: date) -> bool:
    """Whether the contract lets its holder in on this day of the facility's calendar; both its ends are included."""
    return contract["status"] in ADMITTING and contract["startDate"].date() <= today <= contract["endDate"].date()


def visits_left(limits: Sequence[int | None], visited: int) -> int | None:
    """How often the holder of contracts with these weekly limits may still come; None where one has no limit.

    Raises MembershipRequired without a contract.
    """
    if not limits:
        raise MembershipRequired("No membership lets this person in today.", path=("member",))
    if any(limit is None for limit in limits):
        return None
    return max(max(limit for limit in limits if limit is not None) - visited, 0)


async def record(
    units: UnitsOfWork,
    mongo: Mongo,
    actor: Actor,
    *,
    facility_id: ObjectId,
    user_id: ObjectId,
    idempotency_key: str,
    now: datetime,
) -> Recorded:
    """Let a member in at the front desk; the same key gives the same visit.

    Raises Unauthenticated, Forbidden, BadInput, MembershipRequired, WeeklyLimitReached, IdempotencyConflict.
    """
    facility = await _door(mongo, actor, facility_id)
    desk = actor.require()

    async def body(work: MongoWork) -> Mapping[str, Any]:
        admitted = await _admit(work, facility, user_id, ObjectId(), VisitSource.FRONT_DESK, desk, now)
        return {"visit": str(admitted.visit), "left": admitted.left}

    asked = {"facility": str(facility_id), "user": str(user_id)}
    kept = await once(mongo, units.mongo("record_visit"), desk, "recordVisit", idempotency_key, asked, body)
    return Recorded(ObjectId(kept["visit"]), kept["left"])


async def record_scan(
    units: UnitsOfWork,
    mongo: Mongo,
    actor: Actor,
    *,
    facility_id: ObjectId,
    user_id: ObjectId,
    visit: ObjectId,
    now: datetime,
) -> Recorded:
    """Let a member in who showed a code, which names the visit: scanned again it is the same one.

    Raises Unauthenticated, Forbidden, MembershipRequired, WeeklyLimitReached.
    """
    facility = await _door(mongo, actor, facility_id)
    desk = actor.require()

    async def body(work: MongoWork) -> Recorded:
        return await _admit(work, facility, user_id, visit, VisitSource.SELF_SERVICE, desk, now)

    return await units.mongo("scan_check_in_code").run(body)


async def _door(mongo: Mongo, actor: Actor, facility_id: ObjectId) -> Document:
    """The facility whose door it is. Raises Unauthenticated and Forbidden."""
    found = await directory.by_ids(mongo, [facility_id], (*RIGHTS_COLUMNS, "timezone"))
    facility = found.get(facility_id)
    if facility is None or not may(actor, facility, StaffPermission.CHECK_IN):
        raise refusal(actor)
    return facility


async def _admit(
    work: MongoWork,
    facility: Document,
    user_id: ObjectId,
    id_: ObjectId,
    source: VisitSource,
    desk: ObjectId,
    now: datetime,
) -> Recorded:
    """The visit with this id, recorded unless it was before."""
    facility_id, zone = facility["_id"], facility["timezone"]
    await take_turn(work.mongo, user_id)
    limits = await _limits(work, facility_id, user_id, local_today(zone, now))
    left = visits_left(limits, await _visited(work, facility_id, user_id, local_week(zone, now)))
    if await work.mongo.find_one(COLLECTION, {"_id": id_}, ()) is not None:
        return Recorded(id_, left)
    if left == 0:
        raise WeeklyLimitReached("The membership's visits of this week are used up.", path=("member",))
    visit = {
        "_id": id_,
        "facilityId": facility_id,
        "userId": user_id,
        "at": now.replace(microsecond=now.microsecond // 1000 * 1000),
        "source": str(source),
    }
    await work.mongo.insert(COLLECTION, visit)
    _tell(work, visit, desk)
    return Recorded(id_, None if left is None else left - 1)


def _tell(work: MongoWork, visit: Document, desk: ObjectId) -> None:
    facility, user, at = str(visit["facilityId"]), str(visit["userId"]), visit["at"]
    work.emit(
        VisitRecorded(facility_id=facility, visit_id=str(visit["_id"]), user_id=user, at=at, source=visit["source"])
    )
    work.audit(
        Audit(
            "visit.recorded",
            "visit",
            str(visit["_id"]),
            facility_id=facility,
            user_id=str(desk),
            after={"userId": user, "at": at.isoformat(), "source": visit["source"]},
        )
    )


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId]) -> dict[ObjectId, Document]:
    """Visits by id, in one command; unknown ids are absent."""
    rows = await mongo.find(COLLECTION, {"_id": {"$in": list(set(ids))}}, _COLUMNS)
    return {row["_id"]: row for row in rows}


async def _limits(work: MongoWork, facility_id: ObjectId, user_id: ObjectId, today: date) -> list[int | None]:
    """Visits a week that each contract allows which lets its holder in today, None where it sets no limit."""
    contracts = await work.mongo.find(
        CONTRACTS, {"userId": user_id, "facilityId": facility_id}, ("membershipId", "startDate", "endDate", "status")
    )
    held = [contract["membershipId"] for contract in contracts if covers(contract, today)]
    plans = await work.mongo.find("memberships", {"_id": {"$in": held}}, ("limitations.maxVisitsPerWeek",))
    limits = {plan["_id"]: (plan.get("limitations") or {}).get("maxVisitsPerWeek") for plan in plans}
    return [limits.get(plan) for plan in held]


async def _visited(work: MongoWork, facility_id: ObjectId, user_id: ObjectId, week: Week) -> int:
    """Visits of the week, however they were noticed."""
    within = {"facilityId": facility_id, "userId": user_id, "at": {"$gte": week.begins, "$lt": week.ends}}
    return len(await work.mongo.find(COLLECTION, within, ()))
