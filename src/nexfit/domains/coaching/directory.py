"""Finding coaches in MongoDB: by words, place, price, rating and free times, mixed, in one command for a page.

Who is found is a person's document with a listing (`nexfit.domains.identity.coach_listing`). Free times are looked at
last and coach by coach, in the order of the page, until it is full.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from bson import Decimal128, ObjectId

from nexfit.domains.classes.places import OCCURRENCES
from nexfit.domains.coaching.availability import COLLECTION as HOURS
from nexfit.domains.coaching.availability import LONGEST, NOT_CANCELLED, RENEWED_AHEAD, TAKES_PLACE
from nexfit.domains.coaching.sessions import COLLECTION as SESSIONS
from nexfit.domains.facilities.near import Near
from nexfit.domains.identity.coach_listing import LISTED
from nexfit.domains.identity.coach_listing import USERS as COLLECTION
from nexfit.domains.identity.people import COACHES
from nexfit.domains.text import fold
from nexfit.domains.vocabulary import search
from nexfit.domains.vocabulary.documents import Kind
from nexfit.domains.vocabulary.words import split
from nexfit.hybrid import documents_paging
from nexfit.hybrid.paging import Key, Page, PageRequest, amount, number, object_id, text
from nexfit.stores.mongo import Document, Mongo

DISTANCE = "distanceMetres"
"""Where a coach found near a point has the distance of the nearest place they work at."""

MOST_AHEAD = RENEWED_AHEAD - timedelta(days=10)
"""How far ahead a free time is searched: hours are kept as instants for longer, even where a job is days late."""

PRICE, CURRENCY = "roleSpecificData.coach.hourlyRate", "roleSpecificData.coach.currency"


class CoachOrder(StrEnum):
    """How a list of coaches is ordered; ties are broken by id."""

    NAME = "NAME"
    DISTANCE = "DISTANCE"
    PRICE = "PRICE"
    RATING = "RATING"


_COLUMNS: Mapping[CoachOrder, tuple[str, Callable[[Any], Any]]] = {
    CoachOrder.NAME: ("nameFolded", text),
    CoachOrder.DISTANCE: (DISTANCE, number),
    CoachOrder.PRICE: (PRICE, amount),
    CoachOrder.RATING: ("coachListing.rating", number),
}


@dataclass(frozen=True, slots=True)
class PriceRange:
    """Prices of an hour in a currency, both ends included."""

    currency: str
    least: Decimal | None = None
    most: Decimal | None = None


@dataclass(frozen=True, slots=True)
class FreeTime:
    """So many minutes in a row, somewhere in `[since, until)`."""

    since: datetime
    until: datetime
    minutes: int


@dataclass(frozen=True, slots=True)
class CoachFilter:
    """What a coach must match; absent parts match everybody. Of `specializations` and `languages` one is enough."""

    words: str | None = None
    specializations: Sequence[str] = ()
    languages: Sequence[str] = ()
    facility: ObjectId | None = None
    near: Near | None = None
    price: PriceRange | None = None
    rating: float | None = None
    free: FreeTime | None = None


async def page(
    mongo: Mongo,
    wanted: CoachFilter | None,
    order: CoachOrder,
    request: PageRequest,
    columns: Iterable[str],
    *,
    descending: bool,
) -> Page:
    """One page of the coaches everybody may find; PRICE needs `price`, and DISTANCE `near`.

    Without a filter (None) nobody. One command, and for words those of `search.condition` first. Raises BadCursor,
    StoreError.
    """
    keys = [Key(*_COLUMNS[order], descending), Key("_id", object_id, descending)]
    nobody = Page(rows=[], keys=keys, has_next=False, has_previous=False, total=0)
    if wanted is None:
        return nobody
    conditions = _conditions(wanted)
    if wanted.words and split(wanted.words):
        found = await search.condition(mongo, Kind.COACHES, None, wanted.words)
        if found is None:
            return nobody
        conditions = {"$and": [conditions, _below("coachListing", found)]}
    if wanted.near is None and wanted.free is None:
        return await documents_paging.page(mongo, COLLECTION, conditions, keys, request, columns)
    stage = {"$match": conditions}
    if wanted.near is not None:
        stage = wanted.near.measured(DISTANCE, conditions, "coachListing.places.point")
    sifting = _sifting(wanted.free) if wanted.free is not None else ()
    return await documents_paging.page_of_pipeline(mongo, COLLECTION, [stage], keys, request, columns, sifting=sifting)


async def by_ids(mongo: Mongo, ids: Collection[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """The active coaches among people, in one command."""
    if not ids:
        return {}
    query = {"_id": {"$in": list(set(ids))}, "role": {"$in": COACHES}, "isActive": True}
    return {row["_id"]: row for row in await mongo.find(COLLECTION, query, columns)}


def _conditions(wanted: CoachFilter) -> dict[str, Any]:
    conditions = dict(LISTED)
    if wanted.specializations:
        conditions["coachListing.specializations"] = {"$in": [fold(one) for one in wanted.specializations]}
    if wanted.languages:
        conditions["coachListing.languages"] = {"$in": list(wanted.languages)}
    if wanted.facility is not None:
        conditions["coachListing.facilityIds"] = wanted.facility
    if wanted.rating is not None:
        conditions["coachListing.rating"] = {"$gte": wanted.rating}
    if wanted.price is not None:
        bounds = {"$gte": wanted.price.least, "$lte": wanted.price.most}
        conditions[CURRENCY] = wanted.price.currency
        conditions[PRICE] = {name: Decimal128(end) for name, end in bounds.items() if end is not None} or {
            "$exists": True
        }
    return conditions


def _below(path: str, condition: Mapping[str, Any]) -> dict[str, Any]:
    """A condition of `search`, on words that lie deeper in the document."""
    if "$and" in condition:
        return {"$and": [_below(path, one) for one in condition["$and"]]}
    return {f"{path}.{name}": value for name, value in condition.items()}


def _sifting(asked: FreeTime) -> list[Mapping[str, Any]]:
    """The stages that leave out who has no such time free: hours without sessions and classes.

    A time that is long enough begins, if anywhere, where an opening does or where something ends.
    """
    near = {"$gt": asked.since - LONGEST, "$lt": asked.until}
    length = int(timedelta(minutes=asked.minutes).total_seconds() * 1000)
    within = [{"$min": ["$$one.endsAt", asked.until]}, {"$max": ["$$one.startsAt", asked.since]}]
    open_ = {"$gte": [{"$subtract": within}, length]}  # long enough before anything is taken of it
    ends = {"$add": ["$$start", length]}
    fits = {
        "$and": [
            {"$gte": ["$$start", "$$begins"]},
            {"$lte": [ends, {"$min": ["$$open.endsAt", asked.until]}]},
            {
                "$not": {
                    "$anyElementTrue": [
                        _any(
                            "busy",
                            "$busy",
                            {"$and": [{"$lt": ["$$busy.startsAt", ends]}, {"$gt": ["$$busy.endsAt", "$$start"]}]},
                        )
                    ]
                }
            },
        ]
    }
    starts = {"$concatArrays": [["$$begins"], "$busy.endsAt"]}
    somewhere = {
        "$let": {
            "vars": {"begins": {"$max": ["$$open.startsAt", asked.since]}},
            "in": {"$anyElementTrue": [_any("start", starts, fits)]},
        }
    }
    own = {"startsAt": "$startTime", "endsAt": "$endTime", "_id": 0}
    lookups = [
        _lookup(
            HOURS,
            "_id",
            [{"$project": {"open": {"$filter": {"input": "$openings", "as": "one", "cond": open_}}}}],
            "hours",
        ),
        *(
            _lookup(SESSIONS, side, [{"$match": {"startTime": near, **NOT_CANCELLED}}, {"$project": own}], side)
            for side in ("coachId", "clientId")
        ),
        _lookup(
            OCCURRENCES,
            "instructor.userId",
            [{"$match": {"startsAt": near, **TAKES_PLACE}}, {"$project": {"startsAt": 1, "endsAt": 1, "_id": 0}}],
            "classes",
        ),
    ]
    return [
        lookups[0],
        {"$set": {"open": {"$ifNull": [{"$first": "$hours.open"}, []]}}},
        {"$match": {"open": {"$ne": []}}},
        *lookups[1:],
        {"$set": {"busy": {"$concatArrays": ["$coachId", "$clientId", "$classes"]}}},
        {"$match": {"$expr": {"$anyElementTrue": [_any("open", "$open", somewhere)]}}},
    ]


def _any(name: str, values: Any, condition: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"$map": {"input": values, "as": name, "in": condition}}


def _lookup(collection: str, field: str, pipeline: Sequence[Mapping[str, Any]], into: str) -> Mapping[str, Any]:
    """What a collection keeps of each coach."""
    return {
        "$lookup": {"from": collection, "localField": "_id", "foreignField": field, "pipeline": pipeline, "as": into}
    }
