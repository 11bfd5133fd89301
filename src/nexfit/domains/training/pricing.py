"""What a program costs: set by who made it, for a facility whose plans they may price, which then sells it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from babel.numbers import get_currency_precision
from bson import Decimal128, ObjectId
from pydantic import Field

from nexfit.domains.errors import BadInput, Forbidden, NotFound
from nexfit.domains.identity.access import RIGHTS_COLUMNS, Actor, may
from nexfit.domains.identity.validation import Input
from nexfit.domains.training.library import PROGRAMS, findable, version_of
from nexfit.domains.training.library_editing import LibraryChanged
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.documents import Currency, Id
from nexfit.stores.mongo import Document

MOST_PRICE = Decimal(10_000_000)


def total_of(pricing: Mapping[str, Any]) -> Decimal:
    """What is paid: the discounted price, where there is one."""
    price: Decimal128 = pricing["discountPrice"] if pricing.get("isDiscounted") else pricing["price"]
    return price.to_decimal()


class Price(Input):
    """What a program is to cost, tax included, and the facility that sells it."""

    price: Annotated[Decimal, Field(gt=0, le=MOST_PRICE, allow_inf_nan=False)]
    discount_price: Annotated[Decimal, Field(gt=0, le=MOST_PRICE, allow_inf_nan=False)] | None = None
    currency: Currency
    facility_id: Id

    def stored(self) -> Document:
        """As MongoDB keeps it. Raises BadInput for amounts that cannot be."""
        decimals = get_currency_precision(self.currency)
        made: Document = {
            "price": self.price,
            "currency": self.currency,
            "isDiscounted": self.discount_price is not None,
        }
        if self.discount_price is not None:
            made["discountPrice"] = self.discount_price
            if self.discount_price >= self.price:
                raise BadInput("A discount makes it cheaper.", path=("discountPrice",))
        for name in ("price", "discountPrice"):
            if name in made and made[name] != made[name].quantize(Decimal(1).scaleb(-decimals)):
                raise BadInput(
                    "A price in {currency} has {most} decimals.", path=(name,), currency=self.currency, most=decimals
                )
            if name in made:
                made[name] = Decimal128(made[name].quantize(Decimal(1).scaleb(-decimals)))
        return {**made, "facilityId": self.facility_id}


async def set_price(units: UnitsOfWork, actor: Actor, program: ObjectId, price: Price | None, *, now: datetime) -> None:
    """Let a facility sell a program of the viewer's, or let everybody have it where there is no `price`.

    Repeating it changes nothing. Who began it before goes on. Raises Unauthenticated, NotFound, Forbidden, BadInput.
    """
    viewer = actor.require()
    pricing = None if price is None else price.stored()

    async def body(work: MongoWork) -> None:
        query = {"_id": program, **findable(viewer)}
        kept = await work.mongo.find_one(PROGRAMS, query, ("createdBy", "version", "pricing"))
        if kept is None:
            raise NotFound("There is no such {name}.", path=("program",), name="program")
        if kept["createdBy"] != viewer:
            raise Forbidden("Only who made it may change it.", path=("program",))
        if price is not None:
            seller = await work.mongo.find_one("facilities", {"_id": price.facility_id}, RIGHTS_COLUMNS)
            if seller is None or not may(actor, seller, "plans_write"):
                raise NotFound("There is no such {name}.", path=("facility",), name="facility")
        if kept.get("pricing") == pricing:
            return
        forgotten = {"$unset": {"pricing": ""}} if pricing is None else {}
        written = {} if pricing is None else {"pricing": pricing}
        await work.mongo.update(PROGRAMS, {"_id": program}, {"$set": {"updatedAt": now, **written}, **forgotten})
        work.emit(LibraryChanged(collection=PROGRAMS, entry_id=str(program), version=version_of(kept)))
        told = None if pricing is None else f"{total_of(pricing):f} {pricing['currency']}"
        work.audit(Audit("program.priced", "workout_program", str(program), user_id=str(viewer), after={"price": told}))

    await units.mongo("price_program").run(body)
