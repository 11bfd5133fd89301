"""Custom scalars and how each value is written and read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NewType
from urllib.parse import urlsplit

import orjson
import strawberry
from graphql import GraphQLError, ValueNode
from graphql.utilities import value_from_ast_untyped
from strawberry.types.scalar import ScalarDefinition

from nexfit.domains.identity.contact import email_address, phone_number

EmailAddress = NewType("EmailAddress", str)
PhoneNumber = NewType("PhoneNumber", str)
Url = NewType("Url", str)
JsonValue = NewType("JsonValue", object)

MAX_DECIMAL_DIGITS = 28

# Python reads more spellings of ISO 8601 than these scalars have, week dates among them.
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(_DAY.pattern + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})")


_IN_UTC = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
"""orjson writes an instant in a fifth of `isoformat`'s time."""


def _refuse(expected: str) -> GraphQLError:
    return GraphQLError(f"Expected {expected}.")


def write_datetime(value: object) -> str:
    """RFC 3339 in UTC with a `Z`, microseconds only where there are some; a stored value without a zone is in UTC."""
    if not isinstance(value, datetime):
        raise TypeError(f"DateTime cannot represent {type(value).__name__}")
    if value.tzinfo is not None and value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return orjson.dumps(value, None, _IN_UTC)[1:-1].decode()


def read_datetime(value: object) -> datetime:
    """An instant with its offset; a time without one is refused because nobody can know which it is."""
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):  # in UTC it may lie before the first year or after the last
            pass
    raise _refuse("an RFC 3339 date-time with an offset, such as 2026-03-01T18:00:00Z")


def write_date(value: object) -> str:
    """`YYYY-MM-DD`; a stored midnight counts as its day."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"Date cannot represent {type(value).__name__}")


def read_date(value: object) -> date:
    """A calendar day, `YYYY-MM-DD`."""
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise _refuse("a date written YYYY-MM-DD")


def write_decimal(value: object) -> str:
    """The exact digits, never in exponent notation."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"Decimal cannot represent {type(value).__name__}")


def read_decimal(value: object) -> Decimal:
    """A finite decimal given as a string or an integer; a float would already have lost digits."""
    if isinstance(value, str | int) and not isinstance(value, bool) and len(str(value)) <= MAX_DECIMAL_DIGITS:
        try:
            number = Decimal(value)
        except InvalidOperation:
            pass
        else:
            if number.is_finite() and len(f"{number:f}") <= MAX_DECIMAL_DIGITS:
                return number
    raise _refuse(f'a decimal number as a string of at most {MAX_DECIMAL_DIGITS} digits, such as "12.50"')


def read_email(value: object) -> str:
    """A syntactically valid address; deliverability is proven by verification, not here."""
    if isinstance(value, str):
        try:
            return email_address(value)
        except ValueError:
            pass
    raise _refuse("an e-mail address")


def read_phone(value: object) -> str:
    """A possible number in E.164."""
    if isinstance(value, str):
        try:
            return phone_number(value)
        except ValueError:
            pass
    raise _refuse("a phone number in E.164, such as +902121234567")


def read_url(value: object) -> str:
    """An absolute http(s) address."""
    if isinstance(value, str) and len(value) <= 2048:
        try:
            parts = urlsplit(value)
        except ValueError:
            pass
        else:
            if parts.scheme in ("http", "https") and parts.hostname:
                return value
    raise _refuse("an absolute http or https URL")


def _write_text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"cannot represent {type(value).__name__} as text")


def _json_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> object:
    return value_from_ast_untyped(node, variables)


SCALARS: Mapping[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant, RFC 3339 in UTC, such as `2026-03-01T18:00:00Z`.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=write_datetime,
        parse_value=read_datetime,
    ),
    date: strawberry.scalar(
        name="Date", description="A calendar day, `YYYY-MM-DD`.", serialize=write_date, parse_value=read_date
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description='An exact decimal number as a string, such as `"12.50"`.',
        serialize=write_decimal,
        parse_value=read_decimal,
    ),
    EmailAddress: strawberry.scalar(
        name="EmailAddress", description="An e-mail address.", serialize=_write_text, parse_value=read_email
    ),
    PhoneNumber: strawberry.scalar(
        name="PhoneNumber", description="A phone number in E.164.", serialize=_write_text, parse_value=read_phone
    ),
    Url: strawberry.scalar(
        name="URL", description="An absolute http or https address.", serialize=_write_text, parse_value=read_url
    ),
    JsonValue: strawberry.scalar(
        name="JSON",
        description="Any JSON value.",
        serialize=lambda value: value,
        parse_value=lambda value: value,
        parse_literal=_json_literal,
    ),
}
