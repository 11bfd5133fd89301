"""Loads people's workouts and their progress."""

from __future__ import annotations

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
    asked = args.selection.fields
    ever = not asked.isdisjoint(("records", "heaviest", "streak"))
    columns = {"startTime", "duration", "figures"}
    since = None if ever else midnight(args.from_, zone)
    found = await workouts.done_by(context.stores.mongo, [parent["_id"] for parent in parents], since, until, columns)
    today = min(figures.day_of(context.now, zone), args.to)
    programs = await enrolments.of_people(context.stores.mongo, found) if "adherence" in asked else {}
    return [
        {
            **_progress(found[parent["_id"]], args, zone, today, asked),
            "adherence": _adherence(programs.get(parent["_id"], ()), args.from_, today),
        }
        for parent in parents
    ]


def _adherence(programs: Sequence[Record], since: date, until: date) -> Record:
    done, due = figures.program_days(programs, since, until)
    return {"done": done, "due": due}


def _progress(logs: Sequence[Record], args: ProgressArgs, zone: ZoneInfo, today: date, asked: frozenset[str]) -> Record:
    logs = [log for log in logs if figures.day_of(log["startTime"], zone) <= args.to]
    weeks = figures.by_week(logs, zone, args.from_, args.to)
    current, longest = figures.streaks((figures.day_of(log["startTime"], zone) for log in logs), today)
    return {
        "total": _shown(figures.total(weeks, args.from_)),
        "weeks": [_shown(week) for week in weeks],
        "records": _records(figures.records(logs, "e1rm", "e1rmWeight", "e1rmReps")) if "records" in asked else (),
        "heaviest": _records(figures.records(logs, "weight", "weight", "weightReps")) if "heaviest" in asked else (),
        "streak": {"current": current, "longest": longest},
    }


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
