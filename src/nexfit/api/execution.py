"""Runs an operation by its compiled plan and presents its errors; the endpoint calls nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
from graphql import GraphQLError, GraphQLSchema, NoSchemaIntrospectionCustomRule, OperationType

from nexfit.api.context import Context
from nexfit.api.cost import cost_of
from nexfit.api.errors import presented
from nexfit.api.fields import spec_of
from nexfit.api.language import Speech
from nexfit.api.limits import Limits
from nexfit.domains.coaching import medical
from nexfit.domains.errors import Refusal, TooMuch, TooOften
from nexfit.engine.documents import Operation
from nexfit.engine.engine import Engine
from nexfit.engine.result import Result
from nexfit.engine.subscription import Subscription
from nexfit.settings import HttpSettings, LimitSettings
from nexfit.stores.errors import StoreError

_NO_VARIABLES: Mapping[str, Any] = {}


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

    `failed` when it has errors, of which `codes` are the codes; `retry_after` is in seconds, where the viewer has used
    up its points.
    """

    body: bytes
    executor: str
    executed: bool
    failed: bool = False
    sharing: Sharing | None = None
    retry_after: int | None = None
    codes: tuple[str, ...] = ()


class Operations:
    """Executes operations against one schema, within limits."""

    def __init__(
        self, schema: GraphQLSchema, *, limits: LimitSettings | None = None, http: HttpSettings | None = None
    ) -> None:
        limits, http = limits or LimitSettings(), http or HttpSettings()
        self._limits = limits
        self.engine = Engine(
            schema,
            spec_of,
            parse=Limits(limits).parse,
            rules=() if http.introspection else (NoSchemaIntrospectionCustomRule,),
            hide_suggestions=not http.suggestions,
        )

    async def run(self, asked: Asked, context: Context) -> Answer:
        """The answer to one operation; every failure is in it, none is raised."""
        if refused := self._refusal(asked):
            return answered(Result(None, [refused]), context.speech)
        if too_much := await self._spent(asked, context):
            return too_much
        result = await self.engine.execute(
            asked.query, variables=asked.variables, operation_name=asked.operation_name, context=context, root={}
        )
        return await given_out(result, context)

    def is_subscription(self, asked: Asked) -> bool:
        """Whether a valid subscription is asked for."""
        prepared = self.engine.prepare(asked.query)
        operation = None if prepared.errors else prepared.operation(asked.operation_name)
        return isinstance(operation, Operation) and operation.node.operation is OperationType.SUBSCRIPTION

    async def subscription(self, asked: Asked, context: Context) -> Subscription | Answer | None:
        """The subscription that is asked for, or why it cannot start; None for an operation that `run` answers."""
        if not self.is_subscription(asked):
            return None
        if too_much := await self._spent(asked, context):
            return too_much
        started = self.engine.subscription(asked.query, variables=asked.variables, operation_name=asked.operation_name)
        return answered(started, context.speech) if isinstance(started, Result) else started

    async def _spent(self, asked: Asked, context: Context) -> Answer | None:
        """What is to be answered instead of an operation that costs too much; else its cost is spent."""
        try:
            refused = await self.refused_by_cost(asked, context)
        except TooOften as too_often:
            answer = answered(Result(None, [_error(too_often)]), context.speech)
            return replace(answer, retry_after=too_often.seconds)
        return answered(Result(None, [refused]), context.speech) if refused else None

    def faults(self, document: str) -> list[str]:
        """What keeps a document from being executed, whoever asks; none for a valid one."""
        return [str(error.message) for error in self.engine.prepare(document).errors]

    def cost(self, asked: Asked) -> int:
        """What the operation costs (see `nexfit.api.cost`); 0 for what cannot be executed."""
        prepared = self.engine.prepare(asked.query)
        operation = None if prepared.errors else prepared.operation(asked.operation_name)
        if operation is None or isinstance(operation, GraphQLError):
            return 0
        estimate = operation.estimate
        if estimate is None:
            estimate = operation.estimate = cost_of(self.engine.schema, operation.node, prepared.fragments)
        return estimate(asked.variables or _NO_VARIABLES)

    def name(self, asked: Asked) -> str | None:
        """The name of the operation that is asked for."""
        prepared = self.engine.prepare(asked.query)
        operation = None if prepared.errors else prepared.operation(asked.operation_name)
        if operation is None or isinstance(operation, GraphQLError) or operation.node.name is None:
            return None
        return operation.node.name.value

    async def refused_by_cost(self, asked: Asked, context: Context) -> GraphQLError | None:
        """Why the operation costs too much; None where it may run, its cost then taken from the viewer's points.

        Raises TooOften where the viewer has not enough of them.
        """
        cost, most = self.cost(asked), self._limits.cost
        if cost > most:
            refusal = TooMuch(
                "The operation may answer with {asked} objects; at most {most} are allowed.",
                limit="cost",
                most=most,
                asked=cost,
            )
            return _error(refusal)
        await context.spend(cost)
        return None

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


def _error(refusal: Refusal) -> GraphQLError:
    return GraphQLError(refusal.message, original_error=refusal)


def failed(error: Exception, speech: Speech) -> Answer:
    """What keeps an operation from being started, or from going on, as the response that says so."""
    return answered(Result(None, [GraphQLError(str(error), original_error=error)]), speech)


async def given_out(result: Result, context: Context) -> Answer:
    """A result as the response that carries it. What it tells of others' health is recorded first, or not told."""
    if context.health_reads:
        try:
            await medical.record(context.services.units, context.actor, context.health_reads)
        except StoreError as error:
            return failed(error, context.speech)
    return answered(result, context.speech)


def answered(result: Result, speech: Speech) -> Answer:
    """A result as the response that carries it."""
    errors = presented(result.errors, speech)
    # Errors of a request have no path, and its response no `data`: nothing was executed.
    executed = result.data is not None or any(error.path for error in result.errors)
    codes = tuple(dict.fromkeys(str(error.extensions["code"]) for error in errors or () if error.extensions))
    payload: dict[str, Any] = {}
    if errors:
        payload["errors"] = [error.formatted for error in errors]
    if executed:
        payload["data"] = result.data
    return Answer(orjson.dumps(payload), result.executor, executed, failed=bool(errors), codes=codes)
