"""What an execution answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import orjson
from graphql import (
    ExecutionResult,
    ExperimentalIncrementalExecutionResults,
    GraphQLError,
    SubsequentIncrementalExecutionResult,
)


class Result:
    """A GraphQL response: data and errors as graphql-core would give them, and who executed it."""

    __slots__ = ("_initial", "data", "errors", "executor", "extensions", "subsequent")

    def __init__(
        self,
        data: dict[str, Any] | None,
        errors: Sequence[GraphQLError] = (),
        *,
        executor: str = "plan",
        extensions: dict[str, Any] | None = None,
    ) -> None:
        self.data = data
        """The response data; read-only, as it may hold lists that belong to stored records."""
        self.errors = list(errors)
        self.executor = executor
        """`plan`, or `reference` where graphql-core executed what plans do not cover."""
        self.extensions = extensions
        self.subsequent: AsyncGenerator[SubsequentIncrementalExecutionResult, None] | None = None
        """The payloads that follow this first one, for an operation with @defer or @stream."""
        self._initial: dict[str, Any] = {}

    @classmethod
    def from_reference(cls, answer: ExecutionResult | ExperimentalIncrementalExecutionResults) -> Result:
        """What graphql-core's executor answered."""
        if isinstance(answer, ExecutionResult):
            return cls(answer.data, answer.errors or (), executor="reference", extensions=answer.extensions)
        initial = answer.initial_result
        result = cls(initial.data, initial.errors or (), executor="reference", extensions=initial.extensions)
        result.subsequent = answer.subsequent_results
        result._initial = {key: value for key, value in initial.formatted.items() if key in ("pending", "hasNext")}
        return result

    def formatted(self) -> dict[str, Any]:
        """The response as plain data, in the order in which it is written."""
        formatted: dict[str, Any] = {"data": self.data}
        if self.errors:
            formatted["errors"] = [error.formatted for error in self.errors]
        formatted |= self._initial
        if self.extensions is not None:
            formatted["extensions"] = self.extensions
        return formatted

    def to_json(self) -> bytes:
        """The response as UTF-8 JSON. Raises TypeError when a custom scalar gave something JSON cannot hold."""
        return orjson.dumps(self.formatted())
