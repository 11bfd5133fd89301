"""The closed sets of words in `finance`; each table's CHECK constraint holds the same."""

from __future__ import annotations

from enum import StrEnum


class PaymentMethod(StrEnum):
    """How money moves."""

    CARD = "card"
    CASH = "cash"
    BANK_TRANSFER = "bank_transfer"
    DIRECT_DEBIT = "direct_debit"
    WALLET = "wallet"
    OTHER = "other"


class TransactionType(StrEnum):
    """Which way and why money moves."""

    CHARGE = "charge"
    MANUAL_PAYMENT = "manual_payment"
    REFUND = "refund"
    CHARGEBACK = "chargeback"


class TransactionStatus(StrEnum):
    """Outcome of a transaction."""

    PENDING = "pending"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class SubscriptionState(StrEnum):
    """State of a subscription's billing."""

    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    SUSPENDED = "suspended"
    FROZEN = "frozen"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class BillingCycle(StrEnum):
    """Calendar unit between two charges."""

    ONCE = "once"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class InvoiceStatus(StrEnum):
    """State of an invoice; open is issued and not paid."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


class PurchaseStatus(StrEnum):
    """How far buying a membership online has come."""

    INITIATED = "initiated"
    AWAITING_PAYMENT = "awaiting_payment"
    PAID = "paid"
    ACTIVE = "active"
    FAILED = "failed"
    EXPIRED = "expired"
    REFUNDED = "refunded"
