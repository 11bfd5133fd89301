"""Group classes, the dates on which they take place, and bookings, in MongoDB.

A class says how it repeats; each date is a materialised occurrence that owns the seat counters, so that a conditional
update of one document decides who gets the last seat.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from nexfit.stores.documents import (
    CalendarDate,
    Count,
    Embedded,
    Id,
    Instant,
    Line,
    LocalTime,
    StoredDocument,
    Text,
    TimeZone,
    Url,
    Word,
)


class Frequency(StrEnum):
    """How often a class repeats."""

    ONCE = "once"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class ClassDifficulty(StrEnum):
    """Whom a class suits."""

    BEGINNER = "beginner"
    INTERMEDIATE = "intermediate"
    ADVANCED = "advanced"
    ALL_LEVELS = "all_levels"


class Instructor(Embedded):
    """Who teaches; ``name`` is a copy that the projector refreshes when the person's name changes."""

    user_id: Id
    name: Line


class Recurrence(Embedded):
    """Repetition on the wall clock of ``schedule.timezone``. Weekdays count from Sunday = 0 to Saturday = 6.

    ``ends_on_date`` (last local day) and ``max_occurrences`` exclude each other; ``exceptions`` are skipped local days.
    """

    stored_rules = ({"not": {"required": ["endsOnDate", "maxOccurrences"]}},)

    frequency: Frequency
    interval: Annotated[int, Field(ge=1, le=366)] = 1
    weekdays: list[Annotated[int, Field(ge=0, le=6)]] = Field(default_factory=list, max_length=7)
    ends_on_date: CalendarDate | None = None
    max_occurrences: Annotated[int, Field(ge=1, le=10_000)] | None = None
    exceptions: list[CalendarDate] = Field(default_factory=list, max_length=2000)

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.ends_on_date is not None and self.max_occurrences is not None:
            raise ValueError("endsOnDate and maxOccurrences exclude each other")
        return self


class Schedule(Embedded):
    """First start and end, the zone whose wall clock they follow, and the repetition.

    ``clock`` is the wall time every date starts at, which the first start alone may not tell: its clock may be changed
    on that very day.
    """

    start_time: Instant
    end_time: Instant
    timezone: TimeZone
    clock: LocalTime | None = None
    recurrence: Recurrence = Recurrence(frequency=Frequency.ONCE)

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.end_time <= self.start_time:
            raise ValueError("endTime is not after startTime")
        return self


class ClassLocation(Embedded):
    """Room and number of seats."""

    room: Word | None = None
    capacity: Annotated[int, Field(ge=0, le=10_000)]


class ClassPolicy(Embedded):
    """What a class says otherwise than its facility's `BookingPolicy`, in the same words."""

    opens_days_before: Annotated[int, Field(ge=1, le=365)] | None = None
    cancel_minutes_before: Annotated[int, Field(ge=0, le=10_080)] | None = None
    freeze_minutes_before: Annotated[int, Field(ge=0, le=1440)] | None = None
    late_cancel_uses_quota: bool | None = None
    no_show_uses_quota: bool | None = None


class FitnessClass(StoredDocument):
    """A class as planned; ``duration`` in minutes, ``waitlist_limit`` places behind a full class.

    ``dates_due_at`` is when the next date comes near enough to be made; without it nobody has looked yet.
    """

    stored_checks = ({"$lt": ["$schedule.startTime", "$schedule.endTime"]},)

    facility_id: Id
    name: Line
    description: Text | None = None
    instructor: Instructor | None = None
    schedule: Schedule
    location: ClassLocation
    waitlist_limit: Count = 0
    booking_policy: ClassPolicy | None = None
    category: Word | None = None
    difficulty: ClassDifficulty | None = None
    duration: Annotated[int, Field(ge=1, le=1440)]
    image: Url | None = None
    tags: list[Word] = Field(default_factory=list, max_length=50)
    is_active: bool
    dates_due_at: Instant | None = None
    created_at: Instant
    updated_at: Instant

    class Settings(StoredDocument.Settings):
        name = "classes"


class OccurrenceStatus(StrEnum):
    """Whether a date takes place."""

    SCHEDULED = "scheduled"
    CANCELLED = "cancelled"


