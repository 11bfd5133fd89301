"""Ending classes, and giving what somebody teaches to somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry

from nexfit.api.classes.mutations import MOST_REASON
from nexfit.api.classes.types import Class, ClassOccurrence
from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity.payloads import USER_ERRORS
from nexfit.api.relay import object_id, short_text
from nexfit.domains.classes import ending, substituting, timetable
from nexfit.domains.classes.ending import BookedDates

strawberry.enum(BookedDates, description="What becomes of dates of an ended class that somebody has booked.")


@strawberry.input(description="Which class ends, and how.")
class EndClassInput:
    """Input of `endClass`."""

    class_: strawberry.ID = strawberry.field(name="class", description="Which one.")
    booked_dates: BookedDates = strawberry.field(description="What becomes of dates that people hold a place on.")
    reason: str | None = strawberry.field(
        default=None, description=f"For the members of dates that are called off; at most {MOST_REASON} characters."
    )


@strawberry.input(description="Who teaches in whose stead.")
class SubstituteInstructorInput:
    """Input of `substituteInstructor`."""

    facility: strawberry.ID = strawberry.field(description="Where.")
    instructor: strawberry.ID = strawberry.field(description="Who taught; need not work there any more.")
    substitute: strawberry.ID | None = strawberry.field(
        default=None, description="Who teaches now: the owner or somebody of the staff; null for nobody yet."
    )


@strawberry.type(description="The class as it is now, and what became of its dates, or why nothing was done.")
class EndClassPayload:
    """Payload of `endClass`."""

    class_: Class | None = column("class", name="class", description="The class; null when nothing was done.")
    kept_dates: list[ClassOccurrence] | None = column(description="Dates that still take place.")
    cancelled_bookings: int | None = column(description="Bookings this ended, whose quota was given back.")
    user_errors: list[UserError] = column(description=USER_ERRORS)


@strawberry.type(description="How many dates somebody else teaches now, or why nothing was done.")
class SubstituteInstructorPayload:
    """Payload of `substituteInstructor`."""

    dates: int | None = column(description="Dates that were changed; null when nothing was done.")
    user_errors: list[UserError] = column(description=USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndClassArgs(Args):
    """Arguments of `endClass`."""

    input: Annotated[EndClassInput, strawberry.argument(description="Which class.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubstituteInstructorArgs(Args):
    """Arguments of `substituteInstructor`."""

    input: Annotated[SubstituteInstructorInput, strawberry.argument(description="Who for whom.")]


async def _end(args: EndClassArgs, context: Context) -> Mapping[str, Any]:
    id_ = object_id(args.input.class_, "Class", "class")
    done = await ending.end(
        context.services.classes,
        context.actor,
        id_,
        booked=args.input.booked_dates,
        reason=short_text(args.input.reason, MOST_REASON, "reason"),
        now=context.now,
    )
    mongo, asked = context.stores.mongo, args.selection
    classes = await timetable.by_ids(mongo, timetable.CLASSES, [id_], asked.at("class").columns)
    dates = asked.at("keptDates")
    found = await timetable.by_ids(mongo, timetable.OCCURRENCES, done.kept, dates.columns) if dates else {}
    kept = [found[one] for one in done.kept if one in found]
    return {"class": classes.get(id_), "keptDates": kept, "cancelledBookings": done.bookings}


async def _substitute(args: SubstituteInstructorArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    dates = await substituting.replace(
        context.services.classes,
        context.actor,
        object_id(asked.facility, "Facility", "facility"),
        object_id(asked.instructor, "User", "instructor"),
        object_id(asked.substitute, "User", "substitute") if asked.substitute is not None else None,
        now=context.now,
    )
    return {"dates": dates}


@strawberry.type
class EndingMutations:
    """Root fields of this area."""

    end_class: EndClassPayload = batch(
        answering(_end),
        args=EndClassArgs,
        description="End a class now, by staff with classes_write: it makes no further dates, dates nobody booked go, "
        "and booked ones are called off or kept until their day. All or nothing; repeating it changes nothing.",
    )
    substitute_instructor: SubstituteInstructorPayload = batch(
        answering(_substitute),
        args=SubstituteInstructorArgs,
        description="Give the classes and all coming dates of an instructor at a facility to somebody else, by staff "
        "with classes_write. A substitute who is taken at one of the times is refused as SCHEDULE_CLASH; then nothing "
        "changed. Repeating it changes nothing.",
    )
