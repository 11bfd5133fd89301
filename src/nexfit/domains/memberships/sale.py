"""Selling a membership at the desk for money that was taken there."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from bson import ObjectId

from nexfit.domains.errors import NotFound
from nexfit.domains.finance.words import PaymentMethod
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor, may
from nexfit.domains.memberships.errors import PriceChanged
from nexfit.domains.memberships.offers import find_member, find_plan, offer_of
from nexfit.domains.memberships.selling import Paid, conclude
from nexfit.hybrid.unit_of_work import BothWork, UnitsOfWork
from nexfit.stores.mongo import Mongo


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
    found, facility = await find_plan(mongo, plan, renew=renew)
    if not may(actor, facility, "members_write"):
        raise NotFound("There is no such plan.", path=("plan",))
    offer = offer_of(found, facility, await find_member(mongo, member), now)

    async def body(work: BothWork) -> str:
        if expected_total != offer.price:
            raise PriceChanged(price=f"{offer.price:f} {offer.currency}")
        paid = Paid(method, now)
        return str((await conclude(work, offer, paid, renew=renew, auto_renew=False, by=seller)).contract)

    asked = {
        "plan": str(plan),
        "member": str(member),
        "method": str(method),
        "expectedTotal": f"{expected_total.normalize():f}",
        "renew": renew,
    }
    unit = units.both("sell_membership")
    return ObjectId(await once(mongo, unit, seller, "sellMembership", key, asked, body))
