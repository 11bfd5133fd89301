"""The benchmark's own servers with its own data: started, migrated and loaded, or found loaded by an earlier run."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.stores.errors import CannotMeasure
from bench.stores.processes import ROOT
from nexfit.embedded import EmbeddedServers, ServerUrls
from nexfit.local_servers import delete_data, set_encryption_keys
from nexfit.operations.demo import SeedReport, seed
from nexfit.operations.demo.seeding import MEMBERS
from nexfit.operations.setup import migrate_up
from nexfit.settings import MongoSettings, PostgresSettings, RedisSettings, Settings
from nexfit.stores.connections import open_stores

KEPT = ROOT / ".data" / "bench"
"""Where `--keep` keeps data, one folder per number of members."""

FRESH = timedelta(days=2)
"""How old kept data may be: it tells of the days up to its loading, and the overview asks for the days after."""

_SERVERS = ("NEXFIT_MONGO_URL", "NEXFIT_POSTGRES_URL", "NEXFIT_REDIS_URL")
_DATABASES = {"api": 0, "floor": 1}
"""Redis database of each target, so that none finds views the other has stored."""


@contextmanager
def folder(members: int, *, keep: bool) -> Iterator[Path]:
    """A folder for servers and logs, deleted afterwards unless it is kept."""
    if keep:
        kept = KEPT / str(members)
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    made = Path(tempfile.mkdtemp(prefix="nexfit-bench-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def servers(home: Path, members: int, console: Console) -> Iterator[EmbeddedServers]:
    """Running local servers that hold this many members. Servers the environment names are left alone."""
    for variable in _SERVERS:
        if os.environ.pop(variable, None):
            console.print(f"{variable} is not used: the benchmark loads and measures servers of its own.")
    loaded, data = home / "loaded.json", home / "servers"
    if not _is_usable(loaded, members):
        loaded.unlink(missing_ok=True)
        delete_data(data)
    with bars(console) as shown:
        tasks = {name: shown.add_task(f"{name}: waiting", total=None) for name in ("mongo", "postgres", "redis")}
        running = EmbeddedServers(
            data, on_progress=lambda name, state: shown.update(tasks[name], description=f"{name}: {state}")
        )
        running.start()
        set_encryption_keys(data)
        try:
            for task in tasks.values():
                shown.update(task, total=1, completed=1)
            if not loaded.exists():
                console.print(f"Loading {members:,} members …", highlight=False)
                report = asyncio.run(_load(settings(running.urls, "api"), members, shown))
                console.print(f"Loaded {report.members:,} members as of {report.today} in {report.seconds:.0f} s.")
                loaded.write_text(
                    json.dumps({"members": members, "today": report.today.isoformat(), "schemas": _schemas()})
                )
            shown.stop()
            yield running
        finally:
            running.stop()


def bars(console: Console) -> Progress:
    """Progress bars; drawn on a terminal only."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


async def _load(made: Settings, members: int, shown: Progress) -> SeedReport:
    tasks: dict[str, TaskID] = {}

    def on_progress(step: str, done: int, total: int) -> None:
        if step not in tasks:
            tasks[step] = shown.add_task(step, total=total)
        shown.update(tasks[step], completed=done, total=total)

    await migrate_up(made)
    async with open_stores(made) as stores:
        return await seed(stores, scale=members / MEMBERS, on_progress=on_progress)


def settings(urls: ServerUrls, target: str) -> Settings:
    """Settings of the local servers as a target sees them."""
    redis = urlsplit(urls.redis)._replace(path=f"/{_DATABASES[target]}").geturl()
    return Settings(
        mongo=MongoSettings.model_validate({"url": urls.mongo}),
        postgres=PostgresSettings.model_validate({"url": urls.postgres}),
        redis=RedisSettings.model_validate({"url": redis}),
    )


def environment(made: Settings) -> dict[str, str]:
    """The same settings as variables for a process."""
    urls = (made.mongo.url, made.postgres.url, made.redis.url)
    variables = {name: url.get_secret_value() for name, url in zip(_SERVERS, urls, strict=True)}
    return variables | {
        "NEXFIT_LIMITS_POINTS_PER_SECOND": "0",  # one viewer asks for all that a server can give
        "NEXFIT_HTTP_LOG_REQUESTS": "false",  # none of the other servers logs
        "NEXFIT_BACKGROUND": "false",  # or follows changes
    }


def store_pids(running: EmbeddedServers) -> list[int]:
    """Process ids of the servers; raises CannotMeasure when one has ended."""
    pids = [running.server(name).pid for name in ("mongo", "postgres", "redis")]
    found = [pid for pid in pids if pid is not None]
    if len(found) != len(pids):
        raise CannotMeasure("a store's server has ended")
    return found


def _schemas() -> str:
    """A hash of both stores' schemas and of the demo: data loaded under others is loaded anew."""
    files = [
        path
        for folder in ("migrations_pg", "mongo_indexes", "src/nexfit/operations/demo")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".sql", ".yaml", ".py")
    ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _is_usable(loaded: Path, members: int) -> bool:
    try:
        found = json.loads(loaded.read_text())
        return bool(
            found["members"] == members
            and found["schemas"] == _schemas()
            and datetime.now(UTC).date() - date.fromisoformat(found["today"]) <= FRESH
        )
    except (OSError, ValueError, KeyError):
        return False
