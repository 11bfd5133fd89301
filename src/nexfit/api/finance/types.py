"""Transactions, subscriptions and invoices as clients see them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

import strawberry

from nexfit.api.classes.loaders import facilities_of_parents
from nexfit.api.fields import batch, derived, row_column
from nexfit.api.finance import loaders
from nexfit.api.finance.papers import address_field
from nexfit.api.identity.types import User, user_field
from nexfit.api.memberships.loaders import contracts_of_subscriptions, plans_of_rows
from nexfit.api.memberships.types import LazyFacility, Membership, MemberSubscription
from nexfit.api.money import Money, money_field
from nexfit.api.relay import Node, id_reader
from nexfit.domains.finance.papers import PaperKind
from nexfit.domains.finance.words import (
    BillingCycle,
    InvoiceStatus,
    PaymentMethod,
    SubscriptionState,
    TransactionStatus,
    TransactionType,
)

for enum, name, description in (
    (PaymentMethod, "PaymentMethod", "How money moves."),
    (TransactionType, "TransactionType", "Which way and why money moves."),
    (TransactionStatus, "TransactionStatus", "Whether it did; unknown is settled by asking the provider."),
    (SubscriptionState, "BillingStatus", "State of a subscription's billing."),
    (BillingCycle, "BillingCycle", "Calendar unit between two charges."),
    (InvoiceStatus, "InvoiceStatus", "State of an invoice; open is issued and not paid."),
):
    strawberry.enum(enum, name=name, description=description)


@strawberry.type(description="Money that moved, or should have.")
class Transaction(Node):
    """From PostgreSQL's `finance.transactions`."""

    id: strawberry.ID = row_column("transaction_id", read=id_reader("Transaction"), description="The global id.")
    amount: Money = money_field("amount", description="How much; the type says which way.")
    type: TransactionType = row_column("transaction_type", description="Which way and why.")
    status: TransactionStatus = row_column(description="Whether it moved.")
    payment_method: PaymentMethod = row_column(description="How it moved.")
    description: str | None = row_column(description="For people.")
    gift_from: str | None = derived(
        lambda record, _, __: ((record.get("metadata") or {}).get("gift") or {}).get("from"),
        needs=("metadata",),
        description="Who paid it as a gift to the member.",
    )
    created_at: datetime = row_column(description="When it was recorded.")
    original: Annotated[Transaction, strawberry.lazy("nexfit.api.finance.types")] | None = batch(
        loaders.originals_of_transactions,
        needs=("original_transaction_id",),
        description="The payment a refund or chargeback gives back.",
    )
    user: User | None = user_field("user_id", description="Whose money.")
    facility: LazyFacility | None = batch(facilities_of_parents, needs=("facility_id",), description="Paid to.")


@strawberry.type(description="What a member is billed for, period by period.")
class Subscription(Node):
    """From PostgreSQL's `finance.subscriptions`; what the member holds is `memberSubscription`, from MongoDB."""

    id: strawberry.ID = row_column("subscription_id", read=id_reader("Subscription"), description="The global id.")
    status: SubscriptionState = row_column(description="State of the billing.")
    start_date: date = row_column(description="First day.")
    end_date: date | None = row_column(description="Last day, where one is set.")
    current_period_start: date = row_column(description="First day of the period last billed.")
    current_period_end: date = row_column(description="First day no longer covered by it.")
    billing_cycle: BillingCycle = row_column(description="Calendar unit between charges.")
    billing_interval: int = row_column(description="Units between charges.")
    billing_day: int | None = row_column(description="Day of the month; clamps to the month's end.")
    amount: Money = money_field("amount", description="Charged per period, tax included.")
    tax_rate: Decimal = row_column(description="Share of tax on the net amount, such as 0.20.")
    payment_method: PaymentMethod = row_column(description="How it is charged.")
    auto_renew: bool = row_column(description="Whether it renews.")
    created_at: datetime = row_column(description="When it was made.")
    plan: Membership | None = batch(plans_of_rows, needs=("plan_id",), description="The plan.")
    user: User | None = user_field("user_id", description="Who is billed.")
    facility: LazyFacility | None = batch(facilities_of_parents, needs=("facility_id",), description="Who bills.")
    member_subscription: MemberSubscription | None = batch(
        contracts_of_subscriptions,
        needs=("subscription_id",),
        description="What the member holds, from MongoDB; for the member and who has members_read.",
    )


