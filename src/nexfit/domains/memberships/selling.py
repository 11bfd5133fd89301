"""Writing down that a membership was sold: subscription, payment and paid invoice in PostgreSQL and the contract in
MongoDB, in the caller's unit of work. How the money came, at the desk or online, is the caller's.

Lock order: the member's subscription, then the invoice series of the business, last because every sale of the business
waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import orjson
from bson import ObjectId

from nexfit.domains.finance.invoicing import printed
from nexfit.domains.finance.tax import split_tax
from nexfit.domains.finance.words import BillingCycle, PaymentMethod, TransactionType
from nexfit.domains.memberships import contracts, mirror
from nexfit.domains.memberships.documents import DurationUnit
from nexfit.domains.memberships.errors import AlreadySubscribed, NothingToRenew, NotRenewable, OtherCurrency
from nexfit.domains.memberships.events import MembershipRenewed, MembershipSold
from nexfit.domains.memberships.offers import Offer, Priced
from nexfit.domains.memberships.terms import day_after, period_after
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import BothWork, PostgresWork
from nexfit.stores.errors import ConstraintViolated, StoreUnavailable, WriteConflict
from nexfit.stores.mongo import Document
from nexfit.stores.postgres import Row
from nexfit.stores.sql import load_sql

_ONE_LIVE = ("subscriptions_live_key", "live_unique")

sql = load_sql("nexfit.domains.memberships", "sale.sql")


@dataclass(frozen=True, slots=True)
class Paid:
    """How the money came, and when. A provider's payment has its names for the payment, the customer and the method."""

    method: PaymentMethod
    at: datetime
    provider: str | None = None
    reference: str | None = None
    customer: str | None = None
    saved_method: str | None = None
    amount: Decimal | None = None
    """What was paid; by default the price, less where something is credited."""

    @property
    def kind(self) -> TransactionType:
        """Taken by a provider, or by hand."""
        return TransactionType.MANUAL_PAYMENT if self.provider is None else TransactionType.CHARGE

    def of(self, price: Decimal) -> Decimal:
        """What was paid of a price."""
        return price if self.amount is None else self.amount


@dataclass(frozen=True, slots=True)
class Sold:
    """What was written: the contract in MongoDB, the subscription, and the payment; None for what costs nothing."""

    contract: ObjectId
    subscription: UUID
    payment: UUID | None


async def conclude(
    work: BothWork, offer: Offer, paid: Paid, *, renew: bool, auto_renew: bool, by: ObjectId | None
) -> Sold:
    """Write the sale; with `renew` one more term of what the member holds. `by` None is the platform itself.

    Raises OtherCurrency, AlreadySubscribed, NothingToRenew, NotRenewable; WriteConflict to be run again.
    """
    try:
        return await _conclude(work, offer, paid, renew=renew, auto_renew=auto_renew, by=by)
    except ConstraintViolated as error:
        if error.constraint in _ONE_LIVE:  # somebody sold it at the same moment: look again
            raise WriteConflict(error.store, str(error)) from error
        raise


async def check(work: PostgresWork | BothWork, offer: Offer, *, renew: bool) -> tuple[str, Row | None]:
    """Whether the member may buy this now: the business that sells it, and what the member holds of it, locked.

    Raises OtherCurrency, AlreadySubscribed, NothingToRenew, NotRenewable.
    """
    business = await account_of(work, str(offer.facility["_id"]), offer.currency)
    held = await work.postgres.fetch_one(
        sql.live, str(offer.facility["_id"]), str(offer.member["_id"]), str(offer.plan)
    )
    if held is None and renew:
        raise NothingToRenew
    if held is not None and not renew:
        raise AlreadySubscribed
    if held is not None and held["status"] != "active":
        raise NotRenewable(state=held["status"])
    return business, held


async def _conclude(
    work: BothWork, offer: Offer, paid: Paid, *, renew: bool, auto_renew: bool, by: ObjectId | None
) -> Sold:
    business, held = await check(work, offer, renew=renew)
    facility, member, plan = str(offer.facility["_id"]), str(offer.member["_id"]), str(offer.plan)
    charged_by = (paid.provider, paid.customer, paid.saved_method) if auto_renew else (None, None, None)
    starts = offer.today
    if held is None:
        row = await work.postgres.fetch_one(
            sql.begin,
            *(business, facility, member, plan, starts, day_after(starts, offer.value, offer.unit)),
            *(str(BillingCycle(offer.unit)), offer.value, offer.price, offer.currency, offer.tax_rate),
            *(str(paid.method), auto_renew, *charged_by, offer.name, paid.at),
            starts.day if offer.unit in (DurationUnit.MONTH, DurationUnit.YEAR) else None,
        )
    else:
        starts = held["current_period_end"]
        ends = period_after(starts, offer.value, offer.unit, held["billing_day"] or held["start_date"].day)
        row = await work.postgres.fetch_one(
            sql.extend, held["subscription_id"], ends, offer.price, offer.tax_rate, str(paid.method)
        )
    assert row is not None  # noqa: S101  # both statements return the row they wrote
    payment = await _bill(work, offer, business, row, starts, paid)
    contract = await _mirror(work, row, payment, new=held is None)
    _tell(work, offer, row, contract, by, starts, new=held is None)
    return Sold(contract, row["subscription_id"], None if payment is None else UUID(payment["transactionId"]))


