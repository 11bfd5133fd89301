"""MongoDB's `member_subscriptions` as far as PostgreSQL decides it: status, dates, plan and payments. PostgreSQL wins.

A repair names what it read before it looked at PostgreSQL, and fails where that is no longer so: whoever else mirrors
the same contract meanwhile has looked later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from bson import Decimal128, ObjectId

from nexfit.domains.memberships.contracts import COLLECTION
from nexfit.domains.memberships.projection import Pair
from nexfit.stores.errors import ConstraintViolated
from nexfit.stores.mongo import Document, Mongo
from nexfit.stores.mongo_transactions import MongoTransaction
from nexfit.stores.postgres import Postgres, Row

KEPT_PAYMENTS = 24
"""The latest payments a contract repeats."""

_DECIDED = ("userId", "facilityId", "membershipId", "startDate", "endDate", "status", "autoRenew", "cancelledAt")
MIRRORED = (*_DECIDED, "paymentHistory")

_IDS = """
SELECT s.subscription_id FROM finance.subscriptions s
JOIN unnest($1::text[], $2::text[]) AS p (facility_id, user_id) USING (facility_id, user_id)
"""
_SUBSCRIPTIONS = """
SELECT subscription_id, facility_id, user_id, plan_id, status, start_date, current_period_end, auto_renew, cancelled_at,
  created_at, updated_at
FROM finance.subscriptions WHERE subscription_id = ANY ($1::uuid[])
"""
_FREE = f"{_SUBSCRIPTIONS} FOR SHARE SKIP LOCKED"
# What settled an invoice of the contract, and what the contract names already: a failed attempt has no other trace.
_PAYMENTS = """
SELECT w.subscription_id, t.transaction_id, t.facility_id, t.user_id, t.amount, t.currency, t.payment_method, t.status,
  t.created_at
