"""Booking, leaving, coming to and calling off dates of classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.classes.bookings import ClassBooking
from nexfit.api.classes.types import ClassOccurrence
from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.relay import IDEMPOTENCY_KEY as KEY
from nexfit.api.relay import object_id, short_text
from nexfit.domains.classes import attendance, booking, bookings, cancellation, timetable

MOST_REASON = 300


@strawberry.type(description="The booking as it is now, or why not.")
class BookingPayload:
    """Payload of the mutations of one booking."""

    booking: ClassBooking | None = column(description="The booking; null when nothing was done.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.type(description="The date as it is now, or why not.")
class CancelClassDatePayload:
    """Payload of `cancelClassDate`."""

    occurrence: ClassOccurrence | None = column(description="The date; null when nothing was done.")
    cancelled_bookings: int | None = column(description="Bookings this ended; 0 when it was called off already.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.input(description="Who books what.")
class BookClassInput:
    """Input of `bookClass`."""

    occurrence: strawberry.ID = strawberry.field(description="The date.")
    idempotency_key: str = strawberry.field(description=KEY)
    user: strawberry.ID | None = strawberry.field(
        default=None, description="For whom, by staff with check_in, also after the start; default the viewer."
    )


@strawberry.input(description="Which booking.")
class BookingInput:
    """Input of `cancelBooking` and `checkIn`."""

    booking: strawberry.ID = strawberry.field(description="The booking.")


@strawberry.input(description="Whether somebody came.")
class MarkAttendanceInput:
    """Input of `markAttendance`."""

    booking: strawberry.ID = strawberry.field(description="The booking.")
    attended: bool = strawberry.field(description="False for a no-show.")


@strawberry.input(description="Which date does not take place.")
class CancelClassDateInput:
    """Input of `cancelClassDate`."""

    occurrence: strawberry.ID = strawberry.field(description="The date.")
    reason: str | None = strawberry.field(
        default=None, description=f"For the members; at most {MOST_REASON} characters."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BookClassArgs(Args):
    """Arguments of `bookClass`."""

    input: Annotated[BookClassInput, strawberry.argument(description="Who books what.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingArgs(Args):
    """Arguments of `cancelBooking` and `checkIn`."""

    input: Annotated[BookingInput, strawberry.argument(description="Which booking.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkAttendanceArgs(Args):
    """Arguments of `markAttendance`."""

    input: Annotated[MarkAttendanceInput, strawberry.argument(description="Whether somebody came.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelClassDateArgs(Args):
    """Arguments of `cancelClassDate`."""

    input: Annotated[CancelClassDateInput, strawberry.argument(description="Which date.")]


async def _shown(id_: ObjectId, args: Args, context: Context) -> Mapping[str, Any]:
    """What became of a booking: read after the commit, as far as it was asked for."""
    asked = args.selection.at("booking")
    found = await bookings.by_ids(context.stores.mongo, [id_], asked.columns) if asked else {}
    return {"booking": found.get(id_)}


async def _book(args: BookClassArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    id_ = await booking.book(
        context.services.classes,
        context.actor,
        object_id(asked.occurrence, "ClassOccurrence", "occurrence"),
        member=object_id(asked.user, "User", "user") if asked.user is not None else None,
        key=asked.idempotency_key,
        now=context.now,
    )
    return await _shown(id_, args, context)


async def _cancel(args: BookingArgs, context: Context) -> Mapping[str, Any]:
    id_ = object_id(args.input.booking, "ClassBooking", "booking")
    await cancellation.cancel(context.services.classes, context.actor, id_, now=context.now)
    return await _shown(id_, args, context)


async def _check_in(args: BookingArgs, context: Context) -> Mapping[str, Any]:
    id_ = object_id(args.input.booking, "ClassBooking", "booking")
    await attendance.check_in(context.services.classes, context.actor, id_, now=context.now)
    return await _shown(id_, args, context)


async def _mark(args: MarkAttendanceArgs, context: Context) -> Mapping[str, Any]:
    id_ = object_id(args.input.booking, "ClassBooking", "booking")
    attended = args.input.attended
    await attendance.mark(context.services.classes, context.actor, id_, attended=attended, now=context.now)
    return await _shown(id_, args, context)


async def _cancel_date(args: CancelClassDateArgs, context: Context) -> Mapping[str, Any]:
    id_ = object_id(args.input.occurrence, "ClassOccurrence", "occurrence")
    ended = await cancellation.cancel_date(
        context.services.classes,
        context.actor,
        id_,
        reason=short_text(args.input.reason, MOST_REASON, "reason"),
        now=context.now,
    )
    asked = args.selection.at("occurrence")
    mongo = context.stores.mongo
    found = await timetable.by_ids(mongo, timetable.OCCURRENCES, [id_], asked.columns) if asked else {}
    return {"occurrence": found.get(id_), "cancelledBookings": ended}


@strawberry.type
class ClassMutations:
    """Root fields of this area."""

    book_class: BookingPayload = batch(
        answering(_book),
        args=BookClassArgs,
        description="Take a seat on a date, or a place on its waitlist when it is full.",
    )
    cancel_booking: BookingPayload = batch(
        answering(_cancel),
        args=BookingArgs,
        description="Give a place up before the start. After the facility's cutoff it is a late cancel, which uses the "
        "week's quota. A freed seat goes to the first who waits and may have it. Repeating it changes nothing.",
    )
    check_in: BookingPayload = batch(
        answering(_check_in),
        args=BookingArgs,
        description="The member is here: from 30 minutes before the start until the end. Repeating it changes nothing.",
    )
    mark_attendance: BookingPayload = batch(
        answering(_mark),
        args=MarkAttendanceArgs,
        description="Staff with check_in say who came, from the start until 24 hours after the end.",
    )
    cancel_class_date: CancelClassDatePayload = batch(
        answering(_cancel_date),
        args=CancelClassDateArgs,
        description="Call a date off before it begins; every booking ends and gives its quota back.",
    )
