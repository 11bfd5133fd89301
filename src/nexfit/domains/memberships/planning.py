"""The plans a facility sells: made, changed, taken off sale. MongoDB's `memberships`, one document per version.

A plan that is changed is a new version, and the old one is sold no more: whoever holds that keeps its price, limits and
features until they leave it, because a membership names the version it was sold as.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from babel.numbers import get_currency_precision
from bson import Decimal128, ObjectId
from pydantic import AfterValidator, Field, StringConstraints

from nexfit.domains.errors import ErrorCode, NotFound, Refusal
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import RIGHTS_COLUMNS, Actor, may
from nexfit.domains.identity.validation import Input, LineText
from nexfit.domains.memberships.documents import DurationUnit
from nexfit.domains.memberships.events import PlanChanged
from nexfit.domains.memberships.plans import COLLECTION
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.documents import Currency
from nexfit.stores.mongo import Document

MOST_FEATURES = 50
MOST_DESCRIPTION = 4_000
MOST_PRICE = Decimal(10_000_000)
MOST_PER_WEEK = 100
MOST_SESSIONS = 1_000

_ACCOUNT = "SELECT currency FROM finance.facility_accounts WHERE facility_id = $1"

_COLUMNS = (
    *("facilityId", "name", "description", "duration", "price", "currency", "features", "limitations", "isActive"),
    *("version", "lineId"),
)


class PlanIsSoldNoMore(Refusal):
    """Only what is on sale is changed or taken off it."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("This plan is not on sale any more.", path=("plan",))


class WrongPrice(Refusal):
    """A price has no more decimals than its currency, and the currency is the facility's."""

    code = ErrorCode.BAD_USER_INPUT


class Limits(Input):
    """What a plan includes; None sets no limit. Weeks are the facility's, Monday to Sunday."""

    max_visits_per_week: Annotated[int, Field(ge=1, le=MOST_PER_WEEK)] | None = None
    max_class_bookings_per_week: Annotated[int, Field(ge=1, le=MOST_PER_WEEK)] | None = None
    classes_included: bool = False
    personal_training_included: bool = False
    pt_sessions_included: Annotated[int, Field(ge=0, le=MOST_SESSIONS)] = 0

    def stored(self) -> Document:
        """As a document; what sets no limit is absent."""
        names = {
            "maxVisitsPerWeek": self.max_visits_per_week,
            "maxClassBookingsPerWeek": self.max_class_bookings_per_week,
            "classesIncluded": self.classes_included,
            "personalTrainingIncluded": self.personal_training_included,
            "ptSessionsIncluded": self.pt_sessions_included,
        }
        return {name: value for name, value in names.items() if value is not None}


class Terms(Input):
    """How long a plan lasts."""

    value: Annotated[int, Field(ge=1, le=366)]
    unit: DurationUnit


def _coin(currency: str) -> Decimal:
    return Decimal(1).scaleb(-get_currency_precision(currency))


def _finite(price: Decimal) -> Decimal:
    if not price.is_finite():
        raise ValueError("not an amount")
    return price


class PlanChange(Input):
    """What is given changes; `description` may be taken away by None."""

    name: LineText | None = None
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=MOST_DESCRIPTION)] | None = None
    duration: Terms | None = None
    price: Annotated[Decimal, Field(ge=0, le=MOST_PRICE), AfterValidator(_finite)] | None = None
    features: Annotated[list[LineText], Field(max_length=MOST_FEATURES)] | None = None
    limitations: Limits | None = None

    def stored(self, currency: str) -> Document:
        """The fields that are given, as a document has them; None is a field to be taken away."""
        given = self.model_fields_set
        made: Document = {}
        if self.name is not None:
            made["name"] = self.name
        if "description" in given:
            made["description"] = self.description or None
        if self.duration is not None:
            made["duration"] = {"value": self.duration.value, "unit": str(self.duration.unit)}
        if self.price is not None:
            made["price"] = Decimal128(self.price.quantize(_coin(currency)))
        if self.features is not None:
            made["features"] = self.features
        if self.limitations is not None:
            made["limitations"] = self.limitations.stored()
        return made


class NewPlan(PlanChange):
    """A plan to be sold. Everything but the description, features and limits is needed."""

    name: LineText
    duration: Terms
    price: Annotated[Decimal, Field(ge=0, le=MOST_PRICE), AfterValidator(_finite)]
    currency: Currency


