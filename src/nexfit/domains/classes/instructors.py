"""The names of instructors that classes and their dates repeat: copies, made anew when a person's own name changes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bson import ObjectId

from nexfit.stores.mongo import Mongo
from nexfit.stores.mongo_transactions import MongoTransaction

COLLECTIONS = ("classes", "class_occurrences")


@dataclass(frozen=True, slots=True)
class WrongName:
    """An instructor whose name is repeated wrongly: how often in which collection, and the right one."""

    collection: str
    user_id: ObjectId
    name: str
    documents: int


async def wrong_names(mongo: Mongo, users: Collection[ObjectId]) -> list[WrongName]:
    """Where classes repeat another name than these people have. People who are gone keep theirs. Raises StoreError."""
    people = await mongo.find("users", {"_id": {"$in": [*users]}}, ("firstName", "lastName"))
    found = []
    for collection in COLLECTIONS if people else ():
        counted = await mongo.aggregate(
            collection,
            [
                {"$match": {"instructor.userId": {"$in": [person["_id"] for person in people]}}},
                {"$group": {"_id": "$instructor", "documents": {"$sum": 1}}},
            ],
        )
        names = {person["_id"]: f"{person['firstName']} {person['lastName']}" for person in people}
        found += [
            WrongName(collection, row["_id"]["userId"], names[row["_id"]["userId"]], row["documents"])
            for row in counted
            if row["_id"]["name"] != names[row["_id"]["userId"]]
        ]
    return found


async def refresh(mongo: Mongo, wrong: Collection[WrongName]) -> None:
    """Repeat the right names. Raises StoreError."""
    for one in wrong:
        transaction = MongoTransaction(mongo)
        try:
            await transaction.update(
                one.collection,
                {"instructor.userId": one.user_id, "instructor.name": {"$ne": one.name}},
                {"$set": {"instructor.name": one.name}},
            )
            await transaction.commit(2.0)
        finally:
            await transaction.close()
