"""`nexfit dev`: local servers, both schemas, demo data and the API in one process, until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from pydantic import SecretStr
from rich.console import Console
from rich.progress import Progress

from nexfit.api.webhooks import WEBHOOKS_PATH
from nexfit.app import create_app
from nexfit.embedded import EmbeddedServers
from nexfit.local_servers import (
    SECRET_FILE,
    URLS_FILE,
    PortInUse,
    delete_data,
    set_encryption_keys,
    variables,
    write_private,
)
from nexfit.logs import configure_logs
from nexfit.operations.demo import NotEmpty, demo_logins, seed
from nexfit.operations.setup import migrate_up
from nexfit.payments.local_server import LocalProvider, serving_beside
from nexfit.progress import bar_per_step, progress
from nexfit.serving import server_options
from nexfit.settings import HttpSettings, LimitSettings, PaymentSettings, Settings
from nexfit.stores.connections import open_stores

_LIMITS = LimitSettings(points=1_000_000, points_per_second=100_000)
"""Whoever measures on their own machine is one viewer with all its power."""


def run(console: Console, *, port: int, data_dir: Path, start_over: bool, demo: bool) -> None:
    """Start everything, serve until Ctrl-C or SIGTERM, stop everything.

    Raises PortInUse before anything is started, and the errors of `nexfit.embedded` where a server cannot start.
    """
    _require_free(port)
    with _payments(port) as payments:
        _run(console, payments, port=port, data_dir=data_dir, start_over=start_over, demo=demo)


@contextmanager
def _payments(port: int) -> Iterator[PaymentSettings]:
    """The provider the environment names, else a local one in this process, which forgets its payments with it."""
    if "NEXFIT_PAYMENTS_PROVIDER" in os.environ:
        yield Settings().payments
        return
    secret, webhook_secret = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    provider = LocalProvider(secret, webhook_secret, f"http://127.0.0.1:{port}{WEBHOOKS_PATH}")
    with serving_beside(provider) as url:
        yield PaymentSettings(
            provider="local", secret=SecretStr(secret), webhook_secret=SecretStr(webhook_secret), url=url
        )


def _run(
    console: Console, payments: PaymentSettings, *, port: int, data_dir: Path, start_over: bool, demo: bool
) -> None:
    started = time.monotonic()
    if start_over:
        delete_data(data_dir)
    with progress(console) as bars:
        tasks = {name: bars.add_task(f"{name}: waiting", total=None) for name in ("mongo", "postgres", "redis")}
        servers = EmbeddedServers(
            data_dir, on_progress=lambda name, state: bars.update(tasks[name], description=f"{name}: {state}")
        )
        urls = servers.start()
        for task in tasks.values():
            bars.update(task, total=1, completed=1)
        try:
            os.environ |= variables(urls)
            write_private(data_dir / URLS_FILE, json.dumps(variables(urls)))
            set_encryption_keys(data_dir)
            os.environ.setdefault("NEXFIT_AUTH_SECRET", _secret(data_dir / SECRET_FILE))
            settings = Settings(
                http=HttpSettings(port=port, metrics=True, log_requests=False),
                limits=_LIMITS,
                payments=payments,
                demo=demo,
            )
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


async def _prepare(settings: Settings, bars: Progress, *, demo: bool) -> None:
    await migrate_up(settings, on_step=lambda text: bars.print(f"  {text}"))
    if not demo:
        return
    try:
        async with open_stores(settings) as stores:
            await seed(stores, on_progress=bar_per_step(bars))
    except NotEmpty as found:
        async with open_stores(settings) as stores:
            loaded = await stores.postgres.fetch("SELECT 1 FROM finance.facility_accounts LIMIT 1")
        if not loaded:
            bars.print(f"[yellow]No demo data:[/] {found}")


def _serve(settings: Settings, console: Console, started: float) -> None:
    app = create_app(settings)
    configure_logs(logging.WARNING)  # who looks at it for the first time is told what they can do, not what goes on
    config = uvicorn.Config(app, log_level="warning", **server_options(settings))
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
                self._console.print(f"  {login.label:<15}{login.email:<27} {login.password}")
        self._console.print("\nCtrl-C stops everything and keeps the data.")
        sys.stdout.flush()


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise PortInUse(port) from None


def _secret(path: Path) -> str:
    """The data folder's own signing secret, so that tokens outlive a restart."""
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        secret = secrets.token_urlsafe(48)
        write_private(path, secret)
        return secret
