"""Finding facilities in MongoDB: by id, by owner or staff, and as a filtered, ordered list."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from bson import ObjectId

from nexfit.domains.facilities import open_now
from nexfit.domains.facilities.documents import FacilityType
from nexfit.domains.facilities.near import Near
from nexfit.domains.identity.access import Actor
from nexfit.domains.text import fold, pattern_of
from nexfit.hybrid import documents_paging
from nexfit.hybrid.joined_views import JoinedViews, View
from nexfit.hybrid.paging import Key, Page, PageRequest, instant, number, object_id, text
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "facilities"
_TIMEZONES = View("facility_timezones", 1, 3600)


class FacilityOrder(StrEnum):
    """How a list of facilities is ordered; ties are broken by id."""

    NAME = "NAME"
    CREATED_AT = "CREATED_AT"
    DISTANCE = "DISTANCE"
    PRICE = "PRICE"
    RATING = "RATING"


@dataclass(frozen=True, slots=True)
class FacilityFilter:
    """What a facility must match; absent parts match everything. Text compares without case and Turkish marks.

    `name` is how the name begins, `words` how words of its name or city do; of `amenities` it has all.
    """

    type: FacilityType | None = None
    city: str | None = None
    name: str | None = None
    words: str | None = None
    amenities: tuple[str, ...] = ()
    near: Near | None = None
    open_now: bool | None = None


DISTANCE = "distanceMetres"
"""Where a facility found near a point has its distance."""

_VALUE = "orderValue"
_COLUMNS: Mapping[FacilityOrder, tuple[str, Callable[[Any], Any]]] = {
    FacilityOrder.NAME: ("nameFolded", text),
    FacilityOrder.CREATED_AT: ("createdAt", instant),
    FacilityOrder.DISTANCE: (DISTANCE, number),
    FacilityOrder.PRICE: (_VALUE, number),
    FacilityOrder.RATING: (_VALUE, number),
}


def keys_of(order: FacilityOrder, *, descending: bool) -> list[Key]:
    """Ordering columns of a list; the id makes every place unique."""
    return [Key(*_COLUMNS[order], descending), Key("_id", object_id, descending)]


_COMPARED = frozenset({"createdAt", "updatedAt", "staff", "staffInvitations"})
"""Columns with instants that a rule may compare with another one; the dates of special days are days."""


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Facilities by id, in one command; unknown ids are absent."""
    asked = frozenset(columns)
    zoneless = _COMPARED.isdisjoint(asked)
    rows = await mongo.find(COLLECTION, {"_id": {"$in": list(set(ids))}}, asked, zoneless=zoneless)
    return {row["_id"]: row for row in rows}


async def page(
    mongo: Mongo,
    views: JoinedViews,
    filter: FacilityFilter,
    order: FacilityOrder,
    request: PageRequest,
    columns: Iterable[str],
    *,
    descending: bool,
    now: datetime,
) -> Page:
    """One page of the facilities everybody may see, in one command whatever is mixed; DISTANCE needs `near`.

    `open_now` asks for the time zones there are, a cached view. Facilities without a plan come last by PRICE, those
    without a review are lowest by RATING.
    """
    keys = keys_of(order, descending=descending)
    matching: list[dict[str, Any]] = [_conditions(filter)]
    if filter.open_now is not None:
        is_open = open_now.conditions(await _timezones(mongo, views), now)
        # Where there are no facilities there are no time zones, and nothing is open.
        matching.append({"$or" if filter.open_now else "$nor": is_open or [{"_id": None}]})
    if filter.near is None and order not in (FacilityOrder.PRICE, FacilityOrder.RATING):
        return await documents_paging.page(mongo, COLLECTION, {"$and": matching}, keys, request, columns)
    stages: list[Mapping[str, Any]]
    if filter.near is not None:
        stages = [filter.near.measured(DISTANCE, matching[0]), *({"$match": one} for one in matching[1:])]
    else:
        stages = [{"$match": {"$and": matching}}]
    if order is FacilityOrder.PRICE:
        stages.append(_valued("price", -1 if descending else _BEYOND))
    elif order is FacilityOrder.RATING:
        stages.append(_valued("rating", 0))
    return await documents_paging.page_of_pipeline(mongo, COLLECTION, stages, keys, request, columns)


_BEYOND = 1e18
"""More than any price."""


def _valued(stored: str, missing: float) -> Mapping[str, Any]:
    """The stage that gives each facility what it is ordered by; without an index, because it may be missing."""
    return {"$set": {_VALUE: {"$ifNull": [{"$toDouble": f"$listing.{stored}"}, missing]}}}


async def _timezones(mongo: Mongo, views: JoinedViews) -> list[str]:
    """The time zones there are facilities in."""

    async def load(_: Sequence[str]) -> dict[str, list[str]]:
        rows = await mongo.aggregate(COLLECTION, [{"$group": {"_id": "$timezone"}}])
        return {"all": sorted(row["_id"] for row in rows)}

    [found] = await views.get(_TIMEZONES, ["all"], load, tags=lambda _: ("facilities",))
    return list(found)


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


def _conditions(filter: FacilityFilter) -> dict[str, Any]:
    conditions: dict[str, Any] = {}
    if filter.type is not None:
        conditions["type"] = str(filter.type)
    if filter.city:
        conditions["address.cityFolded"] = fold(filter.city)
    if filter.words and fold(filter.words):
        # Beginnings of words, which no index of words finds, and which mix with every other condition.
        starts = [{"$regex": rf"(^|[^a-z0-9]){re.escape(word)}"} for word in fold(filter.words).split()]
        conditions["$and"] = [{"$or": [{"nameFolded": one}, {"address.cityFolded": one}]} for one in starts]
    if filter.amenities:
        conditions["amenities"] = {"$all": [re.compile(f"^{pattern_of(one)}$") for one in filter.amenities]}
    if filter.name:
        start = fold(filter.name)
        # A range instead of a pattern: nothing the client writes is read as a pattern, and the index serves it.
        conditions["nameFolded"] = {"$gte": start, "$lt": start + "\U0010ffff"}
    return conditions
