"""What becomes of answers when Valkey is emptied, killed or a cluster, and what it is asked meanwhile."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import RedisError

from nexfit.embedded import binaries
from nexfit.hybrid.joined_views import JoinedViews, View
from nexfit.hybrid.versions import GENERATION
from nexfit.settings import HttpSettings, RedisSettings, Settings
from nexfit.stores.connections import open_stores
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.redis import RedisStore
from tests.api.conftest import Client, login, running
from tests.feeds.conftest import until
from tests.ports import free_port

OVERVIEW = """
{ viewer { facilities(first: 3) { nodes { name openNow memberships { name activeSubscribers }
  revenue(from: "2026-01-01", to: "2026-06-15") { period total { amount } } outstanding { invoices }
  members(first: 5) { nodes { user { firstName } plan { name } balance { amount } lastVisitAt } } } } } }
"""
TIMETABLE = "{ facilities(first: 3) { nodes { name classes(first: 3) { nodes { name } } memberships { name } } } }"


class Valkey:
    """A server of its own. What it has acknowledged outlives a kill."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port(range(20_000, 22_700))  # a cluster's other port lies 10,000 higher
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._options = options
        self._process: Popen[bytes] | None = None

    async def start(self) -> None:
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), *self._options]
        durable = ["--appendonly", "yes", "--appendfsync", "no", "--save", ""]
        with (self._folder / "log").open("ab") as log:
            self._process = Popen(  # noqa: ASYNC220  # it returns at once
                [str(binaries.valkey_server()), *arguments, *durable], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 20
        async with Redis.from_url(self.url) as client:
            while True:
                try:
                    await client.ping()
                except (RedisError, OSError):
                    assert time.monotonic() < deadline, (self._folder / "log").read_text()
                    await asyncio.sleep(0.02)
                else:
                    return

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path)
    yield server
    server.kill()


async def test_killing_and_emptying_it_changes_no_answer(valkey: Valkey) -> None:
    """The worst case: it comes back within the lease of the feeds, with every value and version it had before."""
    await valkey.start()
    stores = [RedisStore(RedisSettings(url=SecretStr(valkey.url))) for _ in range(3)]
    processes = [JoinedViews(store) for store in stores]
    view, chance = View("counter", 1, 30.0), random.Random(5)  # noqa: S311
    committed, acknowledged, wrong = 0, 0, list[tuple[int, int]]()
    reads = unheard = 0
    end = time.monotonic() + 8

    async def load(items: Sequence[str]) -> Mapping[str, int]:
        value = committed
        await asyncio.sleep(chance.random() * 0.004)
        return dict.fromkeys(items, value)

    async def writer() -> None:
        nonlocal committed, acknowledged, unheard
        while time.monotonic() < end:
            committed += 1
            mine = committed
            try:
                await chance.choice(processes).invalidate(["x"])
            except StoreUnavailable:
                unheard += 1
            acknowledged = max(acknowledged, mine)
            await asyncio.sleep(chance.random() * 0.1)

    async def reader() -> None:
        nonlocal reads
        while time.monotonic() < end:
            least = acknowledged
            [value] = await chance.choice(processes).get(view, ["x"], load, tags=lambda item: [item])
            reads += 1
            if value < least:
                wrong.append((value, least))
            await asyncio.sleep(chance.random() * 0.01)

    async def trouble() -> None:
        async with Redis.from_url(valkey.url) as client:
            await client.set(GENERATION, "1:1")
            for _ in range(2):
                await asyncio.sleep(0.4)
                await client.flushall()
                await client.set(GENERATION, "1:1")
        for pause in (0.1, 0.5):
            await asyncio.sleep(1.6)
            valkey.kill()
            await asyncio.sleep(pause)
            await valkey.start()

    await asyncio.gather(trouble(), writer(), writer(), *(reader() for _ in range(12)))
    for process, store in zip(processes, stores, strict=True):
        process.close()
        await store.close()
    assert wrong == []
    assert reads > 500
    assert unheard > 0
    counted = [process.counters[view.name] for process in processes]
    assert sum(one.memory + one.redis for one in counted) > 0.05 * reads


async def is_whole(cluster: Any) -> bool:
    """Whether a cluster answers."""
    return "cluster_state:ok" in str(await cluster.execute_command("CLUSTER", "INFO"))


async def test_nothing_crosses_slots_of_a_cluster_and_nothing_searches_for_keys(
    settings: Settings, tmp_path: Path
) -> None:
    """A cluster of one node refuses commands over several slots as one of many nodes does."""
    valkey = Valkey(tmp_path, "--cluster-enabled", "yes")
    await valkey.start()
    try:
        async with Redis.from_url(valkey.url, decode_responses=True) as admin:
            await admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            await until(lambda: is_whole(admin))
            await admin.set(GENERATION, "1:1")
            await admin.config_resetstat()
            given = settings.model_copy(
                update={
                    "redis": RedisSettings(url=SecretStr(valkey.url), timeout=5),
                    "http": HttpSettings(response_cache=True, metrics=True),
                }
            )
            async with running(given) as http, open_stores(given) as stores:
                owner = await login(http, "owner@demo.nexfit.app")
                for client in (owner, Client(http)):
                    for query in (OVERVIEW, TIMETABLE)[client is not owner :]:
                        answers = [await client.run(query) for _ in range(3)]
                        assert answers[0] == answers[1] == answers[2]
                        assert "errors" not in answers[0]
                await JoinedViews(stores.redis).invalidate([f"facility:{n}" for n in range(50)])
                assert "errors" not in await owner.run(OVERVIEW)
                metrics = (await http.get("/metrics")).text
            commands: dict[str, Any] = await admin.info("commandstats")
            refused: dict[str, Any] = await admin.info("errorstats")
    finally:
        valkey.kill()
    failed = {name: one for name, one in commands.items() if one["failed_calls"] or one["rejected_calls"]}
    assert failed == {}
    assert set(refused) <= {"errorstat_ERR"}  # the driver asks when it connects for what Valkey does not know
    sent = {name.removeprefix("cmdstat_") for name in commands}
    assert {"mget", "get", "set"} <= sent
    assert sent.isdisjoint({"keys", "scan", "sscan", "hscan", "zscan", "smembers", "randomkey"}), sent
    hits = [line for line in metrics.splitlines() if line.startswith("nexfit_view_reads_total")]
    assert any('by="memory"' in line and not line.endswith(" 0.0") for line in hits), hits
