"""Reading workouts from MongoDB's `workout_logs`: lists, and what progress is computed from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from nexfit.hybrid import documents_paging
from nexfit.hybrid.paging import Key, Page, PageRequest, instant, object_id
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "workout_logs"
ORDER = "workout_logs:START_TIME:DESC"
KEYS = (Key("startTime", instant, descending=True), Key("_id", object_id, descending=True))
KEPT: Mapping[str, Any] = {"deletedAt": {"$exists": False}}
"""The condition of a workout that nobody has deleted."""


async def pages_of(
    mongo: Mongo,
    people: Sequence[ObjectId],
    since: datetime | None,
    until: datetime | None,
    request: PageRequest,
    columns: Iterable[str],
) -> list[Page]:
    """A page per person, the latest first, of what began in a range (`until` is exclusive); in one command."""
    conditions = {**KEPT, **_between(since, until)}
    return await documents_paging.pages_by_parent(
        mongo, COLLECTION, "userId", people, conditions, KEYS, request, {*columns, "userId"}
    )


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Workouts by id, in one command; unknown and deleted ones are absent."""
    rows = await mongo.find(COLLECTION, {"_id": {"$in": list(set(ids))}, **KEPT}, {*columns, "userId"})
    return {row["_id"]: row for row in rows}


async def done_by(
    mongo: Mongo, people: Iterable[ObjectId], since: datetime | None, until: datetime, columns: Iterable[str]
) -> dict[ObjectId, list[Document]]:
    """The finished workouts of each person that began in a range, with the columns, in one command."""
    wanted = list(set(people))
    query = {"userId": {"$in": wanted}, **_between(since, until), **KEPT, "endTime": {"$exists": True}}
    found: dict[ObjectId, list[Document]] = {person: [] for person in wanted}
    for row in await mongo.find(COLLECTION, query, {*columns, "userId", "startTime"}):
        found[row["userId"]].append(row)
    return found


def _between(since: datetime | None, until: datetime | None) -> dict[str, Any]:
    bounds = {operator: at for operator, at in (("$gte", since), ("$lt", until)) if at is not None}
    return {"startTime": bounds} if bounds else {}
