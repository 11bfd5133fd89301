"""Loads classes, their dates, and the facility something belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.fields import Args
from nexfit.api.relay import PageArgs, connection, node_selection, page_request
from nexfit.domains.classes import substituting, timetable
from nexfit.domains.classes.timetable import ClassOrder
from nexfit.domains.errors import BadInput
from nexfit.domains.facilities import directory
from nexfit.engine.fields import Record

MOST_OCCURRENCES = 50
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class OccurrencesArgs(Args):
    """Which dates of a class."""

    first: Annotated[int, strawberry.argument(description=f"How many, 1 to {MOST_OCCURRENCES}.")] = 10
    since: Annotated[datetime | None, strawberry.argument(description="From this instant on; default now.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubstituteArgs(Args):
    """Which of the dates that need somebody else."""

    first: Annotated[int, strawberry.argument(description=f"How many, 1 to {MOST_OCCURRENCES}.")] = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassesArgs(PageArgs):
    """Which classes of a facility."""

    order_by: Annotated[ClassOrder, strawberry.argument(description="Ascending order.")] = ClassOrder.NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleArgs(PageArgs):
    """Which dates of a facility."""

    since: Annotated[
        datetime | None, strawberry.argument(description="Starting from this instant on; default now.")
    ] = None
    until: Annotated[
        datetime | None, strawberry.argument(description="Starting before this instant; default a week after `since`.")
    ] = None


strawberry.enum(ClassOrder, description="How classes are ordered.")


async def classes_of_facilities(parents: Sequence[Record], args: ClassesArgs, context: Context) -> Sequence[Any]:
    """A connection of the classes each facility offers now."""
    order = f"classes:{args.order_by}"
    request = page_request(args, order)
    pages = await timetable.pages_of_facilities(
        context.stores.mongo,
        [parent["_id"] for parent in parents],
        timetable.keys_of(args.order_by, descending=False),
        request,
        node_selection(args.selection).columns,
    )
    return [connection(page, order, args.selection) for page in pages]


async def schedules_of_facilities(parents: Sequence[Record], args: ScheduleArgs, context: Context) -> Sequence[Any]:
    """A connection of the dates of all classes at each facility, earliest first."""
    since, until = range_of(args.since, args.until, context.now)
    pages = await timetable.schedules_of_facilities(
        context.stores.mongo,
        [parent["_id"] for parent in parents],
        since,
        until,
        page_request(args, timetable.SCHEDULE_ORDER),
        node_selection(args.selection).columns,
    )
    return [connection(page, timetable.SCHEDULE_ORDER, args.selection) for page in pages]


def range_of(since: datetime | None, until: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """From when to when: a week from now on unless it is said. Raises BadInput."""
    since = since or now
    until = until or since + WEEK
    if until < since:
        raise BadInput("until must not be before since.", path=("until",))
    return since, until


async def occurrences_of_classes(parents: Sequence[Record], args: OccurrencesArgs, context: Context) -> Sequence[Any]:
    """The next dates of each class."""
    if not 1 <= args.first <= MOST_OCCURRENCES:
        raise BadInput(
            "{name} must be between {least} and {most}.", path=("first",), name="first", least=1, most=MOST_OCCURRENCES
        )
    return await timetable.next_occurrences(
        context.stores.mongo,
        [parent["_id"] for parent in parents],
        args.since or context.now,
        args.first,
        args.selection.columns,
    )


async def dates_without_staff(parents: Sequence[Record], args: SubstituteArgs, context: Context) -> Sequence[Any]:
    """The next dates of each facility whose instructor has left."""
    if not 1 <= args.first <= MOST_OCCURRENCES:
        raise BadInput(
            "{name} must be between {least} and {most}.", path=("first",), name="first", least=1, most=MOST_OCCURRENCES
        )
    columns = args.selection.columns
    return await substituting.without_staff(context.stores.mongo, parents, context.now, args.first, columns)


async def classes_of_occurrences(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The class of each date."""
    ids = [parent["classId"] for parent in parents]
    found = await timetable.by_ids(context.stores.mongo, timetable.CLASSES, ids, args.selection.columns)
    return [found.get(id_) for id_ in ids]


async def facilities_of_parents(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The facility each document names in `facilityId`, or each row in `facility_id`."""
    ids = [ObjectId(parent.get("facilityId") or parent.get("facility_id")) for parent in parents]
    found = await directory.by_ids(context.stores.mongo, ids, args.selection.columns)
    return [found.get(id_) for id_ in ids]
