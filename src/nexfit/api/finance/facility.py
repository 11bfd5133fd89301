"""A facility's figures: revenue by period, what is outstanding, daily analytics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import Args, row_column
from nexfit.api.money import Money, money_field
from nexfit.domains.errors import BadInput
from nexfit.domains.facilities.hours import local_today
from nexfit.domains.finance import overview
from nexfit.domains.finance.overview import Period
from nexfit.engine.fields import Record

MOST_PERIODS = 400
"""Rows of figures per facility; a year of days, or more than thirty of months."""

EARLIEST, LATEST = date(1900, 1, 1), date(2999, 12, 31)
"""The days there can be figures of. The very first and last `date` would mean eternity to PostgreSQL's driver."""

_DAYS = {Period.DAY: 1, Period.WEEK: 7, Period.MONTH: 28}

strawberry.enum(Period, description="Calendar units; weeks begin on Monday.")


@strawberry.type(description="Revenue of a calendar period of the facility.")
class RevenuePeriod:
    """Net of refunds, each booked on its own local day."""

    period: date = row_column(description="The period's first day.")
    total: Money = money_field("total", description="Payments less refunds.")
    transactions: int = row_column(description="Payments that succeeded.")
    refunds: int = row_column(description="Refunds and chargebacks that succeeded.")


@strawberry.type(description="What members owe a facility.")
class Outstanding:
    """Invoices that are issued and not paid."""

    invoices: int = row_column(description="Open invoices.")
    total: Money = money_field("total", description="Their total.")
    overdue_invoices: int = row_column(description="Those past their due date.")
    overdue_total: Money = money_field("overdue_total", description="The total of those.")


@strawberry.type(description="A facility's figures of one local day.")
class AnalyticsDay:
    """From PostgreSQL's `finance.analytics_daily`."""

    date: date = row_column(description="The day.")
    new_members: int = row_column(description="People whose first membership began.")
    active_members: int = row_column(description="People with a valid membership.")
    total_revenue: Money = money_field("total_revenue", description="Payments less refunds.")
    class_attendance: int = row_column(description="Class bookings attended.")
    subscription_renewals: int = row_column(description="Subscriptions renewed.")
    subscription_cancellations: int = row_column(description="Subscriptions cancelled.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysArgs(Args):
    """A range of the facility's local days."""

    from_: Annotated[date, strawberry.argument(name="from", description="First local day.")]
    to: Annotated[date, strawberry.argument(description="Last local day, included.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevenueArgs(DaysArgs):
    """A range of local days and the periods to sum by."""

    by: Annotated[Period, strawberry.argument(description="The periods.")] = Period.MONTH


def check_days(args: DaysArgs, by: Period) -> None:
    """Raises BadInput for a range no figures can be of, or for too many periods."""
    for name, day in (("from", args.from_), ("to", args.to)):
        if not EARLIEST <= day <= LATEST:
            raise BadInput(
                "{name} must be between {least} and {most}.", path=(name,), name=name, least=EARLIEST, most=LATEST
            )
    if args.to < args.from_:
        raise BadInput("to must not be before from.", path=("to",))
    if (args.to - args.from_).days >= MOST_PERIODS * _DAYS[by]:
        raise BadInput("Ask for at most {most} periods.", path=("to",), most=MOST_PERIODS)


async def revenue_of_facilities(parents: Sequence[Record], args: RevenueArgs, context: Context) -> Sequence[Any]:
    """Every period of each facility, earliest first; empty where there never was money."""
    check_days(args, args.by)
    zones = {str(parent["_id"]): parent["timezone"] for parent in parents}
    found = await overview.revenue(context.stores.postgres, context.views, zones, args.from_, args.to, args.by)
    return [found[str(parent["_id"])] for parent in parents]


async def outstanding_of_facilities(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """What the members of each facility owe."""
    todays = {str(parent["_id"]): local_today(parent["timezone"], context.now) for parent in parents}
    found = await overview.outstanding(context.stores.postgres, context.views, todays)
    return [found[str(parent["_id"])] for parent in parents]


async def analytics_of_facilities(parents: Sequence[Record], args: DaysArgs, context: Context) -> Sequence[Any]:
    """The stored daily figures of each facility, earliest first; a day nothing was recorded for is absent."""
    check_days(args, Period.DAY)
    ids = [str(parent["_id"]) for parent in parents]
    found = await overview.analytics(context.stores.postgres, ids, args.from_, args.to)
    return [found[id_] for id_ in ids]
