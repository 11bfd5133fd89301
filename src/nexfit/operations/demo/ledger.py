"""The money of the demo: contracts as rows of PostgreSQL's `finance` tables and as their MongoDB mirror."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from bson import Decimal128

from nexfit.operations.demo.businesses import Branch, Row
from nexfit.operations.demo.calendar import Calendar, stored_date
from nexfit.operations.demo.content.places import CURRENCY
from nexfit.operations.demo.contracts import KDV, Bill, Contract, Payment

_DAY = timedelta(days=1)
_CHECKOUT = timedelta(minutes=30)

Record = tuple[Any, ...]

AUTOMATIC = ("card", "direct_debit")
KEPT_PAYMENTS = 24
PROVIDER = "local"
DECLINED = "method_declined_"
"""Ways to pay that `nexfit.payments.local_server` declines."""

ACCOUNT_COLUMNS = ("facility_id", "business_id", "currency", "created_at")
SUBSCRIPTION_COLUMNS = (
    *("subscription_id", "business_id", "facility_id", "user_id", "plan_id", "status", "start_date", "end_date"),
    *("current_period_start", "current_period_end", "billing_cycle", "billing_interval", "billing_day", "amount"),
    *("currency", "tax_rate", "payment_method", "auto_renew", "cancel_at_period_end", "cancelled_at", "metadata"),
    *("created_at", "updated_at", "plan_name", "provider", "customer", "method"),
)
PURCHASE_COLUMNS = (
    *("purchase_id", "business_id", "facility_id", "user_id", "plan_id", "plan_name", "duration_value"),
    *("duration_unit", "amount", "currency", "tax_rate", "renews", "auto_renew", "status", "provider"),
    *("provider_reference", "customer", "method", "subscription_id", "transaction_id", "created_at", "expires_at"),
    *("checked_at", "paid_at", "updated_at"),
)
PROGRAM_PURCHASE_COLUMNS = (
    *("purchase_id", "business_id", "facility_id", "user_id", "program_id", "author_id", "plan_name", "amount"),
    *("currency", "tax_rate", "renews", "auto_renew", "status", "provider", "provider_reference", "created_at"),
    *("expires_at", "checked_at", "updated_at"),
)
TRANSACTION_COLUMNS = (
    *("transaction_id", "business_id", "facility_id", "user_id", "amount", "currency", "payment_method"),
    *("transaction_type", "status", "original_transaction_id", "provider", "provider_reference", "description"),
    *("created_at", "updated_at"),
)
INVOICE_COLUMNS = (
    *("invoice_id", "transaction_id", "subscription_id", "period_start", "user_id", "business_id", "facility_id"),
    *("net_amount", "tax_amount", "total_amount", "currency", "status", "issued_on", "due_date", "payment_date"),
    *("invoice_sequence", "invoice_data", "created_at", "updated_at"),
)
LINE_COLUMNS = (
    *("invoice_id", "line_no", "description", "quantity", "tax_rate", "net_amount", "tax_amount", "total_amount"),
)
REFUND_COLUMNS = (
    *("refund_id", "original_transaction_id", "refund_transaction_id", "business_id", "facility_id", "user_id"),
    *("amount", "currency", "status", "reason", "requested_by", "created_at", "updated_at"),
)
CREDIT_NOTE_COLUMNS = (
    *("credit_note_id", "invoice_id", "refund_id", "user_id", "business_id", "facility_id", "net_amount"),
    *("tax_amount", "total_amount", "currency", "reason", "issued_on", "credit_note_sequence", "created_at"),
)
AUDIT_COLUMNS = (
    *("facility_id", "entity_type", "entity_id", "user_id", "action", "previous_state", "new_state", "created_at"),
)


def subscriptions(branch: Branch, contracts: Iterable[Contract]) -> Iterator[Record]:
    """Rows of `finance.subscriptions`."""
    for contract in contracts:
        interval, cycle = _length(contract)
        frozen = contract.frozen_until
        metadata = "{}" if frozen is None else orjson.dumps({"frozenUntil": frozen}).decode()
        yield (
            *(contract.id, branch.key, branch.key, str(contract.person.id), str(contract.plan.id), contract.status),
            *(contract.start, contract.ends_on, contract.period_start, contract.period_end, cycle, interval),
            *(contract.start.day, contract.plan.price, CURRENCY, KDV, contract.method, contract.auto_renew),
            *(contract.cancel_at_period_end, contract.cancelled_at, metadata, contract.created_at, contract.updated_at),
            *(contract.plan.content.name, *_source(contract)),
        )


def _length(contract: Contract) -> tuple[int, str]:
    months = contract.plan.content.months
    return (months // 12, "year") if months % 12 == 0 else (months, "month")


def _source(contract: Contract) -> tuple[str | None, str | None, str | None]:
    """The provider that charges the contract, and its names for the customer and the way to pay."""
    if contract.method not in AUTOMATIC:
        return None, None, None
    # Whoever is behind with paying is behind because the local provider declines this way to pay.
    behind = DECLINED if contract.status in ("past_due", "suspended") else "method_"
    return PROVIDER, f"customer_{contract.person.id}", f"{behind}{contract.id.hex[:12]}"


def purchases(branch: Branch, contracts: Iterable[Contract]) -> Iterator[Record]:
    """Rows of `finance.purchases`: how contracts that a provider charges began."""
    for contract in contracts:
        paid = contract.bills[0].paid if contract.bills else None
        if paid is None or contract.method not in AUTOMATIC:
            continue
        began = paid.at - _CHECKOUT / 6
        yield (
            *(UUID(int=contract.id.int ^ 1), branch.key, branch.key, str(contract.person.id), str(contract.plan.id)),
            *(contract.plan.content.name, *_length(contract), contract.plan.price, CURRENCY, KDV, False),
            *(contract.auto_renew, "active", PROVIDER, f"ch_{paid.id.hex}", *_source(contract)[1:], contract.id),
            *(paid.id, began, began + _CHECKOUT, paid.at, paid.at, paid.at),
        )


def program_purchases(
    branch: Branch, contracts: Iterable[Contract], programs: Iterable[Mapping[str, Any]]
) -> Iterator[Record]:
    """Rows of `finance.purchases`: people who looked at the price of a program that the branch sells, and left."""
    sold = [program for program in programs if program.get("pricing", {}).get("facilityId") == branch.id]
    looking = [contract for contract in contracts if contract.bills and contract.bills[0].paid is not None][:20]
    for number, contract in enumerate(looking if sold else ()):
        program, paid = sold[number % len(sold)], contract.bills[0].paid
        assert paid is not None  # noqa: S101  # looked at above
        pricing, began = program["pricing"], paid.at + _CHECKOUT
        price = pricing.get("discountPrice", pricing["price"]).to_decimal()
        yield (
            *(UUID(int=contract.id.int ^ 2), branch.key, branch.key, str(contract.person.id), str(program["_id"])),
            *(str(program["createdBy"]), program["name"], price, CURRENCY, KDV, False, False, "expired", PROVIDER),
            *(f"ch_{UUID(int=contract.id.int ^ 2).hex}", began, began + _CHECKOUT, began, began + _CHECKOUT),
        )


def transactions(branch: Branch, contracts: Iterable[Contract]) -> Iterator[Record]:
    """Rows of `finance.transactions`, member by member, so that a chunk refreshes a member's facts once."""
    for contract in contracts:
        user = str(contract.person.id)
        for payment, description in _payments(contract):
            automatic = contract.method in AUTOMATIC
            yield (
                *(payment.id, branch.key, branch.key, user, contract.plan.price, CURRENCY, contract.method),
                *("charge" if automatic else "manual_payment", payment.status, None),
                *((PROVIDER, f"ch_{payment.id.hex}") if automatic else (None, None)),
                *(description, payment.at, payment.at),
            )
        for bill in contract.bills:
            if bill.refund is not None and bill.paid is not None:
                refund = bill.refund
                yield (
                    *(refund.transaction_id, branch.key, branch.key, user, refund.net + refund.tax, CURRENCY),
                    *(contract.method, "refund", "succeeded", bill.paid.id, None, None),
                    *("Kullanılmayan günlerin iadesi", refund.at, refund.at),
                )


