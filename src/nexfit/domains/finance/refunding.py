"""Giving back money that was taken at the desk (workflow 6), in PostgreSQL alone.

Refunds of one payment take turns at its key's row, which also is where the database holds their sum against what was
captured. An issued invoice stays as it is; a numbered credit note takes the refund's share of it back.
"""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision
from bson import ObjectId

from nexfit.domains.errors import NotFound
from nexfit.domains.finance import ledger
from nexfit.domains.finance.errors import NoAmount, NotRefundable, RefundTooLarge
from nexfit.domains.finance.events import PaymentRefunded
from nexfit.domains.finance.words import InvoiceStatus, TransactionStatus, TransactionType
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor, may
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import PostgresWork, UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.errors import ConstraintViolated
from nexfit.stores.postgres import Row
from nexfit.stores.sql import load_sql

sql = load_sql("nexfit.domains.finance", "refunding.sql")


def share_of_tax(total: Decimal, tax: Decimal, before: Decimal, amount: Decimal, currency: str) -> Decimal:
    """The tax in a refund of `amount` when `before` has been given back: parts add up to exactly the invoice's tax.

    Each part takes what the tax of everything given back so far has grown by, rounded half up to the currency.
    """
    exponent = Decimal(1).scaleb(-get_currency_precision(currency))

    def of(returned: Decimal) -> Decimal:
        return (tax * returned / total).quantize(exponent, ROUND_HALF_UP)

    return of(before + amount) - of(before)


async def refund(
    units: UnitsOfWork,
    stores: Stores,
    actor: Actor,
    *,
    payment: UUID,
    amount: Decimal,
    reason: str | None,
    key: str,
    now: datetime,
) -> UUID:
    """Give back part of a payment; the id of the movement. By staff with `finance_write`.

    The same `key` and input give the first refund again. Raises Unauthenticated, NotFound, NotRefundable, NoAmount,
    RefundTooLarge, IdempotencyConflict; then nothing was written.
    """
    viewer = actor.require()
    found = (await ledger.by_ids(stores.postgres, ledger.TRANSACTIONS, [payment], ())).get(payment)
    facilities = (
        await stores.mongo.find(
            "facilities",
            {"_id": ObjectId(found["facility_id"])},
            ("ownerId", "staff.userId", "staff.permissions", "timezone"),
            limit=1,
        )
        if found is not None
        else []
    )
    if not facilities or not may(actor, facilities[0], "finance_write"):
        raise NotFound("There is no such payment.", path=("transaction",))
    today = now.astimezone(ZoneInfo(facilities[0]["timezone"])).date()

    async def body(work: PostgresWork) -> str:
        try:
            return str(await _give_back(work, payment, amount, reason, viewer, today))
        except ConstraintViolated as error:
            if error.constraint == "refunds_within_captured":
                raise RefundTooLarge from error
            raise

    asked: dict[str, Any] = {"payment": str(payment), "amount": f"{amount.normalize():f}", "reason": reason}
    unit = units.postgres("refund_payment")
    return UUID(await once(stores.mongo, unit, viewer, "refundPayment", key, asked, body))


async def _give_back(
    work: PostgresWork, payment: UUID, amount: Decimal, reason: str | None, by: ObjectId, today: Any
) -> UUID:
    recorded = await work.postgres.fetch_value(sql.hold_payment, payment)
    paid = await work.postgres.fetch_one(sql.payment, payment, recorded)
    if (
        paid is None
        or paid["transaction_type"] != TransactionType.MANUAL_PAYMENT
        or paid["status"] != TransactionStatus.SUCCEEDED
    ):
        raise NotRefundable
    if amount <= 0 or amount != amount.quantize(Decimal(1).scaleb(-get_currency_precision(paid["currency"]))):
        raise NoAmount(currency=paid["currency"])
    if amount > paid["amount"]:
        raise RefundTooLarge
    whose = (paid["business_id"], paid["facility_id"], paid["user_id"])
    moved = await work.postgres.fetch_value(
        sql.give_back, *whose, amount, paid["currency"], paid["payment_method"], payment, paid["description"]
    )
    refund_id = await work.postgres.fetch_value(
        sql.record, payment, moved, *whose, amount, paid["currency"], reason, str(by)
    )
    number = None
    if paid["invoice_id"] is not None and paid["invoice_status"] == InvoiceStatus.PAID:
        tax = share_of_tax(paid["total_amount"], paid["tax_amount"], paid["credited"], amount, paid["currency"])
        number = await work.postgres.fetch_value(
            sql.credit,
            *(paid["invoice_id"], refund_id, paid["user_id"], paid["business_id"], paid["facility_id"]),
            *(amount - tax, tax, paid["currency"], reason, today),
        )
    _tell(work, payment, str(moved), paid, amount, number, by)
    return UUID(str(moved))


def _tell(
    work: PostgresWork, payment: UUID, moved: str, paid: Row, amount: Decimal, credit_note: object, by: ObjectId
) -> None:
    work.emit(
        PaymentRefunded(
            facility_id=paid["facility_id"],
            transaction_id=str(payment),
            refund_transaction_id=moved,
            user_id=paid["user_id"],
            amount=amount,
            currency=paid["currency"],
        )
    )
    work.audit(
        Audit(
            action="payment.refunded",
            entity_type="transaction",
            entity_id=str(payment),
            facility_id=paid["facility_id"],
            user_id=str(by),
            after={"amount": f"{amount:f} {paid['currency']}", "creditNote": credit_note, "movement": moved},
        )
    )
