"""Loads coaches' hours, and what is free of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import Args
from nexfit.domains.coaching import availability
from nexfit.domains.coaching.availability import MOST_DAYS
from nexfit.domains.coaching.documents import RelationStatus
from nexfit.domains.coaching.scheduling import LONGEST, SHORTEST
from nexfit.domains.errors import BadInput
from nexfit.engine.fields import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeTimesArgs(Args):
    """Which times."""

    since: Annotated[datetime, strawberry.argument(description="From this instant on; what has passed is not free.")]
    until: Annotated[datetime, strawberry.argument(description=f"Before this instant, {MOST_DAYS} days later at most.")]
    minutes: Annotated[int, strawberry.argument(description=f"At least so long, {SHORTEST} to {LONGEST}.")] = 60


def check_times(since: datetime, until: datetime, minutes: int, *path: str) -> None:
    """Raises BadInput for a range and a length that nobody asks free times for."""
    if not SHORTEST <= minutes <= LONGEST:
        raise BadInput(
            "{name} must be between {least} and {most}.",
            path=(*path, "minutes"),
            name="minutes",
            least=SHORTEST,
            most=LONGEST,
        )
    if not since < until <= since + timedelta(days=MOST_DAYS):
        raise BadInput("Ask for at most {most} days.", path=(*path, "until"), most=MOST_DAYS)


async def free_times_of_coaches(parents: Sequence[Record], args: FreeTimesArgs, context: Context) -> Sequence[Any]:
    """When each coach could have a session with somebody."""
    check_times(args.since, args.until, args.minutes)
    since = max(args.since, context.now)
    found: dict[Any, Any] = {}
    if since < args.until:
        ids = [parent["_id"] for parent in parents]
        found = await availability.free_of_coaches(context.stores.mongo, ids, since, args.until, args.minutes)
    return [_shown(found.get(parent["_id"], ())) for parent in parents]


def _shown(times: Iterable[availability.Interval]) -> list[dict[str, datetime]]:
    return [{"startsAt": begins, "endsAt": ends} for begins, ends in times]


async def free_times_of_relations(parents: Sequence[Record], args: FreeTimesArgs, context: Context) -> Sequence[Any]:
    """When each relation's coach and client could have a session; nothing while the relation is not active."""
    check_times(args.since, args.until, args.minutes)
    active = [parent for parent in parents if (parent.get("relationship") or {}).get("status") == RelationStatus.ACTIVE]
    pairs = [(parent["coachId"], parent["clientId"]) for parent in active]
    since = max(args.since, context.now)
    found: dict[Any, Any] = {}
    if pairs and since < args.until:
        free = await availability.free_of_pairs(context.stores.mongo, pairs, since, args.until, args.minutes)
        found = dict(zip((parent["_id"] for parent in active), free, strict=True))
    return [_shown(found.get(parent["_id"], ())) for parent in parents]


async def hours_of_relations(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """The weekly hours of each relation's coach; null for one who has set none."""
    found = await availability.of_coaches(context.stores.mongo, [parent["coachId"] for parent in parents])
    return [found.get(parent["coachId"]) for parent in parents]
