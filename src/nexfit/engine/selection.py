"""Look-ahead: which fields and store columns an operation asks for below one field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    SelectionNode,
    VariableNode,
    get_named_type,
    is_composite_type,
)

from nexfit.engine.fields import Column, SpecOf


@dataclass(frozen=True, slots=True)
class Scope:
    """What an operation is read against: schema, fragments, and the variables that decide @skip and @include."""

    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: Mapping[str, Any]
    spec_of: SpecOf


class Selection:
    """The selections below a field, merged over fragments and aliases. Immutable; answers are computed once."""

    def __init__(self, scope: Scope, type_: GraphQLNamedType, nodes: Sequence[FieldNode]) -> None:
        self._scope = scope
        self._parts: dict[str, tuple[FieldNode, ...]] = {type_.name: tuple(nodes)}
        """Field nodes by the type they select from: several types where possible types give a field its own type."""
        self._known: dict[str, Selection] = {}
        """Selections below that were asked for, by field name: executions of a plan share what is worked out once."""

    @classmethod
    def _of(cls, scope: Scope, parts: dict[str, tuple[FieldNode, ...]]) -> Selection:
        selection = cls.__new__(cls)
        selection._scope, selection._parts, selection._known = scope, parts, {}
        return selection

    def __bool__(self) -> bool:
        return any(self._by_type.values())

    @cached_property
    def fields(self) -> frozenset[str]:
        """Names of the fields asked for directly below, over every possible type."""
        return frozenset(name for fields in self._by_type.values() for name in fields)

    @cached_property
    def columns(self) -> frozenset[str]:
        """Columns the records below must carry, over every possible type; embedded ones as `outer.inner`."""
        return frozenset(column for name in self._by_type for column in self.columns_of(name))

    def columns_of(self, type_name: str) -> frozenset[str]:
        """Columns a record of one possible type must carry; empty when the type is not possible here."""
        type_ = self._scope.schema.type_map.get(type_name)
        if not isinstance(type_, GraphQLObjectType):
            return frozenset()
        return frozenset(
            column
            for name, nodes in self._by_type.get(type_name, {}).items()
            if name in type_.fields
            for column in self._columns_of_field(type_, name, nodes)
        )

    def at(self, *path: str) -> Selection:
        """The selection below a path of field names; empty (and falsy) where the operation does not ask for it."""
        here = self
        for name in path:
            below = here._known.get(name)
            if below is None:
                below = here._known[name] = here._below(name)
            here = below
        return here

    def __or__(self, other: Selection) -> Selection:
        """Both selections merged, as for `nodes` and `edges.node`."""
        if not other:
            return self
        if not self:
            return other
        parts = dict(self._parts)
        for name, nodes in other._parts.items():
            parts[name] = _merged(parts.get(name, ()), nodes)
        return Selection._of(self._scope, parts)

    @cached_property
    def _by_type(self) -> dict[str, dict[str, list[FieldNode]]]:
        """Field nodes by field name, for every possible object type."""
        schema = self._scope.schema
        collected: dict[str, dict[str, list[FieldNode]]] = {}
        for name, nodes in self._parts.items():
            for object_type in _possible_types(schema, schema.type_map[name]):
                fields = collected.setdefault(object_type.name, {})
                seen: set[str] = set()
                for node in nodes:
                    if node.selection_set:
                        self._collect(node.selection_set.selections, object_type, fields, seen)
        return collected

    def _collect(
        self,
        selections: Iterable[SelectionNode],
        type_: GraphQLObjectType,
        into: dict[str, list[FieldNode]],
        seen: set[str],
    ) -> None:
        for node in selections:
            if not _is_included(node, self._scope.variables):
                continue
            if isinstance(node, FieldNode):
                into.setdefault(node.name.value, []).append(node)
            elif isinstance(node, InlineFragmentNode):
                if node.type_condition is None or self._applies(node.type_condition.name.value, type_):
                    self._collect(node.selection_set.selections, type_, into, seen)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                fragment = self._scope.fragments.get(node.name.value)
                if fragment and self._applies(fragment.type_condition.name.value, type_):
                    self._collect(fragment.selection_set.selections, type_, into, seen)

    def _applies(self, condition: str, type_: GraphQLObjectType) -> bool:
        if condition == type_.name:
            return True
        conditional = self._scope.schema.type_map.get(condition)
        return isinstance(conditional, GraphQLInterfaceType | GraphQLUnionType) and self._scope.schema.is_sub_type(
            conditional, type_
        )

    def _below(self, name: str) -> Selection:
        parts: dict[str, tuple[FieldNode, ...]] = {}
        for type_name, fields in self._by_type.items():
            type_ = self._scope.schema.type_map[type_name]
            if name in fields and isinstance(type_, GraphQLObjectType) and name in type_.fields:
                below = get_named_type(type_.fields[name].type).name
                parts[below] = _merged(parts.get(below, ()), fields[name])
        return Selection._of(self._scope, parts)

    def _columns_of_field(self, type_: GraphQLObjectType, name: str, nodes: list[FieldNode]) -> Iterable[str]:
        field = type_.fields[name]
        spec = self._scope.spec_of(field)
        if spec is None:
            return ()
        if not isinstance(spec, Column):
            return spec.needs
        named = get_named_type(field.type)
        if not is_composite_type(named):
            return (spec.key,)
        below = Selection(self._scope, named, nodes).columns
        return [f"{spec.key}.{column}" for column in below] or (spec.key,)


def _merged(known: tuple[FieldNode, ...], more: Iterable[FieldNode]) -> tuple[FieldNode, ...]:
    """Field nodes without repetition; the same node is met once for every possible parent type."""
    return (*known, *(node for node in more if not any(node is other for other in known)))


def _possible_types(schema: GraphQLSchema, type_: GraphQLNamedType) -> Sequence[GraphQLObjectType]:
    if isinstance(type_, GraphQLObjectType):
        return (type_,)
    if isinstance(type_, GraphQLInterfaceType | GraphQLUnionType):
        return schema.get_possible_types(type_)
    return ()


def _is_included(node: SelectionNode, variables: Mapping[str, Any]) -> bool:
    for directive in node.directives or ():
        name = directive.name.value
        if name not in ("skip", "include"):
            continue
        for argument in directive.arguments or ():
            value = argument.value
            flag = variables.get(value.name.value) if isinstance(value, VariableNode) else getattr(value, "value", None)
            if isinstance(flag, bool) and flag is (name == "skip"):
                return False
    return True