@strawberry.type(description="A line of an invoice.")
class InvoiceLine:
    """From PostgreSQL's `finance.invoice_lines`."""

    description: str = row_column(description="What was sold.")
    quantity: Decimal = row_column(description="How many.")
    tax_rate: Decimal = row_column(description="Share of tax on the net amount.")
    net_amount: Decimal = row_column(description="Before tax, in the invoice's currency.")
    tax_amount: Decimal = row_column(description="Tax.")
    total_amount: Decimal = row_column(description="Net and tax.")


@strawberry.type(description="A numbered document that takes back part of an invoice, or all of it.")
class CreditNote:
    """From PostgreSQL's `finance.credit_notes`."""

    number: str = row_column("credit_note_number", description="Gapless per business and year.")
    net: Money = money_field("net_amount", description="Before tax.")
    tax: Money = money_field("tax_amount", description="Tax.")
    total: Money = money_field("total_amount", description="Net and tax.")
    reason: str | None = row_column(description="Why.")
    issued_on: date = row_column(description="Day of issue, in the facility's calendar.")
    created_at: datetime = row_column(description="When it was made.")
    pdf: str | None = address_field(
        PaperKind.CREDIT_NOTE, "credit_note_id", "pdf", description="Where it can be fetched as PDF, for some minutes."
    )
    xml: str | None = address_field(
        PaperKind.CREDIT_NOTE, "credit_note_id", "xml", description="The same as UBL-TR 2.1."
    )


@strawberry.type(description="An invoice; once issued it never changes.")
class Invoice(Node):
    """From PostgreSQL's `finance.invoices`."""

    id: strawberry.ID = row_column("invoice_id", read=id_reader("Invoice"), description="The global id.")
    number: str | None = row_column("invoice_number", description="Gapless per business and year; null for a draft.")
    status: InvoiceStatus = row_column(description="State.")
    net: Money = money_field("net_amount", description="Before tax.")
    tax: Money = money_field("tax_amount", description="Tax.")
    total: Money = money_field("total_amount", description="Net and tax.")
    issued_on: date | None = row_column(description="Day of issue, in the facility's calendar.")
    due_date: date = row_column(description="Last day to pay in time.")
    payment_date: date | None = row_column(description="Day it was paid.")
    created_at: datetime = row_column(description="When it was made.")
    pdf: str | None = address_field(
        PaperKind.INVOICE,
        "invoice_id",
        "pdf",
        description="Where it can be fetched as PDF, for some minutes; null for a draft.",
    )
    xml: str | None = address_field(
        PaperKind.INVOICE, "invoice_id", "xml", description="The same as UBL-TR 2.1; null for a draft."
    )
    lines: list[InvoiceLine] = batch(loaders.lines_of_invoices, needs=("invoice_id",), description="What was sold.")
    credit_notes: list[CreditNote] = batch(
        loaders.credit_notes_of_invoices, needs=("invoice_id",), description="What was taken back of it, in order."
    )
    transaction: Transaction | None = batch(
        loaders.transactions_of_invoices, needs=("transaction_id",), description="The payment that settled it."
    )
    subscription: Subscription | None = batch(
        loaders.subscriptions_of_invoices, needs=("subscription_id",), description="What it bills."
    )
    user: User | None = user_field("user_id", description="Who owes it.")
    facility: LazyFacility | None = batch(facilities_of_parents, needs=("facility_id",), description="Who issued it.")
