"""What staff say of classes and their dates: the one model each input is held to, with its limits."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from nexfit.domains.classes.documents import ClassDifficulty, Frequency
from nexfit.domains.identity.profiles import BioText, WebAddress
from nexfit.domains.identity.validation import Input, LineText, NameText
from nexfit.stores.documents import Id, LocalTime

MOST_SEATS = 10_000
MOST_WAITING = 1000
MOST_MINUTES = 1440
MOST_DATES = 10_000
MOST_SKIPPED = 1000
MOST_TAGS = 50
MOST_INTERVAL = 366

FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2100, 1, 1)
"""Days classes can be planned on."""


def _near(day: date) -> date:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise PydanticCustomError("day", "not a day to plan on")
    return day


Day = Annotated[date, AfterValidator(_near)]
Clock = Annotated[LocalTime, StringConstraints(strip_whitespace=True)]
Minutes = Annotated[int, Field(ge=1, le=MOST_MINUTES)]
Seats = Annotated[int, Field(ge=1, le=MOST_SEATS)]
Waiting = Annotated[int, Field(ge=0, le=MOST_WAITING)]


class Repetition(Input):
    """How a class repeats. Weekdays count from Sunday = 0 to Saturday = 6."""

    frequency: Frequency
    interval: Annotated[int, Field(ge=1, le=MOST_INTERVAL)] = 1
    weekdays: Annotated[list[Annotated[int, Field(ge=0, le=6)]], Field(max_length=7)] = Field(default_factory=list)
    ends_on_date: Day | None = None
    max_occurrences: Annotated[int, Field(ge=1, le=MOST_DATES)] | None = None
    exceptions: Annotated[list[Day], Field(max_length=MOST_SKIPPED)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits(self) -> Repetition:
        if self.ends_on_date is not None and self.max_occurrences is not None:
            raise PydanticCustomError("two_ends", "an end date and a count")
        if self.weekdays and self.frequency is not Frequency.WEEKLY:
            raise PydanticCustomError("weekdays", "weekdays of something that is not weekly")
        if len(set(self.weekdays)) < len(self.weekdays):
            raise PydanticCustomError("repeated", "named twice", {"name": "weekdays"})
        return self


class PolicyOfClass(Input):
    """How a class is booked otherwise than its facility says; what is not given is as there."""

    opens_days_before: Annotated[int, Field(ge=1, le=365)] | None = None
    cancel_minutes_before: Annotated[int, Field(ge=0, le=10_080)] | None = None
    freeze_minutes_before: Annotated[int, Field(ge=0, le=1440)] | None = None
    late_cancel_uses_quota: bool | None = None
    no_show_uses_quota: bool | None = None


class ClassText(Input):
    """What a class says of itself."""

    name: LineText = ""
    description: BioText | None = None
    category: NameText | None = None
    difficulty: ClassDifficulty | None = None
    image: WebAddress | None = None
    tags: Annotated[list[NameText], Field(max_length=MOST_TAGS)] = Field(default_factory=list)
    booking_policy: PolicyOfClass | None = None


class NewClass(ClassText):
    """A class as it is planned: times are those of the facility's wall clock, the duration is in minutes."""

    name: LineText
    first_date: Day
    start_time: Clock
    duration: Minutes
    capacity: Seats
    waitlist_limit: Waiting | None = None
    room: NameText | None = None
    instructor: Id | None = None
    recurrence: Repetition = Repetition(frequency=Frequency.ONCE)


class DateChange(Input):
    """What changes of one date, or of a date and those that follow; what is not given stays."""

    date: Day | None = None
    start_time: Clock | None = None
    duration: Minutes | None = None
    capacity: Seats | None = None
    waitlist_limit: Waiting | None = None
    room: NameText | None = None
    instructor: Id | None = None

    @property
    def moves(self) -> bool:
        """Whether it is about when."""
        return not {"date", "start_time", "duration"}.isdisjoint(self.model_fields_set)


class FollowingChange(DateChange):
    """The same with another repetition from there on."""

    recurrence: Repetition | None = None
