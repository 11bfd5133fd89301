"""The counters of dates (seats, waiting, places given) against the bookings they count; the bookings win."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from nexfit.domains.classes.documents import SEAT_STATUSES, BookingStatus, OccurrenceStatus
from nexfit.domains.classes.places import BOOKINGS, OCCURRENCES
from nexfit.stores.errors import WriteConflict
from nexfit.stores.mongo import Document, Mongo
from nexfit.stores.mongo_transactions import MongoTransaction

_COUNTERS = ("seatsTaken", "waitlisted", "waitlistJoined")
_SEATED = [str(status) for status in SEAT_STATUSES]
_WAITING = str(BookingStatus.WAITLISTED)
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class WrongCounters:
    """A date whose counters are not what its bookings say; both by name, only those that differ."""

    date: ObjectId
    said: Mapping[str, int]
    true: Mapping[str, int]
    capacity: int

    @property
    def is_oversold(self) -> bool:
        """Whether more seats are given than there are: no counter can say that, so people have to decide."""
        return self.true.get("seatsTaken", 0) > self.capacity


def true_counters(date: Mapping[str, Any], bookings: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """What the counters of a date have to be. Places given never get fewer; nobody holds a seat of a cancelled date."""
    found = list(bookings)
    takes_place = date["status"] != OccurrenceStatus.CANCELLED
    return {
        "seatsTaken": sum(takes_place and one["status"] in _SEATED for one in found),
        "waitlisted": sum(one["status"] == _WAITING for one in found),
        "waitlistJoined": max(date.get("waitlistJoined", 0), *(one.get("waitlistPosition") or 0 for one in found), 0),
    }


async def wrong_counters(mongo: Mongo, dates: Collection[ObjectId]) -> list[WrongCounters]:
    """Those of the dates whose counters are wrong at the moment, in one command. Raises StoreError."""
    counted = await mongo.aggregate(
        OCCURRENCES,
        [
            {"$match": {"_id": {"$in": [*dates]}}},
            {"$project": dict.fromkeys(("capacity", "status", *_COUNTERS), 1)},
            {
                "$lookup": {
                    "from": BOOKINGS,
                    "localField": "_id",
                    "foreignField": "occurrenceId",
                    "pipeline": [{"$project": {"_id": 0, "status": 1, "waitlistPosition": 1}}],
                    "as": "bookings",
                }
            },
        ],
    )
    return [wrong for date in counted if (wrong := _compared(date, date["bookings"])) is not None]


async def repair(mongo: Mongo, date: ObjectId, now: datetime) -> bool:
    """Count the bookings of a date anew; False where it is oversold or being booked just now. Raises StoreError.

    A booking writes its date, too, so one that comes between is not overwritten: one of the two fails.
    """
    transaction = MongoTransaction(mongo)
    try:
        stored = await transaction.find_one(OCCURRENCES, {"_id": date}, ("capacity", "status", *_COUNTERS))
        bookings = await transaction.find(BOOKINGS, {"occurrenceId": date}, ("status", "waitlistPosition"))
        wrong = _compared(stored, bookings) if stored is not None else None
        if wrong is not None and not wrong.is_oversold:
            await transaction.update(OCCURRENCES, {"_id": date}, {"$set": {**wrong.true, "updatedAt": now}})
        await transaction.commit(_PATIENCE)
    except WriteConflict:
        return False
    else:
        return wrong is None or not wrong.is_oversold
    finally:
        await transaction.rollback()
        await transaction.close()


def _compared(date: Document, bookings: Iterable[Mapping[str, Any]]) -> WrongCounters | None:
    said = {name: date.get(name, 0) for name in _COUNTERS}
    true = true_counters(date, bookings)
    differ = [name for name in _COUNTERS if said[name] != true[name]]
    if not differ:
        return None
    return WrongCounters(
        date["_id"], {name: said[name] for name in differ}, {name: true[name] for name in differ}, date["capacity"]
    )