async def account_of(work: PostgresWork | BothWork, facility: str, currency: str) -> str:
    """The business that issues the facility's invoices. Raises OtherCurrency."""
    account = await work.postgres.fetch_one(sql.account, facility)
    if account is None:
        await work.postgres.execute(sql.open_account, facility, currency)
        account = await work.postgres.fetch_one(sql.account, facility)
    assert account is not None  # noqa: S101  # accounts are never deleted
    if account["currency"] != currency:
        raise OtherCurrency(currency=account["currency"])
    return str(account["business_id"])


async def _bill(
    work: BothWork, offer: Offer, business: str, subscription: Row, starts: date, how: Paid
) -> Document | None:
    """The invoice of the term and its payment as the contract repeats it; None for what costs nothing."""
    total = how.of(offer.price)
    if total == 0:
        return None
    term = {"periodEnd": subscription["current_period_end"]}
    paid = await take(work, offer, business, how, (subscription["subscription_id"], starts), **term)
    return mirror.payment_of(
        {
            **paid,
            "amount": total,
            "currency": offer.currency,
            "payment_method": str(how.method),
            "status": "succeeded",
        }
    )


async def take(
    work: BothWork,
    sold: Priced,
    business: str,
    how: Paid,
    term: tuple[UUID | None, date | None] = (None, None),
    **more: date,
) -> Row:
    """Book the payment of what is sold, with its paid invoice: of a subscription's term, if it is one. `more` is
    printed, too."""
    facility, member = str(sold.facility["_id"]), str(sold.member["_id"])
    total = how.of(sold.price)
    paid = await work.postgres.fetch_one(
        sql.take_payment,
        *(business, facility, member, total, sold.currency, str(how.method), sold.name),
        *(str(how.kind), how.provider, how.reference, how.at),
    )
    assert paid is not None  # noqa: S101  # returned by the insert
    net, tax = split_tax(total, sold.tax_rate, sold.currency)
    paper = printed(sold.facility, sold.member, **more)
    invoice = await work.postgres.fetch_one(
        sql.issue_invoice,
        *(paid["transaction_id"], *term, member, business, facility),
        *(net, tax, sold.currency, sold.today, orjson.loads(orjson.dumps(paper))),
    )
    assert invoice is not None  # noqa: S101  # returned by the insert
    await work.postgres.execute(sql.add_line, invoice["invoice_id"], sold.name, sold.tax_rate, net, tax)
    return paid


async def _mirror(work: BothWork, row: Row, payment: Document | None, *, new: bool) -> ObjectId:
    """Write what MongoDB repeats of the subscription; the contract's id."""
    payments = [] if payment is None else [payment]
    repeated = mirror.contract_of(row, payments)
    if new:
        contract = ObjectId()
        subscription = {"_id": contract, "subscriptionId": str(row["subscription_id"])}
        await work.mongo.insert(contracts.COLLECTION, {**subscription, **repeated})
        return contract
    return await mirror_change(work, row, payment)


async def mirror_change(work: BothWork, row: Row, payment: Document | None = None) -> ObjectId:
    """Write into MongoDB what changed of a subscription, and a payment that came; the contract's id.

    Raises WriteConflict where the contract is missing: the reconciler makes it, and then this can be done.
    """
    found = await work.mongo.claim(contracts.COLLECTION, *_repeating(row, payment), ("_id",))
    if found is None:
        raise WriteConflict("mongo", f"subscription {row['subscription_id']} has no contract yet")
    return ObjectId(found["_id"])


async def mirror_changes(work: BothWork, changed: Sequence[tuple[Row, Document | None]]) -> None:
    """The same for many subscriptions, in one command. Raises WriteConflict, for more than one StoreUnavailable."""
    found = await work.mongo.update_each(contracts.COLLECTION, [_repeating(*one) for one in changed])
    if found != len(changed):  # of many it is not worth trying again: the others can do without the one
        missing = WriteConflict if len(changed) == 1 else StoreUnavailable
        raise missing("mongo", f"{len(changed) - found} of {len(changed)} subscriptions have no contract yet")


def _repeating(row: Row, payment: Document | None) -> tuple[Document, Document]:
    """Which contract is changed, and how."""
    repeated = mirror.contract_of(row, [])
    kept = ("membershipId", "startDate", "endDate", "status", "autoRenew", "cancelledAt", "updatedAt")
    change: Document = {"$set": {name: repeated[name] for name in kept if name in repeated}}
    if payment is not None:
        change["$push"] = {"paymentHistory": {"$each": [payment], "$slice": -mirror.KEPT_PAYMENTS}}
    return {"subscriptionId": str(row["subscription_id"])}, change


def _tell(
    work: BothWork, offer: Offer, row: Row, contract: ObjectId, by: ObjectId | None, starts: date, *, new: bool
) -> None:
    fact = MembershipSold if new else MembershipRenewed
    work.emit(
        fact(
            facility_id=row["facility_id"],
            subscription_id=str(row["subscription_id"]),
            plan_id=row["plan_id"],
            user_id=row["user_id"],
            amount=offer.price,
            currency=offer.currency,
            starts_on=starts,
            ends_on=row["current_period_end"] - timedelta(days=1),
        )
    )
    work.audit(
        Audit(
            action="membership.sold" if new else "membership.renewed",
            entity_type="member_subscription",
            entity_id=str(contract),
            facility_id=row["facility_id"],
            user_id=None if by is None else str(by),
            after={
                "userId": row["user_id"],
                "planId": row["plan_id"],
                "amount": f"{offer.price:f} {offer.currency}",
                "endsOn": str(row["current_period_end"] - timedelta(days=1)),
            },
        )
    )
