"""Loads what coaches earn: a coach's own, and those of a facility's coaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.finance.facility import RevenueArgs, check_days
from nexfit.api.relay import local_id
from nexfit.domains.coaching import availability, earnings
from nexfit.domains.coaching.earnings import Earner
from nexfit.domains.facilities import directory
from nexfit.engine.fields import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class EarningsArgs(RevenueArgs):
    """Days, periods, and where the packages were sold."""

    facility: Annotated[
        strawberry.ID | None, strawberry.argument(description="Only of packages sold at this facility.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CoachEarningsArgs(RevenueArgs):
    """Days, periods, and whose."""

    coach: Annotated[strawberry.ID | None, strawberry.argument(description="Only this coach's, a `User`.")] = None


async def earnings_of_viewer(parents: Sequence[Record], args: EarningsArgs, context: Context) -> Sequence[Any]:
    """What the viewer, who is every parent, earned: in the facility's days, else in those of the coach's hours."""
    check_days(args, args.by)
    coach, facility = context.actor.require(), None
    if args.facility is not None:
        facility = _object_id(args.facility, "Facility")
        known = await directory.by_ids(context.stores.mongo, [facility], ("timezone",)) if facility else {}
        if facility not in known:
            return [[]] * len(parents)
        timezone = known[facility]["timezone"]
    else:
        hours = await availability.of_coaches(context.stores.mongo, [coach])
        timezone = hours[coach]["timezone"] if coach in hours else "UTC"
    earner = Earner(str(coach), str(facility) if facility else None, timezone)
    [found] = await earnings.by_period(context.stores.postgres, [earner], args.from_, args.to, str(args.by))
    return [found] * len(parents)


async def earnings_at_facilities(parents: Sequence[Record], args: CoachEarningsArgs, context: Context) -> Sequence[Any]:
    """What coaches earned with packages sold at each facility, in its days."""
    check_days(args, args.by)
    coach = _object_id(args.coach, "User") if args.coach is not None else None
    if args.coach is not None and coach is None:
        return [[] for _ in parents]
    whose = str(coach) if coach else None
    earners = [Earner(whose, str(parent["_id"]), parent["timezone"]) for parent in parents]
    return await earnings.by_period(context.stores.postgres, earners, args.from_, args.to, str(args.by))


def _object_id(given: str, type_: str) -> ObjectId | None:
    found = local_id(given, type_)
    return ObjectId(found) if found is not None and ObjectId.is_valid(found) else None
