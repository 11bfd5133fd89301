"""Runs an operation and presents its errors; the endpoint and the tests call nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson
from graphql import ExecutionResult, GraphQLError, GraphQLSchema, execute, get_operation_ast, parse, validate

from nexfit.api.context import Context
from nexfit.api.errors import presented


@dataclass(frozen=True, slots=True)
class Answer:
    """The response's body, and whether anything was executed: a request error has no `data`."""

    body: bytes
    executed: bool


class Operations:
    """Executes operations against one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema

    async def run(
        self,
        source: str,
        *,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
        context: Context,
        queries_only: bool = False,
    ) -> Answer:
        """The answer to one operation; every failure is in it, none is raised."""
        try:
            document = parse(source)
        except GraphQLError as error:
            return _refused([error])
        if errors := validate(self.schema, document, max_errors=5):
            return _refused(errors)
        operation = get_operation_ast(document, operation_name)
        if queries_only and operation is not None and operation.operation.value != "query":
            return _refused([GraphQLError("Only queries can be sent by GET.")])
        result = execute(
            self.schema,
            document,
            root_value={},
            context_value=context,
            variable_values=dict(variables or {}),
            operation_name=operation_name,
        )
        if asyncio.iscoroutine(result):
            result = await result
        result = cast("ExecutionResult", result)
        if result.data is None and operation is None:
            return _refused(result.errors or [])
        payload: dict[str, Any] = {"data": result.data}
        if shown := presented(result.errors):
            payload = {"errors": [error.formatted for error in shown], **payload}
        return Answer(orjson.dumps(payload), executed=True)


def _refused(errors: list[GraphQLError]) -> Answer:
    shown = presented(errors) or []
    return Answer(orjson.dumps({"errors": [error.formatted for error in shown]}), executed=False)
