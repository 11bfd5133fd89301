"""OpenTelemetry spans for requests and for the store commands below them; off unless `NEXFIT_HTTP_TRACES` is set.

Only the API package of OpenTelemetry is used: which provider and exporter there are is the operator's choice, for
instance `opentelemetry-instrument nexfit serve`. What is inside transactions counts in the request's span.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider

from nexfit.api.observing import Observer, Seen
from nexfit.stores.connections import Stores

_READS = ("find", "aggregate", "aggregate_documents", "count", "update_one")


def request_traces(provider: TracerProvider | None = None) -> Observer:
    """A span for every request, named by its published operation or not at all."""
    tracer = trace.get_tracer("nexfit", tracer_provider=provider)

    @contextmanager
    def traced(seen: Seen) -> Iterator[None]:
        if seen.what != "request":  # a span of days tells nobody anything
            yield
            return
        with tracer.start_as_current_span("graphql", kind=SpanKind.SERVER) as span:
            yield
            if seen.operation is not None:
                span.update_name(f"graphql {seen.operation}")
                span.set_attribute("graphql.operation.name", seen.operation)
            span.set_attribute("http.response.status_code", seen.status)
            span.set_attribute("nexfit.request_id", seen.id)
            span.set_attribute("nexfit.transport", seen.transport)
            span.set_attribute("nexfit.executor", seen.executor)
            span.set_attribute("nexfit.cost", seen.cost)
            for store, sent in seen.commands.sent.items():
                span.set_attribute(f"nexfit.commands.{store}", len(sent))
            if seen.status >= 500 or "INTERNAL" in seen.codes or "UNAVAILABLE" in seen.codes:
                span.set_status(Status(StatusCode.ERROR, ", ".join(seen.codes)))

    return traced


def trace_stores(stores: Stores, provider: TracerProvider | None = None) -> None:
    """Give each of the stores' commands a span from now on. Stores that are not traced pay nothing."""
    tracer = trace.get_tracer("nexfit", tracer_provider=provider)
    mongo: Any = stores.mongo
    postgres: Any = stores.postgres
    redis: Any = stores.redis

    def wrap(store: Any, name: str, system: str, told: Callable[..., tuple[str, str]]) -> None:
        method: Callable[..., Awaitable[Any]] = getattr(store, name)

        @wraps(method)
        async def traced(*args: Any, **kwargs: Any) -> Any:
            what, text = told(*args)
            with tracer.start_as_current_span(f"{system} {what}", kind=SpanKind.CLIENT) as span:
                span.set_attribute("db.system.name", system)
                span.set_attribute("db.query.text", text)
                return await method(*args, **kwargs)

        setattr(store, name, traced)

    for name in _READS:
        wrap(mongo, name, "mongodb", lambda *args, name=name: (name, args[0] if isinstance(args[0], str) else name))
    wrap(postgres, "fetch", "postgresql", lambda sql, *_: (sql.split(None, 1)[0], sql))
    wrap(redis, "send", "redis", lambda batch: (str(batch[0][0]), " ".join(str(command[0]) for command in batch)))
