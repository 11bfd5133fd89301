"""Who holds which membership: MongoDB's `member_subscriptions`, newest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bson import ObjectId

from nexfit.hybrid import documents_paging
from nexfit.hybrid.paging import Key, Page, PageRequest, instant, object_id
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "member_subscriptions"
ORDER = "member_subscriptions:START_DATE:DESC"
KEYS = (Key("startDate", instant, descending=True), Key("_id", object_id, descending=True))

_SCOPE = ("userId", "facilityId")
"""Columns every read carries, because the right to see a document depends on them."""


async def pages_of(
    mongo: Mongo, parent: str, parents: Sequence[ObjectId], request: PageRequest, columns: Iterable[str]
) -> list[Page]:
    """A page per parent (`userId` or `facilityId`), in one command."""
    return await documents_paging.pages_by_parent(
        mongo, COLLECTION, parent, parents, {}, KEYS, request, {*columns, *_SCOPE}
    )


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Contracts by id, in one command; unknown ids are absent."""
    rows = await mongo.find(COLLECTION, {"_id": {"$in": list(set(ids))}}, {*columns, *_SCOPE})
    return {row["_id"]: row for row in rows}


async def by_subscription_ids(mongo: Mongo, ids: Iterable[str], columns: Iterable[str]) -> dict[str, Any]:
    """Contracts by the PostgreSQL subscription they mirror, in one command; without ids nothing is asked."""
    wanted = list(set(ids))
    if not wanted:
        return {}
    rows = await mongo.find(COLLECTION, {"subscriptionId": {"$in": wanted}}, {*columns, *_SCOPE, "subscriptionId"})
    return {row["subscriptionId"]: row for row in rows}
