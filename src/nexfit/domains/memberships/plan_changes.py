"""A member's own change of plan, by the saved way to pay: to a dearer one at once, to a cheaper one with the next term.

The wish is written down with what it comes to; then the difference is charged under its id, and the outcome is a commit
of both stores: the old membership ended and the new one begun, or nothing. Where the membership is no longer what it
was (renewed, frozen, left meanwhile), the difference goes back.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from bson import ObjectId

from nexfit.domains.errors import ErrorCode, NotFound, Refusal
from nexfit.domains.finance import refunding
from nexfit.domains.finance.payments import (
    ChargeRequest,
    Payment,
    PaymentProvider,
    PaymentState,
    ProviderRefused,
    ProviderUnavailable,
)
from nexfit.domains.finance.words import PaymentMethod, SubscriptionState, TransactionType
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor
from nexfit.domains.memberships.errors import PriceChanged
from nexfit.domains.memberships.leaving import NotPossibleNow
from nexfit.domains.memberships.leaving import sql as leaving_sql
from nexfit.domains.memberships.offers import Offer, find_member, find_seller, frozen_offer
from nexfit.domains.memberships.purchase import AT_ONCE, PATIENCE, NotSoldOnline, OnlineSales
from nexfit.domains.memberships.selling import Paid, check, conclude
from nexfit.domains.memberships.selling import sql as sale_sql
from nexfit.domains.memberships.states import change_state
from nexfit.domains.memberships.states import sql as billing_sql
from nexfit.domains.memberships.switching import check_switch, credit_of, find_switch
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.fault_points import reach
from nexfit.hybrid.unit_of_work import BothWork, PostgresWork
from nexfit.stores.errors import StoreError
from nexfit.stores.postgres import Row
from nexfit.stores.sql import load_sql

sql = load_sql("nexfit.domains.memberships", "plan_changes.sql")

log = structlog.get_logger(__name__)


class NoSavedWay(Refusal):
    """Only who saved a way to pay changes plans online."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("There is no saved way to pay: ask at the desk.", path=("membership",))


