"""What operators see of a request: one line in the log, metrics and spans, none of which repeats a client's words."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from nexfit.api.observing import Seen
from nexfit.logs import configure_logs
from nexfit.request_log import request_log
from nexfit.settings import OperationsSettings, Settings

from .conftest import Business, login, running
from .test_api_metrics import _value
from .test_overview import OVERVIEW


@pytest.fixture
async def watched(settings: Settings, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """An application whose manifest has the overview, and that logs, counts and traces every request."""
    manifest = tmp_path / "operations.json"
    manifest.write_text(json.dumps({sha256(OVERVIEW.encode()).hexdigest(): OVERVIEW}))
    http = settings.http.model_copy(update={"metrics": True, "log_requests": True, "traces": True})
    operations = OperationsSettings(manifest=manifest)
    async with running(settings.model_copy(update={"http": http, "operations": operations})) as client:
        yield client


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The lines that are logged from now on."""
    written: list[dict[str, Any]] = []
    monkeypatch.setattr("nexfit.request_log.write", written.append)
    return written


async def test_a_request_leaves_one_line(
    watched: httpx.AsyncClient, chain: Business, lines: list[dict[str, Any]]
) -> None:
    owner = await login(watched, "owner@demo.nexfit.app")
    variables = {"facility": chain.facility, "from": "2026-01-01", "to": "2026-06-15"}
    lines.clear()
    response = await owner.post(OVERVIEW, variables)
    await owner.post("query SELECTED_secret_word { viewer { id } }")
    await owner.http.post("/graphql", content=b"{", headers={"content-type": "application/json"})
    await owner.http.post("/graphql", json={"query": "{ nope }"}, headers={"x-request-id": "mine"})
    known, unknown, broken, invalid = lines
    assert known["operation"] == "OwnerOverview"
    assert known["request_id"] == response.headers["x-request-id"]
    assert known["status"] == 200
    assert known["executor"] == "plan"
    assert 50 < known["cost"] < 500
    assert known["ms"] > 0
    assert known["commands"]["mongo"] > 2
    assert known["commands"]["postgres"] > 2
    assert unknown["operation"] is None  # nobody published that name: it may say anything
    assert known["viewer"] == unknown["viewer"] != broken["viewer"]
    assert (broken["status"], broken["codes"]) == (400, ("BAD_USER_INPUT",))
    assert (invalid["request_id"], invalid["codes"], invalid["cost"]) == ("mine", ("BAD_USER_INPUT",), 0)
    written = json.dumps(lines, default=str)
    for secret in ("SELECTED_secret_word", chain.facility, "owner@", owner.token or "x"):
        assert secret not in written


async def test_only_what_failed_or_took_long_is_logged_where_that_is_asked_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, lines: list[dict[str, Any]]
) -> None:
    async with running(settings) as http:
        await http.post("/graphql", json={"query": "{ viewer { id } }"})
        await http.post("/graphql", json={"query": "{ nope }"})
        assert lines == []
        monkeypatch.setattr("nexfit.request_log.SLOW", 0.0)
        await http.post("/graphql", json={"query": "{ viewer { id } }"})
        assert len(lines) == 1


async def test_a_line_is_json_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Seen("id-1")
    with seen.watched_by([request_log("a secret", every=True)]):
        seen.status = 200
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["request_id"], line["status"], line["viewer"]) == ("request", "id-1", 200, None)
    assert line["timestamp"].endswith("Z")


def test_a_line_goes_to_the_stderr_of_its_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in, present = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stderr", stand_in)
    configure_logs()
    stand_in.close()
    monkeypatch.setattr("sys.stderr", present)
    structlog.get_logger("test").warning("still here")
    assert json.loads(present.getvalue())["event"] == "still here"


async def test_metrics_have_published_names_only(watched: httpx.AsyncClient, chain: Business) -> None:
    owner = await login(watched, "owner@demo.nexfit.app")
    variables = {"facility": chain.facility, "from": "2026-01-01", "to": "2026-06-15"}
    for _ in range(2):
        await owner.data(OVERVIEW, variables)
    for name in ("One", "Two", 'Three"} 1'):
        await owner.post(f"query {name.split(chr(34))[0]} {{ viewer {{ id }} }}")
    await owner.post("{ nope }")
    text = (await watched.get("/metrics")).text
    assert _value(text, 'nexfit_requests_total{operation="OwnerOverview",status="200",transport="http"}') == 2
    assert _value(text, 'nexfit_requests_total{operation="other",status="200",transport="http"}') == 5
    assert _value(text, 'nexfit_request_seconds_count{operation="OwnerOverview"}') == 2
    assert _value(text, 'nexfit_request_errors_total{code="BAD_USER_INPUT"}') == 1
    # The members' rows each time; what else is joined may still be kept.
    assert _value(text, 'nexfit_store_commands_total{store="postgres"}') >= 2
    assert _value(text, "nexfit_operation_cost_count") >= 5
    for name in ("One", "Two", "Three"):
        assert name not in text


@pytest.fixture(scope="module")
def spans() -> InMemorySpanExporter:
    """What was exported; OpenTelemetry takes one provider per process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


async def test_a_request_is_a_span_with_its_commands_below_it(
    spans: InMemorySpanExporter, watched: httpx.AsyncClient, chain: Business
) -> None:
    owner = await login(watched, "owner@demo.nexfit.app")
    spans.clear()
    variables = {"facility": chain.facility, "from": "2026-01-01", "to": "2026-06-15"}
    await owner.data(OVERVIEW, variables)
    finished = spans.get_finished_spans()
    [request] = [span for span in finished if span.name.startswith("graphql")]
    assert request.name == "graphql OwnerOverview"
    assert request.attributes is not None
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["graphql.operation.name"] == "OwnerOverview"
    below = [span for span in finished if span.parent and span.context.trace_id == request.context.trace_id]
    assert {(span.attributes or {})["db.system.name"] for span in below} == {"mongodb", "postgresql", "redis"}
    assert (
        len([span for span in below if span.name.startswith("postgresql")])
        == request.attributes["nexfit.commands.postgres"]
    )
    assert not any(chain.facility in str(span.attributes) for span in finished)
    spans.clear()
    await owner.post("query MyOwnName { nope }")
    [request] = [span for span in spans.get_finished_spans() if span.name.startswith("graphql")]
    assert request.name == "graphql"
    assert "MyOwnName" not in str(request.attributes)


async def test_without_traces_stores_are_as_they_were(settings: Settings, stores: Any) -> None:
    async with running(settings) as http:
        await http.post("/graphql", json={"query": "{ viewer { id } }"})
    assert "fetch" not in vars(stores.postgres)
