"""Members of the demo, what the facts say of them, and the same told anew from the plain documents and rows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from bson import ObjectId

Database = Any
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody with a contract."""

    facility: ObjectId
    user: ObjectId
    contract: dict[str, Any]

    @property
    def pair(self) -> Pair:
        """The key of their row."""
        return str(self.facility), str(self.user)


async def somebody(mongo: Database, **contract: Any) -> Member:
    """A member of the demo whose contract is such, and who holds no other; never the same one twice."""
    _met.setdefault(mongo.name, set())
    async for found in mongo.member_subscriptions.find(contract).sort("_id", 1):
        user = found["userId"]
        if user not in _met[mongo.name] and await mongo.member_subscriptions.count_documents({"userId": user}) == 1:
            _met[mongo.name].add(user)
            return Member(found["facilityId"], user, found)
    raise AssertionError("the demo has no such member left")


_met: dict[str, set[ObjectId]] = {}


async def fact(postgres: asyncpg.Connection, pair: Pair) -> asyncpg.Record | None:
    """The member's row."""
    return await postgres.fetchrow("SELECT * FROM platform.member_facts WHERE facility_id = $1 AND user_id = $2", *pair)


async def visit(mongo: Database, member: Member, at: datetime) -> ObjectId:
    """Record an entry, as a turnstile's own program would."""
    entry = {"facilityId": member.facility, "userId": member.user, "at": at, "source": "import"}
    inserted: ObjectId = (await mongo.visits.insert_one(entry)).inserted_id
    return inserted


async def pay(postgres: asyncpg.Connection, pair: Pair, amount: str = "10", status: str = "succeeded") -> UUID:
    """Book a payment, as a person at psql would."""
    id_ = uuid4()
    await postgres.execute(
        "INSERT INTO finance.transactions (transaction_id, business_id, facility_id, user_id, amount, currency,"
        " payment_method, transaction_type, status)"
        " VALUES ($1, $2, $2, $3, $4, 'TRY', 'cash', 'manual_payment', $5)",
        *(id_, *pair, Decimal(amount), status),
    )
    return id_


async def told_by_rows(postgres: asyncpg.Connection) -> dict[Pair, tuple[Any, ...]]:
    """All facts, as they are stored."""
    return {
        (row["facility_id"], row["user_id"]): (
            *(row["name_folded"], row["status"], row["plan_id"], row["joined_at"], row["last_visit_at"]),
            *(row["next_booking_at"], row["birthday"], row["balance"], row["open_invoices"], row["oldest_open_due"]),
            row["last_payment_at"],
        )
        for row in await postgres.fetch("TABLE platform.member_facts")
    }


async def told_by_stores(mongo: Database, postgres: asyncpg.Connection, now: datetime) -> dict[Pair, tuple[Any, ...]]:
    """All facts, worked out here in the plainest way."""
    held: defaultdict[Pair, list[dict[str, Any]]] = defaultdict(list)
    visits: dict[Pair, datetime] = {}
    bookings: dict[Pair, datetime] = {}
    async for document in mongo.member_subscriptions.find():
        held[_key(document)].append(document)
    async for document in mongo.visits.find():
        visits[_key(document)] = max(document["at"], visits.get(_key(document), document["at"]))
    async for document in mongo.class_bookings.find({"status": "booked", "date": {"$gt": now}}):
        bookings[_key(document)] = min(document["date"], bookings.get(_key(document), document["date"]))
    people = {str(document["_id"]): document async for document in mongo.users.find()}
    debts = defaultdict(list)
    for row in await postgres.fetch("SELECT * FROM finance.invoices WHERE status = 'open'"):
        debts[row["facility_id"], row["user_id"]].append(row)
    paid: dict[Pair, datetime] = {}
    for row in await postgres.fetch("SELECT * FROM finance.transactions WHERE status = 'succeeded'"):
        if row["transaction_type"] in ("charge", "manual_payment"):
            pair = (row["facility_id"], row["user_id"])
            paid[pair] = max(row["created_at"], paid.get(pair, row["created_at"]))
    # Money once owed leaves a row, though nothing of it is left.
    involved = {
        (row["facility_id"], row["user_id"])
        for row in await postgres.fetch("SELECT facility_id, user_id FROM finance.invoices WHERE status <> 'draft'")
    }
    told = {}
    for pair in held.keys() | paid.keys() | involved:
        contracts = sorted(held[pair], key=lambda one: one["startDate"], reverse=True)
        order = ("active", "past_due", "frozen", "suspended", "incomplete", "cancelled", "expired")
        by_weight = sorted(contracts, key=lambda one: order.index(one["status"]) if one["status"] in order else 99)
        joined = [one["createdAt"] for one in contracts if not one["status"].startswith("incomplete")]
        person = people.get(pair[1], {})
        born = person.get("roleSpecificData", {}).get("client", {}).get("dateOfBirth")
        told[pair] = (
            person.get("nameFolded", ""),
            by_weight[0]["status"] if by_weight else "none",
            str(by_weight[0]["membershipId"]) if by_weight else None,
            min(joined, default=None),
            *(visits.get(pair), bookings.get(pair), None if born is None else born.month * 100 + born.day),
            *(sum((row["total_amount"] for row in debts[pair]), Decimal(0)), len(debts[pair])),
            *(min((row["due_date"] for row in debts[pair]), default=None), paid.get(pair)),
        )
    return told


def _key(document: dict[str, Any]) -> Pair:
    return str(document["facilityId"]), str(document["userId"])
