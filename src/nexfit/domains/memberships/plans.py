"""Reading the plans facilities sell: MongoDB's `memberships`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bson import ObjectId

from nexfit.stores.mongo import Document, Mongo

COLLECTION = "memberships"


async def of_facilities(
    mongo: Mongo, facilities: Sequence[ObjectId], columns: Iterable[str]
) -> dict[ObjectId, list[Document]]:
    """The plans each facility sells now, by name, in one command."""
    rows = await mongo.find(
        COLLECTION,
        {"facilityId": {"$in": list(facilities)}, "isActive": True},
        {*columns, "facilityId"},
        sort=[("name", 1), ("_id", 1)],
    )
    plans: dict[ObjectId, list[Document]] = {facility: [] for facility in facilities}
    for row in rows:
        plans[row["facilityId"]].append(row)
    return plans


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Plans by id, in one command; unknown ids are absent."""
    wanted = list(set(ids))
    if not wanted:
        return {}
    rows = await mongo.find(COLLECTION, {"_id": {"$in": wanted}}, columns)
    return {row["_id"]: row for row in rows}
