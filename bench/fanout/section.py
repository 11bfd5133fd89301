"""`python -m bench fanout`: one event to many sockets, next to graphql-ws on Node, in one run."""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import secrets
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import uvloop
from bson import ObjectId
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from bench.fanout.sockets import Crowd, connected
from bench.peers import node
from bench.stores import data, processes
from bench.stores.errors import CannotMeasure
from nexfit.domains.memberships.events import VisitRecorded
from nexfit.embedded import EmbeddedError
from nexfit.hybrid.event_stream import STREAM, Entry, Envelope, entry_id
from nexfit.stores.errors import StoreError

ABOUT = """
Sends visits to many sockets that follow one facility, with the same subscription, over the same protocol:

NexFit      `nexfit serve` with real stores: rights are read for every passage of the stream
graphql-ws  the reference implementation of the protocol on Node, over ws, with no rights to check

Both read the events from Redis themselves and must send the same JSON, or nothing is measured. Each server has one core
of its own and takes its turn in windows: one in which events are published as fast as they arrive everywhere (messages
per second of the server's CPU time and of the clock), and one with a fixed pace (latency from publication to arrival).
"""

NEXFIT, NODE = "NexFit", "graphql-ws"

QUERY = """subscription ($facility: ID!) { facilityActivity(facility: $facility) {
  __typename cursor ... on VisitActivity { at visit { id source } } ... on ActivityNotice { state } } }"""

AHEAD = 4
"""Events of a burst; two bursts are under way at a time."""


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a run; exits for `--help` and for what makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m bench fanout", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--sockets", type=int, default=1000, metavar="N", help="sockets that follow (1000)")
    add("--seconds", type=float, default=4.0, metavar="S", help="length of a window (4)")
    add("--rounds", type=int, default=3, metavar="N", help="windows of each kind (3)")
    add("--pace", type=float, default=10.0, metavar="N", help="events per second where latency is measured (10)")
    add("--json", type=Path, metavar="FILE", help="write every window to a file as well")
    given = parser.parse_args(arguments)
    if not 1 <= given.sockets <= 20_000 or not 0.1 <= given.seconds <= 60 or given.rounds < 1 or given.pace <= 0:
        parser.error("--sockets is 1 to 20000, --seconds 0.1 to 60, --rounds at least 1, --pace above 0")
    return given


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit code is 0 when everything could be measured, whatever the numbers."""
    given = options(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=150)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        _allow_files(given.sockets * 2 + 500)
        installed = node.find()
        installed.install()
        windows = _measured(given, console, installed)
    except (CannotMeasure, EmbeddedError, StoreError, TimeoutError) as error:
        console.print(f"bench: {error!r}", style="bold red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped; everything that was started has been ended.")
        return 130
    _show(console, given, windows)
    if given.json:
        given.json.write_bytes(orjson.dumps([window.document() for window in windows], option=orjson.OPT_INDENT_2))
    return 0


@dataclass(slots=True)
class Window:
    """One server in one round."""

    server: str
    round: int
    messages: int
    seconds: float
    cpu: float
    latencies: list[float] = field(default_factory=list)

    def latency(self, share: float) -> float:
        """Milliseconds within which this share of the messages arrived."""
        return sorted(self.latencies)[int(len(self.latencies) * share)] * 1000

    def document(self) -> dict[str, object]:
        """For a file."""
        return {
            "server": self.server,
            "round": self.round,
            "messages": self.messages,
            "seconds": self.seconds,
            "cpuSeconds": self.cpu,
            "p50Milliseconds": self.latency(0.5),
            "p99Milliseconds": self.latency(0.99),
        }


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and the Redis database it reads."""

    name: str
    port: int
    pid: int
    redis: str


