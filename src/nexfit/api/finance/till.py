"""The till of a local day, and counting it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column, row_column
from nexfit.api.finance import types as finance  # noqa: F401  # PaymentMethod becomes an enum of the schema there
from nexfit.api.finance.facility import EARLIEST, LATEST
from nexfit.api.identity.types import User, user_field
from nexfit.api.money import Money, money_field
from nexfit.api.relay import object_id, short_text
from nexfit.domains.errors import BadInput
from nexfit.domains.facilities import directory
from nexfit.domains.facilities.hours import local_today
from nexfit.domains.finance import till
from nexfit.domains.finance.till import CountKind
from nexfit.domains.finance.words import PaymentMethod
from nexfit.engine.fields import Record

MOST_NOTE = 300

strawberry.enum(CountKind, name="TillCountKind", description="Which of a day's two counts.")


@strawberry.type(description="What moved over the desk by one method on a local day.")
class TillMethod:
    """Payments taken there, and refunds of such."""

    method: PaymentMethod = row_column(description="How it moved.")
    payments: int = row_column(description="Payments taken.")
    paid: Money = money_field("paid", description="Their total.")
    refunds: int = row_column(description="Refunds given.")
    returned: Money = money_field("returned", description="Their total.")
    net: Money = money_field("net", description="Payments less refunds.")


@strawberry.type(description="What was in the drawer when somebody counted it.")
class TillCount:
    """From PostgreSQL's `finance.till_counts`."""

    counted: Money = money_field("counted", description="What was there.")
    expected: Money | None = money_field("expected", description="What should have been there; null for the opening.")
    note: str | None = row_column(description="What the counter says to it.")
    counted_at: datetime = row_column(description="When.")
    counted_by: User | None = user_field("counted_by", description="Who counted.")


@strawberry.type(description="The desk's money of one local day.")
class TillReport:
    """From PostgreSQL's ledger; what a provider moves never passes the desk."""

    day: date = row_column(description="The day, in the facility's calendar.")
    methods: list[TillMethod] = column(description="By method; those without movements are absent.")
    net: Money = money_field("net", description="Payments less refunds by all methods.")
    opening: TillCount | None = column(description="The count before the day's first customer.")
    closing: TillCount | None = column(description="The count after the last.")
    expected_cash: Money | None = money_field(
        "expected_cash", description="The opening and the cash that moved since; null before the opening is counted."
    )
    difference: Money | None = money_field(
        "difference", description="What the closing had more than was expected when it was counted; less is negative."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TillArgs(Args):
    """Which day."""

    day: Annotated[date | None, strawberry.argument(description="The facility's local day; default today.")] = None


async def tills_of_facilities(parents: Sequence[Record], args: TillArgs, context: Context) -> Sequence[Any]:
    """The till of each facility; null where there never was money."""
    if args.day is not None and not EARLIEST <= args.day <= LATEST:
        raise BadInput(
            "{name} must be between {least} and {most}.", path=("day",), name="day", least=EARLIEST, most=LATEST
        )
    zones = {str(parent["_id"]): parent["timezone"] for parent in parents}
    days = {id_: args.day or local_today(zone, context.now) for id_, zone in zones.items()}
    found = await till.reports(context.stores.postgres, days, zones)
    return [found[str(parent["_id"])] for parent in parents]


@strawberry.type(description="The till as it is now, or why it was not counted.")
class CountTillPayload:
    """Payload of `countTill`."""

    till: TillReport | None = column(description="The facility's day; null when nothing was done.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.input(description="What is in the drawer.")
class CountTillInput:
    """Input of `countTill`."""

    facility: strawberry.ID = strawberry.field(description="Where.")
    kind: CountKind = strawberry.field(description="Before the first customer, or after the last.")
    counted: Decimal = strawberry.field(description="The cash that is there, in the facility's currency.")
    note: str | None = strawberry.field(
        default=None, description=f"Such as why it differs; at most {MOST_NOTE} characters."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CountTillArgs(Args):
    """Arguments of `countTill`."""

    input: Annotated[CountTillInput, strawberry.argument(description="What is in the drawer.")]


async def _count(args: CountTillArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    facility = object_id(asked.facility, "Facility", "facility")
    day = await till.count(
        context.services.units,
        context.stores,
        context.actor,
        facility=facility,
        kind=asked.kind,
        counted=asked.counted,
        note=short_text(asked.note, MOST_NOTE, "note"),
        now=context.now,
    )
    places = await directory.by_ids(context.stores.mongo, [facility], ("timezone",))
    id_ = str(facility)
    found = await till.reports(context.stores.postgres, {id_: day}, {id_: places[facility]["timezone"]})
    return {"till": found[id_]}


@strawberry.type
class TillMutations:
    """Root fields of this area."""

    count_till: CountTillPayload = batch(
        answering(_count),
        args=CountTillArgs,
        description="Keep what is in the drawer today, by staff with finance_write or members_write: an opening, then "
        "a closing, each once. Repeating the same count changes nothing.",
    )
