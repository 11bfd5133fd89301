"""Reading the relations of coaches and clients from MongoDB's `coach_clients`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from bson import ObjectId

from nexfit.domains.coaching.documents import RelationStatus
from nexfit.hybrid import documents_paging
from nexfit.hybrid.paging import Key, Page, PageRequest, object_id
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "coach_clients"
COACH, CLIENT = "coachId", "clientId"
KEYS = (Key("_id", object_id),)

_SCOPE = (COACH, CLIENT)
"""Columns every read carries, because the right to see a relation depends on them."""


async def page_of(
    mongo: Mongo,
    side: str,
    person: ObjectId,
    status: RelationStatus | None,
    request: PageRequest,
    columns: Iterable[str],
) -> Page:
    """One page of a person's relations on one side (`COACH` or `CLIENT`), the oldest first."""
    wanted: dict[str, Any] = {"$in": list(RelationStatus)} if status is None else {"$eq": str(status)}
    query = {side: person, "relationship.status": wanted}
    return await documents_paging.page(mongo, COLLECTION, query, KEYS, request, {*columns, *_SCOPE})


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Relations by id, in one command; unknown ids are absent."""
    rows = await mongo.find(COLLECTION, {"_id": {"$in": list(set(ids))}}, {*columns, *_SCOPE})
    return {row["_id"]: row for row in rows}


async def clients_among(mongo: Mongo, coach: ObjectId, people: Collection[ObjectId]) -> set[ObjectId]:
    """Which of the people are the coach's active clients, in one command."""
    query = {COACH: coach, CLIENT: {"$in": list(people)}, "relationship.status": str(RelationStatus.ACTIVE)}
    return {row[CLIENT] for row in await mongo.find(COLLECTION, query, (CLIENT,))}