def _measured(given: argparse.Namespace, console: Console, installed: node.Node) -> list[Window]:
    cores = processes.allot()
    console.print(f"{cores}, Node {installed.label}, {given.sockets} sockets", markup=False, highlight=False)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nexfit-bench-")))
        running = stack.enter_context(data.servers(home, 100, console))
        for pid in data.store_pids(running):
            processes.pin(pid, cores.stores)
        processes.pin(os.getpid(), cores.load)
        settings = data.settings(running.urls, "api")
        redis = {
            name: urlsplit(running.urls.redis)._replace(path=f"/{number}").geturl()
            for name, number in ((NEXFIT, 0), (NODE, 1))
        }
        nexfit = {
            **data.environment(settings),
            "NEXFIT_MONGO_DATABASE": settings.mongo.database,
            "NEXFIT_AUTH_SECRET": secrets.token_urlsafe(48),
            "NEXFIT_BACKGROUND": "false",  # the events are written to the stream by the benchmark
            "NEXFIT_LIVE_CONNECTIONS_PER_VIEWER": "20000",
            "NEXFIT_LIVE_CONNECTIONS": "20000",
            "NEXFIT_LIVE_HEARTBEAT_SECONDS": "3600",
            "NEXFIT_LIMITS_POINTS_PER_SECOND": "0",
        }
        serve = [sys.executable, "-c", "from nexfit.cli import app; app()", "serve", "--port"]
        program = [str(installed.program), str(node.FOLDER / "fanout.mjs")]
        servers = [
            stack.enter_context(_started(NEXFIT, serve, nexfit, home, cores.server, redis[NEXFIT])),
            stack.enter_context(
                _started(
                    NODE,
                    program,
                    {"BENCH_REDIS": redis[NODE], "NODE_ENV": "production"},
                    home,
                    cores.server,
                    redis[NODE],
                )
            ),
        ]
        return uvloop.run(_windows(given, console, servers))


@contextmanager
def _started(
    name: str, argv: list[str], environment: dict[str, str], home: Path, cores: processes.Cores, redis: str
) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    log = home / f"{name.lower()}.log"
    process = processes.spawn([*argv, str(port)], log=log, environment=environment, cores=cores)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5)
                break
            except httpx.HTTPError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise CannotMeasure(f"{name} does not start:\n{log.read_text()[-2000:]}") from None
                time.sleep(0.1)
        yield Server(name, port, process.pid, redis)
    finally:
        processes.end(process)


async def _windows(given: argparse.Namespace, console: Console, servers: list[Server]) -> list[Window]:
    token, facility = await _owner(servers[0])
    global_id = facility
    local = _local(facility)
    await _check(servers, token, global_id, local)
    windows = []
    for round_ in range(1, given.rounds + 1):
        for server in servers if round_ % 2 else reversed(servers):
            mine = token if server.name == NEXFIT else None
            sockets = await connected(server.port, given.sockets, token=mine, facility=global_id, query=QUERY)
            crowd = Crowd(sockets)
            async with Redis.from_url(server.redis) as redis:
                publisher = _Publisher(redis, local, crowd)
                await publisher.burst(given.seconds / 4)  # warm
                before, cpu, started = crowd.received, processes.cpu_seconds([server.pid]), time.perf_counter()
                await publisher.burst(given.seconds)
                window = Window(
                    server.name,
                    round_,
                    crowd.received - before,
                    time.perf_counter() - started,
                    processes.cpu_seconds([server.pid]) - cpu,
                )
                crowd.latencies = window.latencies
                await publisher.paced(given.seconds, given.pace)
            for each in sockets:
                each.close()
            windows.append(window)
            console.print(
                f"round {round_}, {server.name}: {window.messages / window.cpu:,.0f} messages per CPU second,"
                f" p99 {window.latency(0.99):.1f} ms",
                highlight=False,
            )
            await asyncio.sleep(0.5)
    return windows


