"""Metrics: which executor answered is visible in a metric and, with demo data, in a header."""

from __future__ import annotations

import re

import httpx

from nexfit.settings import Settings
from tests.api.conftest import running


def _value(text: str, metric: str) -> float:
    match = re.search(rf"^{re.escape(metric)} (\S+)$", text, re.MULTILINE)
    assert match, f"{metric} is not in:\n{text}"
    return float(match[1])


async def test_the_executor_is_counted_and_shown(settings: Settings) -> None:
    shown = settings.model_copy(update={"demo": True, "http": settings.http.model_copy(update={"metrics": True})})
    async with running(shown) as http:

        async def ask(query: str) -> httpx.Response:
            return await http.post("/graphql", json={"query": query})

        for _ in range(2):
            answer = await ask("{ facilities(first: 1) { nodes { name } } }")
            assert answer.headers["x-nexfit-executor"] == "plan"
        metrics = (await http.get("/metrics")).text
    assert _value(metrics, 'nexfit_executions_total{executor="plan"}') == 2
    assert _value(metrics, 'nexfit_executions_total{executor="reference"}') == 0
    assert _value(metrics, "nexfit_plans_compiled_total") == 1
    assert _value(metrics, "nexfit_documents_prepared_total") == 1


async def test_metrics_are_off_unless_asked_for(http: httpx.AsyncClient) -> None:
    assert (await http.get("/metrics")).status_code == 404
