"""Runs an operation under graphql-core and makes its answer comparable with the engine's."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import orjson
from graphql import (
    DirectiveNode,
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    NameNode,
    OperationDefinitionNode,
    execute,
    parse,
)


async def reference(
    schema: GraphQLSchema,
    document: str | DocumentNode,
    *,
    variables: Mapping[str, Any] | None = None,
    operation_name: str | None = None,
    context: Any = None,
    root: Any = None,
) -> ExecutionResult:
    """graphql-core's answer; the document is taken to be valid."""
    result = execute(
        schema,
        parse(document) if isinstance(document, str) else document,
        root_value=root,
        context_value=context,
        variable_values=dict(variables or {}),
        operation_name=operation_name,
    )
    return await result if isinstance(result, Awaitable) else result


def text(result: ExecutionResult) -> bytes:
    """The reference's answer as it would be sent."""
    return orjson.dumps(result.formatted)


def written(errors: Iterable[GraphQLError] | None) -> set[bytes]:
    """Errors as they would be sent, without their order."""
    return {orjson.dumps(error.formatted) for error in errors or ()}


def nulled(data: Any, errors: Iterable[GraphQLError] | None) -> set[tuple[str | int, ...]]:
    """The positions in `data` that are null because of `errors`."""
    positions = set()
    for error in errors or ():
        here, position = data, []
        for key in error.path or ():
            if here is None:
                break
            position.append(key)
            here = here[key]
        assert here is None, f"{error!r} left {here!r}"
        positions.add(tuple(position))
    return positions


def without_propagation(document: DocumentNode) -> DocumentNode:
    """The document with operations in which no error takes its parent with it, so that all errors are reported."""
    every_error = DirectiveNode(name=NameNode(value="experimental_disableErrorPropagation"))
    return replace(
        document,
        definitions=tuple(
            replace(definition, directives=(*(definition.directives or ()), every_error))
            if isinstance(definition, OperationDefinitionNode)
            else definition
            for definition in document.definitions
        ),
    )