def _payments(contract: Contract) -> Iterator[tuple[Payment, str]]:
    for payment in contract.attempts:
        yield payment, contract.plan.content.name
    for bill in contract.bills:
        for payment in bill.payments:
            yield payment, contract.plan.content.name


class Documents:
    """One branch's invoices and credit notes, numbered without a gap per calendar year in the order of their issue."""

    def __init__(self, calendar: Calendar, branch: Branch, contracts: Iterable[Contract]) -> None:
        self._calendar = calendar
        self._branch = branch
        self._bills: list[tuple[Bill, Contract]] = sorted(
            ((bill, contract) for contract in contracts for bill in contract.bills),
            key=lambda entry: (entry[0].issued_on, entry[0].issued_at, entry[0].id),
        )
        self._refunded = sorted(
            (entry for entry in self._bills if entry[0].refund is not None),
            key=lambda entry: entry[0].refund.at if entry[0].refund else entry[0].issued_at,
        )

    def __len__(self) -> int:
        return len(self._bills)

    def invoices(self) -> Iterator[Record]:
        """Rows of `finance.invoices`."""
        numbers: defaultdict[int, int] = defaultdict(int)
        place = self._branch.content
        seller = {"name": place.name, "address": f"{place.street}, {place.district}/{place.city}"}
        for bill, contract in self._bills:
            numbers[bill.issued_on.year] += 1
            paid = bill.paid
            person = contract.person
            data = {"seller": seller, "buyer": {"name": f"{person.first} {person.last}"}, "periodEnd": bill.period_end}
            yield (
                *(bill.id, paid.id if paid else None, contract.id, bill.period_start, str(person.id)),
                *(self._branch.key, self._branch.key, bill.net, bill.tax, bill.net + bill.tax, CURRENCY, bill.status),
                *(bill.issued_on, bill.due_on, self._calendar.day_of(paid.at) if paid else None),
                *(numbers[bill.issued_on.year], orjson.dumps(data).decode(), bill.issued_at),
                paid.at if paid else bill.issued_at,
            )

    def lines(self) -> Iterator[Record]:
        """Rows of `finance.invoice_lines`: one per invoice."""
        for bill, contract in self._bills:
            yield (bill.id, 1, contract.plan.content.name, 1, KDV, bill.net, bill.tax, bill.net + bill.tax)

    def refunds(self) -> Iterator[Record]:
        """Rows of `finance.refunds`."""
        for bill, contract in self._refunded:
            if bill.refund is not None and bill.paid is not None:
                refund = bill.refund
                yield (
                    *(refund.id, bill.paid.id, refund.transaction_id, self._branch.key, self._branch.key),
                    *(str(contract.person.id), refund.net + refund.tax, CURRENCY, "succeeded"),
                    *(contract.cancellation_reason, str(self._branch.owner_id), refund.at, refund.at),
                )

    def credit_notes(self) -> Iterator[Record]:
        """Rows of `finance.credit_notes`."""
        numbers: defaultdict[int, int] = defaultdict(int)
        for bill, contract in self._refunded:
            if bill.refund is not None:
                refund = bill.refund
                day = self._calendar.day_of(refund.at)
                numbers[day.year] += 1
                yield (
                    *(refund.credit_note_id, bill.id, refund.id, str(contract.person.id), self._branch.key),
                    *(self._branch.key, refund.net, refund.tax, refund.net + refund.tax, CURRENCY),
                    *(contract.cancellation_reason, day, numbers[day.year], refund.at),
                )

    def audit(self) -> Iterator[Record]:
        """Rows of `finance.audit_logs`: who gave money back."""
        for bill, _ in self._refunded:
            if bill.refund is not None:
                refund = bill.refund
                state = orjson.dumps({"amount": str(refund.net + refund.tax), "currency": CURRENCY}).decode()
                yield (
                    *(self._branch.key, "refund", str(refund.id), str(self._branch.owner_id), "refund.created"),
                    *(None, state, refund.at),
                )


def mirrors(branch: Branch, contracts: Iterable[Contract]) -> Iterator[Row]:
    """`member_subscriptions` documents: what MongoDB repeats of the subscriptions."""
    for contract in contracts:
        amount = Decimal128(contract.plan.price)
        payments = [payment for payment, _ in _payments(contract)][-KEPT_PAYMENTS:]
        row: Row = {
            "_id": contract.mirror_id,
            "userId": contract.person.id,
            "facilityId": branch.id,
            "membershipId": contract.plan.id,
            "subscriptionId": str(contract.id),
            "startDate": stored_date(contract.start),
            "endDate": stored_date(contract.period_end - _DAY),
            "status": contract.status,
            "paymentHistory": [
                {
                    "amount": amount,
                    "currency": CURRENCY,
                    "date": payment.at,
                    "method": contract.method,
                    "status": payment.status,
                    "transactionId": str(payment.id),
                }
                for payment in payments
            ],
            "autoRenew": contract.auto_renew,
            "createdAt": contract.created_at,
            "updatedAt": contract.updated_at,
        }
        if contract.cancelled_at is not None:
            row["cancelledAt"] = contract.cancelled_at
            row["cancellationReason"] = contract.cancellation_reason
        yield row
