"""What lists of facilities are ordered by and other collections say: the cheapest plan, and what people think.

Repeated in the facility, because asking for each of ten thousand takes too long. Plans are followed by the change feed;
a job compares all of them with their sources.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bson import ObjectId

from nexfit.domains.identity.review_documents import ReviewSubject
from nexfit.stores.mongo import Document, Mongo
from nexfit.stores.mongo_transactions import MongoTransaction

COLLECTION = "facilities"
AT_ONCE = 500
PATIENCE = 2.0
"""Seconds for a commit."""


async def ratings(mongo: Mongo, facilities: Sequence[ObjectId]) -> dict[ObjectId, Document]:
    """The mean (`average`) and the number (`count`) of each facility's reviews, in one command; absent without any."""
    rows = await mongo.aggregate(
        "reviews",
        [
            {"$match": {"subjectType": str(ReviewSubject.FACILITY), "subjectId": {"$in": list(set(facilities))}}},
            {"$group": {"_id": "$subjectId", "average": {"$avg": "$rating"}, "count": {"$sum": 1}}},
        ],
    )
    return {row["_id"]: row for row in rows}


async def cheapest_plans(mongo: Mongo, facilities: Sequence[ObjectId]) -> dict[ObjectId, Document]:
    """The lowest `price` of what each facility sells now, with its `currency`, in one command; absent without plans."""
    rows = await mongo.aggregate(
        "memberships",
        [
            {"$match": {"facilityId": {"$in": list(set(facilities))}, "isActive": True}},
            {"$sort": {"price": 1, "_id": 1}},
            {"$group": {"_id": "$facilityId", "price": {"$first": "$price"}, "currency": {"$first": "$currency"}}},
        ],
    )
    return {row["_id"]: row for row in rows}


async def refresh(mongo: Mongo, facilities: Collection[ObjectId]) -> int:
    """Repeat what the sources say now; in how many facilities that was something else. Raises StoreError."""
    ids = list(facilities)
    if not ids:
        return 0
    plans, stars = await cheapest_plans(mongo, ids), await ratings(mongo, ids)
    wrong = []
    for stored in await mongo.find(COLLECTION, {"_id": {"$in": ids}}, ("listing",)):
        listing = _listing(plans.get(stored["_id"]), stars.get(stored["_id"]))
        if stored.get("listing") != listing:
            wrong.append((stored["_id"], listing))
    if not wrong:
        return 0
    transaction = MongoTransaction(mongo)
    try:
        for facility, listing in wrong:
            await transaction.update(COLLECTION, {"_id": facility}, {"$set": {"listing": listing}})
        await transaction.commit(PATIENCE)
    finally:
        await transaction.close()
    return len(wrong)


async def refresh_all(mongo: Mongo) -> int:
    """The same for every facility, some hundred at a time."""
    done, last = 0, ObjectId(bytes(12))
    while True:
        rows = await mongo.find(COLLECTION, {"_id": {"$gt": last}}, (), sort=[("_id", 1)], limit=AT_ONCE)
        if not rows:
            return done
        ids = [row["_id"] for row in rows]
        done, last = done + await refresh(mongo, ids), ids[-1]


def _listing(plan: Document | None, stars: Document | None) -> Document:
    made: Document = {"reviews": stars["count"] if stars else 0}
    if plan is not None:
        made |= {"price": plan["price"], "currency": plan["currency"]}
    if stars is not None:
        made["rating"] = stars["average"]
    return made
