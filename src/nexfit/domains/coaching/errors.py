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
