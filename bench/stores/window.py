"""One window: a load on one target, with the CPU time it took and the commands the stores received meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import orjson

from bench.stores import http, processes
from bench.stores.counters import Counters, Received
from bench.stores.errors import CannotMeasure
from bench.stores.generator import PATIENCE, Load, Outcome
from bench.stores.processes import ROOT, Cores
from bench.stores.target import Target
from bench.stores.works import Subject, Work


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured. CPU times are milliseconds per request; `stores_cpu_ms` is of all three servers together."""

    work: str
    connections: int
    target: str
    round: int
    outcome: Outcome
    seconds: float
    server_cpu_ms: float
    stores_cpu_ms: float
    mongo: float
    postgres: float
    session: float
    redis: float


def load_of(
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


def produce(load: Load, cores: Cores) -> Outcome:
    """The outcome of a load by a generator on these cores; raises CannotMeasure when the generator itself fails."""
    done = subprocess.run(
        processes.launched([sys.executable, "-m", "bench.stores.generator"], cores),
        input=orjson.dumps(asdict(load)),
        capture_output=True,
        cwd=ROOT,
        start_new_session=True,
        timeout=load.seconds + 4 * PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise CannotMeasure(f"the load generator failed: {done.stderr[-2000:].decode(errors='replace')}")
    outcome = Outcome(**orjson.loads(done.stdout))
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
    cores: Cores,
    subject: Subject,
    counters: Counters,
    store_pids: Sequence[int],
    redis: str,
) -> Window:
    """Measure one window under a load made on `cores`. It ends with the last answer: every request is paid for."""
    invalidation = target.prepare(work, subject, counters)
    received, cpu, stores = counters.received(), target.cpu_seconds(), processes.cpu_seconds(store_pids)
    started = time.perf_counter()
    load = load_of(target, work, subject, connections, seconds, redis if work.cold else None)
    outcome = produce(load, cores)
    elapsed = time.perf_counter() - started
    cpu, stores = target.cpu_seconds() - cpu, processes.cpu_seconds(store_pids) - stores
    commands = _each(counters.received().since(received), counters.unasked, elapsed, outcome.sent)
    if work.cold:  # the generator sent these before each request
        commands["redis"] -= invalidation
    return Window(
        work=work.name,
        connections=connections,
        target=target.name,
        round=round_,
        outcome=outcome,
        seconds=elapsed,
        server_cpu_ms=cpu * 1000 / outcome.sent,
        stores_cpu_ms=stores * 1000 / outcome.sent,
        **commands,
    )


def _each(received: Received, unasked: Mapping[str, float], seconds: float, requests: int) -> dict[str, float]:
    """Commands per request, without those that come by themselves."""
    return {
        name: max(0.0, count - unasked.get(name, 0.0) * seconds) / requests for name, count in asdict(received).items()
    }
