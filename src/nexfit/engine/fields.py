"""What one schema field means to an executor: a column to read, a value to derive, or a batch to load.

A *record* is a plain mapping straight from a store (a MongoDB document or an asyncpg row) that carries only the columns
somebody asked for. A schema field without one of these specifications runs its own resolver.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from graphql import GraphQLField

    from nexfit.engine.selection import Selection

Record: TypeAlias = Mapping[str, Any]

ArgumentsMaker: TypeAlias = "Callable[[dict[str, Any], Selection], Any]"
"""Turns coerced GraphQL arguments (schema names) and the selection below the field into what a loader takes.

Without a maker a loader gets None. Made once for a plan whose arguments are all constant, so what it makes is shared
between executions and must not be changed.
"""

BatchLoad: TypeAlias = Callable[[Sequence[Record], Any, Any], Awaitable[Sequence[Any]]]
"""`async (parents, args, context) -> one result per parent`, in the parents' order.

A result that is an exception instance becomes the field error of that parent alone; raising fails every parent.
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A plain attribute: `record.get(key)`, a missing key reads as null.

    `read` turns a non-null stored value into the GraphQL value; it is pure. A column whose GraphQL type is an object is
    an embedded record: the columns below it are asked for as `key.column`.
    """

    key: str
    read: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Derived:
    """A value computed without I/O: `compute(record, args, context)`, reading only the columns `needs`."""

    compute: Callable[[Record, Any, Any], Any]
    needs: tuple[str, ...] = ()
    arguments: ArgumentsMaker | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A value loaded for all parents of a level in one call, reading only the columns `needs` of each parent."""

    load: BatchLoad
    needs: tuple[str, ...] = ()
    arguments: ArgumentsMaker | None = None


FieldSpec: TypeAlias = Column | Derived | Batch
SpecOf: TypeAlias = "Callable[[GraphQLField], FieldSpec | None]"
"""Finds the specification of a schema field; None where the field runs its own resolver."""

TYPENAME = "__typename"
"""Key under which a record returned for an interface or union names its object type."""
