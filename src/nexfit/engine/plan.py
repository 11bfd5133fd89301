"""What a compiled operation is made of: one plan per selection set, one per response field. Holds no request state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeAlias

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLAbstractType,
    GraphQLField,
    GraphQLNamedOutputType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
)
from graphql.execution import Executor
from graphql.pyutils import Path

from nexfit.engine.arguments import Arguments
from nexfit.engine.fields import BatchLoad, FieldSpec
from nexfit.engine.selection import Selection

Build: TypeAlias = Callable[..., list[dict[str, Any]]]
"""`(sources, odd, *columns) -> response objects`; appends to `odd` when a value needs the precise path."""


class Kind(Enum):
    """How the value of a field comes about."""

    TYPENAME = auto()
    COLUMN = auto()
    DERIVED = auto()
    BATCH = auto()
    ATTRIBUTE = auto()
    """graphql-core's default: a mapping's key or an object's attribute, called when it can be."""
    RESOLVER = auto()


@dataclass(slots=True, eq=False)
class FieldPlan:
    """One response key of one object type at one place of an operation."""

    key: str
    name: str
    nodes: list[FieldNode]
    definition: GraphQLField
    parent_type: GraphQLObjectType
    spec: FieldSpec | None
    kind: Kind
    type: GraphQLOutputType
    named_type: GraphQLNamedOutputType
    depth: int
    """Levels of lists around the named type."""
    is_leaf: bool
    abstract: GraphQLAbstractType | None
    nullable: tuple[bool, ...]
    """For every segment of a path to a value of this field: whether that position may become null."""
    ordinals: tuple[int | None, ...]
    """For every segment: the position of its key in its selection set, None for list indices."""
    arguments: Arguments
    selection: Selection
    read: Callable[[Any], Any] | None
    """Reads the value of a column from a record."""
    trusted: bool
    """Whether values are records by specification: plain data, never awaitable, exempt from `is_type_of`."""
    load: BatchLoad | None
    """The load of a batch field."""
    objects: dict[str, ObjectPlan] = field(default_factory=dict)
    """Plans of the selections below, by name of the possible object type."""
    only: ObjectPlan | None = None
    """The plan of every object below, where nothing has to be asked about its type."""
    waits: bool = False
    """Whether this field or anything below it may have to be awaited."""
    inline: bool = False
    """Whether the code generated for the parent reads this field, and everything below it, by itself."""
    raw: bool = False
    """Whether that code completes the field's values, and everything below them, from a column of them."""
    calm: int = 0
    """How many times in a row the field was seen to complete without suspending; see `Run`."""
    unobserved: int = 0
    """Executions since it was last looked at whether a field that waits still does; see `Run`."""
    made_arguments: tuple[Any] | None = None
    """What the specification's argument maker made of arguments that are the same in every execution."""

    def path(self, parent: Path | None) -> Path:
        return Path(parent, self.key, self.parent_type.name)


@dataclass(slots=True, eq=False)
class ObjectPlan:
    """The selection set of one object type: which fields its rows need, and the code that builds their objects."""

    type: GraphQLObjectType
    fields: tuple[FieldPlan, ...]
    columns: tuple[FieldPlan, ...]
    """Fields whose values are worked out for all rows before the objects are built."""
    waits: bool
    generate: Callable[[ObjectPlan], Build]
    restless: tuple[int, ...] | None = None
    """Which columns get a task of their own; None while that is to be found out. See `Run`."""
    build: Build = field(init=False)
    """The generated code; made when the plan first meets a row of its type."""

    def __post_init__(self) -> None:
        self.build = self._build_first

    def _build_first(self, *arguments: Any) -> list[dict[str, Any]]:
        self.build = self.generate(self)
        return self.build(*arguments)


@dataclass(slots=True, eq=False)
class OperationPlan:
    """A whole operation, specialised for the values of the variables that its @skip and @include name."""

    schema: GraphQLSchema
    operation: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    roots: Sequence[ObjectPlan]
    """The root selection set: one plan, or for a mutation one per root field, run one after the other."""
    size: int
    """Number of field plans, the measure of the plan's memory."""
    reference: Executor[Any]
    """graphql-core's executor for this schema: it words the errors of values the fast path does not understand."""
    hide_suggestions: bool
    variables_below_root: frozenset[str] | None = None
    """Names of the variables used below a subscription's field; None while nobody asked."""
