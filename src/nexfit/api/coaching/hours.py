"""When a coach can be trained with, and what is free of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.facilities.inputs import WeekdayOpeningInput
from nexfit.api.facilities.parts import OperatingHours
from nexfit.api.fields import Args, batch, column
from nexfit.api.inputs import values_of
from nexfit.domains.coaching import availability
from nexfit.domains.coaching.availability import WeeklyHours
from nexfit.domains.facilities.documents import MOST_OPENINGS
from nexfit.domains.identity.validation import checked


@strawberry.type(description="When a coach can be trained with, week by week.")
class CoachHours:
    """From MongoDB's `coach_hours`."""

    timezone: str = column(description="The IANA zone of the hours.")
    hours: list[OperatingHours] = column("operatingHours", description="Openings by weekday.")


@strawberry.type(description="A time that is free.")
class FreeTime:
    """Worked out when it is asked for."""

    starts_at: datetime = column(description="From.")
    ends_at: datetime = column(description="Until.")


@strawberry.input(description="Weekly hours.")
class SetCoachHoursInput:
    """Input of `setCoachHours`."""

    timezone: str = strawberry.field(description="An IANA time zone, such as Europe/Istanbul.")
    hours: list[WeekdayOpeningInput] = strawberry.field(
        description=f"Every opening of the week, at most {MOST_OPENINGS} that do not overlap."
    )


@strawberry.type(description="The hours as they are now, or why nothing was changed.")
class CoachHoursPayload:
    """Payload of `setCoachHours`."""

    hours: CoachHours | None = column(description="The hours; null when nothing was done.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCoachHoursArgs(Args):
    """Arguments of `setCoachHours`."""

    input: Annotated[SetCoachHoursInput, strawberry.argument(description="Weekly hours.")]


async def _set_hours(args: SetCoachHoursArgs, context: Context) -> Mapping[str, Any]:
    hours = checked(WeeklyHours, **values_of(args.input))
    await availability.set_hours(context.services.units, context.actor, hours, now=context.now)
    coach = context.actor.require()
    found = await availability.of_coaches(context.stores.mongo, [coach]) if args.selection.at("hours") else {}
    return {"hours": found.get(coach)}


@strawberry.type
class CoachHoursMutations:
    """Root fields of this area."""

    set_coach_hours: CoachHoursPayload = batch(
        answering(_set_hours),
        args=SetCoachHoursArgs,
        description="As a coach, say when clients may schedule sessions with you, in place of what you said before.",
    )
