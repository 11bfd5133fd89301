"""What an operation costs: the number of objects its answer may hold at most, and `MUTATION` for every change.

Lists count with the size that is asked for, also when a variable gives it; the estimate is worked out once per
operation and evaluated with each request's variables. How it is meant: docs/decisions/0012-limits-and-cost.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphql import (
    BooleanValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLList,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    Undefined,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
)

from nexfit.api.relay import DEFAULT_PAGE, MAX_PAGE

MUTATION = 10
SCHEMA = 500
"""Objects in the answer to an introspection, about."""

HEAVY: Mapping[tuple[str, str], int] = {("Query", "verifyAudit"): 2_000}
"""Fields whose work is not in the objects they answer with."""

HEAVY_WITH: Mapping[tuple[str, str], tuple[str, tuple[str, ...], int]] = {
    ("Query", "coaches"): ("filter", ("free",), 2_000),  # looks at every coach's calendar until the page is full
}
"""Fields whose work grows with something that is asked for: the argument, the path below it, and how much more."""

ASSUMED = 10
"""Items of a list that takes no size."""

Variables = Mapping[str, Any]
_Factor = Callable[[Variables], int]
"""A number that depends on variables: a list's size, or 0 or 1 for @skip and @include."""


class Cost:
    """A sum: a constant, and products of a factor with another sum."""

    __slots__ = ("constant", "parts")

    def __init__(self, constant: int = 0) -> None:
        self.constant = constant
        self.parts: list[tuple[_Factor, Cost]] = []

    def __call__(self, variables: Variables) -> int:
        """The cost with a request's variables, as they came."""
        if not self.parts:
            return self.constant
        return self.constant + sum(factor(variables) * part(variables) for factor, part in self.parts)

    def add(self, factor: int | _Factor, other: Cost) -> None:
        """Add a multiple of another sum."""
        if isinstance(factor, int):
            self.constant += factor * other.constant
            if factor == 1:
                self.parts += other.parts
            elif other.parts and factor:
                rest = Cost()
                rest.parts = other.parts
                self.parts.append((lambda _: factor, rest))
        elif other.constant or other.parts:
            self.parts.append((factor, other))


