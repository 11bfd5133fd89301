"""Selling, buying and giving back programs online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column, derived, row_column
from nexfit.api.identity import payloads
from nexfit.api.inputs import values_of
from nexfit.api.memberships.purchases import Purchase, ToPay, shown
from nexfit.api.relay import IDEMPOTENCY_KEY, id_reader, local_id, object_id
from nexfit.api.training.enrolments import ProgramEnrolment
from nexfit.api.training.library import WorkoutProgram
from nexfit.domains.errors import NotFound
from nexfit.domains.finance import ledger
from nexfit.domains.identity.validation import checked
from nexfit.domains.memberships import program_sales, purchase
from nexfit.domains.training import enrolments, library, pricing
from nexfit.domains.training.library import PROGRAMS
from nexfit.engine.fields import Record


async def _programs(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    ids = [ObjectId(parent["program_id"]) for parent in parents]
    found = await library.by_ids(context.stores.mongo, PROGRAMS, ids, args.selection.columns)
    return [found.get(id_) for id_ in ids]


async def _enrolments(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    ids = [parent["enrolment_id"] and ObjectId(parent["enrolment_id"]) for parent in parents]
    found = await enrolments.by_ids(context.stores.mongo, (id_ for id_ in ids if id_), args.selection.columns)
    return [found.get(id_) for id_ in ids]


def _given_back(record: Record, _args: object, _context: object) -> bool:
    return record["refund_id"] is not None


@strawberry.type(description="Somebody buying a program online: what was promised, and what became of it.")
class ProgramPurchase(Purchase):
    """Of a program."""

    id: strawberry.ID = row_column("purchase_id", read=id_reader("ProgramPurchase"), description="The global id.")
    program: WorkoutProgram | None = batch(_programs, needs=("program_id",), description="The program, as it is now.")
    enrolment: ProgramEnrolment | None = batch(
        _enrolments, needs=("enrolment_id",), description="The buyer's way through it, once it is paid; for the buyer."
    )
    given_back: bool = derived(
        _given_back, needs=("refund_id",), description="Whether the money goes or went back to the buyer."
    )


@strawberry.type(description="The purchase and how to pay it, or why there is none.")
class PurchaseProgramPayload(ToPay):
    """Payload of `purchaseProgram`."""

    purchase: ProgramPurchase | None = column(description="The purchase; null when nothing was done.")


@strawberry.type(description="The purchase as it is now, or why not.")
class ReturnProgramPayload:
    """Payload of `returnProgram`."""

    purchase: ProgramPurchase | None = column(description="The purchase; null when nothing was done.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@strawberry.type(description="The program as it is now, or why not.")
class ProgramPricePayload:
    """Payload of `setProgramPrice`."""

    program: WorkoutProgram | None = column(description="The program; null when nothing was done.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@strawberry.input(description="What a program costs, and who sells it.")
class ProgramPriceInput:
    """A part of `SetProgramPriceInput`."""

    facility: strawberry.ID = strawberry.field(description="Who sells it: a facility whose plans the viewer may price.")
    price: Decimal = strawberry.field(description="Tax included.")
    currency: str = strawberry.field(description="ISO 4217; the facility's.")
    discount_price: Decimal | None = strawberry.field(default=None, description="What is paid instead, for now.")


@strawberry.input(description="Which program, at which price.")
class SetProgramPriceInput:
    """Input of `setProgramPrice`."""

    program: strawberry.ID = strawberry.field(description="A program that the viewer made.")
    price: ProgramPriceInput | None = strawberry.field(default=None, description="What it costs; null for nothing.")


@strawberry.input(description="Which program, at which price.")
class PurchaseProgramInput:
    """Input of `purchaseProgram`."""

    program: strawberry.ID = strawberry.field(description="A public `WorkoutProgram` that is sold.")
    expected_total: Decimal = strawberry.field(
        description="What the buyer was told, in the program's currency; another price is refused as PRICE_CHANGED."
    )
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@strawberry.input(description="Which program to give back.")
class ReturnProgramInput:
    """Input of `returnProgram`."""

    purchase: strawberry.ID = strawberry.field(description="A `ProgramPurchase` of the viewer.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetProgramPriceArgs(Args):
    """Arguments of `setProgramPrice`."""

    input: Annotated[SetProgramPriceInput, strawberry.argument(description="Which program, at which price.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseProgramArgs(Args):
    """Arguments of `purchaseProgram`."""

    input: Annotated[PurchaseProgramInput, strawberry.argument(description="Which program, at which price.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnProgramArgs(Args):
    """Arguments of `returnProgram`."""

    input: Annotated[ReturnProgramInput, strawberry.argument(description="Which purchase.")]


async def _price(args: SetProgramPriceArgs, context: Context) -> Mapping[str, Any]:
    program = object_id(args.input.program, "WorkoutProgram", "program")
    price = None
    if args.input.price is not None:
        values = values_of(args.input.price)
        seller = object_id(values.pop("facility"), "Facility", "facility")
        price = checked(pricing.Price, **values, facility_id=seller)
    await pricing.set_price(context.services.units, context.actor, program, price, now=context.now)
    below = args.selection.at("program")
    found = await library.by_ids(context.stores.mongo, PROGRAMS, [program], below.columns) if below else {}
    return {"program": found.get(program)}


async def _purchase(args: PurchaseProgramArgs, context: Context) -> Mapping[str, Any]:
    begun = await purchase.begin_program(
        context.services.sales,
        context.actor,
        program=object_id(args.input.program, "WorkoutProgram", "program"),
        expected_total=args.input.expected_total,
        key=args.input.idempotency_key,
        now=context.now,
    )
    return await shown(begun, args, context)


async def _return(args: ReturnProgramArgs, context: Context) -> Mapping[str, Any]:
    try:
        id_ = UUID(local_id(args.input.purchase, "ProgramPurchase"))
    except (TypeError, ValueError):
        raise NotFound("There is no such {name}.", path=("purchase",), name="purchase") from None
    services = context.services
    await program_sales.give_back(
        services.units, services.stores, services.payments, context.actor, id_, now=context.now
    )
    below = args.selection.at("purchase")
    found = await ledger.by_ids(services.stores.postgres, ledger.PURCHASES, [id_], below.columns) if below else {}
    return {"purchase": found.get(id_)}


@strawberry.type
class ProgramSaleMutations:
    """Root fields of this area."""

    set_program_price: ProgramPricePayload = batch(
        answering(_price),
        args=SetProgramPriceArgs,
        description="Let a facility sell a program of one's own, by who has plans_write there; without a price "
        "everybody has it for nothing. Who began it before goes on.",
    )
    purchase_program: PurchaseProgramPayload = batch(
        answering(_purchase),
        args=PurchaseProgramArgs,
        description="Buy a program online, by the viewer. The price is fixed here; the program begins when the "
        "provider has the money. Card data goes to the provider alone.",
    )
    return_program: ReturnProgramPayload = batch(
        answering(_return),
        args=ReturnProgramArgs,
        description="Give a bought program back for all its money, within 14 days and before a day of it was done or "
        "left out. Repeating it changes nothing.",
    )
