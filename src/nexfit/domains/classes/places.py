"""What every change of a booking goes through: reading the date, telling the fact, keeping the audit entry.

All changes of one date wait for each other in the process first (`ClassDesk.turns`); MongoDB decides between processes,
and the loser runs again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from bson import ObjectId

from nexfit.domains.classes import events
from nexfit.domains.classes.documents import BookingStatus
from nexfit.domains.classes.policies import Policy
from nexfit.domains.idempotency import once
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.turns import Turns
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.errors import WriteConflict
from nexfit.stores.mongo import Document, Mongo, projection
from nexfit.stores.mongo_transactions import MongoTransaction

T = TypeVar("T")

BOOKINGS = "class_bookings"
OCCURRENCES = "class_occurrences"

DATE_COLUMNS = (
    "classId",
    "facilityId",
    "startsAt",
    "endsAt",
    "timezone",
    "status",
    "capacity",
    "seatsTaken",
    "waitlisted",
    "waitlistLimit",
    "bookingPolicy",
)
"""Columns of an occurrence that rules read."""

BOOKING_COLUMNS = (
    "occurrenceId",
    "classId",
    "facilityId",
    "userId",
    "date",
    "status",
    "waitlistPosition",
    "bookedAt",
    "cancelledAt",
    "checkedInAt",
    "promotedAt",
)

FACILITY_COLUMNS = ("bookingPolicy", "ownerId", "staff.userId", "staff.permissions")

_FACTS: Mapping[BookingStatus, type[events.BookingFact]] = {
    BookingStatus.BOOKED: events.ClassBooked,
    BookingStatus.CANCELLED: events.BookingCancelled,
    BookingStatus.LATE_CANCELLED: events.BookingLateCancelled,
    BookingStatus.CANCELLED_BY_FACILITY: events.BookingCancelledByFacility,
    BookingStatus.ATTENDED: events.ClassAttended,
    BookingStatus.NO_SHOW: events.ClassMissed,
    BookingStatus.EXPIRED: events.WaitlistExpired,
}


@dataclass(frozen=True, slots=True)
class ClassDesk:
    """What booking works with; one per process."""

    units: UnitsOfWork
    mongo: Mongo
    turns: Turns

    async def once(
        self,
        operation: str,
        occurrence: ObjectId,
        actor: ObjectId,
        key: str,
        input: Mapping[str, Any],
        body: Callable[[MongoWork], Awaitable[str]],
    ) -> str:
        """As `change`, for a request under an idempotency key. Raises what `domains.idempotency.once` raises."""
        async with self.turns.take(occurrence):
            result: str = await once(self.mongo, self.units.mongo(operation), actor, operation, key, input, body)
            return result

    async def change(self, name: str, occurrence: ObjectId, body: Callable[[MongoWork], Awaitable[T]]) -> T:
        """Run a change of one date as a unit of work, when it is its turn. Raises what `Unit.run` raises."""
        async with self.turns.take(occurrence):
            return await self.units.mongo(name).run(body)


@dataclass(frozen=True, slots=True)
class Place:
    """A booking, its date, and the policy of its facility."""

    booking: Document
    date: Document
    facility: Document

    @property
    def policy(self) -> Policy:
        """When it can be left."""
        return Policy.of(self.facility, self.date)


async def find_date(mongo: Mongo, occurrence: ObjectId) -> tuple[Document, Document] | None:
    """A date and its facility, as they are now, in one command; None when there is none."""
    found = await mongo.aggregate(
        OCCURRENCES,
        [
            {"$match": {"_id": occurrence}},
            {"$project": projection(DATE_COLUMNS)},
            {
                "$lookup": {
                    "from": "facilities",
                    "localField": "facilityId",
                    "foreignField": "_id",
                    "pipeline": [{"$project": projection(FACILITY_COLUMNS)}],
                    "as": "facilities",
                }
            },
        ],
    )
    for date in found:
        for facility in date.pop("facilities"):
            return date, facility
    return None


async def find_place(mongo: Mongo, booking: ObjectId) -> Place | None:
    """A booking with its date and facility, as they are now; None when there is none. Two commands."""
    found = await mongo.find(BOOKINGS, {"_id": booking}, BOOKING_COLUMNS, limit=1)
    if not found:
        return None
    date = await find_date(mongo, found[0]["occurrenceId"])
    return Place(found[0], *date) if date else None


async def move(tx: MongoTransaction, booking: Mapping[str, Any], to: BookingStatus, **more: object) -> Document:
    """The booking in its new state. Raises WriteConflict when it left the state it was read in: run again."""
    after = await tx.claim(
        BOOKINGS,
        {"_id": booking["_id"], "status": booking["status"]},
        {"$set": {"status": str(to), **more}},
        BOOKING_COLUMNS,
    )
    if after is None:
        raise WriteConflict("mongo", "the booking was changed meanwhile")
    return after


def tell(
    work: MongoWork,
    after: Mapping[str, Any],
    actor: ObjectId | None,
    *,
    before: str | None,
    fact: events.BookingFact | None = None,
) -> None:
    """The event and the audit entry of a change of a booking; `actor` None is the platform itself."""
    facility = str(after["facilityId"])
    work.emit(fact or fact_of(_FACTS[BookingStatus(after["status"])], after))
    work.audit(
        Audit(
            action=f"class_booking.{after['status']}",
            entity_type="class_booking",
            entity_id=str(after["_id"]),
            facility_id=facility,
            user_id=None if actor is None else str(actor),
            before=None if before is None else {"status": before},
            after={"status": after["status"], "userId": str(after["userId"]), "date": _iso(after["date"])},
        )
    )


def fact_of(fact: type[events.BookingFact], booking: Mapping[str, Any], **more: object) -> events.BookingFact:
    """A fact about a booking."""
    return fact.model_validate(
        {
            "facility_id": str(booking["facilityId"]),
            "booking_id": str(booking["_id"]),
            "occurrence_id": str(booking["occurrenceId"]),
            "class_id": str(booking["classId"]),
            "user_id": str(booking["userId"]),
            "starts_at": booking["date"],
            **more,
        }
    )


def _iso(instant: datetime) -> str:
    return instant.isoformat()
