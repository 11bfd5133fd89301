"""`python -m bench overview`: loads members, checks that the floor is the API's floor, and measures both in turns."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import date
from pathlib import Path

import orjson
from rich.console import Console

from bench.stores import data, equality, processes, report, target
from bench.stores.counters import Counters
from bench.stores.equality import Equality
from bench.stores.errors import CannotMeasure
from bench.stores.target import Target
from bench.stores.window import Loader, Window, measure
from bench.stores.works import Subject, Work, find_subject, works
from nexfit.embedded import EmbeddedError
from nexfit.stores.errors import StoreError

WARM_UP_CONNECTIONS = 32
WARM_UP_SECONDS = 0.5
"""Fills the pools of connections, and what prepares itself at the first use."""

ABOUT = """
Loads members into servers of its own, then measures the API (`nexfit serve`, one process) next to a floor: a bare ASGI
handler under the same uvicorn that sends the stores the same commands over the same drivers and writes the same JSON,
without GraphQL, rights or domains. Nothing is measured unless both give the same bytes. The floor reads through
NexFit's own store layer, so nothing can be below it; `--floor drivers` reads through PyMongo, asyncpg and redis-py as
they come.

Works: OwnerOverview with its joined views in Redis (warm) and made unreadable before every request (cold: the load
generator raises the versions of the views' tags, as a writer would; requests under way together may share one load, in
both targets), `facility(id:)` and `node(id:)` of an invoice. Windows of API and floor take turns; results are medians.

CPU is that of the server's process, from the system's own count. Commands are counted by the stores: MongoDB's
serverStatus, pg_stat_statements, INFO commandstats. p50 and p99 are the load generator's: wrk's where it is on PATH
(cold works always use the built-in one).
"""


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a run; exits for `--help` and for what makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m bench overview", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--members", type=int, metavar="N", help="members to load (10000)")
    add("--seconds", type=float, metavar="S", help="length of a window (2; wrk rounds up to whole seconds)")
    add("--rounds", type=int, metavar="N", help="windows of each kind (3)")
    add("--connections", type=_numbers, default=[1, 32], metavar="N,N", help="open connections (1,32)")
    add("--only", metavar="TEXT", help="only works whose name contains this, such as `warm`")
    add("--quick", action="store_true", help="a look in under a minute: 600 members, one round of 1 s windows")
    add("--keep", action="store_true", help="keep the loaded servers in .data/bench for the next run with --keep")
    add("--no-wrk", action="store_true", help="use the built-in load generator even where wrk is on PATH")
    floors = ("stores", "drivers")
    add("--floor", choices=floors, default=floors[0], help="read through nexfit.stores (the default) or plain drivers")
    add("--json", type=Path, metavar="FILE", help="write medians, ratios and every window to a file as well")
    given = parser.parse_args(arguments)
    for name, usual, quick in (("members", 10_000, 600), ("seconds", 2.0, 1.0), ("rounds", 3, 1)):
        if getattr(given, name) is None:
            setattr(given, name, quick if given.quick else usual)
    if given.members < 100 or not 0.05 <= given.seconds <= 7 or given.rounds < 1:
        # A joined view lives for 8 s or more: a longer window would not stay warm.
        parser.error("--members is at least 100, --seconds from 0.05 to 7, --rounds at least 1")
    return given


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit code is 0 when everything could be measured."""
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
    with ExitStack() as stack:
        home = stack.enter_context(data.folder(given.members, keep=given.keep))
        running = stack.enter_context(data.servers(home, given.members, console))
        cores = processes.allot()
        pids = data.store_pids(running)
        for pid in pids.values():
            processes.pin(pid, cores.stores)
        settings = {name: data.settings(running.urls, name) for name in ("api", "floor")}
        counters = Counters(
            settings["api"].mongo, settings["api"].postgres, {name: made.redis for name, made in settings.items()}
        )
        stack.callback(counters.close)
        counters.settle()
        secret = {"NEXFIT_AUTH_SECRET": secrets.token_urlsafe(48), "NEXFIT_AUTH_ACCESS_TOKEN_MINUTES": "1440"}
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
        wanted = [work for work in works(subject, date.today()) if (given.only or "") in work.name]  # noqa: DTZ011
        if not wanted:
            raise CannotMeasure(f"no work's name contains {given.only!r}")
        console.print(f"{subject.facility_name}, {cores}", markup=False, highlight=False)
        bench = _Bench(given, targets, subject, counters, Loader.find(cores.load, use_wrk=not given.no_wrk), pids)
        bench.redis = {name: made.redis.url.get_secret_value() for name, made in settings.items()}
        checks = bench.check(wanted, console)
        windows = bench.run(wanted, console)
    report.show(console, windows)
    elapsed = time.monotonic() - started
    console.print(f"{given.members:,} members, {given.rounds} rounds of {given.seconds:g} s windows, {elapsed:.0f} s")
    if given.json:
        about: dict[str, object] = {
            "members": given.members,
            "seconds": given.seconds,
            "rounds": given.rounds,
            "cores": str(cores),
        }
        about["checks"] = [asdict(one) for one in checks]
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_bytes(orjson.dumps(report.document(windows, **about), option=orjson.OPT_INDENT_2))
    return _failures(windows, console)


