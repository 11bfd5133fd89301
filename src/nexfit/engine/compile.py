"""Turns one operation of a validated document into a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedOutputType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    default_field_resolver,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution import Executor

from nexfit.engine.arguments import Arguments
from nexfit.engine.fields import TYPENAME, Batch, Column, Derived, SpecOf
from nexfit.engine.generate import MAX_INLINE_NESTING, generate
from nexfit.engine.plan import FieldPlan, Kind, ObjectPlan, OperationPlan
from nexfit.engine.selection import Scope, Selection

MAX_FIELDS = 2000
"""Field plans of one operation. Fragments can multiply a small document into more; the reference then executes it."""
MAX_NESTING = 80
"""Levels of selection sets of one operation; a plan needs a few stack frames for each."""

CONDITIONAL = ("skip", "include")


class NotCoveredError(Exception):
    """The plan compiler does not cover this operation; graphql-core executes it."""


def compile_operation(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    flags: Mapping[str, bool],
    spec_of: SpecOf,
    reference: Executor[Any],
    *,
    hide_suggestions: bool,
) -> OperationPlan:
    """Compile for the given values of the variables that decide @skip and @include.

    Raises NotCoveredError for what plans do not do, and RecursionError for selections nested too deeply.
    """
    root = schema.get_root_type(operation.operation)
    if root is None:
        raise NotCoveredError(f"no {operation.operation.value} type")
    compiler = _Compiler(schema, fragments, flags, spec_of)
    fields = compiler.fields(root, [operation.selection_set], (), ())
    roots = (
        [compiler.object(root, [field]) for field in fields]
        if operation.operation is OperationType.MUTATION
        else [compiler.object(root, fields)]
    )
    return OperationPlan(schema, operation, fragments, roots, compiler.size, reference, hide_suggestions)


class _Compiler:
    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        flags: Mapping[str, bool],
        spec_of: SpecOf,
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._flags = flags
        self._spec_of = spec_of
        self._scope = Scope(schema, fragments, flags, spec_of)
        self.size = 0

    def fields(
        self,
        type_: GraphQLObjectType,
        selection_sets: Iterable[SelectionSetNode],
        nullable: tuple[bool, ...],
        ordinals: tuple[int | None, ...],
    ) -> list[FieldPlan]:
        """The response fields of one object type. `nullable` and `ordinals` are those of its rows' paths."""
        grouped: dict[str, list[FieldNode]] = {}
        seen: set[str] = set()
        for selection_set in selection_sets:
            self._collect(selection_set.selections, type_, grouped, seen)
        fields: list[FieldPlan] = []
        for key, nodes in grouped.items():
            definition = self._schema.get_field(type_, nodes[0].name.value)
            if definition is not None:
                fields.append(self._field(type_, key, nodes, definition, nullable, (*ordinals, len(fields))))
        return fields

    def object(self, type_: GraphQLObjectType, fields: Sequence[FieldPlan]) -> ObjectPlan:
        return ObjectPlan(
            type=type_,
            fields=tuple(fields),
            columns=tuple(field for field in fields if not field.inline),
            waits=any(field.waits for field in fields),
            generate=generate,
        )

    def _field(
        self,
        parent_type: GraphQLObjectType,
        key: str,
        nodes: list[FieldNode],
        definition: GraphQLField,
        nullable: tuple[bool, ...],
        ordinals: tuple[int | None, ...],
    ) -> FieldPlan:
        self.size += 1
        if self.size > MAX_FIELDS:
            raise NotCoveredError(f"more than {MAX_FIELDS} fields")
        if sum(ordinal is not None for ordinal in ordinals) > MAX_NESTING:
            raise NotCoveredError(f"nested more than {MAX_NESTING} deep")
        named = cast("GraphQLNamedOutputType", get_named_type(definition.type))
        wrappers = _nullable_positions(definition.type)
        spec = self._spec_of(definition)
        field = FieldPlan(
            key=key,
            name=nodes[0].name.value,
            nodes=nodes,
            definition=definition,
            parent_type=parent_type,
            spec=spec,
            kind=_kind(nodes[0].name.value, definition, spec),
            type=definition.type,
            named_type=named,
            depth=len(wrappers) - 1,
            is_leaf=is_leaf_type(named),
            abstract=named if is_abstract_type(named) else None,
            nullable=(*nullable, *wrappers),
            ordinals=(*ordinals, *(None for _ in wrappers[1:])),
            read=column_reader(spec) if isinstance(spec, Column) else None,
            trusted=spec is not None,
            load=spec.load if isinstance(spec, Batch) else None,
            arguments=Arguments(definition, nodes[0]),
            selection=Selection(self._scope, named, nodes),
        )
        below = [node.selection_set for node in nodes if node.selection_set]
        for type_ in self._possible_types(field):
            fields = self.fields(type_, below, field.nullable, field.ordinals)
            field.objects[type_.name] = self.object(type_, fields)
        if is_object_type(named) and (field.trusted or not named.is_type_of):
            field.only = field.objects[named.name]
        whole = field.is_leaf or (field.trusted and field.only is not None and _is_plain(field.only))
        field.inline = field.kind is Kind.TYPENAME or (
            whole and field.kind is Kind.COLUMN and not definition.args and field.depth <= MAX_INLINE_NESTING
        )
        field.raw = whole and not field.inline
        field.waits = not field.inline and (
            field.kind in (Kind.BATCH, Kind.ATTRIBUTE, Kind.RESOLVER)
            or field.abstract is not None
            or any(plan.waits for plan in field.objects.values())
        )
        return field

    def _possible_types(self, field: FieldPlan) -> Sequence[GraphQLObjectType]:
        if field.abstract is not None:
            return self._schema.get_possible_types(field.abstract)
        return (field.named_type,) if is_object_type(field.named_type) else ()

    def _collect(
        self,
        selections: Iterable[SelectionNode],
        type_: GraphQLObjectType,
        into: dict[str, list[FieldNode]],
        seen: set[str],
    ) -> None:
        for node in selections:
            if not self._is_included(node):
                continue
            if isinstance(node, FieldNode):
                into.setdefault(node.alias.value if node.alias else node.name.value, []).append(node)
            elif isinstance(node, InlineFragmentNode):
                if node.type_condition is None or self._applies(node.type_condition.name.value, type_):
                    self._collect(node.selection_set.selections, type_, into, seen)
            elif isinstance(node, FragmentSpreadNode):
                fragment = self._fragments.get(node.name.value)
                if (
                    fragment is not None
                    and node.name.value not in seen
                    and self._applies(fragment.type_condition.name.value, type_)
                ):
                    seen.add(node.name.value)
                    self._collect(fragment.selection_set.selections, type_, into, seen)

    def _is_included(self, node: SelectionNode) -> bool:
        for directive in node.directives or ():
            name = directive.name.value
            if name in CONDITIONAL:
                value = next(argument.value for argument in directive.arguments or () if argument.name.value == "if")
                flag = self._flags[value.name.value] if isinstance(value, VariableNode) else cast("Any", value).value
                if flag is (name == "skip"):
                    return False
        return True

    def _applies(self, condition: str, type_: GraphQLObjectType) -> bool:
        if condition == type_.name:
            return True
        conditional = self._schema.get_type(condition)
        return is_abstract_type(conditional) and self._schema.is_sub_type(conditional, type_)


