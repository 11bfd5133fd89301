"""What coaching can be refused for."""

from __future__ import annotations

from nexfit.domains.errors import ErrorCode, NotFound, Refusal


class InvalidTransition(Refusal):
    """The relation's state does not lead there."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self, *, state: str) -> None:
        super().__init__("That is not possible for a relation that is {state}.", path=("relation",), state=state)


class NoRelation(NotFound):
    """There is none, or it is between others."""

    def __init__(self) -> None:
        super().__init__("There is no such {name}.", path=("relation",), name="relation")


class NoCoach(NotFound):
    """There is none, or the account sleeps."""

    def __init__(self) -> None:
        super().__init__("There is no such {name}.", path=("coach",), name="coach")


class NoReview(NotFound):
    """There is none, or it is not the viewer's to change."""

    def __init__(self) -> None:
        super().__init__("There is no such {name}.", path=("review",), name="review")


class NotTrained(Refusal):
    """Who has trained with a coach may review them."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("A coach is reviewed after a completed session.", path=("coach",))


class NoPackage(NotFound):
    """There is none, or another coach sold it."""

    def __init__(self) -> None:
        super().__init__("There is no such {name}.", path=("package",), name="package")


class NoSession(NotFound):
    """There is none, or it is between others."""

    def __init__(self) -> None:
        super().__init__("There is no such {name}.", path=("session",), name="session")


class OutsideHours(Refusal):
    """A client schedules within the coach's hours."""

    code = ErrorCode.BOOKING_CLOSED

    def __init__(self) -> None:
        super().__init__("The coach does not train at that time.", path=("startsAt",))


class NoCredits(Refusal):
    """No package has that many sessions left for that day."""

    code = ErrorCode.NO_CREDITS

    def __init__(self) -> None:
        super().__init__("No package has enough sessions left for that day.")


class SessionClash(Refusal):
    """The coach or the client has another session at that time."""

    code = ErrorCode.BOOKING_CLASH

    def __init__(self) -> None:
        super().__init__("The coach or the client has another session at that time.", path=("startsAt",))


class ClassClash(Refusal):
    """The coach or the client teaches a class at that time, or has a seat in one."""

    code = ErrorCode.BOOKING_CLASH

    def __init__(self) -> None:
        super().__init__("The coach or the client has a class at that time.", path=("startsAt",))


class SessionState(Refusal):
    """The session's state, or the time, does not lead there."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self, *, state: str) -> None:
        super().__init__("That is not possible for a session that is {state}.", path=("session",), state=state)


class SessionNotBegun(Refusal):
    """A session is completed or missed from its start on."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("The session has not begun.", path=("session",))


class SessionBegun(Refusal):
    """What has begun is completed or missed, and not cancelled or moved."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("The session has begun.", path=("session",))
