"""Templates as they once were, and people on their way through programs, in MongoDB."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from nexfit.domains.training.documents import TemplateExercise
from nexfit.stores.documents import (
    CalendarDate,
    Count,
    Embedded,
    Id,
    Instant,
    Line,
    StoredDocument,
    Text,
    is_calendar_date,
)


class WorkoutTemplateVersion(StoredDocument):
    """A template as it was in a version; never changed."""

    template_id: Id
    version: Count
    name: Line
    description: Text | None = None
    exercises: list[TemplateExercise] = Field(default_factory=list, max_length=200)
    created_at: Instant

    class Settings(StoredDocument.Settings):
        name = "workout_template_versions"


class DayState(StrEnum):
    """What became of a program's day."""

    PENDING = "pending"
    DONE = "done"
    SKIPPED = "skipped"


class EnrolmentStatus(StrEnum):
    """Where somebody stands in a program."""

    ACTIVE = "active"
    COMPLETED = "completed"
    ENDED = "ended"


PurchaseId = Annotated[str, Field(pattern="^[0-9a-f-]{36}$")]
"""The id of a row of `finance.purchases`."""


class EnrolmentDay(Embedded):
    """A day of the program as it was when the person began, and what became of it."""

    day: Annotated[int, Field(ge=1, le=3650)]
    is_rest_day: bool
    workout_template_id: Id | None = None
    template_version: Count | None = None
    notes: Text | None = None
    state: DayState
    workout_log_id: Id | None = None
    settled_at: Instant | None = None


class ProgramEnrolment(StoredDocument):
    """Somebody's way through a program: the pointer is the first day nothing became of yet, or one behind the last."""

    stored_checks = (is_calendar_date("startDate"),)

    user_id: Id
    program_id: Id
    program_version: Count
    name: Line
    status: EnrolmentStatus
    start_date: CalendarDate
    pointer: Annotated[int, Field(ge=1, le=3651)]
    days: list[EnrolmentDay] = Field(default_factory=list, max_length=3650)
    restarts: Count = 0
    assigned_by: Id | None = None
    purchase_id: PurchaseId | None = None
    created_at: Instant
    updated_at: Instant
    ended_at: Instant | None = None

    class Settings(StoredDocument.Settings):
        name = "program_enrolments"
