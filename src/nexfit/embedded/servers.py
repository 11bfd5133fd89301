"""The three local servers of one data folder, as `nexfit dev`, the tests and the benchmarks use them."""

import os
import queue
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import ModuleType, TracebackType
from typing import Final, Literal, Self, get_args
from urllib.parse import urlsplit, urlunsplit

from nexfit.embedded import folder as data_folder
from nexfit.embedded import mongo, postgres, valkey
from nexfit.embedded.errors import EmbeddedError, ServerFailed, ServerReplaced
from nexfit.embedded.processes import Program, Running, Supervisor, kill_tree

ServerName = Literal["mongo", "postgres", "redis"]

_NAMES: Final[tuple[ServerName, ...]] = get_args(ServerName)
_MODULES: Final[dict[ServerName, ModuleType]] = {"mongo": mongo, "postgres": postgres, "redis": valkey}
_VARIABLES: Final[dict[ServerName, str]] = {name: f"NEXFIT_{name.upper()}_URL" for name in _NAMES}
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0


@dataclass(frozen=True, repr=False)
class ServerUrls:
    """Connection URLs with passwords; printing them hides those."""

    mongo: str
    postgres: str
    redis: str

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_without_password(getattr(self, name))!r}" for name in _NAMES)
        return f"ServerUrls({shown})"


class Server:
    """One local server; it keeps its port while it is stopped and started again. Not for use by two threads at once."""

    def __init__(self, name: ServerName, folder: data_folder.DataFolder, supervisor: Supervisor, durable: bool) -> None:
        self.name = name
        self.port = folder.port(name)
        self._folder = folder
        self._supervisor = supervisor
        self._durable = durable
        self._running: Running | None = None
        self._stop_signal: int = signal.SIGTERM

    @property
    def url(self) -> str:
        url: str = _MODULES[self.name].url(self._folder, self.port)
        return url

    @property
    def pid(self) -> int | None:
        """Process id of the running server, None when it is stopped."""
        return None if self._running is None or self._running.ended.is_set() else self._running.pid

    def start(self) -> None:
        """Start it on its port and wait until it is ready; nothing happens when it runs. Raises ServerFailed."""
        if self.pid is not None:
            return
        program: Program = _MODULES[self.name].program(self._folder, self.port, durable=self._durable)
        log_start = program.log.stat().st_size if program.log.exists() else 0
        running = self._running = self._supervisor.spawn(program)
        self._stop_signal = program.stop_signal
        deadline = monotonic() + _START_SECONDS

        def wait() -> None:
            if running.ended.wait(0.02):
                raise ServerFailed(self.name, f"ended with code {running.code}", _tail(program.log, log_start))
            if monotonic() > deadline:
                raise ServerFailed(self.name, f"not ready after {_START_SECONDS:.0f} s", _tail(program.log, log_start))

        try:
            _MODULES[self.name].make_ready(self._folder, self.port, wait)
        except Exception as error:
            self.kill()
            if isinstance(error, EmbeddedError):
                raise
            # A driver's own error: say which server it is about.
            reason = f"{type(error).__name__}: {error}"
            raise ServerFailed(self.name, reason, _tail(program.log, log_start)) from error

    def stop(self) -> None:
        """Shut it down cleanly; after 20 s without an end it is killed. Nothing happens when it is stopped."""
        if self._running is None or self.pid is None:
            return
        self._supervisor.signal(self.name, self._stop_signal)
        if not self._running.ended.wait(_STOP_SECONDS):
            self.kill()

    def kill(self) -> None:
        """End it with SIGKILL, children included, as a crash would. Nothing happens when it is stopped."""
        if self._running is None or self.pid is None:
            return
        kill_tree(self._running.pid)
        self._running.ended.wait(_STOP_SECONDS)

    def first_start(self, report: Callable[[str], None]) -> None:
        """Set up what is missing in the data folder, then start; takes another port when the chosen one gets taken."""
        if self.name == "postgres":
            postgres.prepare(self._folder, self._supervisor, report)
        report("starting")
        for attempt in range(3):
            try:
                self.start()
            except ServerFailed:
                if attempt == 2 or data_folder.port_is_free(self.port):
                    raise
                self.port = self._folder.port(self.name, fresh=True)
            else:
                break
        report("ready")


