"""A facility's day so far, joined from both stores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import Args, row_column
from nexfit.api.money import Money, money_field
from nexfit.domains.classes import today
from nexfit.engine.fields import Record


@strawberry.type(description="A facility's day so far, on its own calendar.")
class FacilityToday:
    """From MongoDB's `visits` and `class_occurrences`, and PostgreSQL's ledger."""

    date: date = row_column(description="The day.")
    visits: int = row_column(description="Visits since midnight.")
    classes: int = row_column(description="Dates of classes that take place on this day.")
    capacity: int = row_column(description="Their seats.")
    seats_taken: int = row_column(description="Seats of them that are booked.")
    revenue: Money | None = money_field(
        "revenue", description="Payments less refunds since midnight; null where there never was money."
    )


async def today_of_facilities(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """The day of each facility."""
    zones = {str(parent["_id"]): parent["timezone"] for parent in parents}
    found = await today.of_facilities(context.stores.mongo, context.stores.postgres, context.views, zones, context.now)
    return [found[str(parent["_id"])] for parent in parents]


def tags_of_today(parents: Sequence[Record], _: Sequence[Any]) -> Iterable[str]:
    """What the day of each facility depends on."""
    return {tag for parent in parents for tag in today.tags(str(parent["_id"]))}
