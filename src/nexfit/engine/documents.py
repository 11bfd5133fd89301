"""Documents as clients send them: parsed and validated once, with what their operations need to run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from graphql import (
    ASTValidationRule,
    DirectiveNode,
    DocumentNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    validate,
)

from nexfit.engine.arguments import Variables
from nexfit.engine.compile import CONDITIONAL

_REFERENCE_ONLY = {"defer", "stream", "experimental_disableErrorPropagation"}
"""Directives that only graphql-core executes."""


class Operation:
    """One operation of a valid document."""

    __slots__ = ("conditions", "covered", "estimate", "node", "variables")

    def __init__(
        self,
        schema: GraphQLSchema,
        node: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        *,
        hide_suggestions: bool,
    ) -> None:
        self.node = node
        self.variables = Variables(schema, node.variable_definitions or (), hide_suggestions=hide_suggestions)
        directives = list(_directives(node, fragments))
        self.conditions = tuple(
            dict.fromkeys(
                argument.value.name.value
                for directive in directives
                if directive.name.value in CONDITIONAL
                for argument in directive.arguments or ()
                if isinstance(argument.value, VariableNode)
            )
        )
        """Variables that decide @skip and @include: each combination of their values has a plan of its own."""
        self.estimate: Callable[[Mapping[str, Any]], int] | None = None
        """For who weighs operations before they run, to keep what was found out about this one."""
        # Variables of fragments are an experiment that only a parser told to reads.
        self.covered = not (
            any(directive.name.value in _REFERENCE_ONLY for directive in directives)
            or any(fragment.variable_definitions for fragment in fragments.values())
        )


class Prepared:
    """A parsed document: its operations, or the request errors that keep it from being executed."""

    __slots__ = ("_operations", "document", "errors", "fragments", "source")

    def __init__(
        self,
        source: str,
        document: DocumentNode | None,
        errors: Sequence[GraphQLError],
        schema: GraphQLSchema,
        *,
        hide_suggestions: bool,
    ) -> None:
        self.source = source
        self.document = document
        self.errors = errors
        definitions = document.definitions if document is not None and not errors else ()
        self.fragments = {
            definition.name.value: definition
            for definition in definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._operations = [
            Operation(schema, definition, self.fragments, hide_suggestions=hide_suggestions)
            for definition in definitions
            if isinstance(definition, OperationDefinitionNode)
        ]

    @property
    def operation_names(self) -> list[str | None]:
        """Names of the operations in the document's order, None for the anonymous one."""
        return [operation.node.name.value if operation.node.name else None for operation in self._operations]

    def operation(self, name: str | None) -> Operation | GraphQLError:
        """The operation to execute (the only one when `name` is None), or the request error of there being none."""
        operations = self._operations
        if name is not None:
            for operation in reversed(operations):
                if operation.node.name and operation.node.name.value == name:
                    return operation
            return GraphQLError(f"Unknown operation named '{name}'.")
        if len(operations) == 1:
            return operations[0]
        return GraphQLError(
            "Must provide operation name if query contains multiple operations."
            if operations
            else "Must provide an operation."
        )


def prepare(
    schema: GraphQLSchema,
    source: str,
    rules: Collection[type[ASTValidationRule]],
    parse: Callable[[str], DocumentNode],
    *,
    max_errors: int,
    hide_suggestions: bool,
) -> Prepared:
    """Parse and validate; what is wrong is in `errors` of the answer."""
    document: DocumentNode | None = None
    try:
        document = parse(source)
        errors: Sequence[GraphQLError] = validate(
            schema, document, rules, max_errors=max_errors, hide_suggestions=hide_suggestions
        )
    except GraphQLError as error:
        errors = [error]
    return Prepared(source, document, errors, schema, hide_suggestions=hide_suggestions)


def _directives(
    operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> Iterable[DirectiveNode]:
    """Every directive that executing the operation may meet, each fragment looked at once."""
    yield from operation.directives or ()
    seen: set[str] = set()
    waiting: list[SelectionSetNode] = [operation.selection_set]
    while waiting:
        for node in waiting.pop().selections:
            yield from node.directives or ()
            below = getattr(node, "selection_set", None)
            if below:
                waiting.append(below)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                fragment = fragments.get(node.name.value)
                if fragment is not None:
                    waiting.append(fragment.selection_set)
