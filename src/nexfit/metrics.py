"""Prometheus metrics of one process; each application has a registry of its own."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from nexfit.api.execution import Operations

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


def make_registry(operations: Operations) -> CollectorRegistry:
    """The metrics of an application."""
    registry = CollectorRegistry()
    registry.register(_Engine(operations))
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(registry)