class ChangeUnderWay(Refusal):
    """One change at a time: what the provider says of the first is waited for."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("A change of this membership is under way.", path=("membership",))


class _TooLate(Exception):
    """The membership is not what it was when the change was asked for."""


async def change_plan(
    sales: OnlineSales,
    actor: Actor,
    contract: ObjectId,
    plan: ObjectId,
    *,
    expected_due: Decimal,
    key: str,
    now: datetime,
) -> Row:
    """Change the viewer's own membership to another plan of the facility; the change as it stands (`plan_changes`).

    Where something is due it is charged now; else the plan is another one from the next period on. The same `key` and
    input give the first change again. Raises Unauthenticated, NotFound, NotSoldOnline, OtherPlace, NotPossibleNow,
    NoSavedWay, ChangeUnderWay, PriceChanged, NoTaxRate, AlreadySubscribed, IdempotencyConflict; then nothing was
    written.
    """
    viewer = actor.require()
    held, offer = await find_switch(sales.stores, actor, contract, plan, now)
    if viewer != offer.member["_id"]:
        raise NotFound("There is no such membership.", path=("membership",))
    provider = sales.provider
    if provider is None:
        raise NotSoldOnline

    async def body(work: PostgresWork) -> str:
        row = await work.postgres.fetch_one(billing_sql.hold, held.subscription)
        if row is None:
            raise NotPossibleNow(state="gone")
        check_switch(row, offer)
        if row["method"] is None or row["provider"] != provider.name:
            raise NoSavedWay
        await check(work, offer, renew=False)
        paid = await work.postgres.fetch(leaving_sql.paid_period, held.subscription, row["current_period_start"])
        credit = credit_of(row, paid, held)
        if offer.price - credit != expected_due:
            raise PriceChanged(price=f"{offer.price - credit:f} {offer.currency}")
        status = "initiated" if offer.price > credit else "scheduled"
        if status == "scheduled" and (row["cancel_at_period_end"] or not row["auto_renew"]):
            raise NotPossibleNow(state="ending")
        await work.postgres.execute(leaving_sql.drop_change, held.subscription)
        if await work.postgres.fetch_value(leaving_sql.is_changing, held.subscription):
            raise ChangeUnderWay
        made = await work.postgres.fetch_value(
            sql.wish,
            *(held.subscription, row["business_id"], row["facility_id"], row["user_id"]),
            *(str(offer.plan), offer.name, offer.value, str(offer.unit), offer.price, offer.currency, offer.tax_rate),
            *(credit, row["current_period_start"], status, now),
        )
        _audit(work, row, f"plan_change.{status}", viewer, str(offer.plan))
        return str(made)

    asked = {"contract": str(contract), "plan": str(plan), "expectedDue": f"{expected_due.normalize():f}"}
    unit = sales.units.postgres("begin_plan_change")
    change = UUID(await once(sales.stores.mongo, unit, viewer, "changePlan", key, asked, body))
    reach("plan_change.initiated")
    return await proceed(sales, provider, change, now=now)


async def proceed(sales: OnlineSales, provider: PaymentProvider, change: UUID, *, now: datetime) -> Row:
    """Take a change as far as it goes now; the change as it stands. Raises StoreError."""
    [row] = await sales.stores.postgres.fetch(sql.change, change)
    if row["status"] != "initiated" or row["provider"] != provider.name:
        return row
    try:
        payment = await provider.charge(
            ChargeRequest(
                key=change,
                amount=row["price"] - row["credit"],
                currency=row["currency"],
                description=row["plan_name"],
                customer=row["customer"],
                method=row["method"],
            )
        )
    except ProviderUnavailable as error:
        log.warning("a change of plan is unknown", change=str(change), error=str(error))
        return row
    except ProviderRefused as error:
        await sales.stores.postgres.fetch(sql.fail, change, error.reason)
    else:
        reach("plan_change.charged")
        if payment.state is PaymentState.FAILED:
            await sales.stores.postgres.fetch(sql.fail, change, payment.failure or "declined")
        elif payment.state is PaymentState.SUCCEEDED:
            await _settle(sales, provider, row, payment, now)
    [row] = await sales.stores.postgres.fetch(sql.change, change)
    return row


async def _settle(sales: OnlineSales, provider: PaymentProvider, row: Row, payment: Payment, now: datetime) -> None:
    place = await find_seller(sales.stores.mongo, ObjectId(row["facility_id"]))
    try:
        if place is None:
            raise _TooLate
        member = await find_member(sales.stores.mongo, ObjectId(row["user_id"]))
        offer = frozen_offer(row, row["price"], place, member, now)
        await sales.units.both("change_plan").run(lambda work: _replace(work, row, offer, payment, now))
    except (_TooLate, Refusal) as error:
        why = str(error.code) if isinstance(error, Refusal) else "changed meanwhile"
        log.warning("a change of plan is paid back", change=str(row["plan_change_id"]), reason=why)
        zone = ZoneInfo(place["timezone"] if place is not None else "UTC")
        refund = await sales.units.postgres("return_plan_change").run(
            lambda work: _return(work, row, payment, why, zone, now)
        )
        if refund is not None:
            await refunding.settle(sales.units, sales.stores, provider, refund, now=now)


async def _replace(work: BothWork, change: Row, offer: Offer, payment: Payment, now: datetime) -> None:
    """End the old membership and begin the new one. Raises _TooLate, Refusal."""
    held = await work.postgres.fetch_one(billing_sql.hold, change["subscription_id"])
    if await work.postgres.fetch_value(sql.hold, change["plan_change_id"]) != "initiated":
        return
    if (
        held is None
        or held["status"] != SubscriptionState.ACTIVE
        or held["current_period_start"] != change["period_start"]
        or held["current_period_end"] <= offer.today
    ):
        raise _TooLate
    await change_state(work, held, SubscriptionState.CANCELLED, cancelled_at=now)
    paid = Paid(
        PaymentMethod.CARD,
        now,
        change["provider"],
        payment.reference,
        change["customer"],
        change["method"],
        amount=payment.amount,
    )
    sold = await conclude(work, offer, paid, renew=False, auto_renew=True, by=ObjectId(change["user_id"]))
    await work.postgres.execute(sql.done, change["plan_change_id"], sold.subscription, offer.today, sold.payment)
    _audit(work, held, "plan_change.done", ObjectId(change["user_id"]), change["plan_id"])


async def _return(
    work: PostgresWork, change: Row, payment: Payment, why: str, zone: ZoneInfo, now: datetime
) -> UUID | None:
    """Book the difference together with the request to give it back."""
    if await work.postgres.fetch_value(sql.hold, change["plan_change_id"]) != "initiated":
        return None
    booked = await work.postgres.fetch_one(
        sale_sql.take_payment,
        *(change["business_id"], change["facility_id"], change["user_id"], payment.amount, change["currency"]),
        *(str(PaymentMethod.CARD), change["plan_name"], str(TransactionType.CHARGE), change["provider"]),
        *(payment.reference, now),
    )
    assert booked is not None  # noqa: S101  # returned by the insert
    asked = await refunding.give_back(
        work, booked["transaction_id"], payment.amount, why, None, today=now.astimezone(zone).date(), now=now
    )
    await work.postgres.execute(sql.return_money, change["plan_change_id"], booked["transaction_id"], why)
    return asked.refund


async def recover(sales: OnlineSales, *, now: datetime) -> int:
    """Ask again for charges of changes that nobody knows the outcome of; how many. Raises StoreError."""
    provider = sales.provider
    if provider is None:
        return 0
    rows = await sales.stores.postgres.fetch(sql.open, now - PATIENCE, AT_ONCE)
    for row in rows:
        try:
            await proceed(sales, provider, row["plan_change_id"], now=now)
        except StoreError as error:
            log.warning("a change of plan waits for a store", change=str(row["plan_change_id"]), error=str(error))
    return len(rows)


def _audit(work: PostgresWork | BothWork, row: Row, action: str, by: ObjectId, plan: str) -> None:
    work.invalidates(f"user:{row['user_id']}:memberships")
    work.audit(
        Audit(
            action=action,
            entity_type="subscription",
            entity_id=str(row["subscription_id"]),
            facility_id=row["facility_id"],
            user_id=str(by),
            before={"planId": row["plan_id"]},
            after={"planId": plan},
        )
    )
