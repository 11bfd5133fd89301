"""The servers of each work, started and kept on their core."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.peers.node import Node
from bench.stores import http, processes
from bench.stores.processes import Cores
from bench.stores.target import Target
from bench.stores.works import Work

NEXFIT, FLOOR = "NexFit", "floor"
STOCK, CACHES, ENGINE = "Strawberry", "Strawberry with caches", "NexFit's engine"
MERCURIUS, YOGA, APOLLO = "Mercurius with JIT", "GraphQL Yoga", "Apollo Server"
NODE_CACHE = "Node response cache"

NODE_PEERS: Mapping[str, str] = {MERCURIUS: "mercurius", YOGA: "yoga", APOLLO: "apollo"}
EXECUTORS: Mapping[str, str] = {STOCK: "stock", CACHES: "caches", ENGINE: "engine"}

_SERVE = "from nexfit.cli import app; app()"


@dataclass(frozen=True, slots=True)
class Peer(Target):
    """A running server. All but the floor are asked at /graphql."""

    node: bool

    def path(self, work: Work) -> str:
        """Where a work is asked for."""
        return work.route if self.name == FLOOR else "/graphql"


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts servers with the same environment on the same core, each with a log of its own."""

    logs: Path
    cores: Cores
    environment: Mapping[str, str]
    node: Node | None

    def start(self, name: str, work: str) -> Peer:
        """Start one server for `memory`, `stores` or `cache`; it need not be ready yet."""
        port = _free_port()
        if name in EXECUTORS:
            argv = [sys.executable, "-m", "bench.peers.memory_server", EXECUTORS[name], str(port)]
        elif name == NEXFIT:
            argv = [sys.executable, "-c", _SERVE, "serve", "--port", str(port), "--workers", "1"]
        elif name == FLOOR:
            argv = [sys.executable, "-m", "bench.peers.floor", str(port)]
        else:
            assert self.node is not None, f"{name} needs Node"
            served = "memory" if work == "memory" else "stores"
            argv = self.node.server(NODE_PEERS.get(name, "cached"), served, port)
        log = self.logs / f"{work}-{name.lower().replace(' ', '-')}.log"
        variables = {**self.environment, "NODE_ENV": "production"}
        process = processes.spawn(argv, log=log, environment=variables, cores=self.cores)
        on_node = name in NODE_PEERS or name == NODE_CACHE
        return Peer(name, port, process, log, on_node)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((http.HOST, 0))
        port: int = probe.getsockname()[1]
        return port