def _nullable_positions(type_: Any) -> tuple[bool, ...]:
    """Whether the field's own position, and each level of list items below it, may be null."""
    positions = [not is_non_null_type(type_)]
    inner = type_.of_type if is_non_null_type(type_) else type_
    while is_list_type(inner):
        item = inner.of_type
        positions.append(not is_non_null_type(item))
        inner = item.of_type if is_non_null_type(item) else item
    return tuple(positions)


def _kind(name: str, definition: GraphQLField, spec: object) -> Kind:
    if name == TYPENAME:
        return Kind.TYPENAME
    if isinstance(spec, Column):
        return Kind.COLUMN
    if isinstance(spec, Derived):
        return Kind.DERIVED
    if isinstance(spec, Batch):
        return Kind.BATCH
    return Kind.ATTRIBUTE if definition.resolve in (None, default_field_resolver) else Kind.RESOLVER


def column_reader(column: Column) -> Callable[[Any], Any]:
    """A function from a record to the value of a column, as the reference reads it."""
    key, read = column.key, column.read

    def reader(record: Any) -> Any:
        value = record.get(key)
        return value if value is None or read is None else read(value)

    return reader


def _is_plain(plan: ObjectPlan) -> bool:
    """Whether one function can read the plan's records with everything below them."""
    return not plan.columns and _nesting(plan) <= MAX_INLINE_NESTING


def _nesting(plan: ObjectPlan) -> int:
    return 1 + max(
        (field.depth + max(map(_nesting, field.objects.values()), default=0) for field in plan.fields), default=0
    )
