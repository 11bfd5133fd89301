"""Coaches and their clients, and personal training sessions, in MongoDB.

The credits of a package (total, used, remaining) are not stored here: they are sums over its ledger in Postgres.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from nexfit.domains.facilities.documents import MOST_OPENINGS, OperatingHours
from nexfit.stores.documents import (
    Amount,
    CalendarDate,
    Currency,
    Embedded,
    Id,
    Instant,
    Line,
    Rating,
    StoredDocument,
    Text,
    TimeZone,
    check_money,
)


class RelationStatus(StrEnum):
    """State of a coach and client relation."""

    PENDING = "pending"
    ACTIVE = "active"
    DECLINED = "declined"
    ENDED = "ended"


LIVE_RELATION_STATUSES = (RelationStatus.PENDING, RelationStatus.ACTIVE)
"""A coach and a client have at most one relation in one of these."""


class Relationship(Embedded):
    """State and dates of a relation."""

    status: RelationStatus
    start_date: Instant | None = None
    end_date: Instant | None = None


class CoachingPackage(Embedded):
    """What the client bought; its credits are the ledger's business."""

    name: Line
    price: Amount
    currency: Currency
    start_date: CalendarDate | None = None
    end_date: CalendarDate | None = None

    @model_validator(mode="after")
    def _money(self) -> Self:
        check_money(self.price, self.currency)
        return self


MOST_NOTES = 500
"""Of each kind in a relation."""


class Note(Embedded):
    """A dated remark. Those of earlier releases have no id (`nexfit.domains.coaching.notes.note_id`)."""

    id: Id | None = None
    text: Text
    date: Instant
    changed_at: Instant | None = None


class CoachNotes(Embedded):
    """Remarks the client may read, and the coach's own."""

    visible: list[Note] = Field(default_factory=list, max_length=MOST_NOTES)
    private: list[Note] = Field(default_factory=list, max_length=MOST_NOTES)


class CoachClient(StoredDocument):
    """A coach's relation to a client."""

    coach_id: Id
    client_id: Id
    relationship: Relationship
    package: CoachingPackage | None = None
    goals: list[Line] = Field(default_factory=list, max_length=50)
    notes: CoachNotes = CoachNotes()
    created_at: Instant
    updated_at: Instant

    class Settings(StoredDocument.Settings):
        name = "coach_clients"


class Opening(Embedded):
    """From an instant to another, the second one excluded."""

    starts_at: Instant
    ends_at: Instant


class CoachHours(StoredDocument):
    """When a coach can be trained with, week by week on the coach's own wall clock; named by the coach's id.

    `openings` are the hours as instants until `opened_until`, which searching for free times reads.
    """

    timezone: TimeZone
    operating_hours: list[OperatingHours] = Field(default_factory=list, max_length=MOST_OPENINGS)
    openings: list[Opening] = Field(default_factory=list, max_length=2_000)
    opened_until: Instant | None = None
    updated_at: Instant

    class Settings(StoredDocument.Settings):
        name = "coach_hours"


class SessionStatus(StrEnum):
    """State of a personal training session."""

    SCHEDULED = "scheduled"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    NO_SHOW = "no_show"


class SessionPlace(StrEnum):
    """Where a session takes place."""

    FACILITY = "facility"
    ONLINE = "online"
    CLIENT = "client"
    OUTDOOR = "outdoor"


class SessionLocation(Embedded):
    """Kind of place, and which."""

    type: SessionPlace
    details: Line | None = None


class SessionWorkout(Embedded):
    """What is trained."""

    template_id: Id | None = None
    exercises: list[Id] = Field(default_factory=list, max_length=200)
    notes: Text | None = None


class SessionNotes(Embedded):
    """Before and after."""

    pre: Text | None = None
    post: Text | None = None


class Opinion(Embedded):
    """One side's word on a session."""

    rating: Rating | None = None
    notes: Text | None = None


class SessionFeedback(Embedded):
    """Both sides' words."""

    coach: Opinion | None = None
    client: Opinion | None = None


class PtSession(StoredDocument):
    """A personal training session; duration in minutes, the end is exclusive."""

    stored_checks = ({"$lt": ["$startTime", "$endTime"]},)

    coach_id: Id
    client_id: Id
    facility_id: Id | None = None
    start_time: Instant
    end_time: Instant
    duration: Annotated[int, Field(ge=1, le=1440)]
    status: SessionStatus
    location: SessionLocation
    workout: SessionWorkout | None = None
    notes: SessionNotes | None = None
    feedback: SessionFeedback | None = None
    created_at: Instant
    updated_at: Instant
    cancelled_at: Instant | None = None
    cancellation_reason: Line | None = None
    cancelled_by: Id | None = None

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.end_time <= self.start_time:
            raise ValueError("endTime is not after startTime")
        return self

    class Settings(StoredDocument.Settings):
        name = "pt_sessions"
