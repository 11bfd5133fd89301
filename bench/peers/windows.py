"""Windows of load on one server at a time, each after a warm-up, and the CPU time the server took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.peers.servers import Peer
from bench.stores import processes
from bench.stores.generator import Outcome
from bench.stores.processes import Cores
from bench.stores.window import load_of, produce
from bench.stores.works import Subject, Work

CONNECTIONS = 32

_QUIET, _PATIENCE = 0.05, 10.0
_TICK = 0.015


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured: requests per second of the server's CPU time, and the stores' milliseconds per request."""

    work: str
    server: str
    round: int
    outcome: Outcome
    per_cpu_second: float
    stores_cpu_ms: float


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of a window and of the warm-up before it. Node's needs 3: cold it runs at half its speed."""

    window: float
    node_warm_up: float
    warm_up: float


def measure(
    work: Work, server: Peer, round_: int, *, subject: Subject, cores: Cores, pace: Pace, stores: Sequence[int]
) -> Window:
    """Warm the server up, then measure a window under a load made on `cores`; `stores` are process ids.

    It ends when all that was sent is paid for.
    """

    def load(seconds: float) -> Outcome:
        return produce(load_of(server, work, subject, CONNECTIONS, seconds), cores)

    if warm_up := pace.node_warm_up if server.node else pace.warm_up:
        load(warm_up)
    _wait_until_idle(server)
    cpu, stores_cpu = server.cpu_seconds(), processes.cpu_seconds(stores)
    outcome = load(pace.window)
    _wait_until_idle(server)
    spent, stores_spent = server.cpu_seconds() - cpu, processes.cpu_seconds(stores) - stores_cpu
    return Window(
        work.name, server.name, round_, outcome, outcome.sent / max(spent, 0.01), stores_spent * 1000 / outcome.sent
    )


def _wait_until_idle(server: Peer) -> None:
    """What a server does behind its last answer, such as closing connections, is paid for as well."""
    deadline = time.monotonic() + _PATIENCE
    before = server.cpu_seconds()
    while time.monotonic() < deadline:
        time.sleep(_QUIET)
        now = server.cpu_seconds()
        if now - before < _TICK:
            return
        before = now
