"""A member's turn, taken by whoever counts what the member has of a week or looks for clashes: one at a time."""

from __future__ import annotations

from bson import ObjectId

from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.mongo_transactions import MongoTransaction


async def take_turn(tx: MongoTransaction, user: ObjectId) -> None:
    """From here on no other transaction gives this member anything. Raises WriteConflict: run again."""
    try:
        await tx.update("member_turns", {"_id": user}, {"$inc": {"turns": 1}}, upsert=True)
    except ConstraintViolated as error:  # the member's very first turn, taken by two at once
        raise WriteConflict("mongo", str(error)) from error
