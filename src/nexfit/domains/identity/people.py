"""Reading people from MongoDB's `users`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bson import ObjectId

from nexfit.domains.identity.documents import Role
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "users"
COACHES = [str(role) for role in (Role.COACH, Role.GYM_COACH, Role.STUDIO_COACH)]
"""Roles of people who offer something to everybody."""


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Users by id, in one command; unknown ids are absent, and without ids nothing is asked."""
    return await _found(mongo, set(ids), {}, columns)


async def visible_by_ids(
    mongo: Mongo, ids: Iterable[ObjectId], known: Iterable[ObjectId], columns: Iterable[str]
) -> dict[ObjectId, Document]:
    """Of the users with these ids the `known` ones, and coaches, whose names are public; in one command."""
    public = {"$or": [{"_id": {"$in": list(known)}}, {"role": {"$in": COACHES}}]}
    return await _found(mongo, set(ids), public, columns)


async def _found(
    mongo: Mongo, ids: set[ObjectId], conditions: Mapping[str, Any], columns: Iterable[str]
) -> dict[ObjectId, Document]:
    if not ids:
        return {}
    rows = await mongo.find(COLLECTION, {"_id": {"$in": list(ids)}, **conditions}, columns)
    return {row["_id"]: row for row in rows}
