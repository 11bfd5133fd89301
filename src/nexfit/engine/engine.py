"""The engine: GraphQL documents in, results out, by compiled plans over any graphql-core schema."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from graphql import (
    ASTValidationRule,
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    create_source_event_stream,
    experimental_execute_incrementally,
    specified_rules,
)
from graphql import parse as graphql_parse
from graphql.execution import Executor
from graphql.execution.values import VariableValues
from graphql.pyutils import is_awaitable

from nexfit.engine.cache import SegmentedCache
from nexfit.engine.compile import NotCoveredError, compile_operation
from nexfit.engine.documents import Operation, Prepared, prepare
from nexfit.engine.fields import SpecOf
from nexfit.engine.plan import OperationPlan
from nexfit.engine.result import Result
from nexfit.engine.run import Run
from nexfit.engine.subscription import Subscription


@dataclass(slots=True)
class Counters:
    """What an engine has done since it was made."""

    documents: int = 0
    """Documents parsed and validated."""
    compiled: int = 0
    """Plans compiled."""
    plans: int = 0
    """Executions by a plan, each subscription event counting as one."""
    reference: int = 0
    """Executions handed to graphql-core because plans do not cover them."""


class Engine:
    """Executes the operations of one schema. Belongs to one event loop; keeps nothing of a request.

    `schema` is a graphql-core schema of any origin. `spec_of` gives the fast meaning of a field (see `fields`); a field
    without one runs its own resolver. `rules` are added to the specified validation rules. `parse` reads a document
    in place of graphql-core's own function, and may refuse it with a GraphQLError.

    Parsed documents and plans are cached within bounds: `documents` and `plans` count entries, `document_characters`
    and `plan_fields` bound their size. A new document does not evict one that was used twice before.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        spec_of: SpecOf,
        *,
        documents: int = 512,
        document_characters: int = 1_000_000,
        plans: int = 1024,
        plan_fields: int = 50_000,
        rules: Collection[type[ASTValidationRule]] = (),
        max_tokens: int | None = None,
        parse: Callable[[str], DocumentNode] | None = None,
        max_errors: int = 5,
        hide_suggestions: bool = False,
    ) -> None:
        self.schema = schema
        self.counters = Counters()
        self._spec_of = spec_of
        self._rules = (*specified_rules, *rules)
        self._parse = parse or partial(graphql_parse, max_tokens=max_tokens)
        self._max_errors = max_errors
        self._hide_suggestions = hide_suggestions
        self._documents: SegmentedCache[str, Prepared] = SegmentedCache(
            documents, document_characters, lambda prepared: len(prepared.source)
        )
        self._plans: SegmentedCache[tuple[Operation, tuple[bool, ...]], OperationPlan] = SegmentedCache(
            plans, plan_fields, lambda plan: plan.size
        )
        self._reference = cast("Executor[Any]", Executor.build(schema, graphql_parse("{ __typename }")))

    def prepare(self, source: str) -> Prepared:
        """The parsed and validated document, from the cache when it was seen before."""
        prepared = self._documents.get(source)
        if prepared is None:
            self.counters.documents += 1
            prepared = prepare(
                self.schema,
                source,
                self._rules,
                self._parse,
                max_errors=self._max_errors,
                hide_suggestions=self._hide_suggestions,
            )
            self._documents.put(source, prepared)
        return prepared

    async def execute(
        self,
        source: str,
        *,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        context: Any = None,
        root: Any = None,
    ) -> Result:
        """Execute one operation of a document. Request and field errors are in the result, not raised.

        `variables` are raw request values. An operation with @defer or @stream gives its first payload, with the
        following ones in `Result.subsequent`.
        """
        selected = self._select(self.prepare(source), operation_name, variables)
        if isinstance(selected, Result):
            return selected
        prepared, operation, values = selected
        plan = self._plan(prepared, operation, values)
        if plan is None:
            return await self._execute_by_reference(prepared, variables, operation_name, context, root)
        self.counters.plans += 1
        return await Run(plan, values, context, root).execute()

    async def subscribe(
        self,
        source: str,
        *,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        context: Any = None,
        root: Any = None,
    ) -> AsyncGenerator[Result, None] | Result:
        """Start a subscription: a stream of results, one per event, or one result with the errors of starting it.

        Closing the stream closes the source.
        """
        subscription = self.subscription(source, variables=variables, operation_name=operation_name)
        if isinstance(subscription, Result):
            return subscription
        executor = Executor.build(
            self.schema,
            cast("Any", self.prepare(source).document),
            root,
            context,
            dict(variables or {}),
            operation_name,
            hide_suggestions=self._hide_suggestions,
        )
        if isinstance(executor, list):
            return Result(None, executor)
        stream = create_source_event_stream(executor)
        if is_awaitable(stream):
            stream = await stream
        if isinstance(stream, ExecutionResult):
            return Result(None, stream.errors or ())
        return self._map_events(cast("AsyncIterable[Any]", stream), subscription, context)

    def subscription(
        self, source: str, *, variables: Mapping[str, Any] | None = None, operation_name: str | None = None
    ) -> Subscription | Result:
        """A subscription for events that the caller gets elsewhere, or one result with the errors of starting it."""
        selected = self._select(self.prepare(source), operation_name, variables)
        if isinstance(selected, Result):
            return selected
        prepared, operation, values = selected
        if operation.node.operation is not OperationType.SUBSCRIPTION:
            return Result(None, [GraphQLError("Expected subscription operation.", operation.node)])
        plan = self._plan(prepared, operation, values)
        if plan is None or len(plan.roots[0].fields) != 1:
            return Result(None, [GraphQLError("This subscription is not supported.", operation.node)])
        return Subscription(plan, values)

    async def _map_events(
        self, events: AsyncIterable[Any], subscription: Subscription, context: Any
    ) -> AsyncGenerator[Result, None]:
        source = aiter(events)
        try:
            async for event in source:
                self.counters.plans += 1
                yield await subscription.execute(event, context)
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()

    def _select(
        self, prepared: Prepared, operation_name: str | None, variables: Mapping[str, Any] | None
    ) -> tuple[Prepared, Operation, VariableValues] | Result:
        """The operation to run and its variables, or the request errors."""
        if prepared.errors:
            return Result(None, prepared.errors)
        operation = prepared.operation(operation_name)
        if isinstance(operation, GraphQLError):
            return Result(None, [operation])
        values = operation.variables.coerce(variables or {})
        if isinstance(values, list):
            return Result(None, values)
        return prepared, operation, values

    def _plan(self, prepared: Prepared, operation: Operation, variables: VariableValues) -> OperationPlan | None:
        """The plan for these variables; None where only the reference can execute the operation."""
        flags = tuple([cast("bool", variables.coerced.get(name)) for name in operation.conditions])
        plan = self._plans.get((operation, flags))
        if plan is not None:
            return plan
        if not operation.covered or not all(isinstance(flag, bool) for flag in flags):
            return None
        try:
            plan = compile_operation(
                self.schema,
                operation.node,
                prepared.fragments,
                dict(zip(operation.conditions, flags, strict=True)),
                self._spec_of,
                self._reference,
                hide_suggestions=self._hide_suggestions,
            )
        except (NotCoveredError, RecursionError):
            operation.covered = False
            return None
        self.counters.compiled += 1
        self._plans.put((operation, flags), plan)
        return plan

    async def _execute_by_reference(
        self,
        prepared: Prepared,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
        context: Any,
        root: Any,
    ) -> Result:
        self.counters.reference += 1
        answer: Any = experimental_execute_incrementally(
            self.schema,
            cast("Any", prepared.document),
            root,
            context,
            dict(variables or {}),
            operation_name,
            hide_suggestions=self._hide_suggestions,
        )
        if is_awaitable(answer):
            answer = await answer
        return Result.from_reference(answer)
