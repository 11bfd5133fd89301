"""Servers that stop, hang and come back under a running application. They are this module's own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from nexfit.embedded import EmbeddedServers, ServerName
from nexfit.embedded.processes import _children
from nexfit.settings import Settings
from nexfit.stores.connections import Stores, open_stores
from tests.ports import free_port

from .conftest import Client, assert_refused, facility_of, forget_views, global_id, login, running, seeded
from .test_overview import DATES, MONGO, OVERVIEW

NAMES: tuple[ServerName, ...] = ("mongo", "postgres", "redis")
PATIENCE = 3.0
"""Seconds within which every answer must be there, whatever is down."""


@dataclass(slots=True)
class Outage:
    """A running application, its servers, and how to take one of them away."""

    servers: EmbeddedServers
    settings: Settings
    owner: Client
    facility: str
    stores: Stores

    @asynccontextmanager
    async def without(self, name: ServerName, way: str) -> AsyncIterator[None]:
        """The server is stopped, killed, or frozen so that it accepts and never answers; afterwards it is back."""
        server = self.servers.server(name)
        assert server.pid is not None
        frozen = [server.pid, *_children(server.pid)] if way == "frozen" else []
        if way == "stopped":
            await asyncio.to_thread(server.stop)
        elif way == "killed":
            await asyncio.to_thread(server.kill)
        try:
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            deadline = time.monotonic() + 10
            while not all(map(is_stopped, frozen)):  # a process runs on until the system gets round to stopping it
                assert time.monotonic() < deadline, f"{name} does not stop"
                await asyncio.sleep(0.01)
            yield
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
            await asyncio.to_thread(server.start)

    async def overview(self) -> tuple[dict[str, Any], float]:
        """The overview's answer and the seconds it took."""
        started = time.perf_counter()
        answer = await self.owner.run(OVERVIEW, {"facility": self.facility, **DATES})
        return answer, time.perf_counter() - started

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        """Status and body of `/readyz`, which answers soon whatever hangs; `/healthz` is always well."""
        started = time.perf_counter()
        response = await self.owner.http.get("/readyz")
        assert time.perf_counter() - started < PATIENCE / 2
        assert (await self.owner.http.get("/healthz")).json() == {"status": "ok"}
        body: dict[str, Any] = response.json()
        for probe in body["stores"].values():
            assert 0 <= probe["latencyMs"] < 1500
        return response.status_code, body

    async def recovered(self, expected: dict[str, Any]) -> None:
        """Wait until the overview answers as before; the application is not touched."""
        deadline = time.monotonic() + 20
        while (answer := (await self.overview())[0]) != expected:
            assert time.monotonic() < deadline, answer
            await asyncio.sleep(0.1)
        status, body = await self.readiness()
        assert (status, body["status"]) == (200, "ok")


@pytest.fixture(scope="module")
async def outage() -> AsyncIterator[Outage]:
    with pytest.MonkeyPatch.context() as environment, tempfile.TemporaryDirectory(prefix="nexfit-test-") as folder:
        for name in NAMES:  # servers that others share are not this module's to stop
            environment.delenv(f"NEXFIT_{name.upper()}_URL", raising=False)
        servers = EmbeddedServers(Path(folder) / "servers", durable=False)
        urls = await asyncio.to_thread(servers.start)
        try:
            async with (
                seeded(urls, scale=0.1, redis_database=0, patient=False) as settings,
                running(settings) as http,
                open_stores(settings) as stores,
            ):
                owner = await login(http, "owner@demo.nexfit.app")
                facility = global_id("Facility", await facility_of(stores, "kadikoy"))
                yield Outage(servers, settings, owner, facility, stores)
        finally:
            await asyncio.to_thread(servers.stop)


def is_stopped(pid: int) -> bool:
    """Whether a process has stopped in all its threads; where there is no /proc, that it was told to has to do."""
    return all(_state(thread) in "TZX" for thread in Path(f"/proc/{pid}/task").glob("*/stat"))


