"""A facility's desk sells sessions with a coach who works there: invoice, payment and credits together or not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from bson import ObjectId

from nexfit.domains.coaching import packages
from nexfit.domains.coaching.errors import NoRelation
from nexfit.domains.errors import BadInput, NotFound
from nexfit.domains.finance import invoicing
from nexfit.domains.finance.invoicing import Line, priced
from nexfit.domains.finance.tax import TaxClass, rate_on
from nexfit.domains.finance.words import PaymentMethod
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor, may
from nexfit.domains.memberships.offers import FACILITY_COLUMNS
from nexfit.hybrid.unit_of_work import BothWork, UnitsOfWork
from nexfit.stores.mongo import Document, Mongo


@dataclass(frozen=True, slots=True)
class DeskSale:
    """Where a package is sold, and how it was paid; None for what is still to be paid."""

    facility: ObjectId
    method: PaymentMethod | None


async def sell(
    units: UnitsOfWork,
    mongo: Mongo,
    actor: Actor,
    relation: ObjectId,
    offer: packages.Offer,
    desk: DeskSale,
    *,
    key: str,
    now: datetime,
) -> ObjectId:
    """Staff with `members_write` sell a package; its id. What is not paid at once is an open invoice, due today.

    The price includes the tax. The same `key` and input give the first sale again. Raises Unauthenticated, NotFound,
    BadInput, InvalidTransition unless the relation is active, NoTaxRate, IdempotencyConflict; then nothing was written.
    """
    seller = actor.require()
    offer.check()
    if desk.method is not None and desk.method not in invoicing.AT_THE_DESK:
        raise BadInput("A desk takes cash, cards and bank transfers.", path=("method",))
    places = await mongo.find("facilities", {"_id": desk.facility}, FACILITY_COLUMNS, limit=1)
    if not places or not may(actor, places[0], "members_write"):
        raise NotFound("There is no such facility.", path=("facility",))
    place = places[0]
    staff = {place.get("ownerId"), *(entry["userId"] for entry in place.get("staff") or ())}

    async def body(work: BothWork) -> str:
        found = await packages.active_relation(work, {"_id": relation})
        if found["coachId"] not in staff:
            raise NoRelation
        bill = packages.Bill(desk.facility, await _billed(work, place, found["clientId"], offer, desk, seller, now))
        return str(await packages.grant(work, found, offer, by=seller, now=now, bill=bill))

    asked = {
        "relation": str(relation),
        "facility": str(desk.facility),
        "method": str(desk.method),
        **offer.model_dump(mode="json"),
    }
    unit = units.both("sell_package_at_desk")
    return ObjectId(await once(mongo, unit, seller, "sellPackageAtDesk", key, asked, body))


async def _billed(
    work: BothWork,
    place: Document,
    client: ObjectId,
    offer: packages.Offer,
    desk: DeskSale,
    seller: ObjectId,
    now: datetime,
) -> UUID | None:
    """The invoice, paid where money was taken; None for what costs nothing."""
    account = await invoicing.account_of(work, place)
    if account["currency"] != offer.currency:
        raise BadInput("This facility trades in {currency}.", path=("currency",), currency=account["currency"])
    if offer.price == 0:
        return None
    person = await work.mongo.find_one("users", {"_id": client}, ("firstName", "lastName"))
    if person is None:
        raise NoRelation
    today = now.astimezone(ZoneInfo(place["timezone"])).date()
    rate = rate_on((place.get("address") or {}).get("country"), today)
    line = Line(offer.name[: invoicing.MOST_DESCRIPTION], Decimal(1), offer.price, TaxClass.STANDARD)
    lines = [priced(line, rate, offer.currency, includes_tax=True)]
    invoice = await invoicing.write(work, place, person, lines, account, today=today, due=today, by=seller)
    if desk.method is not None:
        await invoicing.settle(work, invoice, desk.method, None, today=today, by=seller, now=now)
    return UUID(str(invoice["invoice_id"]))
