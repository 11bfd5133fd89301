"""Coercion of variables and arguments: the common cases prepared once per operation, the rest left to graphql-core.

Whatever this module cannot settle by itself, and every error, goes through graphql-core's own functions, so messages
and rules are the reference's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from graphql import (
    FieldNode,
    GraphQLArgument,
    GraphQLError,
    GraphQLField,
    GraphQLSchema,
    ListValueNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    get_argument_values,
    get_variable_values,
    is_leaf_type,
    is_non_null_type,
    is_required_argument,
)
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource
from graphql.utilities import coerce_input_literal
from graphql.utilities.coerce_input_value import coerce_default_value

_MAX_COERCION_ERRORS = 50  # graphql-core's default


class Variables:
    """The variables one operation declares."""

    def __init__(
        self, schema: GraphQLSchema, definitions: Sequence[VariableDefinitionNode], *, hide_suggestions: bool
    ) -> None:
        self._schema = schema
        self._definitions = definitions
        self._hide_suggestions = hide_suggestions
        signatures = [get_variable_signature(schema, definition) for definition in definitions]
        self._leaves: list[tuple[str, GraphQLVariableSignature, Any, bool]] | None = []
        """Name, signature, leaf type and non-null of each variable; None when one of them is not a plain leaf."""
        for signature in signatures:
            if isinstance(signature, GraphQLError):
                self._leaves = None
                return
            required = is_non_null_type(signature.type)
            leaf = signature.type.of_type if is_non_null_type(signature.type) else signature.type
            if not is_leaf_type(leaf):
                self._leaves = None
                return
            self._leaves.append((signature.name, signature, leaf, required))

    def coerce(self, inputs: Mapping[str, Any]) -> VariableValues | list[GraphQLError]:
        """The values an execution sees, or the request errors."""
        if self._leaves is not None:
            values = self._coerce_leaves(inputs)
            if values is not None:
                return values
        return get_variable_values(
            self._schema,
            self._definitions,
            dict(inputs),
            max_errors=_MAX_COERCION_ERRORS,
            hide_suggestions=self._hide_suggestions,
        )

    def _coerce_leaves(self, inputs: Mapping[str, Any]) -> VariableValues | None:
        sources: dict[str, VariableValueSource] = {}
        coerced: dict[str, Any] = {}
        try:
            for name, signature, leaf, required in self._leaves or ():
                value = inputs.get(name, Undefined)
                if value is Undefined:
                    if signature.default is not None:
                        coerced[name] = coerce_default_value(signature)
                    elif required:
                        return None
                    sources[name] = VariableValueSource(signature)
                    continue
                sources[name] = VariableValueSource(signature, value)
                if value is not None:
                    value = leaf.coerce_input_value(value)
                    if value is Undefined:
                        return None
                elif required:
                    return None
                coerced[name] = value
        except Exception:  # graphql-core repeats the coercion and words the error
            return None
        return VariableValues(sources, coerced)


class Arguments:
    """The arguments of one field of an operation."""

    __slots__ = ("_defined", "_given", "_literals", "_mutable", "_node", "_order", "_unset", "_variables", "constant")

    def __init__(self, definition: GraphQLField, node: FieldNode) -> None:
        self._defined = definition
        self._node = node
        self._literals: dict[str, Any] = {}
        """Keyword arguments that are the same in every execution."""
        self._variables: list[tuple[str, str, bool, Any]] = []
        """Keyword, variable, whether null is refused, default where the variable has no value."""
        self._mutable: list[tuple[str, ValueNode, GraphQLArgument]] = []
        """Literals made anew for every execution: they hold variables, or objects a resolver might change."""
        self._order: list[str] = []
        self._unset = False
        """Whether something here needs graphql-core every time."""
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        for name, argument in definition.args.items():
            self._add(argument.out_name or name, argument, given.get(name))
        self.constant = not (self._unset or self._variables or any(map(_has_variable, given.values())))
        """Whether every execution gets the same arguments."""

    def make(self, variables: VariableValues, *, hide_suggestions: bool) -> dict[str, Any]:
        """Keyword arguments of one execution; raises GraphQLError as graphql-core does."""
        if not self._order:
            return {}
        made = None if self._unset else self._make(variables)
        if made is None:
            return get_argument_values(self._defined, self._node, variables, hide_suggestions=hide_suggestions)
        return made

    def _make(self, variables: VariableValues) -> dict[str, Any] | None:
        made = dict(self._literals)
        coerced = variables.coerced
        for keyword, variable, required, default in self._variables:
            value = coerced.get(variable, default)
            if value is Undefined:
                if required:
                    return None
                continue
            if value is None and required:
                return None
            made[keyword] = value
        for keyword, node, argument in self._mutable:
            value = coerce_input_literal(node, argument.type, variables)
            if value is Undefined:
                return None
            made[keyword] = value
        if len(self._order) > 1 and (self._variables or self._mutable):
            return {keyword: made[keyword] for keyword in self._order if keyword in made}
        return made

    def _add(self, keyword: str, argument: GraphQLArgument, value: ValueNode | None) -> None:
        self._order.append(keyword)
        try:
            default = coerce_default_value(argument)
        except TypeError:
            self._unset = True
            return
        if value is None:
            if is_required_argument(argument):
                self._unset = True
            elif default is not Undefined:
                self._literals[keyword] = default
        elif isinstance(value, VariableNode):
            if is_required_argument(argument):
                default = Undefined
            self._variables.append((keyword, value.name.value, is_non_null_type(argument.type), default))
        elif _has_variable(value):
            self._mutable.append((keyword, value, argument))
        else:
            literal = coerce_input_literal(value, argument.type)
            if literal is Undefined:
                self._unset = True
            elif literal is None or isinstance(literal, str | int | float | bool | Enum):
                self._literals[keyword] = literal
            else:
                self._mutable.append((keyword, value, argument))


def _has_variable(node: ValueNode) -> bool:
    if isinstance(node, VariableNode):
        return True
    if isinstance(node, ListValueNode):
        return any(map(_has_variable, node.values))
    if isinstance(node, ObjectValueNode):
        return any(_has_variable(field.value) for field in node.fields)
    return False
