"""Loads people's workouts and their progress."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import Args
from nexfit.api.relay import PageArgs, connection, node_selection, page_request
from nexfit.domains.errors import BadInput
from nexfit.domains.training import enrolments, figures, workouts
from nexfit.domains.training.enrolment_documents import EnrolmentStatus
from nexfit.engine.fields import Record
from nexfit.engine.selection import Selection

MOST_DAYS = 1_100

strawberry.enum(EnrolmentStatus, description="Where somebody stands in a program.")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkoutLogsArgs(PageArgs):
    """Which workouts."""

    since: Annotated[datetime | None, strawberry.argument(description="Begun at this moment or later.")] = None
    until: Annotated[datetime | None, strawberry.argument(description="Begun before this moment.")] = None


async def workouts_of_people(parents: Sequence[Record], args: WorkoutLogsArgs, context: Context) -> Sequence[Any]:
    """A connection of each person's workouts."""
    pages = await workouts.pages_of(
        context.stores.mongo,
        [parent["_id"] for parent in parents],
        args.since,
        args.until,
        page_request(args, workouts.ORDER),
        node_selection(args.selection).columns,
    )
    return [connection(page, workouts.ORDER, args.selection) for page in pages]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressArgs(Args):
    """Which days."""

    from_: Annotated[date, strawberry.argument(name="from", description="First day.")]
    to: Annotated[date, strawberry.argument(description=f"Last day; at most {MOST_DAYS} days.")]
    timezone: Annotated[str, strawberry.argument(description="IANA zone of the calendar.")] = "UTC"


def zone_of(name: str, *path: str) -> ZoneInfo:
    """The zone of an IANA name; raises BadInput."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise BadInput("{name} must be an IANA time zone, such as Europe/Istanbul.", path=path, name=path[-1]) from None


def check_range(first: date, last: date, most: int) -> None:
    """Raises BadInput for a range of days that is empty or too long."""
    if last < first:
        raise BadInput("to must not be before from.", path=("to",))
    if (last - first).days >= most:
        raise BadInput("Ask for at most {most} days.", path=("to",), most=most)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The moment a day begins in a zone; the first and the last days there are stay what they are."""
    try:
        return datetime.combine(day, time(), zone).astimezone(UTC)
    except OverflowError:
        return datetime.combine(day, time(), UTC)


async def progress_of_people(parents: Sequence[Record], args: ProgressArgs, context: Context) -> Sequence[Any]:
    """The progress of each person, from one read of all their workouts' figures."""
    zone = zone_of(args.timezone, "timezone")
    check_range(args.from_, args.to, MOST_DAYS)
    until = midnight(args.to, zone) + timedelta(
        days=1, hours=1
    )  # days have up to 25 hours; the rest is sorted out below
    asked, mongo = args.selection.fields, context.stores.mongo
    since = None if asked & _EVER else midnight(args.from_, zone)
    people = [parent["_id"] for parent in parents]
    found, programs = await asyncio.gather(
        workouts.done_by(mongo, people, since, until, _columns(args.selection))
        if asked - {"adherence"}
        else _nothing(),
        enrolments.of_people(mongo, people) if "adherence" in asked else _nothing(),
    )
    today = min(figures.day_of(context.now, zone), args.to)
    return [
        {
            **_progress(found.get(person, ()), args, zone, today, asked),
            "adherence": _adherence(programs.get(person, ()), args.from_, today),
        }
        for person in people
    ]


_EVER = frozenset(("records", "heaviest", "streak"))
"""What looks at all workouts until the range ends."""

_SUMS = frozenset(("sets", "reps", "volume", "distance"))
_BESTS = {"records": ("e1rm", "e1rmWeight", "e1rmReps"), "heaviest": ("weight", "weight", "weightReps")}
"""The stored figures of the best sets: what they are compared by, their weight and their repetitions."""


def _columns(selection: Selection) -> set[str]:
    """Of the workouts; their figures are most of what is read, so only those that are asked for."""
    summed = selection.at("weeks").columns | selection.at("total").columns
    columns = {"startTime", *(f"figures.{one}" for one in summed & _SUMS)}
    if "seconds" in summed:
        columns.add("duration")
    if any(one.startswith("areas") for one in summed):
        columns.add("figures.areas")
    for name, stored in _BESTS.items():
        if name in selection.fields:
            columns |= {f"figures.bests.{one}" for one in ("exerciseId", *stored)}
    return columns


async def _nothing() -> dict[Any, Any]:
    return {}


def _adherence(programs: Sequence[Record], since: date, until: date) -> Record:
    done, due = figures.program_days(programs, since, until)
    return {"done": done, "due": due}


def _progress(logs: Sequence[Record], args: ProgressArgs, zone: ZoneInfo, today: date, asked: frozenset[str]) -> Record:
    """What is asked for of it; the rest is left out."""
    logs = [log for log in logs if figures.day_of(log["startTime"], zone) <= args.to]
    made: dict[str, Any] = {}
    if asked & {"weeks", "total"}:
        weeks = figures.by_week(logs, zone, args.from_, args.to)
        made["total"] = _shown(figures.total(weeks, args.from_))
        made["weeks"] = [_shown(week) for week in weeks]
    for name, stored in _BESTS.items():
        if name in asked:
            made[name] = _records(figures.records(logs, *stored))
    if "streak" in asked:
        current, longest = figures.streaks((figures.day_of(log["startTime"], zone) for log in logs), today)
        made["streak"] = {"current": current, "longest": longest}
    return made


def _shown(week: figures.Week) -> Record:
    return {
        "starts": week.starts,
        "workouts": week.workouts,
        "sets": week.sets,
        "reps": week.reps,
        "volume": week.volume,
        "distance": week.distance,
        "seconds": week.seconds,
        "areas": [
            {"area": area, "sets": int(sets), "volume": volume} for area, (sets, volume) in sorted(week.areas.items())
        ],
    }


def _records(found: Sequence[figures.Record]) -> list[Record]:
    return [
        {
            "exerciseId": one.exercise,
            "value": one.value,
            "weight": one.weight,
            "reps": one.reps,
            "at": one.at,
            "log": one.log,
        }
        for one in found
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentsArgs(PageArgs):
    """Which programs."""

    status: Annotated[EnrolmentStatus | None, strawberry.argument(description="Only in this state.")] = None


async def enrolments_of_people(parents: Sequence[Record], args: EnrolmentsArgs, context: Context) -> Sequence[Any]:
    """A connection of the programs each person goes through or went through."""
    order = f"{enrolments.ORDER}:{args.status}"
    pages = await enrolments.pages_of(
        context.stores.mongo,
        [parent["_id"] for parent in parents],
        args.status,
        page_request(args, order),
        node_selection(args.selection).columns,
    )
    return [connection(page, order, args.selection) for page in pages]