def cost_of(
    schema: GraphQLSchema, operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> Cost:
    """The cost of a valid operation within the limits of `nexfit.api.limits`."""
    root = schema.get_root_type(operation.operation)
    total = Cost()
    if root is None:
        return total
    below, _ = _Estimate(schema, operation, fragments).selections(operation.selection_set, root)
    total.add(1, below)
    if operation.operation is OperationType.MUTATION:
        total.constant += MUTATION * max(1, len(operation.selection_set.selections))
    return total


class _Estimate:
    def __init__(
        self,
        schema: GraphQLSchema,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._defaults: Mapping[str, ValueNode] = {
            definition.variable.name.value: definition.default_value
            for definition in operation.variable_definitions or ()
            if definition.default_value is not None
        }

    def selections(self, selection_set: SelectionSetNode, type_: GraphQLNamedType) -> tuple[Cost, Cost]:
        """What a record's selections cost, and what each item of the page costs where the record is a connection."""
        once, per_item = Cost(), Cost()
        for node in selection_set.selections:
            included = _included(node)
            if isinstance(node, FieldNode):
                field = self._schema.get_field(type_, node.name.value)  # type: ignore[arg-type]
                if field is None:
                    continue
                once.add(included, self._work(type_.name, node))
                paged = _is_connection(type_) and node.name.value in ("nodes", "edges")
                (per_item if paged else once).add(included, self._field(node, field, in_page=paged))
                continue
            below = self._fragment(node, type_)
            if below is not None:
                once.add(included, below[0])
                per_item.add(included, below[1])
        return once, per_item

    def _fragment(self, node: SelectionNode, type_: GraphQLNamedType) -> tuple[Cost, Cost] | None:
        if isinstance(node, InlineFragmentNode):
            condition, selection_set = node.type_condition, node.selection_set
        elif isinstance(node, FragmentSpreadNode) and node.name.value in self._fragments:
            fragment = self._fragments[node.name.value]
            condition, selection_set = fragment.type_condition, fragment.selection_set
        else:
            return None
        narrowed = self._schema.get_type(condition.name.value) if condition else type_
        return self.selections(selection_set, narrowed or type_)

    def _field(self, node: FieldNode, field: GraphQLField, *, in_page: bool) -> Cost:
        total = Cost()
        named = get_named_type(field.type)
        if node.name.value == "__schema":
            total.constant = SCHEMA
        elif node.name.value == "__type":
            total.constant = MUTATION
        elif not is_leaf_type(named) and node.selection_set is not None:
            once, per_item = self.selections(node.selection_set, named)
            one = Cost(1)
            one.add(1, once)
            size = self._size(node, field)
            if _is_connection(named):
                one.add(size, per_item)
                size = 1
            elif in_page:  # the connection multiplies
                size = 1
            total.add(size, one)
        return total

    def _work(self, type_name: str, node: FieldNode) -> Cost:
        """What a field does besides the objects it answers with."""
        work = Cost(HEAVY.get((type_name, node.name.value), 0))
        argument, path, more = HEAVY_WITH.get((type_name, node.name.value), ("", (), 0))
        value = next((given.value for given in node.arguments or () if given.name.value == argument), None)
        work.add(self._is_given(value, path), Cost(more))
        return work

    def _is_given(self, value: ValueNode | None, path: Sequence[str]) -> int | _Factor:
        """1 where there is a value at a path below one, 0 where not."""
        if isinstance(value, VariableNode):
            name = value.name.value
            default = self._is_given(self._defaults.get(name), path)

            def is_given(variables: Variables) -> int:
                if name in variables:
                    return int(_at(variables[name], path) is not None)
                return default if isinstance(default, int) else default(variables)

            return is_given
        if not path:
            return int(value is not None and not isinstance(value, NullValueNode))
        fields = value.fields if isinstance(value, ObjectValueNode) else ()
        return self._is_given(next((field.value for field in fields if field.name.value == path[0]), None), path[1:])

    def _size(self, node: FieldNode, field: GraphQLField) -> int | _Factor:
        """Items of the list that a field leads to; 1 where it leads to one record."""
        named = get_named_type(field.type)
        if not _is_connection(named) and not isinstance(get_nullable_type(field.type), GraphQLList):
            return 1
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        sizes = [self._number(given[name]) for name in ("first", "last", "ids") if name in given]
        if not sizes:
            default = field.args["first"].default_value if "first" in field.args else Undefined
            assumed = DEFAULT_PAGE if _is_connection(named) else ASSUMED
            return default if isinstance(default, int) else assumed
        if all(isinstance(size, int) for size in sizes):
            return max(size for size in sizes if isinstance(size, int))

        def largest(variables: Variables) -> int:
            return max(size if isinstance(size, int) else size(variables) for size in sizes)

        return sizes[0] if len(sizes) == 1 else largest

    def _number(self, value: ValueNode) -> int | _Factor:
        """A size between 0 and MAX_PAGE: more than that is refused by the field itself, whatever it costs."""
        if isinstance(value, IntValueNode):
            return _clamped(int(value.value)) if len(value.value) < 10 else MAX_PAGE
        if isinstance(value, ListValueNode):
            return _clamped(len(value.values))
        if not isinstance(value, VariableNode):
            return DEFAULT_PAGE
        name = value.name.value
        literal, default = self._defaults.get(name), DEFAULT_PAGE
        if isinstance(literal, IntValueNode) and len(literal.value) < 10:
            default = int(literal.value)

        def size(variables: Variables) -> int:
            given = variables.get(name, default)
            if isinstance(given, list):
                return _clamped(len(given))
            return _clamped(given) if isinstance(given, int) else DEFAULT_PAGE

        return size


def _at(value: object, path: Sequence[str]) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _is_connection(type_: GraphQLNamedType) -> bool:
    return type_.name.endswith("Connection")


def _clamped(size: int) -> int:
    return max(0, min(size, MAX_PAGE))


def _included(node: SelectionNode) -> int | _Factor:
    """0 where @skip or @include leave the node out, 1 where not."""
    factors: list[_Factor] = []
    for directive in node.directives or ():
        name = directive.name.value
        if name not in ("skip", "include"):
            continue
        wanted = name == "include"
        for argument in directive.arguments or ():
            value = argument.value
            if isinstance(value, BooleanValueNode) and value.value is not wanted:
                return 0
            if isinstance(value, VariableNode):
                factors.append(_flag(value.name.value, wanted=wanted))
    if not factors:
        return 1
    return lambda variables: min(factor(variables) for factor in factors)


def _flag(name: str, *, wanted: bool) -> _Factor:
    # Where the variable has no value its default decides, which is not worth knowing here.
    return lambda variables: 0 if variables.get(name, wanted) is not wanted else 1


def objects_in(value: object) -> int:
    """Objects in an answer's data below its root: what was asked for, as it came out."""
    found, waiting = -1, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            found += 1
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return max(0, found)