def _failures(windows: Sequence[Window], console: Console) -> int:
    failed = [window for window in windows if window.outcome.failed]
    for window in failed:
        outcome = window.outcome
        console.print(
            f"{window.target}, {window.work}, {window.connections} connections: {outcome.failed} of {outcome.sent}"
            f" requests failed, the first with {outcome.first_failure}",
            style="bold red",
            markup=False,
        )
    return 1 if failed else 0


class _Bench:
    """Two targets, and what it takes to measure them."""

    redis: dict[str, str]

    def __init__(
        self,
        given: argparse.Namespace,
        targets: Sequence[Target],
        subject: Subject,
        counters: Counters,
        loader: Loader,
        pids: dict[str, int],
    ) -> None:
        self._given = given
        self._targets = targets
        self._subject = subject
        self._counters = counters
        self._loader = loader
        self._pids = pids

    def check(self, wanted: Sequence[Work], console: Console) -> list[Equality]:
        """Warm everything up, then compare the targets work by work; raises CannotMeasure where answers differ."""
        for work in {work.route: work for work in wanted}.values():
            for one in self._targets:
                load = self._loader.load(one, work, self._subject, WARM_UP_CONNECTIONS, WARM_UP_SECONDS)
                self._loader.run_built_in(load)
        api, floor = self._targets
        found = [equality.check(work, api, floor, self._subject, self._counters) for work in wanted]
        for equal in found:
            console.print(f"The floor gives the API's answer: {equal.work}, {equal.size:,} bytes", highlight=False)
            if equal.difference:
                console.print(f"but by other commands:\n{equal.difference}", style="bold yellow", markup=False)
        return found

    def run(self, wanted: Sequence[Work], console: Console) -> list[Window]:
        """All windows: in each round each work at each number of connections, the targets in turns."""
        windows: list[Window] = []
        with data.bars(console) as bars:
            total = self._given.rounds * len(wanted) * len(self._given.connections) * 2
            task = bars.add_task("measuring", total=total)
            for round_ in range(1, self._given.rounds + 1):
                for work in wanted:
                    for connections in self._given.connections:
                        for one in self._targets if round_ % 2 else reversed(self._targets):
                            bars.update(task, description=f"{work.name}, {connections} connections, {one.name}")
                            windows.append(self._window(work, one, round_, connections, self._given.seconds))
                            bars.advance(task)
        return windows

    def _window(self, work: Work, one: Target, round_: int, connections: int, seconds: float) -> Window:
        return measure(
            work,
            one,
            round_,
            connections=connections,
            seconds=seconds,
            loader=self._loader,
            subject=self._subject,
            counters=self._counters,
            store_pids=self._pids,
            redis=self.redis[one.name],
        )


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if not numbers or not all(1 <= number <= 1000 for number in numbers):
        raise ValueError(text)
    return numbers
