"""Reading personal training sessions from MongoDB's `pt_sessions`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from nexfit.domains.coaching.documents import SessionStatus
from nexfit.hybrid import documents_paging
from nexfit.hybrid.paging import Key, Page, PageRequest, instant, object_id, parsed
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "pt_sessions"
ORDER = "pt_sessions:START:DESC"
_KEYS = (Key("startTime", instant, descending=True), Key("_id", object_id, descending=True))

EARLIEST = datetime.min.replace(tzinfo=UTC)

_SCOPE = ("coachId", "clientId")
"""Columns every read carries, because the right to see a session depends on them."""


async def page_of(
    mongo: Mongo,
    person: ObjectId,
    *,
    status: SessionStatus | None,
    since: datetime | None,
    until: datetime | None,
    request: PageRequest,
    columns: Iterable[str],
) -> Page:
    """One page of the sessions a person gives or takes, the latest first, of those that start in `[since, until)`."""
    query: dict[str, Any] = {"$or": [{"coachId": person}, {"clientId": person}]}
    if status is not None:
        query["status"] = str(status)
    bounds: dict[str, Any] = {"$gte": since, "$lt": until}
    if not request.counted:  # all of them are counted by the same query
        # What the place in the order says as well; only here it bounds the index of either side.
        if request.after is not None:
            bounds["$lte"] = parsed(request.after, _KEYS)[0]
        if request.before is not None:
            bounds["$gte"] = max(parsed(request.before, _KEYS)[0], since or EARLIEST)
    bounds = {operator: bound for operator, bound in bounds.items() if bound is not None}
    if bounds:
        query["startTime"] = bounds
    return await documents_paging.page(mongo, COLLECTION, query, _KEYS, request, {*columns, *_SCOPE})


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Sessions by id, in one command; unknown ids are absent."""
    rows = await mongo.find(COLLECTION, {"_id": {"$in": list(set(ids))}}, {*columns, *_SCOPE})
    return {row["_id"]: row for row in rows}
