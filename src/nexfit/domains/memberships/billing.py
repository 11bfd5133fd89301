"""Renewals (workflow 3): each period is invoiced once, charged by the saved way to pay, and tried again when declined.

    active → (invoice, try) → active | past_due → active | suspended;   active → expired | cancelled at the period's end

Every step is a commit of both stores of its own, under the subscription's row lock, and safe to do again: any number of
workers may run `run` at any time. A period's invoice is unique in the database, and so is a try that is not declined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import structlog
from bson import ObjectId

from nexfit.domains.finance import refunding
from nexfit.domains.finance.invoicing import SELLER_COLUMNS, printed
from nexfit.domains.finance.payments import (
    ChargeRequest,
    Decline,
    Payment,
    PaymentProvider,
    PaymentState,
    ProviderRefused,
    ProviderUnavailable,
)
from nexfit.domains.finance.tax import NoTaxRate, rate_on, split_tax
from nexfit.domains.finance.words import PaymentMethod, SubscriptionState, TransactionType
from nexfit.domains.memberships import mirror
from nexfit.domains.memberships.documents import DurationUnit
from nexfit.domains.memberships.dunning import RETRIES, next_try
from nexfit.domains.memberships.events import MembershipRenewed, MembershipStateChanged
from nexfit.domains.memberships.selling import mirror_change
from nexfit.domains.memberships.selling import sql as sale_sql
from nexfit.domains.memberships.terms import period_after
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.fault_points import reach
from nexfit.hybrid.unit_of_work import BothWork, UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreError
from nexfit.stores.mongo import Document
from nexfit.stores.postgres import Row
from nexfit.stores.sql import load_sql

sql = load_sql("nexfit.domains.memberships", "billing.sql")

AT_ONCE = 200
"""Subscriptions that are read at a time."""

PATIENCE = timedelta(seconds=30)
"""How long a try without an outcome is left to whoever made it."""

FIRST_PAYMENT = timedelta(hours=23)
"""How long a subscription waits for its first payment."""

_FIRST = UUID(int=0)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Billing:
    """What billing works with."""

    units: UnitsOfWork
    stores: Stores
    provider: PaymentProvider | None


async def run(billing: Billing, *, now: datetime) -> int:
    """Bill, charge and end whatever is due now, each at its facility's day; how many subscriptions were looked at.

    What fails for one leaves the others alone. Raises StoreError where nothing can be read.
    """
    looked, after = 0, _FIRST
    name = billing.provider and billing.provider.name
    for row in await billing.stores.postgres.fetch(sql.open_tries, now - PATIENCE, AT_ONCE):
        try:
            await _charge(billing, row["attempt_id"], now)
        except StoreError as error:
            log.warning("a charge waits for a store", attempt=str(row["attempt_id"]), error=str(error))
    for row in await billing.stores.postgres.fetch(sql.incomplete, now - FIRST_PAYMENT, AT_ONCE):
        looked += await _look(billing, row["subscription_id"], {"timezone": "UTC"}, now)
    while True:
        rows = await billing.stores.postgres.fetch(sql.due, now.date() + timedelta(days=1), name, after, AT_ONCE)
        if not rows:
            return looked
        places = await _places(billing.stores, {row["facility_id"] for row in rows})
        for row in rows:
            place = places.get(row["facility_id"])
            if place is not None:
                looked += await _look(billing, row["subscription_id"], place, now)
        after = rows[-1]["subscription_id"]


async def _look(billing: Billing, subscription: UUID, place: Document, now: datetime) -> int:
    try:
        attempt = await billing.units.both("bill_subscription").run(
            lambda work: _advance(work, billing.stores, subscription, place, now)
        )
        reach("billing.advanced")
        if attempt is not None:
            await _charge(billing, attempt, now)
    except NoTaxRate as error:
        log.error("a subscription cannot be billed", subscription=str(subscription), error=str(error))  # noqa: TRY400
    except StoreError as error:
        log.warning("a subscription waits for a store", subscription=str(subscription), error=str(error))
    return 1


async def _places(stores: Stores, facilities: set[str]) -> dict[str, Document]:
    found = await stores.mongo.find(
        "facilities", {"_id": {"$in": [ObjectId(id_) for id_ in facilities]}}, ("timezone", *SELLER_COLUMNS)
    )
    return {str(row["_id"]): row for row in found}


def _today(place: Mapping[str, Any], now: datetime) -> date:
    return now.astimezone(ZoneInfo(place["timezone"])).date()


async def _advance(work: BothWork, stores: Stores, subscription: UUID, place: Document, now: datetime) -> UUID | None:
    """One step of a subscription that is due; the try to be charged now, if there is one. Raises NoTaxRate."""
    row = await work.postgres.fetch_one(sql.hold, subscription)
    today = _today(place, now)
    if row is None:
        return None
    match row["status"]:
        case SubscriptionState.ACTIVE if row["current_period_end"] <= today:
            if row["cancel_at_period_end"]:
                await change_state(work, row, SubscriptionState.CANCELLED, cancelled_at=now)
            elif not row["auto_renew"]:
                await change_state(work, row, SubscriptionState.EXPIRED)
            else:
                return await _bill(work, stores, row, place, today, now)
        case SubscriptionState.INCOMPLETE if row["created_at"] <= now - FIRST_PAYMENT:
            await change_state(work, row, SubscriptionState.INCOMPLETE_EXPIRED)
        case SubscriptionState.PAST_DUE | SubscriptionState.SUSPENDED:
            return await _remind(work, row, today, now)
    return None


async def _bill(work: BothWork, stores: Stores, row: Row, place: Document, today: date, now: datetime) -> UUID | None:
    """Invoice the next period and prepare its first try. Without a way to pay it is owed from today on."""
    starts = row["current_period_end"]
    unit = DurationUnit(row["billing_cycle"])
    ends = period_after(starts, row["billing_interval"], unit, row["billing_day"] or row["start_date"].day)
    rate = rate_on((place.get("address") or {}).get("country"), today)
    moved = await work.postgres.fetch_one(sql.move_period, row["subscription_id"], ends, rate)
    assert moved is not None  # noqa: S101  # the row is held
    if row["amount"] == 0:
        await mirror_change(work, moved)
        return None
    people = await stores.mongo.find("users", {"_id": ObjectId(row["user_id"])}, ("firstName", "lastName"), limit=1)
    person = people[0] if people else {"firstName": "", "lastName": ""}
    net, tax = split_tax(row["amount"], rate, row["currency"])
    paper = orjson.loads(orjson.dumps(printed(place, person, periodEnd=ends)))
    invoice = await work.postgres.fetch_value(
        sql.open_invoice,
        *(row["subscription_id"], starts, row["user_id"], row["business_id"], row["facility_id"]),
        *(net, tax, row["currency"], today, paper),
    )
    name = row["plan_name"] or place["name"]
    await work.postgres.execute(sale_sql.add_line, invoice, name, rate, net, tax)
    work.invalidates(f"facility:{row['facility_id']}:money", f"user:{row['user_id']}:money")
    if row["method"] is None:
        await change_state(
            work, moved, SubscriptionState.PAST_DUE, next_on=today + timedelta(days=RETRIES[0]), failed=1
        )
        return None
    await mirror_change(work, moved)
    return _uuid(await work.postgres.fetch_value(sql.try_once, row["subscription_id"], invoice, 0, now))


async def _remind(work: BothWork, row: Row, today: date, now: datetime) -> UUID | None:
    """What a debt comes to: paid by other means, tried again, or locked out."""
    owed = await work.postgres.fetch_one(sql.invoice_of_period, row["subscription_id"], row["current_period_start"])
    if owed is None:
        return None
    if owed["status"] == "paid":
        if row["status"] == SubscriptionState.SUSPENDED:
            await work.postgres.execute(sql.begin_again, row["subscription_id"], today)
        await change_state(work, row, SubscriptionState.ACTIVE)
        return None
    if row["status"] == SubscriptionState.SUSPENDED or (row["next_attempt_on"] or today) > today:
        return None
    if row["method"] is None:
        await _declined(work, row, Decline.SOFT, today)
        return None
    number = row["failed_attempts"]
    return _uuid(await work.postgres.fetch_value(sql.try_once, row["subscription_id"], owed["invoice_id"], number, now))


async def _declined(work: BothWork, row: Row, decline: Decline, today: date) -> None:
    failed = row["failed_attempts"] + 1
    day = next_try(failed, decline, today)
    to = SubscriptionState.SUSPENDED if day is None else SubscriptionState.PAST_DUE
    await change_state(work, row, to, next_on=day, failed=failed)


async def _charge(billing: Billing, attempt: UUID, now: datetime) -> None:
    """Ask the provider for the money of a try, and write down what it says. Raises StoreError."""
    provider = billing.provider
    found = await billing.stores.postgres.fetch(sql.open_try, attempt)
    if provider is None or not found or found[0]["provider"] != provider.name:
        return
    row = found[0]
    request = ChargeRequest(
        key=attempt,
        amount=row["total_amount"],
        currency=row["currency"],
        description=row["plan_name"] or "",
        customer=row["customer"] or "",
        method=row["method"] or "",
    )
    payment, decline, failure = None, Decline.HARD, None
    try:
        payment = await provider.charge(request)
    except ProviderUnavailable as error:
        log.warning("a charge is unknown", attempt=str(attempt), error=str(error))
        await billing.stores.postgres.fetch(sql.unknown, attempt)
        return
    except ProviderRefused as error:
        failure = error.reason
    reach("billing.charged")
    if payment is not None:
        if payment.state is PaymentState.OPEN:  # the bank takes its time: asked again under the key
            await billing.stores.postgres.fetch(sql.unknown, attempt)
            return
        decline, failure = payment.decline or Decline.SOFT, payment.failure
    came = payment if payment is not None and payment.state is PaymentState.SUCCEEDED else None
    places = await _places(billing.stores, {row["facility_id"]})
    place = places.get(row["facility_id"], {"timezone": "UTC"})
    refund = await billing.units.both("settle_renewal").run(
        lambda work: _settle(work, row["subscription_id"], attempt, came, decline, failure, _today(place, now), now)
    )
    reach("billing.settled")
    if refund is not None:
        await refunding.settle(billing.units, billing.stores, provider, refund, now=now)


async def _settle(
    work: BothWork,
    subscription: UUID,
    attempt: UUID,
    payment: Payment | None,
    decline: Decline,
    failure: str | None,
    today: date,
    now: datetime,
) -> UUID | None:
    """Write the outcome of a try, once; a refund to be made where the money is owed no more."""
    row = await work.postgres.fetch_one(sql.hold, subscription)
    tried = await work.postgres.fetch_one(sql.hold_try, attempt)
    if row is None or tried is None:
        return None
    ended = row["status"] in (SubscriptionState.CANCELLED, SubscriptionState.EXPIRED)
    if payment is None:
        await work.postgres.execute(sql.fail, attempt, str(decline), failure, now)
        if not ended and tried["invoice_status"] != "paid":
            await _declined(work, row, decline, today)
        return None
    booked = await work.postgres.fetch_one(
        sale_sql.take_payment,
        *(row["business_id"], row["facility_id"], row["user_id"], payment.amount, row["currency"]),
        *(str(PaymentMethod.CARD), row["plan_name"], str(TransactionType.CHARGE), row["provider"]),
        *(payment.reference, now),
    )
    assert booked is not None  # noqa: S101  # returned by the insert
    await work.postgres.execute(sql.succeed, attempt, booked["transaction_id"], now)
    if ended or tried["invoice_status"] not in ("open", "uncollectible"):
        asked = await refunding.give_back(
            work, booked["transaction_id"], payment.amount, "not owed", None, today=today, now=now
        )
        return asked.refund
    await work.postgres.execute(sql.pay_invoice, tried["invoice_id"], booked["transaction_id"], today)
    paid = mirror.payment_of(
        {
            **booked,
            "amount": payment.amount,
            "currency": row["currency"],
            "payment_method": str(PaymentMethod.CARD),
            "status": "succeeded",
        }
    )
    if row["status"] == SubscriptionState.SUSPENDED:
        await work.postgres.execute(sql.begin_again, subscription, today)
    await change_state(work, row, SubscriptionState.ACTIVE, payment=paid)
    work.emit(
        MembershipRenewed(
            facility_id=row["facility_id"],
            subscription_id=str(subscription),
            plan_id=row["plan_id"],
            user_id=row["user_id"],
            amount=payment.amount,
            currency=row["currency"],
            starts_on=row["current_period_start"],
            ends_on=row["current_period_end"] - timedelta(days=1),
        )
    )
    return None


async def change_state(
    work: BothWork,
    row: Row,
    to: SubscriptionState,
    *,
    next_on: date | None = None,
    failed: int = 0,
    cancelled_at: datetime | None = None,
    payment: Document | None = None,
    by: ObjectId | None = None,
) -> Row:
    """Put a subscription whose row is held into a state, in both stores, and tell so; the row as it is now."""
    after = await work.postgres.fetch_one(sql.set_state, row["subscription_id"], str(to), next_on, failed, cancelled_at)
    assert after is not None  # noqa: S101  # the row is held
    await mirror_change(work, after, payment)
    if row["status"] != to:
        work.emit(
            MembershipStateChanged(
                facility_id=row["facility_id"],
                subscription_id=str(row["subscription_id"]),
                plan_id=row["plan_id"],
                user_id=row["user_id"],
                before=row["status"],
                after=str(to),
            )
        )
        work.audit(
            Audit(
                action=f"subscription.{to}",
                entity_type="subscription",
                entity_id=str(row["subscription_id"]),
                facility_id=row["facility_id"],
                user_id=None if by is None else str(by),
                before={"status": row["status"]},
                after={"status": str(to)},
            )
        )
    return after


@dataclass(frozen=True, slots=True)
class Expected:
    """What a facility's day will bring: subscriptions that renew for this total, or end."""

    facility_id: str
    day: date
    renews: bool
    subscriptions: int
    total: Any
    currency: str
    without_method: int


async def preview(stores: Stores, *, now: datetime) -> list[Expected]:
    """What billing would do tomorrow, at each facility's own day. Changes nothing. Raises StoreError."""
    ids = {row["facility_id"] for row in await stores.postgres.fetch(sql.facilities, now.date() + timedelta(days=2))}
    days: dict[date, list[str]] = {}
    for id_, place in (await _places(stores, ids)).items():
        days.setdefault(_today(place, now) + timedelta(days=1), []).append(id_)
    return [
        Expected(
            row["facility_id"],
            day,
            row["renews"],
            row["subscriptions"],
            row["total"],
            row["currency"],
            row["without_method"],
        )
        for day, facilities in sorted(days.items())
        for row in await stores.postgres.fetch(sql.preview, day, facilities)
    ]


def _uuid(value: object) -> UUID | None:
    return None if value is None else UUID(str(value))
