"""Selling a membership at the desk for money that was taken there: subscription, payment and paid invoice in PostgreSQL
and the contract in MongoDB, all of it or nothing.

Lock order: the member's subscription, then the invoice series of the business, last because every sale of the business
waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import orjson
from bson import ObjectId

from nexfit.domains.errors import NotFound
from nexfit.domains.finance.invoicing import SELLER_COLUMNS, printed
from nexfit.domains.finance.tax import rate_on, split_tax
from nexfit.domains.finance.words import BillingCycle, PaymentMethod
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor, may
from nexfit.domains.memberships import contracts, mirror
from nexfit.domains.memberships.documents import DurationUnit
from nexfit.domains.memberships.errors import (
    AlreadySubscribed,
    NothingToRenew,
    NotRenewable,
    OtherCurrency,
    PriceChanged,
)
from nexfit.domains.memberships.events import MembershipRenewed, MembershipSold
from nexfit.domains.memberships.terms import day_after
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import BothWork, UnitsOfWork
from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.mongo import Document, Mongo
from nexfit.stores.postgres import Row
from nexfit.stores.sql import load_sql

_ONE_LIVE = ("subscriptions_live_key", "live_unique")

sql = load_sql("nexfit.domains.memberships", "sale.sql")


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan as it is sold: price, currency and tax rate are frozen from here on."""

    plan: Document
    facility: Document
    member: Document
    price: Decimal
    currency: str
    tax_rate: Decimal
    today: date
    """On the facility's calendar."""

    @property
    def unit(self) -> DurationUnit:
        """Calendar unit of the term."""
        return DurationUnit(self.plan["duration"]["unit"])

    @property
    def value(self) -> int:
        """How many of them."""
        return int(self.plan["duration"]["value"])


async def sell(
    units: UnitsOfWork,
    mongo: Mongo,
    actor: Actor,
    *,
    plan: ObjectId,
    member: ObjectId,
    method: PaymentMethod,
    expected_total: Decimal,
    renew: bool,
    key: str,
    now: datetime,
) -> ObjectId:
    """Sell a plan to a member, or one more term of it; the contract's id.

    The same `key` and input give the first sale again. Raises Unauthenticated, NotFound, PriceChanged, NoTaxRate,
    OtherCurrency, AlreadySubscribed, NothingToRenew, NotRenewable, IdempotencyConflict; then nothing was written.
    """
    seller = actor.require()
    offer = await _offer(mongo, actor, plan, member, now)

    async def body(work: BothWork) -> str:
        if expected_total != offer.price:
            raise PriceChanged(price=f"{offer.price:f} {offer.currency}")
        try:
            return str(await _sell(work, offer, method, seller, renew=renew))
        except ConstraintViolated as error:
            if error.constraint in _ONE_LIVE:  # somebody sold it at the same moment: look again
                raise WriteConflict(error.store, str(error)) from error
            raise

    asked = {
        "plan": str(plan),
        "member": str(member),
        "method": str(method),
        "expectedTotal": f"{expected_total.normalize():f}",
        "renew": renew,
    }
    unit = units.both("sell_membership")
    return ObjectId(await once(mongo, unit, seller, "sellMembership", key, asked, body))


async def _offer(mongo: Mongo, actor: Actor, plan: ObjectId, member: ObjectId, now: datetime) -> Offer:
    columns = ("facilityId", "name", "price", "currency", "duration", "isActive")
    plans = await mongo.find("memberships", {"_id": plan, "isActive": True}, columns, limit=1)
    place = ("ownerId", "staff.userId", "staff.permissions", "timezone", *SELLER_COLUMNS)
    facilities = await mongo.find("facilities", {"_id": plans[0]["facilityId"]}, place, limit=1) if plans else []
    if not facilities or not may(actor, facilities[0], "members_write"):
        raise NotFound("There is no such plan.", path=("plan",))
    people = await mongo.find("users", {"_id": member}, ("firstName", "lastName"), limit=1)
    if not people:
        raise NotFound("There is no such member.", path=("user",))
    today = now.astimezone(ZoneInfo(facilities[0]["timezone"])).date()
    return Offer(
        plans[0],
        facilities[0],
        people[0],
        plans[0]["price"].to_decimal(),
        plans[0]["currency"],
        rate_on(facilities[0].get("address", {}).get("country"), today),
        today,
    )


