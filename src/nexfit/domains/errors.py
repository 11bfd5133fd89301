"""Refusals: what a rule or a right says no to. Every one has a stable code that clients may rely on."""

from __future__ import annotations

import math
from enum import StrEnum


class ErrorCode(StrEnum):
    """Codes of top-level errors and of user errors."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    OPERATION_NOT_TRUSTED = "OPERATION_NOT_TRUSTED"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    COST_LIMIT = "COST_LIMIT"
    RATE_LIMITED = "RATE_LIMITED"
    INVALID_REFRESH_TOKEN = "INVALID_REFRESH_TOKEN"  # noqa: S105 - a code
    INVALID_CODE = "INVALID_CODE"
    EMAIL_TAKEN = "EMAIL_TAKEN"
    SECOND_FACTOR_REQUIRED = "SECOND_FACTOR_REQUIRED"
    SECOND_FACTOR_EXISTS = "SECOND_FACTOR_EXISTS"
    NOT_FOUND = "NOT_FOUND"
    INVALID_TRANSITION = "INVALID_TRANSITION"
    SCHEDULE_CLASH = "SCHEDULE_CLASH"
    DATE_BOOKED = "DATE_BOOKED"
    CAPACITY_TAKEN = "CAPACITY_TAKEN"
    CLASS_FULL = "CLASS_FULL"
    ALREADY_BOOKED = "ALREADY_BOOKED"
    BOOKING_CLOSED = "BOOKING_CLOSED"
    BOOKING_BLOCKED = "BOOKING_BLOCKED"
    BOOKING_CLASH = "BOOKING_CLASH"
    MEMBERSHIP_REQUIRED = "MEMBERSHIP_REQUIRED"
    WEEKLY_LIMIT_REACHED = "WEEKLY_LIMIT_REACHED"
    CHECK_IN_CLOSED = "CHECK_IN_CLOSED"
    NO_CREDITS = "NO_CREDITS"
    PRICE_CHANGED = "PRICE_CHANGED"
    PURCHASE_REQUIRED = "PURCHASE_REQUIRED"
    ALREADY_BOUGHT = "ALREADY_BOUGHT"
    ALREADY_SUBSCRIBED = "ALREADY_SUBSCRIBED"
    NO_TAX_RATE = "NO_TAX_RATE"
    REFUND_TOO_LARGE = "REFUND_TOO_LARGE"
    UNLIKELY_VALUE = "UNLIKELY_VALUE"
    DEBT_OPEN = "DEBT_OPEN"
    PAYMENT_OPEN = "PAYMENT_OPEN"
    OWNS_FACILITY = "OWNS_FACILITY"
    TEACHES_CLASSES = "TEACHES_CLASSES"
    PACKAGES_RUNNING = "PACKAGES_RUNNING"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class Refusal(Exception):
    """An expected failure. Its message is written for the client and names nothing the client may not know.

    `text` is English and may name `values` in braces; it is also the key of its translations
    (`nexfit/api/messages`), so it is always written out where it is raised.
    """

    code: ErrorCode

    def __init__(self, text: str, *, path: tuple[str, ...] = (), **values: object) -> None:
        super().__init__(text)
        self.text = text
        self.values = values
        self.path = path

    @property
    def message(self) -> str:
        """The text with its values, in English."""
        return self.text.format_map(self.values) if self.values else self.text

    def details(self) -> dict[str, object]:
        """What a program may want to know beside the code, for a top-level error's `extensions`."""
        return {}

    def __str__(self) -> str:
        return self.message


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


class TooMuch(Refusal):
    """One operation asks for more than one request may: `limit` names what of, e.g. `depth`; `most` is allowed."""

    code = ErrorCode.COST_LIMIT

    def __init__(self, text: str, *, limit: str, most: int, **values: object) -> None:
        super().__init__(text, path=(), most=most, **values)
        self.limit = limit

    def details(self) -> dict[str, object]:
        return {"limit": self.limit, **self.values}


class TooOften(Refusal):
    """The viewer has used up what it may ask for; `seconds` until the same request is let through."""

    code = ErrorCode.RATE_LIMITED

    def __init__(self, seconds: float, *, path: tuple[str, ...] = ()) -> None:
        self.seconds = max(1, math.ceil(seconds))
        super().__init__("Too many requests. Try again in {seconds} s.", path=path, seconds=self.seconds)

    def details(self) -> dict[str, object]:
        return {"retryAfter": self.seconds}


class InvalidRefreshToken(Refusal):
    """Forged, used, expired, or its session has ended; which of these is not told."""

    code = ErrorCode.INVALID_REFRESH_TOKEN

    def __init__(self) -> None:
        super().__init__("The refresh token is not valid any more. Sign in again.", path=("refreshToken",))


class InvalidCode(Refusal):
    """A link or code is wrong, used or too old; which of these is not told."""

    code = ErrorCode.INVALID_CODE


class EmailTaken(Refusal):
    """Another account was faster; told only to who proved to own the address."""

    code = ErrorCode.EMAIL_TAKEN


class SecondFactorRequired(Refusal):
    """The password is right, and a code is missing."""

    code = ErrorCode.SECOND_FACTOR_REQUIRED


class SecondFactorExists(Refusal):
    """One is enough."""

    code = ErrorCode.SECOND_FACTOR_EXISTS


class NotFound(Refusal):
    """What an input names does not exist for the viewer."""

    code = ErrorCode.NOT_FOUND


class IdempotencyConflict(Refusal):
    """The key belongs to a request with another input; that one's result stands."""

    code = ErrorCode.IDEMPOTENCY_CONFLICT
