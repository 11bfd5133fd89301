"""The timetable of several facilities at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import strawberry

from nexfit.api.classes.loaders import range_of
from nexfit.api.classes.types import ClassOccurrence
from nexfit.api.context import Context
from nexfit.api.facilities.near import NearInput
from nexfit.api.fields import batch
from nexfit.api.relay import Connection, PageArgs, connection, node_selection, object_id, page_request
from nexfit.domains.classes import timetable
from nexfit.domains.errors import BadInput
from nexfit.engine.fields import Record

MOST_FACILITIES = 100


@strawberry.input(description="Which dates; absent parts match every one.")
class ScheduleFilter:
    """Filter of `schedule`."""

    facilities: list[strawberry.ID] | None = strawberry.field(
        default=None, description=f"Held at one of these, at most {MOST_FACILITIES}."
    )
    near: NearInput | None = strawberry.field(default=None, description="Held there.")
    instructor: strawberry.ID | None = strawberry.field(default=None, description="Taught by this `User`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleOfAllArgs(PageArgs):
    """Which dates, in which range."""

    filter: Annotated[ScheduleFilter | None, strawberry.argument(description="Which dates.")] = None
    since: Annotated[
        datetime | None, strawberry.argument(description="Starting from this instant on; default now.")
    ] = None
    until: Annotated[
        datetime | None, strawberry.argument(description="Starting before this instant; default a week after `since`.")
    ] = None


async def _schedule(parents: Sequence[Record], args: ScheduleOfAllArgs, context: Context) -> Sequence[Any]:
    given = args.filter or ScheduleFilter()
    if given.facilities is not None and len(given.facilities) > MOST_FACILITIES:
        raise BadInput("Ask for at most {most} ids.", path=("filter", "facilities"), most=MOST_FACILITIES)
    among = None
    if given.facilities is not None:
        among = [object_id(one, "Facility", "facilities") for one in given.facilities]
    page = await timetable.schedule(
        context.stores.mongo,
        among,
        given.near.checked("filter", "near") if given.near is not None else None,
        object_id(given.instructor, "User", "instructor") if given.instructor is not None else None,
        *range_of(args.since, args.until, context.now),
        page_request(args, timetable.SCHEDULE_ORDER),
        node_selection(args.selection).columns,
    )
    return [connection(page, timetable.SCHEDULE_ORDER, args.selection)] * len(parents)


@strawberry.type
class ScheduleQueries:
    """Root fields of this area."""

    schedule: Connection[ClassOccurrence] = batch(
        _schedule,
        args=ScheduleOfAllArgs,
        description="Dates of classes at any facilities in a range, earliest first, also those that were called off.",
    )
