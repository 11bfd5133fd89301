"""Loads coaches' hours, and what is free of them."""

from __future__ import annotations

from collections.abc import Sequence
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


async def free_times_of_relations(parents: Sequence[Record], args: FreeTimesArgs, context: Context) -> Sequence[Any]:
    """When each relation's coach and client could have a session; nothing while the relation is not active."""
    if not SHORTEST <= args.minutes <= LONGEST:
        raise BadInput(
            "{name} must be between {least} and {most}.",
            path=("minutes",),
            name="minutes",
            least=SHORTEST,
            most=LONGEST,
        )
    if not args.since < args.until <= args.since + timedelta(days=MOST_DAYS):
        raise BadInput("Ask for at most {most} days.", path=("until",), most=MOST_DAYS)
    active = [parent for parent in parents if (parent.get("relationship") or {}).get("status") == RelationStatus.ACTIVE]
    pairs = [(parent["coachId"], parent["clientId"]) for parent in active]
    since = max(args.since, context.now)
    found: dict[Any, Any] = {}
    if pairs and since < args.until:
        free = await availability.free_of_pairs(context.stores.mongo, pairs, since, args.until, args.minutes)
        found = dict(zip((parent["_id"] for parent in active), free, strict=True))
    return [
        [{"startsAt": begins, "endsAt": ends} for begins, ends in found.get(parent["_id"], ())] for parent in parents
    ]


async def hours_of_relations(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """The weekly hours of each relation's coach; null for one who has set none."""
    found = await availability.of_coaches(context.stores.mongo, [parent["coachId"] for parent in parents])
    return [found.get(parent["coachId"]) for parent in parents]
