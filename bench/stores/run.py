"""A run from the first server's start to the last table: load, check the floor, measure in turns, report."""

from __future__ import annotations

import argparse
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import orjson
from rich.console import Console

from bench.stores import data, equality, processes, report, target
from bench.stores.counters import Counters
from bench.stores.equality import Equality
from bench.stores.errors import CannotMeasure
from bench.stores.failures import show_failures
from bench.stores.processes import Cores
from bench.stores.target import Target
from bench.stores.window import Window, load_of, measure, produce
from bench.stores.works import Subject, Work, find_subject, works
from nexfit.embedded import EmbeddedError
from nexfit.stores.errors import StoreError

WARM_UP_CONNECTIONS = 32
WARM_UP_SECONDS = 0.5
"""Fills the pools of connections, and what prepares itself at the first use."""


def run(given: argparse.Namespace, console: Console) -> int:
    """The exit code of a run: 0 when everything could be measured."""
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
    with ExitStack() as stack:
        home = stack.enter_context(data.folder(given.members, keep=given.keep))
        running = stack.enter_context(data.servers(home, given.members, console))
        cores = processes.allot()
        pids = data.store_pids(running)
        for pid in pids:
            processes.pin(pid, cores.stores)
        settings = {name: data.settings(running.urls, name) for name in ("api", "floor")}
        counters = Counters(
            settings["api"].mongo, settings["api"].postgres, {name: made.redis for name, made in settings.items()}
        )
        stack.callback(counters.close)
        counters.settle()
        secret = {
            "NEXFIT_AUTH_SECRET": secrets.token_urlsafe(48),
            "NEXFIT_AUTH_ACCESS_TOKEN_MINUTES": "1440",
            "NEXFIT_BACKGROUND": "false",  # its commands are not the operations'
            "NEXFIT_LIMITS_POINTS_PER_SECOND": "0",  # one viewer asks for all of it
            "NEXFIT_HTTP_LOG_REQUESTS": "false",
            "NEXFIT_HTTP_RESPONSE_CACHE": "false",  # how answers are made is measured here, not how they are kept
        }
        targets = []
        for name, made in settings.items():
            variables = data.environment(made) | secret
            log = home / f"{name}.log"
            one = target.start(name, log=log, environment=variables, cores=cores.server, plain=given.floor == "drivers")
            stack.callback(processes.end, one.process)
            targets.append(one)
        for one in targets:
            one.wait_until_ready()
        subject = find_subject(targets[0].port)
        wanted = [work for work in works(subject, datetime.now(UTC).date()) if (given.only or "") in work.name]
        if not wanted:
            raise CannotMeasure(f"no work's name contains {given.only!r}")
        console.print(f"{subject.facility_name}, {cores}", markup=False, highlight=False)
        redis = {name: made.redis.url.get_secret_value() for name, made in settings.items()}
        bench = _Bench(given, targets, subject, counters, cores.load, pids, redis)
        checks = bench.check(wanted, console)
        counters.look_on()
        windows = bench.run(wanted, console)
    report.show(console, windows)
    elapsed = time.monotonic() - started
    console.print(f"{given.members:,} members, {given.rounds} rounds of {given.seconds:g} s windows, {elapsed:.0f} s")
    if given.json:
        about = {name: getattr(given, name) for name in ("members", "seconds", "rounds", "floor")}
        about |= {"cores": str(cores), "checks": [asdict(one) for one in checks]}
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_bytes(orjson.dumps(report.document(windows, **about), option=orjson.OPT_INDENT_2))
    return show_failures(
        console,
        [(f"{window.target}, {window.work}, {window.connections} connections", window.outcome) for window in windows],
    )


@dataclass(frozen=True, slots=True)
class _Bench:
    """Two targets, and what it takes to measure them."""

    given: argparse.Namespace
    targets: Sequence[Target]
    subject: Subject
    counters: Counters
    load_cores: Cores
    store_pids: Sequence[int]
    redis: Mapping[str, str]
    """Each target's Redis URL."""

    def check(self, wanted: Sequence[Work], console: Console) -> list[Equality]:
        """Warm everything up, then compare the targets work by work; raises CannotMeasure where answers differ."""
        for work in {work.route: work for work in wanted}.values():
            for one in self.targets:
                load = load_of(one, work, self.subject, WARM_UP_CONNECTIONS, WARM_UP_SECONDS)
                produce(load, self.load_cores)
        api, floor = self.targets
        found = [equality.check(work, api, floor, self.subject, self.counters) for work in wanted]
        for equal in found:
            console.print(f"The floor gives the API's answer: {equal.work}, {equal.size:,} bytes", highlight=False)
            if equal.difference:
                console.print(f"but by other commands:\n{equal.difference}", style="bold yellow", markup=False)
        return found

    def run(self, wanted: Sequence[Work], console: Console) -> list[Window]:
        """All windows: in each round each work at each number of connections, the targets in turns."""
        windows: list[Window] = []
        with data.bars(console) as bars:
            total = self.given.rounds * len(wanted) * len(self.given.connections) * 2
            task = bars.add_task("measuring", total=total)
            for round_ in range(1, self.given.rounds + 1):
                for work in wanted:
                    for connections in self.given.connections:
                        for one in self.targets if round_ % 2 else reversed(self.targets):
                            bars.update(task, description=f"{work.name}, {connections} connections, {one.name}")
                            windows.append(self._window(work, one, round_, connections, self.given.seconds))
                            bars.advance(task)
        return windows

    def _window(self, work: Work, one: Target, round_: int, connections: int, seconds: float) -> Window:
        return measure(
            work,
            one,
            round_,
            connections=connections,
            seconds=seconds,
            cores=self.load_cores,
            subject=self.subject,
            counters=self.counters,
            store_pids=self.store_pids,
            redis=self.redis[one.name],
        )
