"""`nexfit dev`: local servers, both schemas, demo data and the API in one process, until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

import uvicorn
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from nexfit.app import create_app
from nexfit.embedded import DataDirInUse, EmbeddedServers, ServerUrls, reset
from nexfit.operations.demo import NotEmpty, SeedReport, demo_logins, seed
from nexfit.operations.setup import migrate_up
from nexfit.settings import HttpSettings, Settings
from nexfit.stores.connections import open_stores

SECRET_FILE = "auth-secret"  # noqa: S105 - a file's name
URLS_FILE = "urls.json"
"""Where the servers of a running `nexfit dev` are; it holds passwords, so only its owner can read it."""

VARIABLES = ("NEXFIT_MONGO_URL", "NEXFIT_POSTGRES_URL", "NEXFIT_REDIS_URL")


class PortInUse(Exception):
    """Something else listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is in use; choose another one with --port (make run PORT=…)")


def run(console: Console, *, port: int, data_dir: Path, start_over: bool, demo: bool) -> None:
    """Start everything, serve until Ctrl-C or SIGTERM, stop everything.

    Raises PortInUse before anything is started, and the errors of `nexfit.embedded` where a server cannot start.
    """
    _require_free(port)
    started = time.monotonic()
    if start_over:
        reset(data_dir)
    with progress(console) as bars:
        tasks = {name: bars.add_task(f"{name}: waiting", total=None) for name in ("mongo", "postgres", "redis")}
        servers = EmbeddedServers(
            data_dir, on_progress=lambda name, state: bars.update(tasks[name], description=f"{name}: {state}")
        )
        urls = servers.start()
        for task in tasks.values():
            bars.update(task, total=1, completed=1)
        try:
            os.environ |= _variables(urls)
            _write_private(data_dir / URLS_FILE, json.dumps(_variables(urls)))
            os.environ.setdefault("NEXFIT_AUTH_SECRET", _secret(data_dir / SECRET_FILE))
            settings = Settings(http=HttpSettings(port=port), demo=demo)
            asyncio.run(_prepare(settings, bars, demo=demo))
        except BaseException:
            servers.stop()
            raise
    try:
        _serve(settings, console, started)
    finally:
        console.print("Stopping the servers …")
        (data_dir / URLS_FILE).unlink(missing_ok=True)
        servers.stop()


@contextmanager
def local_servers(data_dir: Path) -> Iterator[None]:
    """Servers for one command: those the environment names, those of a running `nexfit dev`, or its own meanwhile.

    Raises the errors of `nexfit.embedded`.
    """
    if all(os.environ.get(variable) for variable in VARIABLES):
        yield
        return
    servers = EmbeddedServers(data_dir)
    try:
        urls = _variables(servers.start())
    except DataDirInUse:
        running = data_dir / URLS_FILE
        if not running.exists():  # it is starting or stopping: nobody can use its servers now
            raise
        urls = json.loads(running.read_text(encoding="utf-8"))
    os.environ |= urls
    try:
        yield
    finally:
        servers.stop()


@contextmanager
def progress(console: Console) -> Iterator[Progress]:
    """Progress bars that a log file or a pipe can bear as well: drawn only on a terminal."""
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        yield bars


async def load_demo(
    settings: Settings, bars: Progress, *, scale: float, seed_number: int, today: date | None
) -> SeedReport:
    """Load demo data with a bar per step; raises what `nexfit.operations.demo.seed` raises."""
    tasks: dict[str, int] = {}

    def on_progress(step: str, done: int, total: int) -> None:
        task = tasks.get(step)
        if task is None:
            task = tasks[step] = bars.add_task(step, total=total)
        bars.update(task, completed=done, total=total)  # type: ignore[arg-type]

    async with open_stores(settings) as stores:
        return await seed(stores, scale=scale, seed=seed_number, today=today, on_progress=on_progress)


async def _prepare(settings: Settings, bars: Progress, *, demo: bool) -> None:
    await migrate_up(settings, on_step=lambda text: bars.print(f"  {text}"))
    if not demo:
        return
    try:
        await load_demo(settings, bars, scale=1, seed_number=7, today=None)
    except NotEmpty as found:
        async with open_stores(settings) as stores:
            loaded = await stores.postgres.fetch("SELECT 1 FROM finance.facility_accounts LIMIT 1")
        if not loaded:
            bars.print(f"[yellow]No demo data:[/] {found}")


def _serve(settings: Settings, console: Console, started: float) -> None:
    config = uvicorn.Config(
        create_app(settings),
        host=settings.http.host,
        port=settings.http.port,
        log_level="warning",
        timeout_graceful_shutdown=int(settings.http.drain_seconds),
    )
    with suppress(KeyboardInterrupt):
        _AnnouncingServer(config, console, settings, started).run()


class _AnnouncingServer(uvicorn.Server):
    """Tells where it listens once it does."""

    def __init__(self, config: uvicorn.Config, console: Console, settings: Settings, started: float) -> None:
        super().__init__(config)
        self._console = console
        self._settings = settings
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        seconds = time.monotonic() - self._started
        url = f"http://{self._settings.http.host}:{self._settings.http.port}"
        self._console.print(f"\n[bold green]NexFit is up[/] after {seconds:.0f} s: [link]{url}/graphql[/]")
        if self._settings.demo:
            self._console.print("\nDemo logins:")
            for login in demo_logins():
                self._console.print(f"  {login.label:<31}{login.email:<27} {login.password}")
        self._console.print("\nCtrl-C stops everything and keeps the data.")
        sys.stdout.flush()


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise PortInUse(port) from None


def _variables(urls: ServerUrls) -> dict[str, str]:
    return dict(zip(VARIABLES, (urls.mongo, urls.postgres, urls.redis), strict=True))


def _secret(path: Path) -> str:
    """The data folder's own signing secret, so that tokens outlive a restart."""
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        secret = secrets.token_urlsafe(48)
        _write_private(path, secret)
        return secret


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
