"""What happened with a member, out of both stores as one list: visits, bookings, money, invoices, memberships, notes.

Each source is asked for one page within the same bounds, and the pages are merged: whatever the sources hold, a page
costs one command to each store. An entry's place is its moment, its kind and its id, which no other entry has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from bson import ObjectId

from nexfit.hybrid.paging import Key, Page, PageRequest, cut, instant, parsed, text
from nexfit.hybrid.rows_paging import Conditions
from nexfit.stores.mongo import Document, Mongo
from nexfit.stores.postgres import Postgres

ORDER = "member timeline:AT:DESC"

Pair = tuple[str, str]
"""A facility and a person."""


class EntryKind(StrEnum):
    """What an entry tells of. Among entries of one moment the last in the alphabet comes first."""

    BOOKING = "booking"
    INVOICE = "invoice"
    MEMBERSHIP = "membership"
    NOTE = "note"
    TRANSACTION = "transaction"
    VISIT = "visit"


def _id(value: object) -> str:
    """Read the part of a place that is an entry's id."""
    found = text(value)
    if not ObjectId.is_valid(found):
        UUID(found)
    return found


KEYS = (Key("at", instant, descending=True), Key("kind", EntryKind, descending=True), Key("id", _id, descending=True))


@dataclass(frozen=True, slots=True)
class _Rows:
    """A table of PostgreSQL as a source: its id, its moment, and what it shows."""

    kind: EntryKind
    table: str
    id: str
    shown: str


_ROWS = (
    _Rows(
        EntryKind.INVOICE,
        "finance.invoices",
        "invoice_id",
        "t.status, t.invoice_number AS text, t.total_amount AS amount, t.currency, NULL AS plan_id, NULL AS author_id",
    ),
    _Rows(
        EntryKind.MEMBERSHIP,
        "finance.subscriptions",
        "subscription_id",
        "t.status, NULL AS text, t.amount, t.currency, t.plan_id, NULL AS author_id",
    ),
    _Rows(
        EntryKind.NOTE,
        "platform.member_notes",
        "note_id",
        "NULL AS status, t.text, NULL::numeric AS amount, NULL AS currency, NULL AS plan_id, t.author_id",
    ),
    _Rows(
        EntryKind.TRANSACTION,
        "finance.transactions",
        "transaction_id",
        "t.transaction_type || ' ' || t.status AS status, t.description AS text, t.amount, t.currency, NULL AS plan_id,"
        " NULL AS author_id",
    ),
)
_ALL = {EntryKind.INVOICE: "t.status <> 'draft'"}
"""What of a table is shown at all."""

_MONEY = (EntryKind.INVOICE, EntryKind.MEMBERSHIP, EntryKind.TRANSACTION)
"""Kinds that only who may read a facility's money is shown."""

_DOCUMENTS = ((EntryKind.BOOKING, "class_bookings", "date"), (EntryKind.VISIT, "visits", "at"))


@dataclass(frozen=True, slots=True)
class _Bound:
    """What of a source lies on one side of a place: whether its moment itself does, or from which id on."""

    later: bool
    at: datetime
    inclusive: bool
    id: str | None


def _bounds(kind: EntryKind, request: PageRequest) -> list[_Bound]:
    found = []
    for place, later in ((request.after, False), (request.before, True)):
        if place is None:
            continue
        at, of, id_ = parsed(place, KEYS)
        # Entries of the same moment are ordered by their kind.
        found.append(_Bound(later, at, kind > of if later else kind < of, id_ if kind == of else None))
    return found


async def pages(
    mongo: Mongo, postgres: Postgres, members: Sequence[Pair], request: PageRequest, *, money: Collection[str]
) -> dict[Pair, Page]:
    """A page of each member's entries, the latest first, in one command to each store (and one more for totals).

    What is about money is there for the facilities in `money` only. Raises BadCursor.
    """
    pairs = list(dict.fromkeys(members))
    rows, documents, totals = await asyncio.gather(
        _rows(postgres, pairs, request, money),
        _documents(mongo, pairs, request),
        _totals(postgres, pairs, request, money),
    )
    found: dict[Pair, Page] = {}
    for pair in pairs:
        entries, count = documents[pair]
        merged = sorted(
            [*entries, *rows.get(pair, ())],
            key=lambda entry: (entry["at"], entry["kind"], entry["id"]),
            reverse=not request.backwards,
        )
        total = totals.get(pair, 0) + count if request.counted else None
        found[pair] = cut(request, merged[: request.limit], KEYS, total)
    return found


