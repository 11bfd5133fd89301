"""What facilities pay NexFit: the platform is a facility of its own, whose plans owners hold as members hold a gym's.

So an owner's plan is bought, renewed, dunned and invoiced by what does so for everybody. It covers all facilities of
the owner; each repeats it as MongoDB's `subscriptionPlan`, which a job keeps as PostgreSQL says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from bson import ObjectId

from nexfit.domains.errors import ErrorCode, Refusal
from nexfit.domains.facilities.editing import COLLECTION
from nexfit.domains.facilities.events import FacilityChanged
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.settings import PlatformSettings
from nexfit.stores.connections import Stores
from nexfit.stores.mongo import Document
from nexfit.stores.postgres import Postgres, Row

_HELD = """
SELECT DISTINCT ON (user_id) user_id, plan_id, start_date, current_period_end,
  status IN ('active', 'past_due') AS is_active
FROM finance.subscriptions
WHERE facility_id = $1 AND status NOT IN ('incomplete', 'incomplete_expired') AND ($2::text IS NULL OR user_id = $2)
ORDER BY user_id, status IN ('active', 'past_due') DESC, created_at DESC, subscription_id
"""


class PlanNeeded(Refusal):
    """Without a plan of the platform an owner has so many facilities and no more."""

    code = ErrorCode.MEMBERSHIP_REQUIRED

    def __init__(self, *, most: int) -> None:
        super().__init__("Without a plan of NexFit an owner has at most {most} facilities.", most=most)


@dataclass(frozen=True, slots=True)
class Platform:
    """The facility that is NexFit itself, and how many facilities are free."""

    facility: str
    free: int

    @classmethod
    def of(cls, settings: PlatformSettings) -> Platform | None:
        """None where the settings name no such facility: then nobody needs a plan."""
        return cls(settings.facility, settings.free_facilities) if settings.facility else None

    async def check_room(self, postgres: Postgres, work: MongoWork, owner: ObjectId, now: datetime) -> None:
        """That the owner may open one more; of two who ask at once one waits for the other. Raises PlanNeeded."""
        held = await postgres.fetch(_HELD, self.facility, str(owner))
        if held and held[0]["is_active"]:
            return
        # Whoever opens a facility writes the owner's document, so that two cannot take the last free one.
        await work.mongo.update("users", {"_id": owner}, {"$set": {"updatedAt": now}})
        if len(await work.mongo.find(COLLECTION, {"ownerId": owner}, (), limit=self.free)) >= self.free:
            raise PlanNeeded(most=self.free)


async def mirror(units: UnitsOfWork, stores: Stores, platform: Platform, *, now: datetime) -> int:
    """Repeat in every facility what plan its owner holds; in how many that was something else. Raises StoreError."""
    held = {ObjectId(row["user_id"]): row for row in await stores.postgres.fetch(_HELD, platform.facility, None)}
    filter_ = {"ownerId": {"$in": list(held)}, "_id": {"$ne": ObjectId(platform.facility)}}
    places = await stores.mongo.find(COLLECTION, filter_, ("ownerId", "subscriptionPlan"))
    wrong = [place for place in places if place.get("subscriptionPlan") != _repeated(held[place["ownerId"]])]
    for place in wrong:
        await units.mongo("mirror_platform_plan").run(_writing(place, held[place["ownerId"]], now))
    return len(wrong)


def _writing(place: Document, row: Row, now: datetime) -> Callable[[MongoWork], Awaitable[None]]:
    async def body(work: MongoWork) -> None:
        change = {"$set": {"subscriptionPlan": _repeated(row), "updatedAt": now}}
        await work.mongo.update(COLLECTION, {"_id": place["_id"]}, change)
        work.emit(FacilityChanged(facility_id=str(place["_id"]), fields=["subscriptionPlan"]))

    return body


def _repeated(row: Row) -> Document:
    """The plan as a facility repeats it; its end is the last day that is paid for."""
    return {
        "planId": row["plan_id"],
        "startDate": _midnight(row["start_date"]),
        "endDate": _midnight(row["current_period_end"] - timedelta(days=1)),
        "isActive": row["is_active"],
    }


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
