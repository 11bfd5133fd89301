"""Which fields may be answered from a cache, and which operations follow from that.

A field says so with `cache=Cached(...)`, which the schema shows as `@cacheControl`. Fields that load and say nothing
are never cached, and no operation is that asks for one. Plain values (`column`, `derived`) follow the field above them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import strawberry
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_named_type,
)
from strawberry.schema_directive import Location

from nexfit.api.context import Context
from nexfit.engine.fields import Batch, BatchLoad, FieldSpec, Record

EXTENSION = "nexfit-cached"
"""Where a schema field keeps its `Cached`."""


@strawberry.enum(description="Who may be answered from the same cached response.")
class CacheScope(Enum):
    """The stricter one wins."""

    PUBLIC = strawberry.enum_value("PUBLIC", description="Everybody.")
    PRIVATE = strawberry.enum_value("PRIVATE", description="The viewer it was made for.")


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="cacheControl",
    description="A response may be answered from a cache when every field that loads in it says so.",
)
class CacheControl:
    """Shown in SDL; `Cached` is what the server reads."""

    max_age: int = strawberry.directive_field(name="maxAge")
    scope: CacheScope = strawberry.directive_field(name="scope", default=CacheScope.PUBLIC)


TagsOf = Callable[[Sequence[Record], Sequence[Any]], Iterable[str] | None]
"""`(parents, results) -> tags` of what a load shows; None when that cannot be told, and nothing may be kept."""


@dataclass(frozen=True, slots=True)
class Cached:
    """How long the field may be answered from a cache (seconds), for whom, and under which tags.

    `parents` and `shown` are tags with one field in braces, as `nexfit.domains.tags` spells them: filled from each
    parent, and from each record that was loaded. `tags` tells them where that is not enough.
    """

    max_age: int
    scope: CacheScope = CacheScope.PUBLIC
    parents: str | None = None
    shown: str | None = None
    tags: TagsOf | None = None

    def directive(self) -> CacheControl:
        """What the schema shows."""
        return CacheControl(max_age=self.max_age, scope=self.scope)

    def watched(self, load: BatchLoad) -> BatchLoad:
        """The load, telling the context which tags it touched."""
        tags = self.tags or self._templates

        def watched(parents: Sequence[Record], args: Any, context: Context) -> Awaitable[Sequence[Any]]:
            # Nothing is put around a load that nobody watches.
            return load(parents, args, context) if context.touched is None else noted(parents, args, context)

        async def noted(parents: Sequence[Record], args: Any, context: Context) -> Sequence[Any]:
            results = await load(parents, args, context)
            if context.touched is not None:
                found = tags(parents, results)
                if found is None:
                    context.touched = None
                else:
                    context.touched.update(found)
            return results

        return watched

    def _templates(self, parents: Sequence[Record], results: Sequence[Any]) -> Iterable[str] | None:
        found: set[str] = set()
        for template, records in ((self.parents, parents), (self.shown, records_in(results))):
            if template is None:
                continue
            before, _, rest = template.partition("{")
            field, _, after = rest.partition("}")
            for record in records:
                value = record.get(field)
                if value is None:
                    return None
                found.add(f"{before}{value}{after}")
        return found


def records_in(results: Sequence[Any]) -> Iterable[Record]:
    """The records among results of a batch: single ones, lists, and the nodes of connections."""
    for result in results:
        if isinstance(result, list):
            yield from result
        elif isinstance(result, Mapping) and "nodes" in result:
            yield from result["nodes"]
        elif result is not None and not isinstance(result, Exception):
            yield result


@dataclass(frozen=True, slots=True)
class Policy:
    """How the responses of one operation may be cached; with `max_age` 0 not at all."""

    max_age: int
    private: bool = False
    changes: bool = False
    """Whether the operation is a mutation."""


NEVER = Policy(0)

MOST_SELECTIONS = 5000
"""Selection sets looked at; an operation with more is not worth finding out."""


def policy_of(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    spec_of: Callable[[GraphQLField], FieldSpec | None],
) -> Policy:
    """The shortest age and the strictest scope of all fields the operation names, whatever @skip and @include say."""
    if operation.operation is not OperationType.QUERY or schema.query_type is None:
        return Policy(0, changes=operation.operation is OperationType.MUTATION)
    max_age: int | None = None
    private = False
    seen: set[tuple[str, str]] = set()
    waiting: list[tuple[GraphQLNamedType, SelectionSetNode]] = [(schema.query_type, operation.selection_set)]
    for _ in range(MOST_SELECTIONS):
        if not waiting:
            return NEVER if not max_age else Policy(max_age, private)
        type_, selection_set = waiting.pop()
        for node in selection_set.selections:
            if any(directive.name.value not in ("skip", "include") for directive in node.directives or ()):
                return NEVER
            if isinstance(node, InlineFragmentNode):
                condition = schema.type_map[node.type_condition.name.value] if node.type_condition else type_
                waiting.append((condition, node.selection_set))
            elif isinstance(node, FragmentSpreadNode):
                fragment = fragments[node.name.value]
                if (fragment.name.value, type_.name) not in seen:
                    seen.add((fragment.name.value, type_.name))
                    waiting.append((schema.type_map[fragment.type_condition.name.value], fragment.selection_set))
            elif isinstance(node, FieldNode) and node.name.value != "__typename":
                definitions = _definitions(schema, type_, node.name.value)
                if not definitions:
                    return NEVER
                for field in definitions:
                    cached: Cached | None = field.extensions.get(EXTENSION)
                    spec = spec_of(field)
                    if cached is not None:
                        max_age = cached.max_age if max_age is None else min(max_age, cached.max_age)
                        private = private or cached.scope is CacheScope.PRIVATE
                    elif spec is None or isinstance(spec, Batch):
                        return NEVER
                    if node.selection_set:
                        waiting.append((get_named_type(field.type), node.selection_set))
    return NEVER


def _definitions(schema: GraphQLSchema, type_: GraphQLNamedType, name: str) -> Sequence[GraphQLField]:
    """The field of a type and of every type it may stand for; none for a field of introspection."""
    types: list[Any] = [type_]
    if isinstance(type_, GraphQLInterfaceType | GraphQLUnionType):
        types += schema.get_possible_types(type_)
    return [
        one.fields[name]
        for one in types
        if isinstance(one, GraphQLObjectType | GraphQLInterfaceType) and name in one.fields
    ]