async def _rows(
    postgres: Postgres, pairs: Sequence[Pair], request: PageRequest, money: Collection[str]
) -> dict[Pair, list[dict[str, Any]]]:
    direction = "ASC" if request.backwards else "DESC"
    conditions = Conditions()
    facilities = conditions.parameter([facility for facility, _ in pairs])
    users = conditions.parameter([user for _, user in pairs])
    open_ = conditions.parameter(list(money))
    parts = []
    for source in _ROWS:
        where = ["t.facility_id = p.facility_id", "t.user_id = p.user_id"]
        if source.kind in _ALL:
            where.append(_ALL[source.kind])
        if source.kind in _MONEY:
            where.append(f"p.facility_id = ANY ({open_}::text[])")
        for bound in _bounds(source.kind, request):
            sign = ">" if bound.later else "<"
            at = conditions.parameter(bound.at)
            if bound.id is not None:
                where.append(f"(t.created_at, t.{source.id}) {sign} ({at}, {conditions.parameter(_uuid(bound.id))})")
            else:
                where.append(f"t.created_at {sign}{'=' if bound.inclusive else ''} {at}")
        parts.append(
            f"(SELECT '{source.kind}' AS kind, t.{source.id}::text AS id, t.created_at AS at, {source.shown}"  # noqa: S608
            f" FROM {source.table} t WHERE {' AND '.join(where)}"
            f" ORDER BY t.created_at {direction}, t.{source.id} {direction} LIMIT {request.limit})"
        )
    statement = (
        f"SELECT p.facility_id, p.user_id, e.* FROM unnest({facilities}::text[], {users}::text[])"  # noqa: S608
        f" AS p (facility_id, user_id) CROSS JOIN LATERAL ({' UNION ALL '.join(parts)}) AS e"
    )
    found: dict[Pair, list[dict[str, Any]]] = {}
    for row in await postgres.fetch(statement, *conditions.parameters):
        found.setdefault((row["facility_id"], row["user_id"]), []).append(dict(row))
    return found


async def _totals(
    postgres: Postgres, pairs: Sequence[Pair], request: PageRequest, money: Collection[str]
) -> dict[Pair, int]:
    if not request.counted:
        return {}
    counts = " + ".join(
        f"(SELECT count(*) FROM {source.table} t WHERE t.facility_id = p.facility_id AND t.user_id = p.user_id"  # noqa: S608
        f" AND {_ALL.get(source.kind, 'true')}"
        f" AND {'p.facility_id = ANY ($3::text[])' if source.kind in _MONEY else 'true'})"
        for source in _ROWS
    )
    rows = await postgres.fetch(
        f"SELECT p.facility_id, p.user_id, {counts} AS total"  # noqa: S608
        " FROM unnest($1::text[], $2::text[]) AS p (facility_id, user_id)",
        [facility for facility, _ in pairs],
        [user for _, user in pairs],
        list(money),
    )
    return {(row["facility_id"], row["user_id"]): row["total"] for row in rows}


async def _documents(
    mongo: Mongo, pairs: Sequence[Pair], request: PageRequest
) -> dict[Pair, tuple[list[dict[str, Any]], int]]:
    way = 1 if request.backwards else -1
    stages: list[Mapping[str, Any]] = []
    for kind, collection, at in _DOCUMENTS:
        bounds = [_condition(at, bound) for bound in _bounds(kind, request)]
        page = [
            {"$match": {"$and": [{"$expr": {"$eq": ["$facilityId", "$$facility"]}}, *bounds]}},
            {"$sort": {at: way, "_id": way}},
            {"$limit": request.limit},
        ]
        if kind is EntryKind.BOOKING:
            name = {"from": "classes", "localField": "classId", "foreignField": "_id", "as": "class"}
            page.append({"$lookup": {**name, "pipeline": [{"$project": {"name": 1}}]}})
        page.append({"$project": {at: 1, "status": 1, "source": 1, "class.name": 1}})
        lookup = {"from": collection, "localField": "user", "foreignField": "userId", "let": {"facility": "$facility"}}
        stages.append({"$lookup": {**lookup, "pipeline": page, "as": str(kind)}})
        if request.counted:
            here = {"$match": {"$expr": {"$eq": ["$facilityId", "$$facility"]}}}
            stages.append({"$lookup": {**lookup, "pipeline": [here, {"$count": "n"}], "as": f"{kind}s"}})
    named = [
        {"_id": place, "facility": ObjectId(facility), "user": ObjectId(user)}
        for place, (facility, user) in enumerate(pairs)
    ]
    found: dict[Pair, tuple[list[dict[str, Any]], int]] = {}
    for document in await mongo.aggregate_documents([{"$documents": named}, *stages]):
        entries = [_entry(kind, at, one) for kind, _, at in _DOCUMENTS for one in document[str(kind)]]
        count = sum(of["n"] for kind, _, _ in _DOCUMENTS for of in document.get(f"{kind}s", ()))
        found[pairs[document["_id"]]] = entries, count
    return found


def _entry(kind: EntryKind, at: str, document: Document) -> dict[str, Any]:
    names = [one["name"] for one in document.get("class", ())]
    return {
        "kind": str(kind),
        "id": str(document["_id"]),
        "at": document[at].astimezone(UTC),
        "status": document.get("status") or document.get("source"),
        "text": names[0] if names else None,
        "amount": None,
        "currency": None,
        "plan_id": None,
        "author_id": None,
    }


def _condition(at: str, bound: _Bound) -> Mapping[str, Any]:
    """The bound for documents, whose moments have no more than milliseconds."""
    moment = bound.at.replace(microsecond=bound.at.microsecond // 1000 * 1000)
    exact = moment == bound.at
    if bound.id is not None and exact:
        sign = "$gt" if bound.later else "$lt"
        same = {at: moment, "_id": {sign: _object_id(bound.id)}}
        return {"$or": [{at: {sign: moment}}, same]}
    if bound.later:
        return {at: {"$gte" if bound.inclusive and exact else "$gt": moment}}
    return {at: {"$lte" if bound.inclusive or not exact else "$lt": moment}}


def _uuid(value: str) -> UUID:
    """The id of a row in a place; another kind of id stands before all of them."""
    try:
        return UUID(value)
    except ValueError:
        return UUID(int=0)


def _object_id(value: str) -> ObjectId:
    return ObjectId(value) if ObjectId.is_valid(value) else ObjectId("0" * 24)
