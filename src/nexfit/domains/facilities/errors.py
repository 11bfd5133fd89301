"""What changing a facility can be refused for."""

from __future__ import annotations

from nexfit.domains.errors import ErrorCode, Refusal


class WorksHere(Refusal):
    """Nobody works twice at a facility, and its owner needs no invitation."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self, *, path: tuple[str, ...]) -> None:
        super().__init__("This person works here already.", path=path)


class OwnerStays(Refusal):
    """A facility without an owner would have nobody who may do everything."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("A facility keeps its owner.", path=("user",))


class TooManyPeople(Refusal):
    """Staff, and those who are invited."""

    code = ErrorCode.BAD_USER_INPUT

    def __init__(self, *, most: int) -> None:
        super().__init__("At most {most} people may work here or be invited.", path=("email",), most=most)


class ZoneInUse(Refusal):
    """Classes, visits and memberships lie on the facility's calendar, which its time zone makes."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__(
            "The time zone of a facility that has classes, visits or members cannot change.", path=("timezone",)
        )