FROM (
  SELECT i.subscription_id, i.transaction_id FROM finance.invoices i
    WHERE i.subscription_id = ANY ($1::uuid[]) AND i.status = 'paid'
  UNION
  SELECT n.subscription_id, n.transaction_id
    FROM unnest($2::uuid[], $3::uuid[]) AS n (subscription_id, transaction_id)
) AS w
JOIN finance.transaction_keys k ON k.transaction_id = w.transaction_id
JOIN finance.transactions t ON t.transaction_id = k.transaction_id AND t.created_at = k.created_at
ORDER BY t.created_at, t.transaction_id
"""

_ENDED = frozenset({"incomplete_expired", "cancelled", "expired"})


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A contract that does not repeat its subscription: `mirrored` as it is, `true` as it should be.

    `mirrored` is None where the document is missing, `true` where PostgreSQL knows no such subscription.
    """

    subscription_id: str
    mirrored: Document | None
    true: Document | None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that differ; none where one side is missing."""
        if self.mirrored is None or self.true is None:
            return ()
        return tuple(name for name in MIRRORED if not _agree(name, self.mirrored.get(name), self.true.get(name)))


async def discrepancies(postgres: Postgres, mongo: Mongo, pairs: Collection[Pair]) -> list[Discrepancy]:
    """Where the contracts of these members are not what PostgreSQL says, by subscription. Raises StoreError.

    Leaves out subscriptions somebody is writing at the moment: their change will be heard of when it is committed.
    """
    ids = {
        str(row["subscription_id"])
        for row in await postgres.fetch(_IDS, [facility for facility, _ in pairs], [user for _, user in pairs])
    }
    wanted = set(pairs)
    among = {
        "userId": {"$in": [ObjectId(user) for user in {user for _, user in wanted}]},
        "facilityId": {"$in": [ObjectId(facility) for facility in {facility for facility, _ in wanted}]},
    }
    found = await mongo.find(
        COLLECTION, {"$or": [{"subscriptionId": {"$in": [*ids]}}, among]}, (*MIRRORED, "subscriptionId")
    )
    contracts = {
        contract["subscriptionId"]: contract
        for contract in found
        if contract["subscriptionId"] in ids or (str(contract["facilityId"]), str(contract["userId"])) in wanted
    }
    every = [UUID(id_) for id_ in sorted(ids | contracts.keys())]
    rows = {row["subscription_id"]: row for row in await postgres.fetch(_SUBSCRIPTIONS, every)}
    payments = await _payments(postgres, rows, contracts)
    result = []
    for id_ in every:
        mirrored, row = contracts.get(str(id_)), rows.get(id_)
        true = None if row is None else contract_of(row, payments[id_])
        one = Discrepancy(str(id_), mirrored, true)
        if mirrored is None or true is None or one.fields:
            result.append(one)
    # MongoDB may know the next state of a row before it is committed here. Until then somebody holds the row, and from
    # then on it is another one than was compared.
    changing = [UUID(one.subscription_id) for one in result if one.true is not None]
    free = {row["subscription_id"]: row for row in await postgres.fetch(_FREE, changing)} if changing else {}
    return [one for one in result if one.true is None or free.get(id_ := UUID(one.subscription_id)) == rows[id_]]


async def repair(mongo: Mongo, found: Collection[Discrepancy]) -> list[Discrepancy]:
    """Make the contracts what they should be, the ended ones first; answers which now are.

    One that changed since it was read is left to who changed it. A missing one is made where MongoDB knows everybody
    it is about; one that PostgreSQL does not know is deleted. Raises StoreError.
    """
    done = []
    possible = await _possible(mongo, found)
    for one in sorted(possible, key=lambda one: one.true is not None and one.true["status"] not in _ENDED):
        transaction = MongoTransaction(mongo)
        try:
            if await _write(transaction, one):
                await transaction.commit(2.0)
                done.append(one)
        except ConstraintViolated:
            # Another document is in its place, an orphan perhaps: the reconciler names both.
            await transaction.rollback()
        finally:
            await transaction.close()
    return done


async def _possible(mongo: Mongo, found: Collection[Discrepancy]) -> list[Discrepancy]:
    missing = [one.true for one in found if one.mirrored is None and one.true is not None]
    known: dict[str, set[ObjectId]] = {}
    for field, collection in (("userId", "users"), ("facilityId", "facilities"), ("membershipId", "memberships")):
        wanted = list({true[field] for true in missing})
        known[field] = (
            {row["_id"] for row in await mongo.find(collection, {"_id": {"$in": wanted}}, ())} if wanted else set()
        )
    return [
        one
        for one in found
        if one.mirrored is not None or (one.true and all(one.true[field] in ids for field, ids in known.items()))
    ]


async def _write(transaction: MongoTransaction, one: Discrepancy) -> bool:
    if one.mirrored is None:
        if one.true is not None:
            await transaction.insert(COLLECTION, {"subscriptionId": one.subscription_id, **one.true})
        return True
    # As it was read: a field it lacked then must still be missing.
    unchanged = {name: one.mirrored.get(name, {"$exists": False}) for name in MIRRORED}
    unchanged |= {"_id": one.mirrored["_id"], "subscriptionId": one.subscription_id}
    if one.true is None:
        return await transaction.delete(COLLECTION, unchanged) == 1
    kept = {name: one.true[name] for name in one.fields if name in one.true}
    gone = dict.fromkeys((name for name in one.fields if name not in one.true), "")
    update = {"$set": {**kept, "updatedAt": one.true["updatedAt"]}} | ({"$unset": gone} if gone else {})
    return await transaction.update(COLLECTION, unchanged, update) == 1


async def _payments(
    postgres: Postgres, rows: Mapping[UUID, Row], contracts: Mapping[str, Document]
) -> dict[UUID, list[Document]]:
    """The payments of each subscription that its contract should repeat, oldest first."""
    named = [
        (UUID(contract["subscriptionId"]), transaction)
        for contract in contracts.values()
        for payment in contract.get("paymentHistory", ())
        if (transaction := _uuid(payment["transactionId"])) is not None
    ]
    found = await postgres.fetch(_PAYMENTS, [*rows], [id_ for id_, _ in named], [payment for _, payment in named])
    payments: defaultdict[UUID, list[Document]] = defaultdict(list)
    for row in found:
        subscription = rows.get(row["subscription_id"])
        if subscription is None or any(subscription[name] != row[name] for name in ("facility_id", "user_id")):
            continue
        payments[row["subscription_id"]].append(payment_of(dict(row)))
    return defaultdict(list, {id_: of_one[-KEPT_PAYMENTS:] for id_, of_one in payments.items()})


def payment_of(row: Mapping[str, Any]) -> Document:
    """A transaction as a contract repeats it."""
    return {
        "amount": Decimal128(row["amount"]),
        "currency": row["currency"],
        "date": _milliseconds(row["created_at"]),
        "method": row["payment_method"],
        "status": row["status"],
        "transactionId": str(row["transaction_id"]),
    }


def contract_of(row: Row, payments: Sequence[Document]) -> Document:
    """A contract as the subscription would have it. Its end is the last day the last billed period covers."""
    cancelled = {} if row["cancelled_at"] is None else {"cancelledAt": _milliseconds(row["cancelled_at"])}
    return {
        "userId": ObjectId(row["user_id"]),
        "facilityId": ObjectId(row["facility_id"]),
        "membershipId": ObjectId(row["plan_id"]),
        "startDate": _midnight(row["start_date"]),
        "endDate": _midnight(row["current_period_end"] - timedelta(days=1)),
        "status": row["status"],
        "autoRenew": row["auto_renew"],
        "paymentHistory": list(payments),
        "createdAt": _milliseconds(row["created_at"]),
        "updatedAt": _milliseconds(row["updated_at"]),
        **cancelled,
    }


def _agree(name: str, mirrored: Any, true: Any) -> bool:
    if name == "paymentHistory":
        return _comparable(mirrored or ()) == _comparable(true)
    if name == "status" and mirrored == "pending":
        return bool(true == "incomplete")
    return bool(mirrored == true)


def _comparable(payments: Sequence[Document]) -> dict[str, Document]:
    """Payments in any order, with amounts as numbers: 10.0 is 10.00."""
    return {payment["transactionId"]: {**payment, "amount": _number(payment["amount"])} for payment in payments}


def _number(amount: Decimal128) -> Decimal:
    return amount.to_decimal()


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