async def _sell(work: BothWork, offer: Offer, method: PaymentMethod, seller: ObjectId, *, renew: bool) -> ObjectId:
    facility, member, plan = str(offer.facility["_id"]), str(offer.member["_id"]), str(offer.plan["_id"])
    business = await _account(work, facility, offer.currency)
    held = await work.postgres.fetch_one(sql.live, facility, member, plan)
    starts = offer.today
    if held is None:
        if renew:
            raise NothingToRenew
        row = await work.postgres.fetch_one(
            sql.begin,
            *(business, facility, member, plan, starts, day_after(starts, offer.value, offer.unit)),
            *(str(BillingCycle(offer.unit)), offer.value, offer.price, offer.currency, offer.tax_rate, str(method)),
        )
    else:
        if not renew:
            raise AlreadySubscribed
        if held["status"] != "active":
            raise NotRenewable(state=held["status"])
        starts = held["current_period_end"]
        billed = await work.postgres.fetch_value(sql.periods_billed, held["subscription_id"])
        ends = day_after(held["start_date"], offer.value, offer.unit, periods=int(str(billed)) + 1)
        row = await work.postgres.fetch_one(
            sql.extend,
            held["subscription_id"],
            max(ends, starts + timedelta(days=1)),
            offer.price,
            offer.tax_rate,
            str(method),
        )
    assert row is not None  # noqa: S101  # both statements return the row they wrote
    payment = await _bill(work, offer, business, row, starts, method)
    contract = await _mirror(work, row, payment, new=held is None)
    _tell(work, offer, row, contract, seller, starts, new=held is None)
    return contract


async def _account(work: BothWork, facility: str, currency: str) -> str:
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
    work: BothWork, offer: Offer, business: str, subscription: Row, starts: date, method: PaymentMethod
) -> Document | None:
    """The invoice of the term and its payment as the contract repeats it; None for what costs nothing."""
    if offer.price == 0:
        return None
    facility, member, name = subscription["facility_id"], subscription["user_id"], offer.plan["name"]
    paid = await work.postgres.fetch_one(
        sql.take_payment, business, facility, member, offer.price, offer.currency, str(method), name
    )
    assert paid is not None  # noqa: S101  # returned by the insert
    net, tax = split_tax(offer.price, offer.tax_rate, offer.currency)
    paper = printed(offer.facility, offer.member, periodEnd=subscription["current_period_end"])
    invoice = await work.postgres.fetch_one(
        sql.issue_invoice,
        *(paid["transaction_id"], subscription["subscription_id"], starts, member, business, facility),
        *(net, tax, offer.currency, offer.today, orjson.loads(orjson.dumps(paper))),
    )
    assert invoice is not None  # noqa: S101  # returned by the insert
    await work.postgres.execute(sql.add_line, invoice["invoice_id"], name, offer.tax_rate, net, tax)
    return mirror.payment_of(
        {
            **paid,
            "amount": offer.price,
            "currency": offer.currency,
            "payment_method": str(method),
            "status": "succeeded",
        }
    )


async def _mirror(work: BothWork, row: Row, payment: Document | None, *, new: bool) -> ObjectId:
    """Write what MongoDB repeats of the subscription; the contract's id."""
    payments = [] if payment is None else [payment]
    repeated = mirror.contract_of(row, payments)
    if new:
        contract = ObjectId()
        subscription = {"_id": contract, "subscriptionId": str(row["subscription_id"])}
        await work.mongo.insert(contracts.COLLECTION, {**subscription, **repeated})
        return contract
    found = await work.mongo.claim(
        contracts.COLLECTION,
        {"subscriptionId": str(row["subscription_id"])},
        {
            "$set": {name: repeated[name] for name in ("endDate", "status", "updatedAt")},
            "$push": {"paymentHistory": {"$each": payments, "$slice": -mirror.KEPT_PAYMENTS}},
        },
        ("_id",),
    )
    if found is None:  # the mirror is missing; the reconciler makes it, and then this can be sold
        raise WriteConflict("mongo", f"subscription {row['subscription_id']} has no contract yet")
    return ObjectId(found["_id"])


def _tell(
    work: BothWork, offer: Offer, row: Row, contract: ObjectId, seller: ObjectId, starts: date, *, new: bool
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
            user_id=str(seller),
            after={
                "userId": row["user_id"],
                "planId": row["plan_id"],
                "amount": f"{offer.price:f} {offer.currency}",
                "endsOn": str(row["current_period_end"] - timedelta(days=1)),
            },
        )
    )
