"""Classes and their dates as clients see them."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from nexfit.api.caching import Cached
from nexfit.api.classes import loaders
from nexfit.api.classes.bookings import ClassBooking, bookings_of_dates, viewers_bookings_of_dates
from nexfit.api.classes.loaders import OccurrencesArgs
from nexfit.api.fields import batch, column
from nexfit.api.identity.types import User, user_field
from nexfit.api.relay import Connection, Node, PageArgs, id_reader
from nexfit.domains.classes.documents import ClassDifficulty, Frequency, OccurrenceStatus

if TYPE_CHECKING:
    from nexfit.api.facilities.types import Facility

strawberry.enum(ClassDifficulty, description="Whom a class suits.")
strawberry.enum(Frequency, description="How often a class repeats.")
strawberry.enum(OccurrenceStatus, description="Whether a date takes place.")


@strawberry.type(description="How a class repeats on its facility's wall clock.")
class Recurrence:
    """Embedded in a class's schedule."""

    frequency: Frequency = column(description="The unit of repetition.")
    interval: int = column(description="Every how many units.")
    weekdays: list[int] | None = column(description="Days of the week, 0 (Sunday) to 6.")
    ends_on_date: date | None = column(description="The last day.")
    max_occurrences: int | None = column(description="How many dates there are at most.")
    exceptions: list[date] | None = column(description="Days on which it does not take place.")


@strawberry.type(description="When a class takes place.")
class Schedule:
    """Embedded in a class."""

    start_time: datetime = column(description="The first date's start, of the repetition as it is now.")
    end_time: datetime = column(description="The first date's end.")
    timezone: str = column(description="IANA zone whose wall clock the repetition keeps.")
    recurrence: Recurrence | None = column(description="How it repeats.")


@strawberry.type(description="Where a class takes place.")
class ClassLocation:
    """Embedded in a class."""

    room: str | None = column(description="The room's name.")
    capacity: int = column(description="Seats of a date unless the date says otherwise.")


@strawberry.type(description="How a class is booked otherwise than its facility says; null is as there.")
class ClassPolicy:
    """Embedded in a class."""

    opens_days_before: int | None = column(description="Booking opens so many days before a date.")
    cancel_minutes_before: int | None = column(description="Leaving is free until so many minutes before the start.")
    freeze_minutes_before: int | None = column(description="A seat freed later than this promotes nobody.")
    late_cancel_uses_quota: bool | None = column(description="Whether leaving late uses up the week's quota.")
    no_show_uses_quota: bool | None = column(description="Whether not coming uses up the week's quota.")


@strawberry.type(description="A group class.")
class Class(Node):
    """From MongoDB's `classes`."""

    id: strawberry.ID = column("_id", read=id_reader("Class"), description="The global id.")
    name: str = column(description="Name.")
    description: str | None = column(description="What happens in it.")
    category: str | None = column(description="Kind, such as yoga.")
    difficulty: ClassDifficulty | None = column(description="Whom it suits.")
    duration: int = column(description="Minutes.")
    image: str | None = column(description="Address of a picture.")
    tags: list[str] | None = column(description="Free words.")
    is_active: bool = column(description="Whether it is offered now.")
    waitlist_limit: int | None = column(description="People who may wait for a seat.")
    booking_policy: ClassPolicy | None = column(description="How it is booked otherwise than its facility says.")
    schedule: Schedule = column(description="When it takes place.")
    location: ClassLocation = column(description="Where it takes place.")
    instructor: User | None = user_field("instructor.userId", description="Who teaches it.")
    facility: Annotated[Facility, strawberry.lazy("nexfit.api.facilities.types")] | None = batch(
        loaders.facilities_of_parents,
        needs=("facilityId",),
        description="Where it is held.",
        cache=Cached(60, shown="facility:{_id}"),
    )
    occurrences: list[Annotated[ClassOccurrence, strawberry.lazy("nexfit.api.classes.types")]] = batch(
        loaders.occurrences_of_classes,
        cache=Cached(10, parents="class:{_id}"),
        needs=("_id",),
        args=OccurrencesArgs,
        description="The next dates, earliest first.",
    )


@strawberry.type(description="One date of a class.")
class ClassOccurrence(Node):
    """From MongoDB's `class_occurrences`, which own the seat counters."""

    id: strawberry.ID = column("_id", read=id_reader("ClassOccurrence"), description="The global id.")
    original_start: datetime = column(
        description="The start the recurrence gives; with the class it identifies the date."
    )
    starts_at: datetime = column(description="Start.")
    ends_at: datetime = column(description="End.")
    timezone: str = column(description="IANA zone.")
    capacity: int = column(description="Seats.")
    seats_taken: int = column(description="Seats held by bookings.")
    waitlisted: int = column(description="People waiting.")
    status: OccurrenceStatus = column(description="Whether it takes place.")
    room: str | None = column(description="The room, where it differs from the class's.")
    instructor: User | None = user_field("instructor.userId", description="Who teaches this date.")
    class_: Class | None = batch(
        loaders.classes_of_occurrences,
        needs=("classId",),
        description="The class.",
        name="class",
        cache=Cached(60, shown="class:{_id}"),
    )
    bookings: Connection[ClassBooking] | None = batch(
        bookings_of_dates,
        needs=("_id", "facilityId"),
        args=PageArgs,
        description="Everybody's bookings in every state, in the order they were made; for staff with members_read.",
    )
    viewer_booking: ClassBooking | None = batch(
        viewers_bookings_of_dates,
        needs=("_id",),
        description="The viewer's own place: booked, waitlisted, attended or missed; null where there is none.",
    )
