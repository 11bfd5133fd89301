"""Giving money back (workflow 6): at the desk, or through the provider that took it.

Refunds of one payment take turns at its key's row, which also is where the database holds their sum against what was
captured. What the provider is to give back is written down as pending before it is asked, under a key that a repeated
request keeps; an answer that never came leaves it unknown, and it is asked again. An issued invoice stays as it is; a
numbered credit note takes the refund's share of it back when the money is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from babel.numbers import get_currency_precision
from bson import ObjectId

from nexfit.domains.errors import NotFound
from nexfit.domains.finance import ledger
from nexfit.domains.finance.errors import NoAmount, NotRefundable, RefundTooLarge
from nexfit.domains.finance.events import PaymentRefunded
from nexfit.domains.finance.payments import PaymentProvider, ProviderRefused, ProviderUnavailable, RefundState
from nexfit.domains.finance.words import InvoiceStatus, TransactionStatus, TransactionType
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor, may
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.fault_points import reach
from nexfit.hybrid.unit_of_work import BothWork, PostgresWork, UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.errors import ConstraintViolated
from nexfit.stores.postgres import Row
from nexfit.stores.sql import load_sql

AT_ONCE = 100
"""Open refunds that are looked at in one go."""

_OUTCOMES = {
    RefundState.PENDING: TransactionStatus.PENDING,
    RefundState.SUCCEEDED: TransactionStatus.SUCCEEDED,
    RefundState.FAILED: TransactionStatus.FAILED,
}

log = structlog.get_logger(__name__)
sql = load_sql("nexfit.domains.finance", "refunding.sql")


def share_of_tax(total: Decimal, tax: Decimal, before: Decimal, amount: Decimal, currency: str) -> Decimal:
    """The tax in a refund of `amount` when `before` has been given back: parts add up to exactly the invoice's tax.

    Each part takes what the tax of everything given back so far has grown by, rounded half up to the currency.
    """
    exponent = Decimal(1).scaleb(-get_currency_precision(currency))

    def of(returned: Decimal) -> Decimal:
        return (tax * returned / total).quantize(exponent, ROUND_HALF_UP)

    return of(before + amount) - of(before)


@dataclass(frozen=True, slots=True)
class Asked:
    """A refund that was written down: `movement` is its transaction; `is_open` until the provider has done it."""

    refund: UUID
    movement: UUID
    is_open: bool


async def refund(
    units: UnitsOfWork,
    stores: Stores,
    provider: PaymentProvider | None,
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
    found = (await ledger.by_ids(stores.postgres, ledger.TRANSACTIONS, [payment], ("provider",))).get(payment)
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
    if found is not None and found["provider"] not in (None, provider and provider.name):
        raise NotRefundable
    today = now.astimezone(ZoneInfo(facilities[0]["timezone"])).date()

    async def body(work: PostgresWork) -> dict[str, Any]:
        asked = await give_back(work, payment, amount, reason, viewer, today=today, now=now)
        return {"refund": str(asked.refund), "movement": str(asked.movement), "open": asked.is_open}

    asked_for: dict[str, Any] = {"payment": str(payment), "amount": f"{amount.normalize():f}", "reason": reason}
    unit = units.postgres("refund_payment")
    made = await once(stores.mongo, unit, viewer, "refundPayment", key, asked_for, body)
    if made["open"]:
        await settle(units, stores, provider, UUID(made["refund"]), now=now)
    return UUID(made["movement"])


async def give_back(
    work: PostgresWork | BothWork,
    payment: UUID,
    amount: Decimal,
    reason: str | None,
    by: ObjectId | None,
    *,
    today: date,
    now: datetime,
) -> Asked:
    """Write a refund down in the caller's unit: done, for money taken by hand; pending, for a provider's.

    Raises NotRefundable, NoAmount, RefundTooLarge.
    """
    recorded = await work.postgres.fetch_value(sql.hold_payment, payment)
    paid = await work.postgres.fetch_one(sql.payment, payment, recorded)
    if (
        paid is None
        or paid["transaction_type"] not in (TransactionType.MANUAL_PAYMENT, TransactionType.CHARGE)
        or paid["status"] != TransactionStatus.SUCCEEDED
        or (paid["transaction_type"] == TransactionType.CHARGE and paid["provider_reference"] is None)
    ):
        raise NotRefundable
    if amount <= 0 or amount != amount.quantize(Decimal(1).scaleb(-get_currency_precision(paid["currency"]))):
        raise NoAmount(currency=paid["currency"])
    if amount > paid["amount"]:
        raise RefundTooLarge
    status = TransactionStatus.SUCCEEDED if paid["provider"] is None else TransactionStatus.PENDING
    whose = (paid["business_id"], paid["facility_id"], paid["user_id"])
    moved = await work.postgres.fetch_value(
        sql.give_back,
        *whose,
        *(amount, paid["currency"], paid["payment_method"], payment, paid["description"]),
        *(str(status), paid["provider"], now),
    )
    try:
        made = await work.postgres.fetch_value(
            sql.record,
            *(payment, moved, *whose, amount, paid["currency"], reason, None if by is None else str(by)),
            *(str(status), now),
        )
    except ConstraintViolated as error:
        if error.constraint == "refunds_within_captured":
            raise RefundTooLarge from error
        raise
    asked = Asked(UUID(str(made)), UUID(str(moved)), paid["provider"] is not None)
    if asked.is_open:
        _audit(work, "payment.refund_requested", payment, asked.movement, paid, amount, None, by)
    else:
        number = await _credit(work, paid, asked.refund, amount, reason, today)
        _tell(work, payment, asked.movement, paid, amount, number, by)
    return asked


async def settle(
    units: UnitsOfWork, stores: Stores, provider: PaymentProvider | None, refund_id: UUID, *, now: datetime
) -> None:
    """Have the provider give back what was written down, and write down what became of it.

    Any number of processes may do this at any time: the provider knows the refund by its id, and the outcome is written
    once. Without an answer it is unknown, until somebody asks again.
    """
    found = await stores.postgres.fetch(sql.open_refund, refund_id)
    if not found or provider is None or found[0]["provider"] != provider.name:
        return
    reach("refund.before_call")
    asked, reference, refused = found[0], None, "refund_failed"
    try:
        done = await provider.refund(refund_id, asked["provider_reference"], asked["amount"], asked["currency"])
    except ProviderUnavailable as error:
        log.warning("a refund is unknown", refund=str(refund_id), error=str(error))
        outcome = TransactionStatus.UNKNOWN
    except ProviderRefused as error:
        log.critical("a refund was refused", refund=str(refund_id), reason=error.reason)
        outcome, refused = TransactionStatus.FAILED, f"refund_refused: {error.reason}"
    else:
        reference = done.reference
        outcome = _OUTCOMES[done.state]
    reach("refund.called")
    if outcome is TransactionStatus.PENDING:
        return
    zone = await stores.mongo.find("facilities", {"_id": ObjectId(asked["facility_id"])}, ("timezone",), limit=1)
    today = now.astimezone(ZoneInfo(zone[0]["timezone"] if zone else "UTC")).date()

    async def body(work: PostgresWork) -> None:
        payment = await work.postgres.fetch_value(sql.refund_of_payment, refund_id)
        recorded = await work.postgres.fetch_value(sql.hold_payment, payment)
        paid = await work.postgres.fetch_one(sql.payment, payment, recorded)
        row = await work.postgres.fetch_one(sql.settle, refund_id, str(outcome))
        if row is None or paid is None:
            return
        made = await work.postgres.fetch_value(sql.key_of, row["refund_transaction_id"])
        await work.postgres.execute(sql.settle_movement, row["refund_transaction_id"], made, str(outcome), reference)
        by = row["requested_by"] and ObjectId(row["requested_by"])
        if outcome is TransactionStatus.SUCCEEDED:
            number = await _credit(work, paid, refund_id, row["amount"], row["reason"], today)
            await work.postgres.execute(sql.purchase_refunded, refund_id)
            _tell(work, row["original_transaction_id"], row["refund_transaction_id"], paid, row["amount"], number, by)
        else:
            if outcome is TransactionStatus.FAILED:
                await work.postgres.execute(sql.purchase_stuck, refund_id, refused)
            action = f"payment.refund_{outcome}"
            whose = (row["original_transaction_id"], row["refund_transaction_id"], paid, row["amount"])
            _audit(work, action, *whose, None, by)

    await units.postgres("settle_refund").run(body)
    reach("refund.settled")


async def settle_open(
    units: UnitsOfWork, stores: Stores, provider: PaymentProvider, *, now: datetime, older_than: timedelta
) -> int:
    """Ask again for refunds that have no outcome although they were asked for long enough ago; how many."""
    rows = await stores.postgres.fetch(sql.open_refunds, now - older_than, AT_ONCE)
    for row in rows:
        await settle(units, stores, provider, row["refund_id"], now=now)
    return len(rows)


async def _credit(
    work: PostgresWork | BothWork, paid: Row, refund_id: UUID, amount: Decimal, reason: str | None, today: date
) -> object:
    """The number of the credit note over the refund's share of the invoice; None where nothing was invoiced."""
    if paid["invoice_id"] is None or paid["invoice_status"] != InvoiceStatus.PAID:
        return None
    tax = share_of_tax(paid["total_amount"], paid["tax_amount"], paid["credited"], amount, paid["currency"])
    return await work.postgres.fetch_value(
        sql.credit,
        *(paid["invoice_id"], refund_id, paid["user_id"], paid["business_id"], paid["facility_id"]),
        *(amount - tax, tax, paid["currency"], reason, today),
    )


def _tell(
    work: PostgresWork | BothWork,
    payment: UUID,
    moved: UUID,
    paid: Row,
    amount: Decimal,
    credit_note: object,
    by: ObjectId | None,
) -> None:
    work.emit(
        PaymentRefunded(
            facility_id=paid["facility_id"],
            transaction_id=str(payment),
            refund_transaction_id=str(moved),
            user_id=paid["user_id"],
            amount=amount,
            currency=paid["currency"],
        )
    )
    _audit(work, "payment.refunded", payment, moved, paid, amount, credit_note, by)


def _audit(
    work: PostgresWork | BothWork,
    action: str,
    payment: UUID,
    moved: UUID,
    paid: Row,
    amount: Decimal,
    credit_note: object,
    by: ObjectId | None,
) -> None:
    work.audit(
        Audit(
            action=action,
            entity_type="transaction",
            entity_id=str(payment),
            facility_id=paid["facility_id"],
            user_id=None if by is None else str(by),
            after={"amount": f"{amount:f} {paid['currency']}", "creditNote": credit_note, "movement": str(moved)},
        )
    )
