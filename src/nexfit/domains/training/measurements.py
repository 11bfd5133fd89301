"""Reading what people measured of their bodies from MongoDB's `measurements`, newest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bson import ObjectId

from nexfit.hybrid import documents_paging
from nexfit.hybrid.paging import Key, Page, PageRequest, instant, object_id
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "measurements"
ORDER = "measurements:DATE:DESC"
KEYS = (Key("date", instant, descending=True), Key("_id", object_id, descending=True))


async def pages_of(
    mongo: Mongo, people: Sequence[ObjectId], request: PageRequest, columns: Iterable[str]
) -> list[Page]:
    """A page per person, in one command."""
    return await documents_paging.pages_by_parent(
        mongo, COLLECTION, "userId", people, {}, KEYS, request, {*columns, "userId"}
    )


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Measurements by id, in one command; unknown ids are absent."""
    rows = await mongo.find(COLLECTION, {"_id": {"$in": list(set(ids))}}, {*columns, "userId"})
    return {row["_id"]: row for row in rows}
