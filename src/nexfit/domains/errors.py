"""Refusals: what a rule or a right says no to. Every one has a stable code that clients may rely on."""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """Codes of top-level errors and of user errors."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    OPERATION_NOT_TRUSTED = "OPERATION_NOT_TRUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class Refusal(Exception):
    """An expected failure. Its message is written for the client and names nothing the client may not know."""

    code: ErrorCode

    def __init__(self, message: str, *, path: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class Unauthenticated(Refusal):
    """The field needs a signed-in user."""

    code = ErrorCode.UNAUTHENTICATED


class Forbidden(Refusal):
    """The viewer is known and may not do this."""

    code = ErrorCode.FORBIDDEN


class BadInput(Refusal):
    """An argument has the right type and an impossible value."""

    code = ErrorCode.BAD_USER_INPUT


class InvalidCredentials(Refusal):
    """Unknown user or wrong password; which of the two is not told."""

    code = ErrorCode.INVALID_CREDENTIALS
