"""Issuing invoices by hand, taking money for them at the desk, and taking them back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.finance.types import Invoice
from nexfit.api.relay import IDEMPOTENCY_KEY, local_id, short_text
from nexfit.domains.errors import NotFound
from nexfit.domains.finance import invoicing, ledger
from nexfit.domains.finance.tax import TaxClass
from nexfit.domains.finance.words import PaymentMethod

MOST_REASON = 300
MOST_GIVER = 200

strawberry.enum(TaxClass, description="How a country taxes what is sold; the rates follow from the day.")


@strawberry.type(description="The invoice as it is now, or why nothing was done.")
class InvoicePayload:
    """Payload of the mutations of one invoice."""

    invoice: Invoice | None = column(description="The invoice; null when nothing was done.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.input(description="One thing that is sold.")
class InvoiceLineInput:
    """A line of `issueInvoice`."""

    description: str = strawberry.field(description=f"What it is; at most {invoicing.MOST_DESCRIPTION} characters.")
    unit_price: Decimal = strawberry.field(description="The price of one, in the facility's currency.")
    quantity: Decimal = strawberry.field(default=Decimal(1), description="How many; at most 3 decimals.")
    tax: TaxClass = strawberry.field(default=TaxClass.STANDARD, description="How it is taxed.")


@strawberry.input(description="Who owes what until when.")
class IssueInvoiceInput:
    """Input of `issueInvoice`."""

    member: strawberry.ID = strawberry.field(description="The member's global id, which names the facility, too.")
    lines: list[InvoiceLineInput] = strawberry.field(description=f"What is sold: 1 to {invoicing.MOST_LINES} lines.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    prices_include_tax: bool = strawberry.field(default=True, description="Whether the tax is in the prices already.")
    due_date: date | None = strawberry.field(
        default=None, description="Last day to pay, at most a year ahead; default: the facility's today."
    )


@strawberry.input(description="Which invoice was paid, and how.")
class RecordPaymentInput:
    """Input of `recordPayment`."""

    invoice: strawberry.ID = strawberry.field(description="An open invoice; it is paid in full.")
    method: PaymentMethod = strawberry.field(description="CASH, CARD (the desk's own terminal) or BANK_TRANSFER.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    gift_from: str | None = strawberry.field(
        default=None, description=f"Who pays it as a gift to the member; at most {MOST_GIVER} characters."
    )


@strawberry.input(description="Which invoice is taken back.")
class VoidInvoiceInput:
    """Input of `voidInvoice`."""

    invoice: strawberry.ID = strawberry.field(description="An open invoice.")
    reason: str | None = strawberry.field(
        default=None, description=f"Kept in the audit log; at most {MOST_REASON} characters."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueInvoiceArgs(Args):
    """Arguments of `issueInvoice`."""

    input: Annotated[IssueInvoiceInput, strawberry.argument(description="Who owes what until when.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPaymentArgs(Args):
    """Arguments of `recordPayment`."""

    input: Annotated[RecordPaymentInput, strawberry.argument(description="Which invoice was paid, and how.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidInvoiceArgs(Args):
    """Arguments of `voidInvoice`."""

    input: Annotated[VoidInvoiceInput, strawberry.argument(description="Which invoice is taken back.")]


def _invoice(value: str) -> UUID:
    try:
        return UUID(local_id(value, "Invoice"))
    except (ValueError, TypeError):
        raise NotFound("There is no such invoice.", path=("invoice",)) from None


async def _payload(id_: UUID, args: Args, context: Context) -> Mapping[str, Any]:
    """What became of an invoice: read after the commit, as far as it was asked for."""
    below = args.selection.at("invoice")
    found = await ledger.by_ids(context.stores.postgres, ledger.INVOICES, [id_], below.columns) if below else {}
    return {"invoice": found.get(id_)}


async def _issue(args: IssueInvoiceArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    facility, _, person = (local_id(asked.member, "Member") or "").partition(":")
    if not ObjectId.is_valid(facility) or not ObjectId.is_valid(person):
        raise NotFound("There is no such member.", path=("member",))
    id_ = await invoicing.issue(
        context.services.units,
        context.stores,
        context.actor,
        facility=ObjectId(facility),
        member=ObjectId(person),
        lines=[
            invoicing.Line(line.description.strip(), line.quantity, line.unit_price, line.tax) for line in asked.lines
        ],
        includes_tax=asked.prices_include_tax,
        due=asked.due_date,
        key=asked.idempotency_key,
        now=context.now,
    )
    return await _payload(id_, args, context)


async def _pay(args: RecordPaymentArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    id_ = _invoice(asked.invoice)
    await invoicing.pay(
        context.services.units,
        context.stores,
        context.actor,
        invoice=id_,
        method=asked.method,
        giver=short_text(asked.gift_from, MOST_GIVER, "giftFrom"),
        key=asked.idempotency_key,
        now=context.now,
    )
    return await _payload(id_, args, context)


async def _void(args: VoidInvoiceArgs, context: Context) -> Mapping[str, Any]:
    id_ = await invoicing.void(
        context.services.units,
        context.stores,
        context.actor,
        invoice=_invoice(args.input.invoice),
        reason=short_text(args.input.reason, MOST_REASON, "reason"),
    )
    return await _payload(id_, args, context)


@strawberry.type
class InvoicingMutations:
    """Root fields of this area."""

    issue_invoice: InvoicePayload = batch(
        answering(_issue),
        args=IssueInvoiceArgs,
        description="Issue a numbered invoice to a member, by staff with finance_write. Once issued it never changes.",
    )
    record_payment: InvoicePayload = batch(
        answering(_pay),
        args=RecordPaymentArgs,
        description="Take the money of an open invoice at the desk, by staff with finance_write or members_write, from "
        "the member or as somebody's gift. A membership that fell behind and owes nothing any more is active again.",
    )
    void_invoice: InvoicePayload = batch(
        answering(_void),
        args=VoidInvoiceArgs,
        description="Take back an open invoice, by staff with finance_write; it keeps its number. Repeating it changes "
        "nothing.",
    )
