"""`python -m bench peers`: the engine and the API next to Strawberry and three servers on Node, in one run."""

from __future__ import annotations

import argparse
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from graphql import print_schema
from rich.console import Console

from bench.peers import memory, node, report, works
from bench.peers.servers import ENGINE, EXECUTORS, FLOOR, NEXFIT, NODE_CACHE, NODE_PEERS, Launcher, Peer
from bench.peers.windows import Pace, Window, measure
from bench.stores import data, http, processes
from bench.stores.counters import Counters
from bench.stores.errors import CannotMeasure
from bench.stores.failures import show_failures
from bench.stores.processes import Allotment
from bench.stores.works import Subject, Work, find_subject
from nexfit.embedded import EmbeddedError
from nexfit.stores.errors import StoreError

ABOUT = """
Measures, on the same machine, data and queries, with windows that take turns:

memory  one query of 232 leaves over plain data: Strawberry as it comes, Strawberry with parser and validation caches,
        NexFit's engine (all three behind the same bare ASGI handler under uvicorn); on Node Mercurius with JIT, GraphQL
        Yoga and Apollo Server.
stores  OwnerOverview and a facility's timetable from real stores: `nexfit serve`, a bare handler that sends the same
        commands (the floor), and the Node servers over the official drivers with DataLoaders. Nothing is cached: NexFit
        gets the address of a Redis that is not there, so every joined view is loaded for every request. The Node
        servers send the same statements but for two that are NexFit's own doing: it takes revenue of past days from
        the daily totals it keeps, and does not read plans again that the same request has listed.
cache   the whole answer from Redis: Node's by a hash of the query and its variables, next to `nexfit serve` with Redis,
        which asks whether all that an answer shows is unchanged; at hand: for clients that send `maxStaleness`.

Nothing is measured unless all servers of a work give the same JSON. Each server has one core of its own; what counts
are requests per second of its CPU time, medians over rounds. Node is warmed up before each window.
"""

KINDS = ("memory", "stores", "cache")

PATIENCE = {"NEXFIT_MONGO_TIMEOUT": "30", "NEXFIT_POSTGRES_STATEMENT_TIMEOUT": "30", "NEXFIT_REDIS_TIMEOUT": "5"}
"""The others wait for the stores as long as it takes; on a busy machine NexFit would give up after 2 s."""

