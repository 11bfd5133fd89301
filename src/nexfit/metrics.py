"""Prometheus metrics of one process; each application has a registry of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from nexfit.api.execution import Operations
from nexfit.api.live.fanout import Fanout
from nexfit.api.live.messages import Close
from nexfit.api.observing import Observer, Seen
from nexfit.api.response_cache import ResponseCache
from nexfit.hybrid.joined_views import JoinedViews

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_LIVES = (1, 10, 60, 600, 3600, 6 * 3600, 24 * 3600)
_CLOSE_CODES = frozenset({*map(int, Close), 403, 503, 1000, 1001, 1002, 1005, 1006, 1007, 1011, 1012})
"""What has a label of its own: a client may close with any number it likes. 403 and 503 are refused handshakes."""
_COSTS = (1, 3, 10, 30, 100, 300, 1000, 3000)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Engine(Collector):
    """Reads the engine's counters when somebody asks, so that executing an operation pays for none of it."""

    def __init__(self, operations: Operations) -> None:
        self._counters = operations.engine.counters

    def collect(self) -> Iterable[Metric]:
        counters = self._counters
        executions = CounterMetricFamily(
            "nexfit_executions",
            "Operations executed, by compiled plan or by the reference executor",
            labels=["executor"],
        )
        executions.add_metric(["plan"], counters.plans)
        executions.add_metric(["reference"], counters.reference)
        yield executions
        yield CounterMetricFamily(
            "nexfit_documents_prepared", "Documents parsed and validated", value=counters.documents
        )
        yield CounterMetricFamily("nexfit_plans_compiled", "Plans compiled", value=counters.compiled)


def request_metrics(registry: CollectorRegistry) -> Observer:
    """Counts requests. The only label a client has a say in is a published operation's name."""
    requests = Counter("nexfit_requests", "Requests answered", ["operation", "status", "transport"], registry=registry)
    seconds = Histogram("nexfit_request_seconds", "Time to answer", ["operation"], buckets=_SECONDS, registry=registry)
    cost = Histogram("nexfit_operation_cost", "What operations cost", buckets=_COSTS, registry=registry)
    errors = Counter("nexfit_request_errors", "Top-level errors by code", ["code"], registry=registry)
    commands = Counter("nexfit_store_commands", "Commands sent to a store", ["store"], registry=registry)
    lives = Histogram(
        "nexfit_subscription_seconds",
        "How long subscriptions lasted",
        ["operation"],
        buckets=_LIVES,
        registry=registry,
    )
    sockets = Histogram("nexfit_socket_seconds", "How long sockets lasted", buckets=_LIVES, registry=registry)
    closes = Counter("nexfit_socket_closes", "Sockets closed or refused, by code", ["code"], registry=registry)

    @contextmanager
    def counted(seen: Seen) -> Iterator[None]:
        yield
        operation = seen.operation or "other"
        if seen.what == "socket":
            sockets.observe(seen.seconds)
            closes.labels(seen.status if seen.status in _CLOSE_CODES else "other").inc()
            return
        if seen.what == "subscription":
            lives.labels(operation).observe(seen.seconds)
            for code in seen.codes:
                errors.labels(code).inc()
            return
        requests.labels(operation, seen.status, seen.transport).inc()
        seconds.labels(operation).observe(seen.seconds)
        if seen.cost:
            cost.observe(seen.cost)
        for code in seen.codes:
            errors.labels(code).inc()
        for store, sent in seen.commands.sent.items():
            if sent:
                commands.labels(store).inc(len(sent))

    return counted


class _Cache(Collector):
    """Reads the counters of joined views and cached responses when somebody asks."""

    def __init__(self, views: JoinedViews, responses: ResponseCache | None) -> None:
        self._views = views
        self._responses = responses

    def collect(self) -> Iterable[Metric]:
        reads = CounterMetricFamily(
            "nexfit_view_reads",
            "Joined views read: from memory, from Redis, by a load, or by one that was under way here or elsewhere",
            labels=["view", "by"],
        )
        races = CounterMetricFamily(
            "nexfit_view_races", "Loads that raced with a writer, so that nobody reads what they kept", labels=["view"]
        )
        refreshed = CounterMetricFamily("nexfit_view_refreshes", "Loads ahead of an expiry", labels=["view"])
        for view, counters in sorted(self._views.counters.items()):
            for by in ("memory", "redis", "loaded", "shared", "awaited"):
                reads.add_metric([view, by], getattr(counters, by))
            races.add_metric([view], counters.races)
            refreshed.add_metric([view], counters.refreshed)
        yield from (reads, races, refreshed)
        yield CounterMetricFamily(
            "nexfit_cache_tags_raised", "Cache tags this process has raised", value=self._views.versions.raised
        )
        if self._responses is not None:
            answers = CounterMetricFamily(
                "nexfit_cacheable_responses",
                "Responses that may come from a cache, by where they came from",
                labels=["by"],
            )
            for by in ("memory", "redis", "shared", "loaded"):
                answers.add_metric([by], getattr(self._responses.counters, by))
            yield answers


class _Live(Collector):
    """What goes to sockets and event streams."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout

    def collect(self) -> Iterable[Metric]:
        counters = self._fanout.counters
        yield GaugeMetricFamily("nexfit_live_followers", "Subscriptions followed now", value=self._fanout.following)
        yield CounterMetricFamily("nexfit_live_executions", "Events executed and encoded", value=counters.executed)
        yield CounterMetricFamily("nexfit_live_results", "Results handed to followers", value=counters.sent)
        yield CounterMetricFamily(
            "nexfit_live_missed", "Times a follower began to miss events for not keeping up", value=counters.missed
        )


def make_registry(
    operations: Operations, views: JoinedViews, responses: ResponseCache | None, fanout: Fanout
) -> CollectorRegistry:
    """The metrics of an application."""
    registry = CollectorRegistry()
    registry.register(_Engine(operations))
    registry.register(_Cache(views, responses))
    registry.register(_Live(fanout))
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """All metrics in Prometheus' text format: the application's, and those of the process and its background work."""
    return generate_latest(registry) + generate_latest(REGISTRY)
