"""Changing to another plan at the desk: what is not used of the present one is credited against the new one's price.

The old term's unused days are given back to the payment they came from, with a credit note; the new term begins today
and is sold in full. Both, and the end of the old membership, are one commit of both stores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from bson import ObjectId

from nexfit.domains.errors import ErrorCode, NotFound, Refusal
from nexfit.domains.finance import refunding
from nexfit.domains.finance.payments import PaymentProvider
from nexfit.domains.finance.words import PaymentMethod, SubscriptionState
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor
from nexfit.domains.memberships.errors import PriceChanged
from nexfit.domains.memberships.leaving import Held, NotPossibleNow, find_held, give_back, sql, unused
from nexfit.domains.memberships.offers import Offer, find_member, find_plan, offer_of
from nexfit.domains.memberships.selling import Paid, conclude
from nexfit.domains.memberships.states import change_state
from nexfit.domains.memberships.states import sql as billing_sql
from nexfit.hybrid.unit_of_work import BothWork, UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.postgres import Row


class OtherPlace(Refusal):
    """A membership is changed to a plan of the same facility, and to another one than it is."""

    code = ErrorCode.BAD_USER_INPUT

    def __init__(self) -> None:
        super().__init__("Choose another plan of the same facility.", path=("plan",))


@dataclass(frozen=True, slots=True)
class Switch:
    """What a change comes to today: `credit` of the present term, `price` of the new one, `due` between them."""

    credit: Decimal
    price: Decimal
    currency: str
    starts_on: date

    @property
    def due(self) -> Decimal:
        """What the member pays; negative where money is given back."""
        return self.price - self.credit


async def preview(stores: Stores, actor: Actor, contract: ObjectId, plan: ObjectId, *, now: datetime) -> Switch:
    """What changing to a plan today comes to; writes nothing. By the holder or staff with `members_write`.

    Raises Unauthenticated, NotFound, OtherPlace, NotPossibleNow, NoTaxRate.
    """
    held, offer = await find_switch(stores, actor, contract, plan, now)
    [row] = await stores.postgres.fetch(sql.subscription, held.subscription)
    check_switch(row, offer)
    paid = await stores.postgres.fetch(sql.paid_period, held.subscription, row["current_period_start"])
    return Switch(credit_of(row, paid, held), offer.price, offer.currency, held.today)


async def switch(
    units: UnitsOfWork,
    stores: Stores,
    provider: PaymentProvider | None,
    actor: Actor,
    contract: ObjectId,
    plan: ObjectId,
    *,
    method: PaymentMethod,
    expected_due: Decimal,
    key: str,
    now: datetime,
) -> ObjectId:
    """Change to a plan today; the new contract's id. By staff with `members_write`, for money taken at the desk.

    The same `key` and input give the first change again. Raises Unauthenticated, NotFound, OtherPlace, NotPossibleNow,
    PriceChanged, NoTaxRate, AlreadySubscribed, IdempotencyConflict; then nothing was written.
    """
    by = actor.require()
    held, offer = await find_switch(stores, actor, contract, plan, now)
    if not held.by_staff:
        raise NotFound("There is no such membership.", path=("membership",))

    async def body(work: BothWork) -> dict[str, Any]:
        row = await work.postgres.fetch_one(billing_sql.hold, held.subscription)
        if row is None:
            raise NotPossibleNow(state="gone")
        check_switch(row, offer)
        paid = await work.postgres.fetch(sql.paid_period, held.subscription, row["current_period_start"])
        credit = credit_of(row, paid, held)
        if offer.price - credit != expected_due:
            raise PriceChanged(price=f"{offer.price - credit:f} {offer.currency}")
        why = "changed to another plan"
        asked = await give_back(work, paid, credit, why, by, today=held.today, now=now)
        await work.postgres.execute(sql.drop_change, held.subscription)
        await change_state(work, row, SubscriptionState.CANCELLED, cancelled_at=now, by=by)
        sold = await conclude(work, offer, Paid(method, now), renew=False, auto_renew=False, by=by)
        return {"contract": str(sold.contract), "refunds": [str(one.refund) for one in asked if one.is_open]}

    asked_for = {
        "contract": str(contract),
        "plan": str(plan),
        "method": str(method),
        "expectedDue": f"{expected_due.normalize():f}",
    }
    made = await once(stores.mongo, units.both("switch_membership"), by, "switchMembership", key, asked_for, body)
    for refund in made["refunds"]:
        await refunding.settle(units, stores, provider, UUID(refund), now=now)
    return ObjectId(made["contract"])


async def find_switch(
    stores: Stores, actor: Actor, contract: ObjectId, plan: ObjectId, now: datetime
) -> tuple[Held, Offer]:
    """A membership that somebody may change, and the plan to change to.

    Raises Unauthenticated, NotFound, OtherPlace, NoTaxRate.
    """
    held = await find_held(stores, actor, contract, now)
    document, facility = await find_plan(stores.mongo, plan)
    [stored] = await stores.mongo.find(
        "member_subscriptions", {"_id": contract}, ("facilityId", "userId", "membershipId"), limit=1
    )
    if facility["_id"] != stored["facilityId"] or plan == stored["membershipId"]:
        raise OtherPlace
    return held, offer_of(document, facility, await find_member(stores.mongo, stored["userId"]), now)


def check_switch(row: Row, offer: Offer) -> None:
    """Raises NotPossibleNow, OtherPlace."""
    if row["status"] != SubscriptionState.ACTIVE:
        raise NotPossibleNow(state=row["status"])
    if row["currency"] != offer.currency:
        raise OtherPlace


def credit_of(row: Row, paid: Sequence[Row], held: Held) -> Decimal:
    """The unused share of what was paid for the present term, as far as it was not given back already.

    The day of the change counts as used. `paid` is `paid_period` of `leaving.sql`.
    """
    return unused(row, paid, held.today, None) if paid else Decimal(0)
