"""Giving money back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import strawberry

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.finance.types import Transaction
from nexfit.api.relay import IDEMPOTENCY_KEY, local_id, short_text
from nexfit.domains.errors import NotFound
from nexfit.domains.finance import ledger, refunding

MOST_REASON = 300


@strawberry.type(description="The movement that gave the money back, or why there is none.")
class RefundPaymentPayload:
    """Payload of `refundPayment`."""

    refund: Transaction | None = column(description="The movement; null when nothing was done.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.input(description="How much of which payment.")
class RefundPaymentInput:
    """Input of `refundPayment`."""

    transaction: strawberry.ID = strawberry.field(description="A payment, taken at the desk or online.")
    amount: Decimal = strawberry.field(description="In the payment's currency, more than 0.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    reason: str | None = strawberry.field(
        default=None, description=f"Printed on the credit note; at most {MOST_REASON} characters."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundPaymentArgs(Args):
    """Arguments of `refundPayment`."""

    input: Annotated[RefundPaymentInput, strawberry.argument(description="How much of which payment.")]


def _payment(value: str) -> UUID:
    found = local_id(value, "Transaction")
    try:
        return UUID(found)
    except (ValueError, TypeError):
        raise NotFound("There is no such payment.", path=("transaction",)) from None


async def _refund(args: RefundPaymentArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    id_ = await refunding.refund(
        context.services.units,
        context.stores,
        context.services.payments,
        context.actor,
        payment=_payment(asked.transaction),
        amount=asked.amount,
        reason=short_text(asked.reason, MOST_REASON, "reason"),
        key=asked.idempotency_key,
        now=context.now,
    )
    below = args.selection.at("refund")
    found = await ledger.by_ids(context.stores.postgres, ledger.TRANSACTIONS, [id_], below.columns) if below else {}
    return {"refund": found.get(id_)}


@strawberry.type
class FinanceMutations:
    """Root fields of this area."""

    refund_payment: RefundPaymentPayload = batch(
        answering(_refund),
        args=RefundPaymentArgs,
        description="Give back part of a payment, by staff with finance_write. Never more in all than was paid; an "
        "invoice stays as it is and a numbered credit note takes back its share, to the exact tax. What a provider is "
        "to give back is PENDING or UNKNOWN until it has.",
    )
