"""What booking, leaving and entering a class can be refused for."""

from __future__ import annotations

from datetime import datetime

from nexfit.domains.errors import BadInput, ErrorCode, NotFound, Refusal


class ClassFull(Refusal):
    """No seat is free and the waitlist is full."""

    code = ErrorCode.CLASS_FULL

    def __init__(self) -> None:
        super().__init__("The class and its waitlist are full.")


class AlreadyBooked(Refusal):
    """The member holds a place on this date."""

    code = ErrorCode.ALREADY_BOOKED

    def __init__(self) -> None:
        super().__init__("There is a booking for this date already.")


class BookingBlocked(Refusal):
    """The member has missed too many dates lately; staff may book for them all the same."""

    code = ErrorCode.BOOKING_BLOCKED

    def __init__(self, *, until: datetime) -> None:
        super().__init__("Too many dates were missed: booking is possible again after {at}.", at=until.isoformat())


class BookingClosed(Refusal):
    """Booking has not opened, or the date has begun, or it does not take place."""

    code = ErrorCode.BOOKING_CLOSED

    def __init__(self) -> None:
        super().__init__("This date cannot be booked now.")


class DateBegun(Refusal):
    """What has begun cannot be called off any more."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("This date has begun.")


class BookingClash(Refusal):
    """Another live booking of the member overlaps."""

    code = ErrorCode.BOOKING_CLASH

    def __init__(self) -> None:
        super().__init__("Another booking is at the same time.")


class CheckInClosed(Refusal):
    """Check-in opens 30 minutes before the start and closes at the end."""

    code = ErrorCode.CHECK_IN_CLOSED

    def __init__(self) -> None:
        super().__init__("Check-in is open from 30 minutes before the start until the end.")


class InvalidTransition(Refusal):
    """The booking's state does not lead there."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self, *, state: str) -> None:
        super().__init__("That is not possible for a booking that is {state}.", state=state)


class DateCalledOff(Refusal):
    """What does not take place does not change any more."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("This date was called off.")


class ClassOver(Refusal):
    """An ended class makes no dates; those that were kept are changed one by one."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("This class has ended.", path=("occurrence",))


class DateBooked(Refusal):
    """People have arranged themselves to be there then: call the date off, or leave its time."""

    code = ErrorCode.DATE_BOOKED

    def __init__(self) -> None:
        super().__init__("Somebody has booked this date, so its time stays.", path=("date",))


class CapacityTaken(Refusal):
    """Nobody who has a seat loses it to a smaller number."""

    code = ErrorCode.CAPACITY_TAKEN

    def __init__(self, *, taken: int) -> None:
        super().__init__("{taken} seats of this date are taken.", path=("capacity",), taken=taken)


class RoomTaken(Refusal):
    """Another class is held there at that time."""

    code = ErrorCode.SCHEDULE_CLASH

    def __init__(self, *, at: datetime) -> None:
        super().__init__("The room is taken by a class at {at}.", path=("room",), at=at.isoformat())


class InstructorTaken(Refusal):
    """The instructor teaches something else at that time, here or elsewhere."""

    code = ErrorCode.SCHEDULE_CLASH

    def __init__(self, *, at: datetime) -> None:
        super().__init__("The instructor teaches another class at {at}.", path=("instructor",), at=at.isoformat())


class InstructorTrains(Refusal):
    """The instructor gives or takes a personal training session at that time."""

    code = ErrorCode.SCHEDULE_CLASH

    def __init__(self, *, at: datetime) -> None:
        super().__init__("The instructor has a training session at {at}.", path=("instructor",), at=at.isoformat())


class PastDate(BadInput):
    """What is planned lies ahead."""

    def __init__(self, *, path: tuple[str, ...]) -> None:
        super().__init__("The first date must lie ahead.", path=path)


class NoDates(BadInput):
    """A repetition that never comes, or comes before the last one is over."""

    def __init__(self) -> None:
        super().__init__("This repetition has no dates, or its dates overlap.", path=("recurrence",))


class OffWeekdays(BadInput):
    """A weekly class begins on one of its days."""

    def __init__(self) -> None:
        super().__init__("The first date must be on one of the weekdays.", path=("recurrence", "weekdays"))


class NoSuchRoom(NotFound):
    """The facility has named its rooms, and this is none of them."""

    def __init__(self) -> None:
        super().__init__("The facility has no such room.", path=("room",))


class RoomTooSmall(BadInput):
    """A class has no more seats than its room."""

    def __init__(self, *, most: int) -> None:
        super().__init__("The room has {most} seats.", path=("capacity",), most=most)


class NotStaff(NotFound):
    """Classes are taught by the owner or by somebody of the staff."""

    def __init__(self) -> None:
        super().__init__("Nobody like that works here.", path=("instructor",))
