"""Reading classes and their dates from MongoDB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from bson import ObjectId

from nexfit.domains.facilities.near import Near
from nexfit.hybrid import documents_paging
from nexfit.hybrid.paging import Key, Page, PageRequest, instant, object_id, text
from nexfit.stores.mongo import Document, Mongo

CLASSES = "classes"
OCCURRENCES = "class_occurrences"
ACTIVE = {"isActive": True}


SCHEDULE_ORDER = "class_occurrences:STARTS_AT"
SCHEDULE_KEYS = (Key("startsAt", instant, descending=False), Key("_id", object_id, descending=False))


class ClassOrder(StrEnum):
    """How a list of classes is ordered; ties are broken by id."""

    NAME = "NAME"
    START_TIME = "START_TIME"


@lru_cache
def keys_of(order: ClassOrder, *, descending: bool) -> Sequence[Key]:
    """Ordering columns of a list of classes."""
    unique = Key("_id", object_id, descending)
    if order is ClassOrder.NAME:
        return (Key("name", text, descending), unique)
    return (Key("schedule.startTime", instant, descending), unique)


async def pages_of_facilities(
    mongo: Mongo,
    facilities: Sequence[ObjectId],
    keys: Sequence[Key],
    request: PageRequest,
    columns: Iterable[str],
) -> list[Page]:
    """A page of the classes each facility offers now, in one command."""
    return await documents_paging.pages_by_parent(
        mongo, CLASSES, "facilityId", facilities, ACTIVE, keys, request, columns
    )


async def by_ids(
    mongo: Mongo, collection: str, ids: Iterable[ObjectId], columns: Iterable[str]
) -> dict[ObjectId, Document]:
    """Classes or occurrences by id, in one command; unknown ids are absent."""
    rows = await mongo.find(collection, {"_id": {"$in": list(set(ids))}}, columns)
    return {row["_id"]: row for row in rows}


async def next_occurrences(
    mongo: Mongo, classes: Sequence[ObjectId], since: datetime, first: int, columns: Iterable[str]
) -> list[list[Document]]:
    """The first occurrences of each class that start at or after an instant, earliest first, in one command.

    They are read to be shown: their datetimes are UTC without a zone.
    """
    return await documents_paging.first_by_parent(
        mongo,
        OCCURRENCES,
        "classId",
        classes,
        {"startsAt": {"$gte": since}},
        sort=[("startsAt", 1), ("_id", 1)],
        limit=first,
        columns=columns,
        zoneless=True,
    )


async def schedule(
    mongo: Mongo,
    facilities: Sequence[ObjectId] | None,
    near: Near | None,
    instructor: ObjectId | None,
    since: datetime,
    until: datetime,
    request: PageRequest,
    columns: Iterable[str],
) -> Page:
    """A page of the dates that start in `[since, until)`, earliest first: at these facilities, near a point, taught by
    somebody; what is None restricts nothing. One command, and one more for a point."""
    query: dict[str, Any] = {"startsAt": {"$gte": since, "$lt": until}}
    if near is not None:
        among = {} if facilities is None else {"_id": {"$in": list(facilities)}}
        found = await mongo.find("facilities", {**among, "address.coordinates": near.within()}, ())
        facilities = [row["_id"] for row in found]
    if facilities is not None:
        query["facilityId"] = {"$in": list(facilities)}
    if instructor is not None:
        query["instructor.userId"] = instructor
    return await documents_paging.page(mongo, OCCURRENCES, query, SCHEDULE_KEYS, request, columns)


async def schedules_of_facilities(
    mongo: Mongo,
    facilities: Sequence[ObjectId],
    since: datetime,
    until: datetime,
    request: PageRequest,
    columns: Iterable[str],
) -> list[Page]:
    """A page of the dates that start in `[since, until)` at each facility, earliest first, in one command."""
    starting = {"startsAt": {"$gte": since, "$lt": until}}
    return await documents_paging.pages_by_parent(
        mongo, OCCURRENCES, "facilityId", facilities, starting, SCHEDULE_KEYS, request, columns
    )
