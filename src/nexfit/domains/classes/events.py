"""Facts about bookings. Their aggregate is the date, so one date's facts are told in the order they became true."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import ClassVar

from nexfit.domains.classes.documents import BookingStatus
from nexfit.hybrid.events import Event, Home


class BookingFact(Event):
    """Something became of a booking. Ids are hex digits of ObjectIds."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "class_occurrence"

    booking_id: str
    occurrence_id: str
    class_id: str
    user_id: str
    starts_at: dt.datetime

    @property
    def aggregate_id(self) -> str:
        """The date."""
        return self.occurrence_id

    def tags(self) -> Sequence[str]:
        """The class's dates and the member's bookings."""
        return (
            f"class:{self.class_id}",
            f"facility:{self.facility_id}:classes",
            f"user:{self.user_id}:bookings",
        )


class ClassBooked(BookingFact):
    """A member got a seat."""


class WaitlistJoined(BookingFact):
    """A member waits for a seat."""

    position: int


class WaitlistPromoted(BookingFact):
    """A member who waited got the seat that was freed."""


class BookingCancelled(BookingFact):
    """A member left, in time."""


class BookingLateCancelled(BookingFact):
    """A member left after the cutoff."""


class BookingCancelledByFacility(BookingFact):
    """The date does not take place."""


class ClassAttended(BookingFact):
    """A member came."""


class ClassMissed(BookingFact):
    """A member did not come."""


class WaitlistExpired(BookingFact):
    """The date began without a seat for a member who waited."""


class ClassFact(Event):
    """Something became of a class's plan. Ids are hex digits of ObjectIds."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "class"

    class_id: str

    @property
    def aggregate_id(self) -> str:
        """The class."""
        return self.class_id

    def tags(self) -> Sequence[str]:
        """The class, and the facility's timetable."""
        return f"class:{self.class_id}", f"facility:{self.facility_id}:classes"


class ClassPlanned(ClassFact):
    """A class is planned, or comes again; so many dates were made."""

    dates: int


class ClassChanged(ClassFact):
    """A class says something else of itself, or of its dates from some day on."""


class ClassEnded(ClassFact):
    """A class makes no further dates."""


class InstructorReplaced(Event):
    """What somebody was to teach at a facility is taught by somebody else, or by nobody yet."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "facility"

    class_ids: Sequence[str]

    @property
    def aggregate_id(self) -> str:
        """The facility."""
        return str(self.facility_id)

    def tags(self) -> Sequence[str]:
        """The classes, and the facility's timetable."""
        return *(f"class:{id_}" for id_ in self.class_ids), f"facility:{self.facility_id}:classes"


class ClassDateChanged(ClassFact):
    """One date is held otherwise than its class says."""

    occurrence_id: str


STATUSES: Mapping[str, BookingStatus] = {
    ClassBooked.__name__: BookingStatus.BOOKED,
    WaitlistJoined.__name__: BookingStatus.WAITLISTED,
    WaitlistPromoted.__name__: BookingStatus.BOOKED,
    BookingCancelled.__name__: BookingStatus.CANCELLED,
    BookingLateCancelled.__name__: BookingStatus.LATE_CANCELLED,
    BookingCancelledByFacility.__name__: BookingStatus.CANCELLED_BY_FACILITY,
    ClassAttended.__name__: BookingStatus.ATTENDED,
    ClassMissed.__name__: BookingStatus.NO_SHOW,
    WaitlistExpired.__name__: BookingStatus.EXPIRED,
}
"""What each fact says became of the booking."""
