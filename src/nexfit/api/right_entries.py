"""What entries of the rights matrix are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nexfit.domains.identity.access import RIGHTS_COLUMNS, SHOWN, Actor, Right


@dataclass(frozen=True, slots=True)
class Scope:
    """Which columns of a record say whose it is. `facility_record` is a record that is the facility itself."""

    facility: str | None = None
    person: str | None = None
    author: str | None = None
    facility_record: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns a record must carry for its rights to be known."""
        named = tuple(column for column in (self.facility, self.person, self.author) if column)
        return (*named, *RIGHTS_COLUMNS) if self.facility_record else named

    def is_of(self, actor: Actor, record: Mapping[str, Any]) -> bool:
        """Whether the record is about the actor."""
        return self.person is not None and actor.is_user(record.get(self.person))

    def is_by(self, actor: Actor, record: Mapping[str, Any]) -> bool:
        """Whether the actor keeps the record."""
        return self.author is not None and actor.is_user(record.get(self.author))


@dataclass(frozen=True, slots=True)
class Entry:
    """The rights of one type.

    `found` is None for what is no entity. Records of a `named` type are at everybody's hand who reads of them.
    What `refuses` answers with an error instead of null, because everybody knows that it is there. `health` names the
    fields that tell of somebody's health: that anybody else read them is recorded, whatever way led there.
    """

    fields: Mapping[str, Right]
    found: Right | None = None
    scope: Scope = Scope()
    named: bool = False
    refuses: bool = False
    health: frozenset[str] = frozenset()


class NoRight(Exception):
    """The matrix and the schema do not say the same; the message says what to change."""


def fields(*groups: tuple[str, Right]) -> Mapping[str, Right]:
    """Rights by field, from groups of field names that share one."""
    return {name: right for names, right in groups for name in names.split()}


def part(names: str) -> Entry:
    """A part of a record, a payload, or figures: for whoever was shown what holds it."""
    return Entry(fields((names, SHOWN)))