async def create(
    units: UnitsOfWork, stores: Stores, actor: Actor, facility: ObjectId, plan: NewPlan, *, key: str, now: datetime
) -> ObjectId:
    """Put a plan on sale; its id. By staff with `plans_write`. The same `key` and input give the first plan again.

    Raises Unauthenticated, NotFound, WrongPrice, BadInput, IdempotencyConflict; then nothing was written.
    """
    by = actor.require()
    found = await stores.mongo.find("facilities", {"_id": facility}, RIGHTS_COLUMNS, limit=1)
    if not found or not may(actor, found[0], StaffPermission.PLANS_WRITE):
        raise NotFound("There is no such facility.", path=("facility",))
    await _check_price(stores, facility, plan.price, plan.currency)

    async def body(work: MongoWork) -> str:
        id_ = ObjectId()
        document = {
            "_id": id_,
            "facilityId": facility,
            "features": [],
            "limitations": Limits().stored(),
            **{name: value for name, value in plan.stored(plan.currency).items() if value is not None},
            "currency": plan.currency,
            "isActive": True,
            "version": 1,
            "lineId": id_,
            "createdAt": now,
            "updatedAt": now,
        }
        await work.mongo.insert(COLLECTION, document)
        _tell(work, "created", document, by, before=None)
        return str(id_)

    asked = {"facility": str(facility), **plan.model_dump(mode="json")}
    return ObjectId(await once(stores.mongo, units.mongo("create_plan"), by, "createMembershipPlan", key, asked, body))


async def change(
    units: UnitsOfWork, stores: Stores, actor: Actor, plan: ObjectId, change: PlanChange, *, now: datetime
) -> ObjectId:
    """Sell another version from now on; its id, the same one where nothing would differ. By staff with `plans_write`.

    Raises Unauthenticated, NotFound, PlanIsSoldNoMore, WrongPrice; then nothing was written.
    """
    by = actor.require()
    old = await _find(stores, actor, plan)
    if change.price is not None:
        await _check_price(stores, old["facilityId"], change.price, old["currency"])

    async def body(work: MongoWork) -> ObjectId:
        new = {**old, **change.stored(old["currency"])}
        new = {name: value for name, value in new.items() if value is not None}
        if new == old:
            if not old["isActive"]:
                raise PlanIsSoldNoMore
            return plan
        id_ = ObjectId()
        new |= {"_id": id_, "version": old.get("version", 1) + 1, "lineId": old.get("lineId", plan), "isActive": True}
        # Of two who change it at once the second finds it replaced.
        ended = {"isActive": False, "replacedBy": id_, "updatedAt": now}
        if await work.mongo.claim(COLLECTION, {"_id": plan, "isActive": True}, {"$set": ended}, ()) is None:
            raise PlanIsSoldNoMore
        await work.mongo.insert(COLLECTION, {**new, "createdAt": now, "updatedAt": now})
        _tell(work, "changed", new, by, before=old)
        return id_

    return await units.mongo("change_plan").run(body)


async def archive(units: UnitsOfWork, stores: Stores, actor: Actor, plan: ObjectId, *, now: datetime) -> None:
    """Take a plan off sale; whoever holds it keeps it. Doing it again changes nothing. By staff with `plans_write`.

    Raises Unauthenticated, NotFound.
    """
    by = actor.require()
    old = await _find(stores, actor, plan)

    async def body(work: MongoWork) -> None:
        ended = {"isActive": False, "updatedAt": now}
        if await work.mongo.claim(COLLECTION, {"_id": plan, "isActive": True}, {"$set": ended}, ()) is not None:
            _tell(work, "archived", {**old, **ended}, by, before=old)

    await units.mongo("archive_plan").run(body)


async def _find(stores: Stores, actor: Actor, plan: ObjectId) -> Document:
    plans = await stores.mongo.find(COLLECTION, {"_id": plan}, _COLUMNS, limit=1)
    facilities = (
        await stores.mongo.find("facilities", {"_id": plans[0]["facilityId"]}, RIGHTS_COLUMNS, limit=1) if plans else []
    )
    if not facilities or not may(actor, facilities[0], StaffPermission.PLANS_WRITE):
        raise NotFound("There is no such plan.", path=("plan",))
    return plans[0]


async def _check_price(stores: Stores, facility: ObjectId, price: Decimal, currency: str) -> None:
    decimals = get_currency_precision(currency)
    if price != price.quantize(_coin(currency)):
        raise WrongPrice(
            "A price in {currency} has {most} decimals.", path=("price",), currency=currency, most=decimals
        )
    for row in await stores.postgres.fetch(_ACCOUNT, str(facility)):
        if row["currency"] != currency:
            raise WrongPrice("This facility trades in {currency}.", path=("currency",), currency=row["currency"])


def _tell(work: MongoWork, what: str, plan: Document, by: ObjectId, *, before: Document | None) -> None:
    facility = str(plan["facilityId"])
    work.emit(
        PlanChanged(
            facility_id=facility,
            plan_id=str(plan["_id"]),
            line_id=str(plan.get("lineId", plan["_id"])),
            replaces=None if before is None or before["_id"] == plan["_id"] else str(before["_id"]),
        )
    )
    work.audit(
        Audit(
            action=f"membership_plan.{what}",
            entity_type="membership",
            entity_id=str(plan["_id"]),
            facility_id=facility,
            user_id=str(by),
            before=None if before is None else _said(before),
            after=_said(plan),
        )
    )


def _said(plan: Document) -> dict[str, Any]:
    kept = ("name", "duration", "features", "limitations", "isActive", "version")
    return {name: plan[name] for name in kept if name in plan} | {"price": f"{plan['price']} {plan['currency']}"}
