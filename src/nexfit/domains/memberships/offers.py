"""A plan as somebody is about to buy it: what it costs whom today."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from bson import ObjectId

from nexfit.domains.errors import NotFound
from nexfit.domains.finance.invoicing import SELLER_COLUMNS
from nexfit.domains.finance.tax import rate_on
from nexfit.domains.identity.access import RIGHTS_COLUMNS
from nexfit.domains.memberships.documents import DurationUnit
from nexfit.stores.mongo import Document, Mongo
from nexfit.stores.postgres import Row

FACILITY_COLUMNS = (*RIGHTS_COLUMNS, "timezone", *SELLER_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """Something as it is sold: price, currency and tax rate are frozen from here on. `today` is the facility's."""

    facility: Document
    member: Document
    name: str
    price: Decimal
    currency: str
    tax_rate: Decimal
    today: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer(Priced):
    """A plan as it is sold; its length is frozen, too."""

    plan: ObjectId
    unit: DurationUnit
    value: int


async def find_plan(mongo: Mongo, plan: ObjectId, *, renew: bool = False) -> tuple[Document, Document]:
    """A plan on sale, and who sells it; to renew, also a version that was replaced. Two commands. Raises NotFound."""
    columns = ("facilityId", "name", "price", "currency", "duration")
    sold = [{"isActive": True}, *([{"replacedBy": {"$exists": True}}] if renew else [])]
    plans = await mongo.find("memberships", {"_id": plan, "$or": sold}, columns, limit=1)
    facilities = (
        await mongo.find("facilities", {"_id": plans[0]["facilityId"]}, FACILITY_COLUMNS, limit=1) if plans else []
    )
    if not facilities:
        raise NotFound("There is no such plan.", path=("plan",))
    return plans[0], facilities[0]


async def find_seller(mongo: Mongo, facility: ObjectId) -> Document | None:
    """Who sells; None when it is gone."""
    found = await mongo.find("facilities", {"_id": facility}, FACILITY_COLUMNS, limit=1)
    return found[0] if found else None


async def find_member(mongo: Mongo, member: ObjectId) -> Document:
    """Who buys. Raises NotFound."""
    people = await mongo.find("users", {"_id": member}, ("firstName", "lastName"), limit=1)
    if not people:
        raise NotFound("There is no such member.", path=("user",))
    return people[0]


def offer_of(plan: Document, facility: Document, member: Document, now: datetime) -> Offer:
    """What the plan costs now. Raises NoTaxRate."""
    today = now.astimezone(ZoneInfo(facility["timezone"])).date()
    return Offer(
        facility=facility,
        member=member,
        plan=plan["_id"],
        name=plan["name"],
        unit=DurationUnit(plan["duration"]["unit"]),
        value=int(plan["duration"]["value"]),
        price=plan["price"].to_decimal(),
        currency=plan["currency"],
        tax_rate=rate_on(facility.get("address", {}).get("country"), today),
        today=today,
    )


def frozen_offer(row: Row, price: Decimal, facility: Document, member: Document, now: datetime) -> Offer:
    """What was offered when the row of a purchase or of a change of plan was written."""
    return Offer(
        facility=facility,
        member=member,
        plan=ObjectId(row["plan_id"]),
        name=row["plan_name"],
        unit=DurationUnit(row["duration_unit"]),
        value=row["duration_value"],
        price=price,
        currency=row["currency"],
        tax_rate=row["tax_rate"],
        today=now.astimezone(ZoneInfo(facility["timezone"])).date(),
    )
