"""Loads people's plans and diaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import Args
from nexfit.api.relay import PageArgs, connection, node_selection, page_request
from nexfit.api.training.loaders import check_range
from nexfit.domains.nutrition import diary, figures, plans
from nexfit.engine.fields import Record

MOST_DAYS = 276


async def plans_of_people(parents: Sequence[Record], args: PageArgs, context: Context) -> Sequence[Any]:
    """A connection of the plans written for each person."""
    pages = await plans.pages_of(
        context.stores.mongo,
        [parent["_id"] for parent in parents],
        page_request(args, plans.ORDER),
        node_selection(args.selection).columns,
    )
    return [connection(page, plans.ORDER, args.selection) for page in pages]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiaryArgs(Args):
    """Which days."""

    from_: Annotated[date, strawberry.argument(name="from", description="First day.")]
    to: Annotated[date, strawberry.argument(description=f"Last day; at most {MOST_DAYS} days.")]


async def diaries_of_people(parents: Sequence[Record], args: DiaryArgs, context: Context) -> Sequence[Any]:
    """Every day with an entry of each person, against the plan they follow: two commands for all."""
    last = args.to
    check_range(args.from_, last, MOST_DAYS)
    people, mongo = [parent["_id"] for parent in parents], context.stores.mongo
    found = await diary.days_of(mongo, people, args.from_, last)
    followed = await plans.followed(mongo, people)
    return [
        [_day(day, entries, followed.get(person)) for day, entries in sorted(found[person].items())]
        for person in people
    ]


def _day(day: date, entries: Sequence[Record], plan: Record | None) -> Record:
    totals = figures.total(entry.get("nutrients") or {} for entry in entries)
    target = None if plan is None else plans.target_of(plan)
    return {
        "day": day,
        "entries": entries,
        "totals": totals,
        "plan": None if plan is None else plan["name"],
        "target": target,
        "error": None if target is None else figures.macro_error(totals, target),
    }
