"""One window: a load on one target, with the CPU time it took and the commands the stores received meanwhile."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import orjson

from bench.stores import http, processes
from bench.stores.counters import Counters, Received
from bench.stores.errors import CannotMeasure
from bench.stores.generator import PATIENCE, Load, Outcome
from bench.stores.processes import ROOT, Cores
from bench.stores.target import Target
from bench.stores.works import Subject, Work

_QUIET_SECONDS = 0.3
_HEARTBEAT = 0.015
"""CPU seconds of a server that has nothing to do: one tick."""
_DRAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured. CPU times are milliseconds per request; `stores_cpu_ms` is of all three servers together."""

    work: str
    connections: int
    target: str
    round: int
    generator: str
    outcome: Outcome
    seconds: float
    server_cpu_ms: float
    stores_cpu_ms: float
    mongo: float
    postgres: float
    session: float
    redis: float


@dataclass(frozen=True, slots=True)
class Loader:
    """Makes load. wrk where it is on PATH, except for cold works: it cannot speak to Redis before each request."""

    wrk: str | None
    cores: Cores

    @staticmethod
    def find(cores: Cores, *, use_wrk: bool = True) -> Loader:
        """A loader of this machine."""
        return Loader(shutil.which("wrk") if use_wrk else None, cores)

    def name(self, work: Work) -> str:
        """Which generator a work gets."""
        return "wrk" if self.wrk and not work.cold else "built-in"

    @staticmethod
    def load(
        target: Target, work: Work, subject: Subject, connections: int, seconds: float, redis: str | None = None
    ) -> Load:
        """The load of a work; with `redis`, the views are made unreadable there before each request."""
        return Load(
            host=http.HOST,
            port=target.port,
            path=target.path(work),
            headers=http.headers(subject.token),
            body=work.body.decode(),
            connections=connections,
            seconds=seconds,
            redis=redis,
            tags=subject.tags,
        )

    def run(self, load: Load) -> Outcome:
        """The outcome of a load; raises CannotMeasure when the generator itself fails."""
        return self._run_wrk(self.wrk, load) if self.wrk and load.redis is None else self.run_built_in(load)

    def run_built_in(self, load: Load) -> Outcome:
        """The outcome of a load by our own generator; raises CannotMeasure."""
        argv = [sys.executable, "-m", "bench.stores.generator"]
        return _outcome(self._run(argv, load, orjson.dumps(asdict(load))))

    def _run_wrk(self, wrk: str, load: Load) -> Outcome:
        seconds = max(1, math.ceil(load.seconds))  # it knows whole seconds only
        with tempfile.NamedTemporaryFile(prefix="nexfit-bench-", suffix=".json") as body:
            body.write(load.body.encode())
            body.flush()
            script = str(ROOT / "bench" / "stores" / "wrk.lua")
            options = ["-t1", f"-c{load.connections}", f"-d{seconds}s", f"--timeout={PATIENCE:.0f}s", "-s", script]
            headers = [f"{name}: {value}" for name, value in load.headers.items()]
            url = f"http://{load.host}:{load.port}{load.path}"
            output = self._run([wrk, *options, url, "--", body.name, *headers], load, b"")
        return _outcome(output.strip().rpartition(b"\n")[2])

    def _run(self, argv: list[str], load: Load, given: bytes) -> bytes:
        done = subprocess.run(
            processes.launched(argv, self.cores),
            input=given,
            capture_output=True,
            cwd=ROOT,
            start_new_session=True,
            timeout=load.seconds + 4 * PATIENCE,
            check=False,
        )
        if done.returncode != 0:
            raise CannotMeasure(f"the load generator {argv[0]} failed: {done.stderr[-2000:].decode(errors='replace')}")
        return done.stdout


def _outcome(printed: bytes) -> Outcome:
    outcome = Outcome(**orjson.loads(printed))
    if outcome.sent == 0:
        raise CannotMeasure("the load generator sent nothing")
    return outcome


def measure(
    work: Work,
    target: Target,
    round_: int,
    *,
    connections: int,
    seconds: float,
    loader: Loader,
    subject: Subject,
    counters: Counters,
    store_pids: Sequence[int],
    redis: str,
) -> Window:
    """Measure one window. It ends when the server has nothing left to do, so that every request sent is paid for."""
    invalidation = target.prepare(work, subject, counters)
    received, cpu, stores = counters.received(), target.cpu_seconds(), processes.cpu_seconds(store_pids)
    started = time.perf_counter()
    load = loader.load(target, work, subject, connections, seconds, redis if work.cold else None)
    outcome = loader.run(load)
    elapsed = time.perf_counter() - started
    if loader.name(work) == "wrk":
        _wait_until_idle(target)
    cpu, stores = target.cpu_seconds() - cpu, processes.cpu_seconds(store_pids) - stores
    commands = _each(counters.received().since(received), outcome.sent)
    if work.cold:  # the generator sent these before each request
        commands["redis"] -= invalidation
    return Window(
        work=work.name,
        connections=connections,
        target=target.name,
        round=round_,
        generator=loader.name(work),
        outcome=outcome,
        seconds=elapsed,
        server_cpu_ms=cpu * 1000 / outcome.sent,
        stores_cpu_ms=stores * 1000 / outcome.sent,
        **commands,
    )


def _each(received: Received, requests: int) -> dict[str, float]:
    return {name: count / requests for name, count in asdict(received).items()}


def _wait_until_idle(target: Target) -> None:
    """wrk hangs up at its end; the server still finishes what was asked of it."""
    deadline = time.monotonic() + _DRAIN_SECONDS
    before, quiet_since = target.cpu_seconds(), time.monotonic()
    while time.monotonic() < min(deadline, quiet_since + _QUIET_SECONDS):
        time.sleep(0.05)
        now = target.cpu_seconds()
        if now - before > _HEARTBEAT:
            before, quiet_since = now, time.monotonic()
