"""Finding facilities in MongoDB: by id, by owner or staff, and as a filtered, ordered list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bson import ObjectId

from nexfit.domains.facilities.documents import FacilityType
from nexfit.domains.identity.access import Actor
from nexfit.domains.text import fold
from nexfit.hybrid import documents_paging
from nexfit.hybrid.paging import Key, Page, PageRequest, instant, object_id, text
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "facilities"


class FacilityOrder(StrEnum):
    """How a list of facilities is ordered; ties are broken by id."""

    NAME = "NAME"
    CREATED_AT = "CREATED_AT"


@dataclass(frozen=True, slots=True)
class FacilityFilter:
    """What a facility must match; absent parts match everything. Text compares without case and Turkish marks."""

    type: FacilityType | None = None
    city: str | None = None
    name: str | None = None


def keys_of(order: FacilityOrder, *, descending: bool) -> list[Key]:
    """Ordering columns of a list; the id makes every place unique."""
    if order is FacilityOrder.NAME:
        return [Key("nameFolded", text, descending), Key("_id", object_id, descending)]
    return [Key("createdAt", instant, descending), Key("_id", object_id, descending)]


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Facilities by id, in one command; unknown ids are absent."""
    rows = await mongo.find(COLLECTION, {"_id": {"$in": list(set(ids))}}, columns)
    return {row["_id"]: row for row in rows}


async def page(
    mongo: Mongo, filter: FacilityFilter, keys: Sequence[Key], request: PageRequest, columns: Iterable[str]
) -> Page:
    """One page of the facilities everybody may see."""
    return await documents_paging.page(mongo, COLLECTION, _conditions(filter), keys, request, columns)


async def page_of_staff(
    mongo: Mongo, actor: Actor, keys: Sequence[Key], request: PageRequest, columns: Iterable[str]
) -> Page:
    """One page of the facilities the actor owns or works at; raises Unauthenticated."""
    user_id = actor.require()
    mine = {"$or": [{"ownerId": user_id}, {"staff.userId": user_id}]}
    return await documents_paging.page(mongo, COLLECTION, mine, keys, request, columns)


async def worked_at(mongo: Mongo, person: ObjectId, most: int) -> list[ObjectId]:
    """Ids of the facilities a person owns or works at, in name order, in one command."""
    mine = {"$or": [{"ownerId": person}, {"staff.userId": person}]}
    found = await mongo.find(COLLECTION, mine, (), sort=[("nameFolded", 1), ("_id", 1)], limit=most)
    return [row["_id"] for row in found]


async def managed(mongo: Mongo, actor: Actor, permissions: Iterable[str]) -> set[ObjectId]:
    """Ids of the facilities at which the actor has one of the permissions, in one command; empty for a guest."""
    return {row["_id"] for row in await _managed(mongo, actor, permissions, ())}


async def managed_staff(mongo: Mongo, actor: Actor, permission: str) -> dict[ObjectId, set[ObjectId]]:
    """The staff of each facility at which the actor has a permission, in one command; empty for a guest."""
    rows = await _managed(mongo, actor, (permission,), ("staff.userId",))
    return {row["_id"]: {entry["userId"] for entry in row.get("staff") or ()} for row in rows}


async def _managed(mongo: Mongo, actor: Actor, permissions: Iterable[str], columns: Iterable[str]) -> list[Document]:
    if actor.user_id is None:
        return []
    staff = {"$elemMatch": {"userId": actor.user_id, "permissions": {"$in": [str(one) for one in permissions]}}}
    return await mongo.find(COLLECTION, {"$or": [{"ownerId": actor.user_id}, {"staff": staff}]}, columns)


def _conditions(filter: FacilityFilter) -> Mapping[str, Any]:
    conditions: dict[str, Any] = {}
    if filter.type is not None:
        conditions["type"] = str(filter.type)
    if filter.city:
        conditions["address.cityFolded"] = fold(filter.city)
    if filter.name:
        start = fold(filter.name)
        # A range instead of a pattern: nothing the client writes is read as a pattern, and the index serves it.
        conditions["nameFolded"] = {"$gte": start, "$lt": start + "\U0010ffff"}
    return conditions