class ClassOccurrence(StoredDocument):
    """One date of a class, known by its class and ``original_start``; everything else may be changed for that date.

    ``seats_taken`` counts bookings that hold a seat (booked, attended, no_show), ``waitlisted`` those that wait, and
    ``waitlist_joined`` all that ever waited: the last place given.
    """

    stored_checks = ({"$lte": ["$seatsTaken", "$capacity"]}, {"$lt": ["$startsAt", "$endsAt"]})

    class_id: Id
    facility_id: Id
    original_start: Instant
    starts_at: Instant
    ends_at: Instant
    timezone: TimeZone
    capacity: Annotated[int, Field(ge=0, le=10_000)]
    seats_taken: Count
    waitlisted: Count
    waitlist_joined: Count = 0
    waitlist_limit: Count = 0
    booking_policy: ClassPolicy | None = None
    status: OccurrenceStatus
    instructor: Instructor | None = None
    room: Word | None = None
    cancelled_at: Instant | None = None
    cancellation_reason: Line | None = None
    created_at: Instant
    updated_at: Instant

    @model_validator(mode="after")
    def _counters(self) -> Self:
        if self.seats_taken > self.capacity:
            raise ValueError("more seats taken than there are")
        if self.ends_at <= self.starts_at:
            raise ValueError("endsAt is not after startsAt")
        return self

    class Settings(StoredDocument.Settings):
        name = "class_occurrences"


class CalendarKind(StrEnum):
    """Whose dates a calendar shows."""

    MEMBER = "member"
    COACH = "coach"
    FACILITY = "facility"


class CalendarFeed(StoredDocument):
    """A calendar somebody follows by a secret address; ``token_hash`` is the secret's keyed hash."""

    user_id: Id
    kind: CalendarKind
    facility_id: Id | None = None
    token_hash: Annotated[bytes, Field(min_length=32, max_length=32)]
    created_at: Instant

    class Settings(StoredDocument.Settings):
        name = "calendar_feeds"


class TimetableTurn(StoredDocument):
    """One per facility and per instructor, named by their ids: whoever plans dates raises it in the same transaction.

    Two that plan for one room or one instructor at the same time meet here, so that neither misses the other's dates.
    """

    turns: Count

    class Settings(StoredDocument.Settings):
        name = "timetable_turns"


class BookingStatus(StrEnum):
    """State of a booking."""

    BOOKED = "booked"
    WAITLISTED = "waitlisted"
    ATTENDED = "attended"
    NO_SHOW = "no_show"
    CANCELLED = "cancelled"
    LATE_CANCELLED = "late_cancelled"
    CANCELLED_BY_FACILITY = "cancelled_by_facility"
    EXPIRED = "expired"


LIVE_BOOKING_STATUSES = (
    BookingStatus.BOOKED,
    BookingStatus.WAITLISTED,
    BookingStatus.ATTENDED,
    BookingStatus.NO_SHOW,
)
"""A user has at most one booking in one of these per occurrence; all but the waiting one hold a seat."""


SEAT_STATUSES = (BookingStatus.BOOKED, BookingStatus.ATTENDED, BookingStatus.NO_SHOW)
"""Bookings that hold a seat."""

QUOTA_STATUSES = (*SEAT_STATUSES, BookingStatus.LATE_CANCELLED)
"""Bookings that count against the weekly limit; who cancels in time, or is cancelled by the facility, has it back."""


class PassedOver(Embedded):
    """Why a member who waited was not given the seat that was free: the code of the refusal."""

    at: Instant
    reason: Word


class ClassBooking(StoredDocument):
    """A user's place in one occurrence. ``date`` is the occurrence's start and moves with it.

    ``waitlist_position`` is the place given on joining the waitlist and orders promotion; ``passed_over`` is the last
    time a seat went past this member. ``uses_quota`` is what the rules said of a late cancel or a no-show when it
    happened; without it the status alone decides.
    """

    class_id: Id
    occurrence_id: Id
    facility_id: Id
    user_id: Id
    date: Instant
    status: BookingStatus
    waitlist_position: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    passed_over: PassedOver | None = None
    promoted_at: Instant | None = None
    booked_at: Instant
    cancelled_at: Instant | None = None
    checked_in_at: Instant | None = None
    uses_quota: bool | None = None
    notes: Text | None = None

    class Settings(StoredDocument.Settings):
        name = "class_bookings"
