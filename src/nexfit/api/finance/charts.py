"""What an owner's charts are drawn from: figures by period, and how many of those who joined in a month stayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import row_column
from nexfit.api.finance.facility import DaysArgs, check_days
from nexfit.api.money import Money, money_field
from nexfit.domains.analytics import charts
from nexfit.domains.errors import BadInput
from nexfit.domains.facilities.hours import local_today
from nexfit.domains.finance.overview import Period
from nexfit.engine.fields import Record

MOST_COHORTS = 60
"""Months of joining that one request asks for."""


@strawberry.type(description="A facility's figures of one period of its calendar, from its days.")
class FigurePeriod:
    """From PostgreSQL's `finance.analytics_daily`; a share is null where there is nothing to take it of."""

    period: date = row_column(description="The period's first day.")
    revenue: Money = money_field("revenue", description="Payments less refunds, each on its own day.")
    payments: int = row_column(description="Payments that succeeded.")
    refunds: int = row_column(description="Refunds and chargebacks.")
    new_members: int = row_column(description="People whose first membership began.")
    active_members: int = row_column(description="People with a membership on the period's last day.")
    cancellations: int = row_column(description="Memberships cancelled.")
    renewals: int = row_column(description="Terms paid after the first.")
    churn: Decimal | None = row_column(
        description="Cancellations by the active members of the day before, such as 0.0321."
    )
    visits: int = row_column(description="Entries.")
    classes: int = row_column(description="Dates of classes that took place.")
    attendance: int = row_column(description="Class bookings attended.")
    class_fill: Decimal | None = row_column(description="Seats taken by seats offered.")
    no_shows: int = row_column(description="Seats whose member did not come.")
    no_show_rate: Decimal | None = row_column(description="No-shows by those and attended ones.")
    late_cancellations: int = row_column("late_cancelled", description="Places given back too late.")


@strawberry.type(description="Those whose first membership began in one month, and how many stayed.")
class Cohort:
    """From PostgreSQL's `finance.subscriptions`."""

    month: date = row_column("cohort", description="The month's first day.")
    members: int = row_column(description="How many they were.")
    kept: list[int] = row_column(
        description="How many had a membership on the last day of that month and of each month since, then today."
    )
    retention: list[Decimal | None] = row_column(description="The same as shares of the members.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FiguresArgs(DaysArgs):
    """A range of local days and the periods to sum by."""

    by: Annotated[Period, strawberry.argument(description="The periods.")] = Period.MONTH


async def figures_of_facilities(parents: Sequence[Record], args: FiguresArgs, context: Context) -> Sequence[Any]:
    """The periods of each facility, earliest first; those without any day recorded are absent."""
    check_days(args, args.by)
    ids = [str(parent["_id"]) for parent in parents]
    found = await charts.figures(context.stores.postgres, ids, args.from_, args.to, str(args.by))
    return [found[id_] for id_ in ids]


async def cohorts_of_facilities(parents: Sequence[Record], args: DaysArgs, context: Context) -> Sequence[Any]:
    """The cohorts of each facility, earliest first."""
    check_days(args, Period.MONTH)
    months = (args.to.year - args.from_.year) * 12 + args.to.month - args.from_.month + 1
    if months > MOST_COHORTS:
        raise BadInput("Ask for at most {most} periods.", path=("to",), most=MOST_COHORTS)
    zones = {str(parent["_id"]): parent["timezone"] for parent in parents}
    todays = {id_: local_today(zone, context.now) for id_, zone in zones.items()}
    found = await charts.cohorts(context.stores.postgres, zones, todays, args.from_, args.to)
    return [found[str(parent["_id"])] for parent in parents]
