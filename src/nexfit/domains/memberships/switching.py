"""Changing to another plan at the desk: what is not used of the present one is credited against the new one's price.

The old term's unused days are given back to the payment they came from, with a credit note; the new term begins today
and is sold in full. Both, and the end of the old membership, are one commit of both stores.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from bson import ObjectId

from nexfit.domains.errors import ErrorCode, NotFound, Refusal
from nexfit.domains.finance import refunding
from nexfit.domains.finance.payments import PaymentProvider
from nexfit.domains.finance.words import PaymentMethod, SubscriptionState
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor
from nexfit.domains.memberships.errors import PriceChanged
from nexfit.domains.memberships.leaving import Held, NotPossibleNow, find_held, pauses_of, sql, unused_share
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


@dataclass(frozen=True, slots=True)
class _Paid:
    payment: UUID | None
    credit: Decimal


async def preview(stores: Stores, actor: Actor, contract: ObjectId, plan: ObjectId, *, now: datetime) -> Switch:
    """What changing to a plan today comes to; writes nothing. By the holder or staff with `members_write`.

    Raises Unauthenticated, NotFound, OtherPlace, NotPossibleNow, NoTaxRate.
    """
    held, offer = await _found(stores, actor, contract, plan, now)
    [row] = await stores.postgres.fetch(sql.subscription, held.subscription)
    _check(row, offer)
    paid = await stores.postgres.fetch(sql.paid_period, held.subscription, row["current_period_start"])
    return Switch(_credit(row, paid[0] if paid else None, held).credit, offer.price, offer.currency, held.today)


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
    held, offer = await _found(stores, actor, contract, plan, now)
    if not held.by_staff:
        raise NotFound("There is no such membership.", path=("membership",))

    async def body(work: BothWork) -> dict[str, str | None]:
        row = await work.postgres.fetch_one(billing_sql.hold, held.subscription)
        if row is None:
            raise NotPossibleNow(state="gone")
        _check(row, offer)
        paid = await work.postgres.fetch_one(sql.paid_period, held.subscription, row["current_period_start"])
        found = _credit(row, paid, held)
        if offer.price - found.credit != expected_due:
            raise PriceChanged(price=f"{offer.price - found.credit:f} {offer.currency}")
        refund = None
        if found.payment is not None and found.credit > 0:
            asked = await refunding.give_back(
                work, found.payment, found.credit, "changed to another plan", by, today=held.today, now=now
            )
            refund = str(asked.refund) if asked.is_open else None
        await change_state(work, row, SubscriptionState.CANCELLED, cancelled_at=now, by=by)
        sold = await conclude(work, offer, Paid(method, now), renew=False, auto_renew=False, by=by)
        return {"contract": str(sold.contract), "refund": refund}

    asked_for = {
        "contract": str(contract),
        "plan": str(plan),
        "method": str(method),
        "expectedDue": f"{expected_due.normalize():f}",
    }
    made = await once(stores.mongo, units.both("switch_membership"), by, "switchMembership", key, asked_for, body)
    if made["refund"] is not None:
        await refunding.settle(units, stores, provider, UUID(made["refund"]), now=now)
    return ObjectId(made["contract"])


async def _found(stores: Stores, actor: Actor, contract: ObjectId, plan: ObjectId, now: datetime) -> tuple[Held, Offer]:
    held = await find_held(stores, actor, contract, now)
    document, facility = await find_plan(stores.mongo, plan)
    [stored] = await stores.mongo.find(
        "member_subscriptions", {"_id": contract}, ("facilityId", "userId", "membershipId"), limit=1
    )
    if facility["_id"] != stored["facilityId"] or plan == stored["membershipId"]:
        raise OtherPlace
    return held, offer_of(document, facility, await find_member(stores.mongo, stored["userId"]), now)


def _check(row: Row, offer: Offer) -> None:
    """Raises NotPossibleNow, OtherPlace."""
    if row["status"] != SubscriptionState.ACTIVE:
        raise NotPossibleNow(state=row["status"])
    if row["currency"] != offer.currency:
        raise OtherPlace


def _credit(row: Row, paid: Row | None, held: Held) -> _Paid:
    """The unused share of what was paid for the present term, as far as it was not given back already.

    The day of the change counts as used.
    """
    if paid is None:
        return _Paid(None, Decimal(0))
    share = unused_share(
        paid["total_amount"],
        row["current_period_start"],
        row["current_period_end"],
        held.today,
        row["currency"],
        withdrawn_until=None,
        pauses=pauses_of(paid),
    )
    return _Paid(paid["transaction_id"], max(min(share, paid["total_amount"] - paid["returned"]), Decimal(0)))
