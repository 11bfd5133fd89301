"""The servers under measurement: the API by `nexfit serve`, the floor under uvicorn with the same options."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.stores import http, processes
from bench.stores.counters import Counters
from bench.stores.errors import CannotMeasure
from bench.stores.processes import Cores
from bench.stores.works import Subject, Work

READY_SECONDS = 60.0

_SERVE = "from nexfit.cli import app; app()"


@dataclass(frozen=True, slots=True)
class Target:
    """A running server: `api` or `floor`."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def path(self, work: Work) -> str:
        """Where a work is asked for."""
        return "/graphql" if self.name == "api" else work.route

    def ask(self, work: Work, token: str) -> bytes:
        """The answer to one request; raises CannotMeasure with the end of the server's log when it is none."""
        try:
            return http.post(self.port, self.path(work), work.body, token)
        except CannotMeasure as error:
            raise CannotMeasure(f"{self.name}: {error}\n{self._log_end()}") from error

    def prepare(self, work: Work, subject: Subject, counters: Counters) -> int:
        """Bring the joined views into the work's state: unreadable, or stored a moment ago.

        Answers how many commands Redis received for making them unreadable.
        """
        counters.promise_freshness(self.name)
        commands = counters.invalidate(self.name, subject.tags)
        if not work.cold:
            self.ask(work, subject.token)
        return commands

    def wait_until_ready(self) -> None:
        """Return once it answers; raises CannotMeasure with the end of its log when it does not."""
        deadline = time.monotonic() + READY_SECONDS
        while not http.is_ready(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise CannotMeasure(f"the server `{self.name}` did not get ready.\n{self._log_end()}")
            time.sleep(0.05)

    def _log_end(self) -> str:
        return f"Its log ends:\n{self.log.read_text(errors='replace')[-2000:]}"

    def cpu_seconds(self) -> float:
        """CPU time so far."""
        return processes.cpu_seconds([self.process.pid])


def start(
    name: str, *, log: Path, environment: Mapping[str, str], cores: Cores, plain: bool = False, workers: int = 1
) -> Target:
    """Start the API or the floor (`plain`: over plain drivers); `wait_until_ready` before it is asked for anything."""
    port = _free_port()
    if name == "api":
        argv = [sys.executable, "-c", _SERVE, "serve", "--port", str(port), "--workers", str(workers)]
    else:
        argv = [sys.executable, "-m", "bench.stores.floor", "--port", str(port), *(["--plain"] if plain else [])]
    return Target(name, port, processes.spawn(argv, log=log, environment=environment, cores=cores), log)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((http.HOST, 0))
        port: int = probe.getsockname()[1]
        return port