class _Publisher:
    """Writes events as the relay does."""

    def __init__(self, redis: Redis, facility: str, crowd: Crowd) -> None:
        self._redis = redis
        self._facility = facility
        self._crowd = crowd
        self._number = int(time.time() * 1e6)

    async def burst(self, seconds: float) -> None:
        """Publish as fast as what was published before arrives everywhere."""
        end = time.perf_counter() + seconds
        sockets = len(self._crowd.sockets)
        while time.perf_counter() < end:
            await self.publish(AHEAD)
            await self._crowd.wait((len(self._crowd.sent) - AHEAD) * sockets)
        await self._crowd.wait(len(self._crowd.sent) * sockets)

    async def paced(self, seconds: float, pace: float) -> None:
        """Publish so many events per second."""
        started = time.perf_counter()
        for place in range(max(1, int(seconds * pace))):
            await asyncio.sleep(max(0.0, started + place / pace - time.perf_counter()))
            await self.publish(1)
        await self._crowd.wait(len(self._crowd.sent) * len(self._crowd.sockets))

    async def publish(self, count: int) -> None:
        """Write events into the stream."""
        async with self._redis.pipeline(transaction=False) as batch:
            for _ in range(count):
                self._number += 1
                name, facility, event, text = _visit(self._facility, self._number).fields()
                batch.xadd(STREAM, {name: facility, event: text}, id=entry_id(self._number), maxlen=10_000)
            self._crowd.sent += [time.perf_counter()] * count
            await batch.execute()


def _visit(facility: str, number: int) -> Entry:
    now = datetime.now(UTC).replace(microsecond=0)
    event = VisitRecorded(
        facility_id=facility, visit_id=str(ObjectId()), user_id=str(ObjectId()), at=now, source="front_desk"
    )
    payload = orjson.loads(event.payload())
    told = Envelope(event.event_id, "VisitRecorded", event.aggregate, event.aggregate_id, facility, now, payload)
    return Entry(number, told)


async def _owner(server: Server) -> tuple[str, str]:
    """The owner's token and a facility's global id."""
    query = """mutation { login(input: {email: "owner@demo.nexfit.app", password: "nexfit-demo"}) {
      accessToken viewer { facilities(first: 1) { nodes { id } } } } }"""
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"http://127.0.0.1:{server.port}/graphql", json={"query": query}, timeout=30)
    login = answer.json()["data"]["login"]
    return login["accessToken"], login["viewer"]["facilities"]["nodes"][0]["id"]


def _local(global_id: str) -> str:
    import base64

    return base64.urlsafe_b64decode(global_id + "=" * (-len(global_id) % 4)).decode().partition(":")[2]


async def _check(servers: list[Server], token: str, facility: str, local: str) -> None:
    """Raises CannotMeasure where the servers do not send the same for the same event."""
    entry = _visit(local, int(time.time() * 1e6))
    said = []
    for server in servers:
        mine = token if server.name == NEXFIT else None
        [one] = await connected(server.port, 1, token=mine, facility=facility, query=QUERY)
        crowd = Crowd([one])
        async with Redis.from_url(server.redis) as redis:
            name, place, event, text = entry.fields()
            crowd.sent.append(time.perf_counter())
            await redis.xadd(STREAM, {name: place, event: text}, id=entry_id(entry.number))
            await crowd.wait(1)
        said.append(orjson.loads(one.last)["payload"])
        one.close()
    if said[0] != said[1]:
        raise CannotMeasure(f"the servers do not send the same:\n{said[0]}\n{said[1]}")


def _show(console: Console, given: argparse.Namespace, windows: list[Window]) -> None:
    table = Table(
        "server", "messages per CPU s", "messages per s", "p50 ms", "p99 ms", title=f"{given.sockets} sockets"
    )
    rates = {}
    for name in (NEXFIT, NODE):
        mine = [window for window in windows if window.server == name]
        rates[name] = statistics.median(window.messages / window.cpu for window in mine)
        table.add_row(
            name,
            f"{rates[name]:,.0f}",
            f"{statistics.median(window.messages / window.seconds for window in mine):,.0f}",
            f"{statistics.median(window.latency(0.5) for window in mine):.1f}",
            f"{statistics.median(window.latency(0.99) for window in mine):.1f}",
        )
    console.print(table)
    console.print(f"NexFit sends {rates[NEXFIT] / rates[NODE]:.2f} × what graphql-ws sends with the same CPU time.")


def _allow_files(count: int) -> None:
    """Let this process and those it starts open so many files. Raises CannotMeasure."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise CannotMeasure(f"{count} files may have to be open at once, and {hard} are allowed: ask for fewer sockets")
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
