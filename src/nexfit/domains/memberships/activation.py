"""What becomes of a purchase whose money has come: the membership or program in both stores, or the money back.

The payment is booked in the same commit as what it bought, or as the request to give it back; so no booked payment ever
stands alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from bson import ObjectId

from nexfit.domains.errors import ErrorCode, Refusal
from nexfit.domains.finance import refunding
from nexfit.domains.finance.payments import PaymentProvider
from nexfit.domains.finance.words import PaymentMethod, TransactionType
from nexfit.domains.memberships import program_sales
from nexfit.domains.memberships.offers import find_member, find_seller, frozen_offer
from nexfit.domains.memberships.selling import Paid, conclude
from nexfit.domains.memberships.selling import sql as sale_sql
from nexfit.domains.training.library import LIVE, PROGRAMS
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.fault_points import reach
from nexfit.hybrid.unit_of_work import BothWork, PostgresWork, UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.mongo import Document
from nexfit.stores.postgres import Row
from nexfit.stores.sql import load_sql

sql = load_sql("nexfit.domains.memberships", "purchase.sql")

Conclude = Callable[[BothWork], Awaitable[None]]
"""Writes down what a purchase bought, with its payment, in a unit of both stores."""

log = structlog.get_logger(__name__)


class NotSoldAnyMore(Refusal):
    """The money came after the purchase had expired, and what it was for is no longer on sale."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("This is not sold any more.")


async def finish(
    units: UnitsOfWork, stores: Stores, provider: PaymentProvider, purchase: UUID, *, now: datetime
) -> None:
    """Activate a paid purchase, or give its money back. Whoever comes second changes nothing. Raises StoreError."""
    [row] = await stores.postgres.fetch(sql.purchase, purchase)
    if row["status"] == "paid" and row["refund_id"] is None:
        try:
            await _activate(units, stores, row, now)
        except Refusal as refused:
            log.warning("a purchase is paid back", purchase=str(purchase), code=str(refused.code))
            await _give_up(units, stores, row, str(refused.code), now)
    reach("purchase.finished")
    [row] = await stores.postgres.fetch(sql.purchase, purchase)
    if row["status"] == "paid" and row["refund_id"] is not None:
        await refunding.settle(units, stores, provider, row["refund_id"], now=now)


async def _activate(units: UnitsOfWork, stores: Stores, row: Row, now: datetime) -> None:
    """Raises Refusal where the buyer cannot have it (any more)."""
    conclude_ = await _program(stores, row, now) if row["plan_id"] is None else await _membership(stores, row, now)

    async def body(work: BothWork) -> None:
        held = await work.postgres.fetch_one(sql.hold, row["purchase_id"])
        if held is None or held["status"] != "paid" or held["refund_id"] is not None:
            return
        await conclude_(work)
        work.audit(_entry(row, "active"))

    await units.both("activate_purchase").run(body)


def _paid(row: Row, now: datetime) -> Paid:
    return Paid(PaymentMethod.CARD, now, row["provider"], row["provider_reference"], row["customer"], row["method"])


async def _program(stores: Stores, row: Row, now: datetime) -> Conclude:
    """Raises NotSoldAnyMore."""
    if row["paid_at"] >= row["expires_at"]:
        sold = {"_id": ObjectId(row["program_id"]), "isPublic": True, "pricing.facilityId": {"$exists": True}, **LIVE}
        if not await stores.mongo.find(PROGRAMS, sold, (), limit=1):
            raise NotSoldAnyMore

    async def conclude_(work: BothWork) -> None:
        await program_sales.conclude(work, stores, row, _paid(row, now), now=now)

    return conclude_


async def _membership(stores: Stores, row: Row, now: datetime) -> Conclude:
    """Raises NotSoldAnyMore, NotFound."""
    facility = await find_seller(stores.mongo, ObjectId(row["facility_id"]))
    member = await find_member(stores.mongo, ObjectId(row["user_id"]))
    if facility is None:
        raise NotSoldAnyMore
    if row["paid_at"] >= row["expires_at"]:
        plan = {"_id": ObjectId(row["plan_id"]), "isActive": True}
        if not await stores.mongo.find("memberships", plan, (), limit=1):
            raise NotSoldAnyMore
    offer = frozen_offer(row, row["amount"], facility, member, now)

    async def conclude_(work: BothWork) -> None:
        paid, buyer = _paid(row, now), ObjectId(row["user_id"])
        sold = await conclude(work, offer, paid, renew=row["renews"], auto_renew=row["auto_renew"], by=buyer)
        await work.postgres.execute(sql.activate, row["purchase_id"], sold.subscription, sold.payment)

    return conclude_


async def _give_up(units: UnitsOfWork, stores: Stores, row: Row, why: str, now: datetime) -> None:
    """Book the payment together with the request to give it back."""
    facility = await find_seller(stores.mongo, ObjectId(row["facility_id"])) or {"timezone": "UTC"}

    async def body(work: PostgresWork) -> None:
        held = await work.postgres.fetch_one(sql.hold, row["purchase_id"])
        if held is None or held["status"] != "paid" or held["refund_id"] is not None:
            return
        booked = await work.postgres.fetch_one(
            sale_sql.take_payment,
            *(row["business_id"], row["facility_id"], row["user_id"], row["amount"], row["currency"]),
            *(str(PaymentMethod.CARD), row["plan_name"], str(TransactionType.CHARGE), row["provider"]),
            *(row["provider_reference"], now),
        )
        assert booked is not None  # noqa: S101  # returned by the insert
        asked = await refunding.give_back(
            work, booked["transaction_id"], row["amount"], why, None, today=_today(facility, now), now=now
        )
        await work.postgres.execute(sql.return_money, row["purchase_id"], booked["transaction_id"], asked.refund, why)
        work.audit(_entry(row, "refund_requested"))

    await units.postgres("return_purchase").run(body)


def _today(facility: Document, now: datetime) -> date:
    return now.astimezone(ZoneInfo(facility["timezone"])).date()


def _entry(row: Row, status: str) -> Audit:
    return Audit(
        action=f"purchase.{status}",
        entity_type="purchase",
        entity_id=str(row["purchase_id"]),
        facility_id=row["facility_id"],
        before={"status": "paid"},
        after={"status": status},
    )