_TRIES = 3
"""Answers hold what is so now (open, next dates): two requests around a minute's turn may differ by right."""


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a run; exits for `--help` and for what makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m bench peers", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--members", type=int, metavar="N", help="members to load (10000)")
    add("--seconds", type=float, metavar="S", help="length of a window (3)")
    add(
        "--warm",
        type=float,
        metavar="S",
        help="length of Node's warm-up before each window (3); 0 is none, for anybody",
    )
    add("--rounds", type=int, metavar="N", help="windows of each kind (5)")
    add("--only", choices=KINDS, action="append", help="only this kind of work; may be given again")
    add("--quick", action="store_true", help="a look: 600 members, one round, windows and warm-ups of 1 s")
    add("--keep", action="store_true", help="keep the loaded servers in .data/bench for the next run with --keep")
    add("--json", type=Path, metavar="FILE", help="write medians, ratios and every window to a file as well")
    given = parser.parse_args(arguments)
    for name, usual, quick in (("members", 10_000, 600), ("seconds", 3.0, 1.0), ("warm", 3.0, 1.0), ("rounds", 5, 1)):
        if getattr(given, name) is None:
            setattr(given, name, quick if given.quick else usual)
    if given.members < 100 or not 0.05 <= given.seconds <= 60 or not 0 <= given.warm <= 60 or given.rounds < 1:
        parser.error("--members is at least 100, --seconds and --warm at most 60, --rounds at least 1")
    return given


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit code is 0 when everything could be measured, whatever the numbers."""
    given = options(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=150)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is ended and deleted
    try:
        return _run(given, console)
    except (CannotMeasure, EmbeddedError, StoreError) as error:
        console.print(f"bench: {error}", style="bold red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped; everything that was started has been ended.")
        return 130


def _run(given: argparse.Namespace, console: Console) -> int:
    started = time.monotonic()
    wanted = given.only or KINDS
    installed = _node(console)
    cores = processes.allot()
    console.print(f"{cores}{f', Node {installed.label}' if installed else ''}", markup=False, highlight=False)
    windows: list[Window] = []
    kinds: dict[str, str] = {}
    bench = _Bench(given, console, installed, cores, windows, kinds, [], {})
    try:
        if "memory" in wanted:
            bench.memory()
        if {"stores", "cache"} & set(wanted):
            bench.on_stores(wanted)
    finally:  # what was measured before something went wrong took minutes, and still holds
        if windows:
            report.show(console, report.cells(windows), kinds)
    console.print(f"{given.rounds} rounds of {given.seconds:g} s windows, {time.monotonic() - started:.0f} s in all")
    if given.json:
        about = {"rounds": given.rounds, "seconds": given.seconds, "members": given.members, "cores": str(cores)}
        about["node"] = installed.label if installed else ""
        given.json.parent.mkdir(parents=True, exist_ok=True)
        result = report.document(windows, kinds, **about, commands=bench.commands)
        given.json.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    return show_failures(console, [(f"{window.server}, {window.work}", window.outcome) for window in windows])


def _node(console: Console) -> node.Node | None:
    try:
        found = node.find()
        found.install()
    except node.NoNode as missing:
        console.print(str(missing), style="bold yellow", markup=False, highlight=False)
        return None
    return found


@dataclass(frozen=True, slots=True)
class _Bench:
    """What it takes to measure, and where the windows go."""

    given: argparse.Namespace
    console: Console
    node: node.Node | None
    cores: Allotment
    windows: list[Window]
    kinds: dict[str, str]
    stores: list[int]
    commands: dict[str, dict[str, tuple[int, int]]]

    def memory(self) -> None:
        """The work in memory."""
        with tempfile.TemporaryDirectory(prefix="nexfit-bench-") as folder:
            home = Path(folder)
            (home / "data.json").write_bytes(orjson.dumps(memory.data()))
            (home / "schema.graphql").write_text(print_schema(memory.stock(caches=False)._schema), encoding="utf-8")
            variables = {"BENCH_DATA": str(home / "data.json"), "BENCH_SCHEMA": str(home / "schema.graphql")}
            with self._started(home, "memory", [*EXECUTORS, *self._peers()], variables) as servers:
                self._measure("memory", servers, [works.in_memory()], works.NOBODY, ENGINE)

    def on_stores(self, wanted: Sequence[str]) -> None:
        """The works on real stores, uncached and from response caches, over the same loaded data."""
        with ExitStack() as stack:
            home = stack.enter_context(data.folder(self.given.members, keep=self.given.keep))
            running = stack.enter_context(data.servers(home, self.given.members, self.console))
            self.stores.extend(data.store_pids(running))
            for pid in self.stores:
                processes.pin(pid, self.cores.stores)
            settings = data.settings(running.urls, "api")
            counters = Counters(settings.mongo, settings.postgres, {"api": settings.redis})
            stack.callback(counters.close)
            counters.settle()
            variables = {
                **data.environment(settings),
                "NEXFIT_MONGO_DATABASE": settings.mongo.database,
                "NEXFIT_AUTH_SECRET": secrets.token_urlsafe(48),
                "NEXFIT_AUTH_ACCESS_TOKEN_MINUTES": "1440",
                **PATIENCE,
            }
            with self._started(home, "signing in", [NEXFIT], variables) as [one]:  # which needs Redis
                subject = find_subject(one.port)
            if "stores" in wanted:
                uncached = {**variables, "NEXFIT_REDIS_URL": stack.enter_context(_no_redis())}
                with self._started(home, "stores", [NEXFIT, FLOOR, *self._peers()], uncached) as servers:
                    asked = works.on_stores(subject, datetime.now(UTC).date(), kind="uncached")
                    self._measure("stores", servers, asked, subject, NEXFIT, counters)
            if "cache" in wanted:
                names = [NEXFIT, *([NODE_CACHE] if self.node else [])]
                with self._started(home, "cache", names, variables) as servers:
                    self._measure_on_stores("cache", servers, subject, kind="response cache")
                    self._measure_on_stores("cache", servers, subject, kind="at hand", extensions=works.AT_HAND)

    def _measure_on_stores(
        self,
        group: str,
        servers: Sequence[Peer],
        subject: Subject,
        *,
        kind: str,
        extensions: dict[str, int] | None = None,
    ) -> None:
        asked = works.on_stores(subject, datetime.now(UTC).date(), kind=kind, extensions=extensions)
        self._measure(group, servers, asked, subject, NEXFIT)

    def _peers(self) -> list[str]:
        return list(NODE_PEERS) if self.node else []

    @contextmanager
    def _started(
        self, home: Path, group: str, names: Sequence[str], environment: dict[str, str]
    ) -> Iterator[list[Peer]]:
        launcher = Launcher(home, self.cores.server, environment, self.node)
        with ExitStack() as stack:
            servers = []
            for name in names:
                servers.append(launcher.start(name, group))
                stack.callback(processes.end, servers[-1].process)
            for server in servers:
                server.wait_until_ready()
            yield servers

    def _measure(
        self,
        group: str,
        servers: Sequence[Peer],
        asked: Sequence[Work],
        subject: Subject,
        standard: str,
        counters: Counters | None = None,
    ) -> None:
        """Check that all answers are equal to the standard's, then measure in rounds.

        With `counters` it says first how many commands each server sends for one answer.
        """
        [of_standard] = [server for server in servers if server.name == standard]
        for work in asked:
            self.kinds[work.name] = group
            size = _check(work, subject, of_standard, servers)
            self.console.print(f"{work.name}: {len(servers)} servers give the same answer, {size:,} bytes")
            if counters is not None:
                sent = self.commands[work.name] = {
                    server.name: _commands(work, subject, server, counters) for server in servers
                }
                told = ", ".join(f"{name} {mongo} + {postgres}" for name, (mongo, postgres) in sent.items())
                self.console.print(f"  commands to MongoDB + PostgreSQL for it: {told}", highlight=False)
        pace = Pace(self.given.seconds, self.given.warm, min(1.0, self.given.warm))
        with data.bars(self.console) as bars:
            task = bars.add_task("measuring", total=self.given.rounds * len(asked) * len(servers))
            for round_ in range(1, self.given.rounds + 1):
                for work in asked:
                    for server in servers if round_ % 2 else reversed(servers):
                        bars.update(task, description=f"{work.name}, {server.name}")
                        self.windows.append(
                            measure(
                                work,
                                server,
                                round_,
                                subject=subject,
                                cores=self.cores.load,
                                pace=pace,
                                stores=self.stores,
                            )
                        )
                        bars.advance(task)


@contextmanager
def _no_redis() -> Iterator[str]:
    """The URL of a Redis that nobody can connect to: its port is taken, and nobody listens."""
    with socket.socket() as taken:
        taken.bind((http.HOST, 0))
        yield f"redis://{http.HOST}:{taken.getsockname()[1]}/0"


def _check(work: Work, subject: Subject, standard: Peer, servers: Sequence[Peer]) -> int:
    """The size of the standard's answer. Raises CannotMeasure where another server's is not equal to it as JSON."""
    for server in servers:
        for _ in range(_TRIES):
            expected = standard.ask(work, subject.token)
            difference = _difference(orjson.loads(expected), orjson.loads(server.ask(work, subject.token)))
            if difference is None:
                break
        else:
            raise CannotMeasure(
                f"{work.name}: {server.name} does not answer what {standard.name} answers, so nothing is measured.\n"
                f"The first difference: {difference}"
            )
    return len(expected)


def _commands(work: Work, subject: Subject, server: Peer, counters: Counters) -> tuple[int, int]:
    """Commands to MongoDB and PostgreSQL for one answer: the fewest of some, for drivers also speak by themselves."""
    found = []
    for _ in range(_TRIES):
        before = counters.received()
        server.ask(work, subject.token)
        sent = counters.received().since(before)
        found.append((sent.mongo, sent.postgres))
    return min(mongo for mongo, _ in found), min(postgres for _, postgres in found)


def _difference(expected: Any, given: Any, path: str = "") -> str | None:
    """Where two JSON values differ first, None where they are equal."""
    if isinstance(expected, dict) and isinstance(given, dict) and expected.keys() == given.keys():
        pairs = [(f"{path}.{key}", expected[key], given[key]) for key in expected]
    elif isinstance(expected, list) and isinstance(given, list) and len(expected) == len(given):
        pairs = [(f"{path}[{place}]", *pair) for place, pair in enumerate(zip(expected, given, strict=True))]
    elif expected == given and isinstance(expected, bool) == isinstance(given, bool):
        return None
    else:
        return f"{path}: {str(expected)[:300]} is {str(given)[:300]}"
    return next((found for pair in pairs if (found := _difference(pair[1], pair[2], pair[0])) is not None), None)
