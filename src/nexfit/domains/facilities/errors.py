"""What changing a facility can be refused for."""

from __future__ import annotations

from nexfit.domains.errors import ErrorCode, Refusal


class ZoneInUse(Refusal):
    """Classes, visits and memberships lie on the facility's calendar, which its time zone makes."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__(
            "The time zone of a facility that has classes, visits or members cannot change.", path=("timezone",)
        )
