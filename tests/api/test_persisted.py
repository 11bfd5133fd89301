"""Persisted operations over HTTP: by hash, from a manifest, and nothing but the manifest's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from typer.testing import CliRunner

from nexfit.api import persisted
from nexfit.api.trusted import ManifestRefused
from nexfit.app import create_app
from nexfit.cli import app as cli
from nexfit.settings import HttpSettings, OperationsSettings, RedisSettings, Settings

from .conftest import assert_refused, running

NAMES = "query Names($n: Int!) { facilities(first: $n) { nodes { name } } }"
MUTATION = 'mutation { login(input: { email: "no", password: "no" }) { accessToken } }'


def sha256(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()


def by_hash(document: str, *, query: str | None = None, hash_: str | None = None) -> dict[str, Any]:
    """The body of a request for a document by its hash, with or without its text."""
    body: dict[str, Any] = {
        "variables": {"n": 2},
        "extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_ or sha256(document)}},
    }
    return body if query is None else {**body, "query": query}


@pytest.fixture
async def cache(settings: Settings) -> AsyncIterator[Redis]:
    """Redis, which knows no document yet."""
    async with Redis.from_url(settings.redis.url.get_secret_value()) as client:
        await client.flushdb()
        yield client


@pytest.fixture
async def fresh(settings: Settings, cache: Redis) -> AsyncIterator[httpx.AsyncClient]:
    """An application that knows no document yet, with metrics."""
    async with running(settings.model_copy(update={"http": HttpSettings(response_cache=False, metrics=True)})) as http:
        yield http


async def prepared(http: httpx.AsyncClient) -> float:
    """Documents the application has parsed."""
    metrics = (await http.get("/metrics")).text
    return float(metrics.partition("\nnexfit_documents_prepared_total ")[2].partition("\n")[0])


async def test_a_document_is_known_by_its_hash_once_it_was_sent_with_it(
    fresh: httpx.AsyncClient, settings: Settings
) -> None:
    unknown = await fresh.post("/graphql", json=by_hash(NAMES))
    assert_refused(unknown, "PERSISTED_QUERY_NOT_FOUND")
    assert unknown.json()["errors"][0]["message"] == "PersistedQueryNotFound"
    assert "data" not in unknown.json()
    strict = {"accept": "application/graphql-response+json"}
    assert (await fresh.post("/graphql", json=by_hash(NAMES), headers=strict)).status_code == 400

    sent = (await fresh.post("/graphql", json=by_hash(NAMES, query=NAMES))).json()
    assert len(sent["data"]["facilities"]["nodes"]) == 2
    parsed = await prepared(fresh)
    for _ in range(3):
        assert (await fresh.post("/graphql", json=by_hash(NAMES))).json() == sent
    assert await prepared(fresh) == parsed

    async with running(settings) as other:  # another process has it from Redis
        assert (await other.post("/graphql", json=by_hash(NAMES))).json() == sent


async def test_get_asks_for_and_registers_queries(fresh: httpx.AsyncClient) -> None:
    def address(**more: str) -> dict[str, str]:
        values = {name: json.dumps(value) for name, value in by_hash(NAMES).items()}
        return {**values, **more}

    assert_refused(await fresh.get("/graphql", params=address()), "PERSISTED_QUERY_NOT_FOUND")
    for params in (address(query=NAMES), address()):
        response = await fresh.get("/graphql", params=params)
        assert len(response.json()["data"]["facilities"]["nodes"]) == 2

    await fresh.post("/graphql", json=by_hash(MUTATION, query=MUTATION))
    mutation = {"extensions": json.dumps(by_hash(MUTATION)["extensions"])}
    refused = await fresh.get("/graphql", params=mutation)
    assert_refused(refused, "BAD_USER_INPUT")
    assert "data" not in refused.json()


@pytest.mark.parametrize(
    "extensions",
    [
        [],
        "x",
        {"persistedQuery": []},
        {"persistedQuery": {}},
        {"persistedQuery": {"version": 2, "sha256Hash": sha256(NAMES)}},
        {"persistedQuery": {"version": 1}},
        {"persistedQuery": {"version": 1, "sha256Hash": 5}},
        {"persistedQuery": {"version": 1, "sha256Hash": "x" * 64}},
        {"persistedQuery": {"version": 1, "sha256Hash": sha256(NAMES).upper()}},
        {"persistedQuery": {"version": 1, "sha256Hash": sha256(NAMES + " ")}},
    ],
)
async def test_a_wrong_hash_is_a_bad_request_and_registers_nothing(
    fresh: httpx.AsyncClient, cache: Redis, extensions: Any
) -> None:
    response = await fresh.post("/graphql", json={"query": NAMES, "variables": {"n": 2}, "extensions": extensions})
    assert_refused(response, "BAD_USER_INPUT", status=400)
    assert await cache.dbsize() == 0


@pytest.mark.parametrize("document", ["{ nope }", "{", "{ __typename } " + "#" * persisted.MOST_CHARACTERS])
async def test_what_is_not_valid_or_too_long_is_answered_and_not_kept(
    fresh: httpx.AsyncClient, cache: Redis, document: str
) -> None:
    for _ in range(2):
        await fresh.post("/graphql", json=by_hash(document, query=document))
    assert await cache.keys("nexfit:persisted:*") == []
    assert_refused(await fresh.post("/graphql", json=by_hash(document)), "PERSISTED_QUERY_NOT_FOUND")


async def test_what_clients_register_is_bounded_and_expires(
    fresh: httpx.AsyncClient, cache: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(persisted, "SLOTS", 8)
    documents = [f"query Q{n} {{ __typename }}" for n in range(60)]
    for document in documents:
        await fresh.post("/graphql", json=by_hash(document, query=document))
    kept = await cache.keys("nexfit:persisted:*")
    assert 1 < len(kept) <= 8
    assert all([0 < await cache.ttl(key) <= persisted.LIFETIME for key in kept])
    # This process still has them; one whose slot went to another document is not taken for that.
    for document in documents:
        assert "data" in (await fresh.post("/graphql", json=by_hash(document))).json()


async def test_without_redis_a_process_knows_what_it_was_sent(settings: Settings) -> None:
    away = RedisSettings(url=SecretStr("redis://127.0.0.1:1/0"))
    async with running(settings.model_copy(update={"redis": away})) as http:
        assert_refused(await http.post("/graphql", json=by_hash(NAMES)), "PERSISTED_QUERY_NOT_FOUND")
        assert "data" in (await http.post("/graphql", json=by_hash(NAMES, query=NAMES))).json()
        assert "data" in (await http.post("/graphql", json=by_hash(NAMES))).json()


# --- trusted documents


def published(folder: Path, *documents: str, replace: bool = False) -> tuple[Any, Path]:
    """The result of `nexfit operations publish`, and the manifest."""
    files = []
    for number, document in enumerate(documents):
        files.append(folder / f"{number}.graphql")
        files[-1].write_text(document, encoding="utf-8")
    manifest = folder / "operations.json"
    more = ["--replace"] if replace else []
    arguments = ["operations", "publish", *map(str, files), "--manifest", str(manifest), *more]
    return CliRunner().invoke(cli, arguments), manifest


async def test_a_published_document_is_known_from_the_start(settings: Settings, cache: Redis, tmp_path: Path) -> None:
    result, manifest = published(tmp_path, NAMES, MUTATION)
    assert result.exit_code == 0, result.output
    assert sha256(NAMES) in result.output
    given = settings.model_copy(update={"operations": OperationsSettings(manifest=manifest)})
    async with running(given) as http:
        assert len((await http.post("/graphql", json=by_hash(NAMES))).json()["data"]["facilities"]["nodes"]) == 2
        assert "data" in (await http.post("/graphql", json={"query": "{ __typename }"})).json()
    assert await cache.keys("nexfit:persisted:*") == []


async def test_only_trusted_documents_are_executed_when_told_so(settings: Settings, tmp_path: Path) -> None:
    _, manifest = published(tmp_path, NAMES)
    given = OperationsSettings(manifest=manifest, only_trusted=True)
    async with running(settings.model_copy(update={"operations": given})) as http:
        text = {"query": NAMES, "variables": {"n": 2}}
        for allowed in (by_hash(NAMES), by_hash(NAMES, query=NAMES), text):
            assert len((await http.post("/graphql", json=allowed)).json()["data"]["facilities"]["nodes"]) == 2
        other = NAMES + " "
        introspection = {"query": "{ __schema { queryType { name } } }"}
        for refused in (by_hash(other), by_hash(other, query=other), {**text, "query": other}, introspection):
            for _ in range(2):
                assert_refused(await http.post("/graphql", json=refused), "OPERATION_NOT_TRUSTED")
        assert_refused(await http.get("/graphql", params={"query": "{ __typename }"}), "OPERATION_NOT_TRUSTED")
        assert_refused(await http.post("/graphql", json=by_hash(NAMES, query=other)), "BAD_USER_INPUT", status=400)


def test_publishing_adds_and_refuses_what_is_not_valid(tmp_path: Path) -> None:
    _, manifest = published(tmp_path, NAMES)
    result, _ = published(tmp_path, NAMES, MUTATION)
    assert "1 new" in result.output
    assert {*json.loads(manifest.read_text())} == {sha256(NAMES), sha256(MUTATION)}

    before = manifest.read_bytes()
    for wrong in ("{ nope }", "{", ""):
        result, _ = published(tmp_path, "{ __typename }", wrong)
        assert result.exit_code == 1
        assert "not valid" in result.output
        assert manifest.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []

    published(tmp_path, "{ __typename }", replace=True)
    assert json.loads(manifest.read_text()) == {sha256("{ __typename }"): "{ __typename }"}


@pytest.mark.parametrize("text", ["", "[]", '{"a": 5}', json.dumps({sha256(NAMES): NAMES + " "}), None])
async def test_a_manifest_that_is_none_stops_the_start(settings: Settings, tmp_path: Path, text: str | None) -> None:
    manifest = tmp_path / "operations.json"
    if text is not None:
        manifest.write_text(text)
    given = settings.model_copy(update={"operations": OperationsSettings(manifest=manifest)})
    app = create_app(given)
    with pytest.raises(ManifestRefused, match=r"operations\.json"):
        async with app.router.lifespan_context(app):
            pass
    result = CliRunner().invoke(cli, ["serve"], env={"NEXFIT_OPERATIONS_MANIFEST": str(manifest)})
    assert result.exit_code == 1
    assert "operations.json" in result.output.replace("\n", "")  # a long path is wrapped
    assert "Traceback" not in result.output


def test_trusting_only_a_manifest_takes_one() -> None:
    with pytest.raises(ValueError, match="only_trusted needs a manifest"):
        OperationsSettings(only_trusted=True)
