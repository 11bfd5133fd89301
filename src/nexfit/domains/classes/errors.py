"""What booking, leaving and entering a class can be refused for."""

from __future__ import annotations

from nexfit.domains.errors import ErrorCode, Refusal


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
