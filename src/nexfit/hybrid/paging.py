"""Keyset pages: a page is asked for by the place it starts behind, never by a number of rows to skip.

A *place* is the tuple of values a list is ordered by, ending in a unique one, so that a page neither repeats nor skips
a row while others are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any, cast
from uuid import UUID

from bson import Decimal128, ObjectId

Place = tuple[str | int | float | None, ...]
"""The ordering values of one row as JSON carries them."""


class BadCursor(ValueError):
    """The cursor was made for another list, another order, or by somebody else."""


@dataclass(frozen=True, slots=True)
class Key:
    """One ordering value: where a row keeps it, its direction, and how it is read back from a place."""

    column: str
    parse: Callable[[Any], Any]
    descending: bool = False
    nullable: bool = False
    """Whether a row may lack the value."""


def text(value: object) -> str:
    """Read a text part of a place."""
    # No stored text holds a NUL: PostgreSQL refuses to be asked for one.
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    return value


def instant(value: object) -> datetime:
    """Read an instant part of a place."""
    parsed = datetime.fromisoformat(text(value))
    if parsed.tzinfo is None:
        raise ValueError
    return parsed.astimezone(UTC)  # refuses what lies outside of the years a store can be asked for


def day(value: object) -> date:
    """Read a calendar day of a place."""
    parsed = date.fromisoformat(text(value))
    if parsed in (date.min, date.max):  # eternity, to PostgreSQL's driver
        raise ValueError
    return parsed


def integer(value: object) -> int:
    """Read a part of a place that a 64-bit column numbers rows with."""
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise TypeError
    return value


def number(value: object) -> float:
    """Read a measured part of a place."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        raise TypeError
    return float(value)


def amount(value: object) -> Decimal128:
    """Read an amount of money of a place."""
    parsed = Decimal128(text(value))
    if not parsed.to_decimal().is_finite():
        raise ValueError
    return parsed


def object_id(value: object) -> ObjectId:
    """Read an ObjectId part of a place."""
    try:
        return ObjectId(text(value))
    except Exception:
        raise ValueError from None


def uuid(value: object) -> UUID:
    """Read a UUID part of a place."""
    return UUID(text(value))


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A page of `size` rows behind `after` and before `before`; `backwards` takes them from the list's end."""

    size: int
    backwards: bool = False
    after: Place | None = None
    before: Place | None = None
    counted: bool = False

    @property
    def limit(self) -> int:
        """Rows to read: one more than the page holds, which tells whether the list goes on."""
        return self.size + 1


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the list's order, and the keys they are ordered by."""

    rows: Sequence[Any]
    keys: Sequence[Key]
    has_next: bool
    has_previous: bool
    total: int | None = None

    def place(self, row: Mapping[str, Any]) -> Place:
        """Where a row of the page stands in the list; made only for the cursors somebody asks for."""
        return tuple(_written(_at(row, key.column)) for key in self.keys)


def cut(request: PageRequest, rows: Sequence[Any], keys: Sequence[Key], total: int | None = None) -> Page:
    """The page out of at most `limit` rows read in reading direction (from the end when `backwards`)."""
    more = len(rows) > request.size
    kept = list(rows[: request.size])
    if request.backwards:
        kept.reverse()
    return Page(
        rows=kept,
        keys=keys,
        has_next=request.before is not None if request.backwards else more,
        has_previous=more if request.backwards else request.after is not None,
        total=total,
    )


def parsed(place: Place, keys: Sequence[Key]) -> tuple[Any, ...]:
    """A client's place as typed values; raises BadCursor when a part is missing or of another type."""
    if len(place) != len(keys):
        raise BadCursor("The cursor does not belong to this list.")
    try:
        return tuple(
            None if part is None and key.nullable else key.parse(part) for part, key in zip(place, keys, strict=True)
        )
    except (TypeError, ValueError, ArithmeticError):
        raise BadCursor("The cursor does not belong to this list.") from None


def _at(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for part in path.split("."):
        value = value[part]
    return value


def _written(value: Any) -> str | int | float | None:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, ObjectId | UUID | Decimal | Decimal128):
        return str(value)
    return cast("str | int | float | None", value)
