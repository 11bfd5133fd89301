"""Runs an operation by its compiled plan and presents its errors; the endpoint calls nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from graphql import GraphQLError, GraphQLSchema, OperationType

from nexfit.api.context import Context
from nexfit.api.errors import presented
from nexfit.api.fields import spec_of
from nexfit.api.language import Speech
from nexfit.engine.engine import Engine
from nexfit.engine.result import Result

MAX_TOKENS = 4000
"""Lexical tokens of a document; the owner's overview has about 200."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation to execute; with `queries_only` anything but a query is refused."""

    query: str
    variables: Mapping[str, Any] | None = None
    operation_name: str | None = None
    queries_only: bool = False


@dataclass(frozen=True, slots=True)
class Sharing:
    """That a response may be kept by others, too: how old it is and may become in seconds, and whether for all."""

    age: int
    max_age: int
    private: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The response's body, who executed it (`plan`, `reference` or `cache`), and whether anything was executed at all.

    `failed` when it has errors.
    """

    body: bytes
    executor: str
    executed: bool
    failed: bool = False
    sharing: Sharing | None = None


class Operations:
    """Executes operations against one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.engine = Engine(schema, spec_of, max_tokens=MAX_TOKENS)

    async def run(self, asked: Asked, context: Context) -> Answer:
        """The answer to one operation; every failure is in it, none is raised."""
        if refused := self._refusal(asked):
            return _answer(Result(None, [refused]), context.speech)
        result = await self.engine.execute(
            asked.query, variables=asked.variables, operation_name=asked.operation_name, context=context, root={}
        )
        return _answer(result, context.speech)

    def faults(self, document: str) -> list[str]:
        """What keeps a document from being executed, whoever asks; none for a valid one."""
        return [str(error.message) for error in self.engine.prepare(document).errors]

    def _refusal(self, asked: Asked) -> GraphQLError | None:
        """Why an operation of this kind cannot be answered by one response; None where it can, or is no operation."""
        prepared = self.engine.prepare(asked.query)
        operation = None if prepared.errors else prepared.operation(asked.operation_name)
        if operation is None or isinstance(operation, GraphQLError):
            return None
        if asked.queries_only and operation.node.operation is not OperationType.QUERY:
            return GraphQLError("Only queries can be sent by GET.", operation.node)
        if operation.node.operation is OperationType.SUBSCRIPTION:
            return GraphQLError("Subscriptions need a stream; this is a single response.", operation.node)
        return None


def _answer(result: Result, speech: Speech) -> Answer:
    errors = presented(result.errors, speech)
    # Errors of a request have no path, and its response no `data`: nothing was executed.
    executed = result.data is not None or any(error.path for error in result.errors)
    payload: dict[str, Any] = {}
    if errors:
        payload["errors"] = [error.formatted for error in errors]
    if executed:
        payload["data"] = result.data
    return Answer(orjson.dumps(payload), result.executor, executed, failed=bool(errors))
