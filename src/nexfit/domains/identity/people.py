"""Reading people from MongoDB's `users`."""

from __future__ import annotations

from collections.abc import Iterable

from bson import ObjectId

from nexfit.stores.mongo import Document, Mongo

COLLECTION = "users"


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Users by id, in one command; unknown ids are absent, and without ids nothing is asked."""
    wanted = list(set(ids))
    if not wanted:
        return {}
    rows = await mongo.find(COLLECTION, {"_id": {"$in": wanted}}, columns)
    return {row["_id"]: row for row in rows}