def _state(stat: Path) -> str:
    """The letter of a thread's state; that of a dead one when it has gone."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def codes(answer: dict[str, Any]) -> dict[str, str]:
    """The code of every error by its path."""
    return {".".join(map(str, error["path"])): error["extensions"]["code"] for error in answer.get("errors", ())}


@pytest.mark.parametrize("way", ["stopped", "frozen"])
async def test_without_redis_every_answer_is_right_and_bounded(outage: Outage, way: str) -> None:
    expected, _ = await outage.overview()
    assert "errors" not in expected
    async with outage.without("redis", way):
        for _ in range(3):
            answer, seconds = await outage.overview()
            assert answer == expected
            assert seconds < PATIENCE
        _, log = await outage.owner.counted(OVERVIEW, {"facility": outage.facility, **DATES})
        assert (log.count("mongo"), log.count("postgres")) == (len(MONGO), 4)
        started = time.perf_counter()
        answers = await asyncio.gather(*(outage.overview() for _ in range(10)))
        assert [answer for answer, _ in answers] == [expected] * 10
        assert time.perf_counter() - started < PATIENCE
        status, body = await outage.readiness()
        assert (status, body["status"], body["stores"]["redis"]["status"]) == (200, "degraded", "unavailable")
    await outage.recovered(expected)
    deadline = time.monotonic() + 10
    while True:  # and the cache is used again
        _, log = await outage.owner.counted(OVERVIEW, {"facility": outage.facility, **DATES})
        if (log.count("postgres"), log.sent["redis"]) == (1, ["MGET"] * 3):
            break
        assert time.monotonic() < deadline, log.sent
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("way", ["stopped", "killed", "frozen"])
async def test_without_postgres_what_mongo_knows_is_still_told(outage: Outage, way: str) -> None:
    expected, _ = await outage.overview()
    assert "errors" not in expected
    transaction = (await outage.stores.postgres.fetch("SELECT transaction_id AS id FROM finance.transactions LIMIT 1"))[
        0
    ]
    ids = [outage.facility, global_id("Transaction", transaction["id"]), outage.facility]
    async with outage.without("postgres", way):
        await forget_views(outage.settings)
        answer, seconds = await outage.overview()
        assert seconds < PATIENCE
        plans = range(len(expected["data"]["facility"]["memberships"]))
        assert codes(answer) == dict.fromkeys(
            [f"facility.memberships.{place}.activeSubscribers" for place in plans]
            + ["facility.revenue", "facility.outstanding", "facility.members"],
            "UNAVAILABLE",
        )
        there, before = answer["data"]["facility"], expected["data"]["facility"]
        assert there["classes"] == before["classes"]
        assert there["address"] == before["address"]
        assert [plan["price"] for plan in there["memberships"]] == [plan["price"] for plan in before["memberships"]]
        assert there["revenue"] is there["outstanding"] is there["members"] is None
        response = await outage.owner.post("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ids})
        assert_refused(response, "UNAVAILABLE")
        assert codes(response.json()) == {"nodes.1": "UNAVAILABLE"}
        assert response.json()["data"]["nodes"] == [{"id": outage.facility}, None, {"id": outage.facility}]
        status, body = await outage.readiness()
        assert (status, body["status"]) == (503, "unavailable")
        assert {name: probe["status"] for name, probe in body["stores"].items()} == {
            "mongo": "ok",
            "postgres": "unavailable",
            "redis": "ok",
        }
        many = await asyncio.gather(*(outage.overview() for _ in range(10)))
        assert max(seconds for _, seconds in many) < PATIENCE
        assert all(set(codes(answer).values()) == {"UNAVAILABLE"} for answer, _ in many)
    await outage.recovered(expected)


@pytest.mark.parametrize("way", ["stopped", "frozen"])
async def test_without_mongo_the_answer_is_an_error_with_a_code(outage: Outage, way: str) -> None:
    expected, _ = await outage.overview()
    assert "errors" not in expected
    sign_in = 'mutation { login(input: { email: "owner@demo.nexfit.app", password: "nexfit-demo" }) { accessToken } }'
    async with outage.without("mongo", way):
        answer, seconds = await outage.overview()
        assert seconds < PATIENCE
        assert answer["data"] == {"facility": None}
        assert codes(answer) == {"facility": "UNAVAILABLE"}
        started = time.perf_counter()
        queries = ("{ viewer { id } }", sign_in, "{ facilities(first: 1) { nodes { id } } }")
        for response in await asyncio.gather(*map(outage.owner.post, queries)):
            assert_refused(response, "UNAVAILABLE")
        assert time.perf_counter() - started < PATIENCE
        status, body = await outage.readiness()
        assert (status, body["status"]) == (503, "unavailable")
        assert (body["stores"]["mongo"]["status"], body["stores"]["postgres"]["status"]) == ("unavailable", "ok")
        many = await asyncio.gather(*(outage.overview() for _ in range(10)))
        assert max(seconds for _, seconds in many) < PATIENCE
        assert all(codes(answer) == {"facility": "UNAVAILABLE"} for answer, _ in many)
    await outage.recovered(expected)


async def test_a_mongo_that_hangs_in_the_middle_leaves_what_postgres_said(outage: Outage) -> None:
    """Members come from PostgreSQL, their names from MongoDB, which hangs between the two."""
    query = """query ($id: ID!) { facility(id: $id) { name
        members(first: 5) { nodes { status openInvoices user { firstName } lastVisitAt } } } }"""
    variables = {"id": outage.facility}
    async with outage.stores.postgres.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("LOCK TABLE platform.member_facts IN ACCESS EXCLUSIVE MODE")
        asking = asyncio.create_task(outage.owner.run(query, variables))
        await asyncio.sleep(0.3)
        async with outage.without("mongo", "frozen"):
            await transaction.rollback()
            answer = await asking
    members = answer["data"]["facility"]["members"]["nodes"]
    assert len(members) == 5
    for place, found in enumerate(members):
        assert found["status"]
        assert found["user"] is found["lastVisitAt"] is None
        assert codes(answer)[f"facility.members.nodes.{place}.user"] == "UNAVAILABLE"
    assert len({error["extensions"]["errorId"] for error in answer["errors"]}) == 2  # users, and visits
    await outage.recovered((await outage.overview())[0])


async def test_an_application_may_start_before_its_servers(outage: Outage) -> None:
    async with (
        outage.without("postgres", "stopped"),
        outage.without("mongo", "killed"),
        outage.without("redis", "killed"),
        running(outage.settings) as http,
    ):
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/readyz")).status_code == 503
        assert_refused(await Client(http).post("{ facilities(first: 1) { nodes { id } } }"), "UNAVAILABLE")
        for name in NAMES:
            await asyncio.to_thread(outage.servers.server(name).start)
        deadline = time.monotonic() + 20
        while (await http.get("/readyz")).status_code != 200:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        again = await login(http, "owner@demo.nexfit.app")
        answer = await again.run(OVERVIEW, {"facility": outage.facility, **DATES})
        assert "errors" not in answer
    await outage.recovered((await outage.overview())[0])


# --- the process


@asynccontextmanager
async def serving(
    settings: Settings, output: int | IO[bytes] = asyncio.subprocess.PIPE, **environment: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`nexfit serve` on a free port, and its address."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from nexfit.cli import app; app()", "serve", "--port", str(port)),
        env={
            **os.environ,
            "NEXFIT_MONGO_URL": settings.mongo.url.get_secret_value(),
            "NEXFIT_MONGO_DATABASE": settings.mongo.database,
            "NEXFIT_POSTGRES_URL": settings.postgres.url.get_secret_value(),
            "NEXFIT_REDIS_URL": settings.redis.url.get_secret_value(),
            "NEXFIT_AUTH_SECRET": settings.auth.secret.get_secret_value(),
            **environment,
        },
        stdout=output,
        stderr=output,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient() as client:
            deadline = time.monotonic() + 60
            while True:
                try:
                    if (await client.get(f"{address}/healthz")).status_code == 200:
                        break
                except httpx.TransportError:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.1)
        yield process, address
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_stop_lets_requests_under_way_end(outage: Outage) -> None:
    query = "query ($id: ID!) { facility(id: $id) { members(first: 1) { nodes { status } } } }"
    async with (
        serving(outage.settings) as (process, address),
        httpx.AsyncClient(base_url=address, headers={"authorization": f"Bearer {outage.owner.token}"}) as client,
        outage.stores.postgres.connection() as connection,
    ):
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("LOCK TABLE platform.member_facts IN ACCESS EXCLUSIVE MODE")
        body = {"query": query, "variables": {"id": outage.facility}}
        slow = asyncio.create_task(client.post("/graphql", json=body))
        await asyncio.sleep(0.4)
        process.terminate()
        await asyncio.sleep(0.4)
        assert not slow.done()
        with pytest.raises(httpx.ConnectError):
            await client.get("/healthz")
        assert process.returncode is None
        await transaction.rollback()
        response = await slow
        assert response.status_code == 200
        assert response.json()["data"]["facility"]["members"]["nodes"]
        ended = await asyncio.wait_for(process.wait(), 10)
        assert ended in (0, -signal.SIGTERM)  # uvicorn ends by the signal it was asked to end by, once it has drained


async def test_the_log_has_the_ids_of_errors_and_no_secrets(outage: Outage) -> None:
    async with serving(outage.settings) as (process, address), httpx.AsyncClient(base_url=address) as client:
        headers = {"authorization": f"Bearer {outage.owner.token}"}
        ids = []
        async with outage.stores.postgres.connection() as connection, connection.transaction():
            await connection.execute("LOCK TABLE platform.member_facts IN ACCESS EXCLUSIVE MODE")
            query = "query ($id: ID!) { facility(id: $id) { members(first: 1) { nodes { status } } } }"
            body = {"query": query, "variables": {"id": outage.facility}}
            answer = (await client.post("/graphql", json=body, headers=headers)).json()
            ids += [error["extensions"]["errorId"] for error in answer["errors"]]
        async with outage.without("mongo", "killed"):
            sign_in = "mutation ($i: LoginInput!) { login(input: $i) { accessToken } }"
            body = {
                "query": sign_in,
                "variables": {"i": {"email": "a@b.example", "password": "a-very-secret-password"}},
            }
            answer = (await client.post("/graphql", json=body)).json()
            ids += [error["extensions"]["errorId"] for error in answer["errors"]]
        process.terminate()
        _, logged = await process.communicate()
    text = logged.decode()
    entries = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert len(ids) == 2
    assert [entry["error_id"] for entry in entries if "error_id" in entry] == ids
    secrets = [outage.settings.auth.secret, outage.settings.postgres.url, outage.settings.mongo.url]
    for secret in ("a-very-secret-password", outage.owner.token, *(value.get_secret_value() for value in secrets)):
        assert secret is not None
        assert secret not in text
