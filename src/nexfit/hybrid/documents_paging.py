"""Keyset pages of MongoDB documents, for any number of parents in one command.

Ordering columns must be required fields: MongoDB's comparison operators do not cross types, so a missing value would
fall out of every page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nexfit.hybrid.paging import Key, Page, PageRequest, Place, cut, parsed
from nexfit.stores.mongo import Document, Mongo, projection


async def page(
    mongo: Mongo,
    collection: str,
    filter: Mapping[str, Any],
    keys: Sequence[Key],
    request: PageRequest,
    columns: Iterable[str],
) -> Page:
    """One page of the matching documents; a second command only when the total is asked for. Raises BadCursor."""
    rows = await mongo.find(
        collection,
        _with_bounds(filter, keys, request),
        {*columns, *(key.column for key in keys)},
        sort=_sort(keys, request),
        limit=request.limit,
    )
    total = await mongo.count(collection, filter) if request.counted else None
    return cut(request, rows, keys, total)


async def page_of_pipeline(
    mongo: Mongo,
    collection: str,
    stages: Sequence[Mapping[str, Any]],
    keys: Sequence[Key],
    request: PageRequest,
    columns: Iterable[str],
    *,
    sifting: Sequence[Mapping[str, Any]] = (),
) -> Page:
    """One page of what a pipeline's stages make, in an order they may have computed; as `page`. Raises BadCursor.

    The `sifting` stages leave rows out one by one. They come behind the order, so that no more rows than the page needs
    are looked at; where an index has the order, none is sorted either.
    """
    bounds = _with_bounds({}, keys, request)
    rows = await mongo.aggregate(
        collection,
        [
            *stages,
            *([{"$match": bounds}] if bounds else []),
            {"$sort": dict(_sort(keys, request))},
            *sifting,
            {"$limit": request.limit},
            {"$project": projection({*columns, *(key.column for key in keys)})},
        ],
    )
    total = None
    if request.counted:
        counted = await mongo.aggregate(collection, [*stages, *sifting, {"$count": "n"}])
        total = counted[0]["n"] if counted else 0
    return cut(request, rows, keys, total)


async def pages_by_parent(
    mongo: Mongo,
    collection: str,
    parent: str,
    parent_ids: Sequence[Any],
    filter: Mapping[str, Any],
    keys: Sequence[Key],
    request: PageRequest,
    columns: Iterable[str],
) -> list[Page]:
    """A page per parent id, in one command however many parents there are (and one more for totals)."""
    if len(parent_ids) == 1:
        return [await page(mongo, collection, {parent: parent_ids[0], **filter}, keys, request, columns)]
    rows = await first_by_parent(
        mongo,
        collection,
        parent,
        parent_ids,
        _with_bounds(filter, keys, request),
        sort=_sort(keys, request),
        limit=request.limit,
        columns={*columns, *(key.column for key in keys)},
    )
    totals = await _totals(mongo, collection, parent, parent_ids, filter) if request.counted else {}
    return [
        cut(request, found, keys, totals.get(parent_id, 0) if request.counted else None)
        for parent_id, found in zip(parent_ids, rows, strict=True)
    ]


async def first_by_parent(
    mongo: Mongo,
    collection: str,
    parent: str,
    parent_ids: Sequence[Any],
    filter: Mapping[str, Any],
    *,
    sort: Sequence[tuple[str, int]],
    limit: int,
    columns: Iterable[str],
    zoneless: bool = False,
) -> list[list[Document]]:
    """The first `limit` documents of every parent id, in one command, with the columns and no more.

    The lookup seeks the index once per parent and stops at the limit; grouping would read every child of every parent.
    """
    distinct = list(dict.fromkeys(parent_ids))
    found = await mongo.aggregate_documents(
        [
            # A parent is named by its place: its id would have to be read for every row of the answer.
            {"$documents": [{"_id": place, "parent": parent_id} for place, parent_id in enumerate(distinct)]},
            {
                "$lookup": {
                    "from": collection,
                    "localField": "parent",
                    "foreignField": parent,
                    "pipeline": [
                        *([{"$match": filter}] if filter else []),
                        {"$sort": dict(sort)},
                        {"$limit": limit},
                        {"$project": _shown(frozenset(columns))},
                    ],
                    "as": "rows",
                }
            },
            {"$project": {"rows": 1}},
        ],
        zoneless=zoneless,
    )
    rows = {distinct[document["_id"]]: document["rows"] for document in found}
    return [rows.get(parent_id, []) for parent_id in parent_ids]


def _shown(columns: frozenset[str]) -> Mapping[str, int]:
    """A projection of the columns without the `_id` that nobody asked for."""
    return projection(columns) if "_id" in columns or not columns else {**projection(columns), "_id": 0}


async def _totals(
    mongo: Mongo, collection: str, parent: str, parent_ids: Sequence[Any], filter: Mapping[str, Any]
) -> dict[Any, int]:
    counted = await mongo.aggregate(
        collection,
        [
            {"$match": {parent: {"$in": list(parent_ids)}, **filter}},
            {"$group": {"_id": f"${parent}", "total": {"$sum": 1}}},
        ],
    )
    return {document["_id"]: document["total"] for document in counted}


def _sort(keys: Sequence[Key], request: PageRequest) -> list[tuple[str, int]]:
    return [(key.column, -1 if key.descending != request.backwards else 1) for key in keys]


def _with_bounds(filter: Mapping[str, Any], keys: Sequence[Key], request: PageRequest) -> dict[str, Any]:
    bounds = []
    if request.after is not None:
        bounds.append(_beyond(request.after, keys, forwards=True))
    if request.before is not None:
        bounds.append(_beyond(request.before, keys, forwards=False))
    return {"$and": [dict(filter), *bounds]} if bounds else dict(filter)


def _beyond(place: Place, keys: Sequence[Key], *, forwards: bool) -> dict[str, Any]:
    values = parsed(place, keys)
    branches = []
    for depth, key in enumerate(keys):
        operator = "$lt" if key.descending == forwards else "$gt"
        equal = {outer.column: values[index] for index, outer in enumerate(keys[:depth])}
        branches.append({**equal, key.column: {operator: values[depth]}})
    return {"$or": branches}