class EmbeddedServers:
    """The local servers of a data folder, all that the environment does not replace by a URL. A context manager."""

    def __init__(
        self, data_dir: Path, *, durable: bool = True, on_progress: Callable[[str, str], None] | None = None
    ) -> None:
        """Name the folder; nothing happens before `start`.

        With `durable` an acknowledged write outlives a crash of the machine; without, only that of a server, and
        everything is faster. `on_progress(server, state)` is called in the thread that calls `start`, with the states
        "initialising" (first start only), "starting", "ready", or "external" where a URL replaces the server.
        """
        self._data_dir = Path(data_dir)
        self._durable = durable
        self._on_progress = on_progress
        self._supervisor: Supervisor | None = None
        self._servers: dict[ServerName, Server] = {}
        self._starting: list[threading.Thread] = []
        self._urls: ServerUrls | None = None

    @property
    def urls(self) -> ServerUrls:
        """Where the servers are. Raises EmbeddedError before `start` and after `stop`."""
        if self._urls is None:
            raise EmbeddedError("the local servers are not started")
        return self._urls

    def start(self) -> ServerUrls:
        """Start the servers at the same time and wait until all are ready; on any failure none is left running.

        Raises DataDirInUse, NotADataDir, ServerBinaryMissing, ServerFailed or another EmbeddedError.
        """
        if self._urls is not None:
            raise EmbeddedError("these servers were started already")
        given = {name: os.environ[variable] for name, variable in _VARIABLES.items() if os.environ.get(variable)}
        for name in given:
            self._report(name, "external")
        wanted = [name for name in _NAMES if name not in given]
        if wanted:
            try:
                self._start_local(wanted)
            except BaseException:
                self.stop()
                raise
        self._urls = ServerUrls(**{name: given.get(name) or self._servers[name].url for name in _NAMES})
        return self._urls

    def stop(self) -> None:
        """Stop the servers cleanly and wait until they have ended. Nothing happens when none was started."""
        supervisor, self._supervisor, self._servers, self._urls = self._supervisor, None, {}, None
        if supervisor is not None:
            supervisor.close()
        for thread in self._starting:  # after a failure the others may still be at it; nobody may touch the folder now
            thread.join()

    def server(self, name: ServerName) -> Server:
        """One of the servers. Raises ServerReplaced when it is not a local one, EmbeddedError when none is started."""
        if name not in self._servers:
            self.urls  # noqa: B018 - raises when nothing is started
            raise ServerReplaced(f"{name} was replaced by {_VARIABLES[name]} and cannot be controlled here")
        return self._servers[name]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_local(self, wanted: list[ServerName]) -> None:
        folder = data_folder.lock(self._data_dir)
        try:
            self._supervisor = supervisor = Supervisor(folder.path, folder.lock_fd, folder.log("supervisor"))
            folder.record_owner(supervisor.pid)
        finally:
            folder.release()
        self._servers = {name: Server(name, folder, supervisor, self._durable) for name in wanted}
        events: queue.SimpleQueue[tuple[ServerName, str | Exception]] = queue.SimpleQueue()

        def run(server: Server) -> None:
            try:
                server.first_start(lambda state: events.put((server.name, state)))
            except Exception as error:
                events.put((server.name, error))

        self._starting = [
            threading.Thread(target=run, args=(server,), daemon=True) for server in self._servers.values()
        ]
        for thread in self._starting:
            thread.start()
        ready: set[str] = set()
        while len(ready) < len(wanted):
            name, event = events.get()
            if isinstance(event, Exception):
                raise event
            self._report(name, event)
            if event == "ready":
                ready.add(name)

    def _report(self, name: str, state: str) -> None:
        if self._on_progress is not None:
            self._on_progress(name, state)


def reset(data_dir: Path) -> None:
    """Delete a data folder with all its data; nothing happens when it does not exist.

    Raises DataDirInUse while servers run on it, NotADataDir when it is not one of ours.
    """
    data_folder.delete(Path(data_dir))


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, host = parts.username or "", parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))


def _tail(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        return "\n".join(file.read().decode(errors="replace").splitlines()[-8:])
