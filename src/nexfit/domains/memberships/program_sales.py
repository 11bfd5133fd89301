"""Programs that are sold: what one costs, and the buyer's enrolment beside the money, in both stores or in neither.

How the money comes is the purchase's (`purchase.py`), as for memberships.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from bson import ObjectId

from nexfit.domains.errors import ErrorCode, NotFound, Refusal
from nexfit.domains.finance import refunding
from nexfit.domains.finance.payments import PaymentProvider
from nexfit.domains.finance.tax import rate_on
from nexfit.domains.identity.access import Actor
from nexfit.domains.memberships.offers import FACILITY_COLUMNS, Priced, find_member
from nexfit.domains.memberships.selling import Paid, account_of, take
from nexfit.domains.training import enrolments
from nexfit.domains.training.library import LIVE, PROGRAMS
from nexfit.domains.training.pricing import total_of
from nexfit.hybrid.unit_of_work import BothWork, UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.mongo import Document
from nexfit.stores.postgres import Row
from nexfit.stores.sql import load_sql

WITHDRAWAL = timedelta(days=14)
"""Within so many days who bought a program may give it back, as long as no day of it was done or left out."""

sql = load_sql("nexfit.domains.memberships", "purchase.sql")


class NotForSale(Refusal):
    """The program is free, or no facility sells it."""

    code = ErrorCode.BAD_USER_INPUT

    def __init__(self) -> None:
        super().__init__("This program is not for sale.", path=("program",))


class AlreadyBought(Refusal):
    """The buyer goes or went through the program, or made it."""

    code = ErrorCode.ALREADY_BOUGHT

    def __init__(self) -> None:
        super().__init__("You have this program already.", path=("program",))


class NotReturnable(Refusal):
    """The program was given back before, or is kept for longer than it may be given back."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("This purchase cannot be given back any more.", path=("purchase",))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramOffer(Priced):
    """A program as it is sold."""

    program: Document


async def offer_for(stores: Stores, buyer: ObjectId, program: ObjectId, now: datetime) -> ProgramOffer:
    """What a public program that is not archived costs somebody now. Raises NotFound, NotForSale, NoTaxRate."""
    mongo = stores.mongo
    query = {"_id": program, "isPublic": True, **LIVE}
    found = await mongo.find(PROGRAMS, query, enrolments.PROGRAM_COLUMNS, limit=1)
    if not found:
        raise NotFound("There is no such {name}.", path=("program",), name="program")
    pricing = found[0].get("pricing") or {}
    facility = await _facility(stores, pricing.get("facilityId"))
    if facility is None:
        raise NotForSale
    today = now.astimezone(ZoneInfo(facility["timezone"])).date()
    return ProgramOffer(
        facility=facility,
        member=await find_member(mongo, buyer),
        name=found[0]["name"],
        price=total_of(pricing),
        currency=pricing["currency"],
        tax_rate=rate_on(facility.get("address", {}).get("country"), today),
        today=today,
        program=found[0],
    )


async def check(stores: Stores, offer: ProgramOffer) -> None:
    """Raises AlreadyBought to who made the program, and who goes or went through it."""
    buyer, program = offer.member["_id"], offer.program
    began = {"userId": buyer, "programId": program["_id"]}
    if program["createdBy"] == buyer or await stores.mongo.find(enrolments.COLLECTION, began, (), limit=1):
        raise AlreadyBought


async def conclude(work: BothWork, stores: Stores, row: Row, paid: Paid, *, now: datetime) -> None:
    """Begin the program of a paid purchase, with its payment and invoice. Raises Refusal where it cannot be had."""
    facility = await _facility(stores, ObjectId(row["facility_id"]))
    buyer, id_ = ObjectId(row["user_id"]), ObjectId(row["program_id"])
    program = await work.mongo.find_one(PROGRAMS, {"_id": id_}, enrolments.PROGRAM_COLUMNS)
    if facility is None or program is None:
        raise NotForSale
    if await enrolments.has_begun(work, buyer, id_):
        raise AlreadyBought
    sold = Priced(
        facility=facility,
        member=await find_member(stores.mongo, buyer),
        name=row["plan_name"],
        price=row["amount"],
        currency=row["currency"],
        tax_rate=row["tax_rate"],
        today=now.astimezone(ZoneInfo(facility["timezone"])).date(),
    )
    try:
        enrolment = await enrolments.begin(
            work, program, buyer, start=sold.today, by=buyer, now=now, purchaseId=str(row["purchase_id"])
        )
    except ConstraintViolated as violated:
        if violated.constraint != "live_unique":
            raise
        raise WriteConflict("mongo", str(violated)) from violated  # begun at the same moment: look again
    business = await account_of(work, row["facility_id"], row["currency"])
    payment = await take(work, sold, business, paid)
    await work.postgres.execute(sql.activate_program, row["purchase_id"], str(enrolment), payment["transaction_id"])


async def give_back(
    units: UnitsOfWork, stores: Stores, provider: PaymentProvider | None, actor: Actor, purchase: UUID, *, now: datetime
) -> None:
    """Give a bought program back for all its money, within two weeks and before anything of it was done.

    Given back already, nothing changes. Raises Unauthenticated, NotFound, NotReturnable, NotThisDay, NotRefundable.
    """
    buyer = actor.require()
    found = await stores.postgres.fetch(sql.purchase, purchase)
    if not found or found[0]["program_id"] is None or found[0]["user_id"] != str(buyer):
        raise NotFound("There is no such {name}.", path=("purchase",), name="purchase")
    facility = await _facility(stores, ObjectId(found[0]["facility_id"])) or {"timezone": "UTC"}
    today = now.astimezone(ZoneInfo(facility["timezone"])).date()

    async def body(work: BothWork) -> None:
        held = await work.postgres.fetch_one(sql.hold, purchase)
        if held is None or held["status"] != "active" or held["refund_id"] is not None:
            return
        if now > held["paid_at"] + WITHDRAWAL:
            raise NotReturnable
        await enrolments.take_back(work, buyer, ObjectId(held["enrolment_id"]))
        asked = await refunding.give_back(
            work, held["transaction_id"], held["amount"], "given back", buyer, today=today, now=now
        )
        await work.postgres.execute(sql.give_program_back, purchase, asked.refund)

    await units.both("give_program_back").run(body)
    [after] = await stores.postgres.fetch(sql.purchase, purchase)
    if after["refund_id"] is None:
        raise NotReturnable
    await refunding.settle(units, stores, provider, after["refund_id"], now=now)


async def _facility(stores: Stores, id_: ObjectId | None) -> Document | None:
    found = await stores.mongo.find("facilities", {"_id": id_}, FACILITY_COLUMNS, limit=1) if id_ else []
    return found[0] if found else None
