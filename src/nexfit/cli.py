"""The `nexfit` command."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import uvicorn
from rich.console import Console
from rich.table import Table

from nexfit import development
from nexfit.api.schema import build_schema, schema_text
from nexfit.embedded import EmbeddedError
from nexfit.operations import setup
from nexfit.operations.demo import NotEmpty
from nexfit.operations.migration_errors import MigrationError
from nexfit.operations.mongo_files import MongoFileError
from nexfit.operations.mongo_schema import SchemaNotApplied
from nexfit.settings import Settings
from nexfit.stores.errors import StoreError

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="NexFit: a fitness platform's GraphQL API.", rich_markup_mode="rich")
migrate = typer.Typer(no_args_is_help=True, help="Bring both stores' schemas up or down, or look at them.")
imports = typer.Typer(no_args_is_help=True, help="Read real data from files. Running one twice changes nothing more.")
app.add_typer(migrate, name="migrate")
app.add_typer(imports, name="import")

console = Console()
errors = Console(stderr=True)

_EXPECTED = (
    EmbeddedError,
    development.PortInUse,
    NotEmpty,
    MigrationError,
    MongoFileError,
    SchemaNotApplied,
    StoreError,
    FileNotFoundError,
)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; what can be expected to go wrong is one line on stderr and exit code 1."""
    try:
        return asyncio.run(work)
    except _EXPECTED as error:
        raise _failed(error) from None


def _failed(error: BaseException) -> typer.Exit:
    errors.print(f"[bold red]nexfit:[/] {error}", highlight=False)
    return typer.Exit(1)


@app.command()
def dev(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the API.")] = 8000,
    data_dir: Annotated[Path, typer.Option(help="Where the local servers keep their data.")] = Path(".data"),
    reset: Annotated[bool, typer.Option("--reset", help="Delete the local data first and start over.")] = False,
    demo: Annotated[bool, typer.Option(help="Load demo data into an empty database.")] = True,
) -> None:
    """Start local MongoDB, PostgreSQL and Valkey servers and the API, until Ctrl-C.

    NEXFIT_MONGO_URL, NEXFIT_POSTGRES_URL and NEXFIT_REDIS_URL each replace a local server by your own.
    """
    try:
        development.run(console, port=port, data_dir=data_dir, start_over=reset, demo=demo)
    except _EXPECTED as error:
        raise _failed(error) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; NEXFIT_HTTP_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; NEXFIT_HTTP_PORT.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes; NEXFIT_HTTP_WORKERS.")] = None,
) -> None:
    """Serve the API against the stores that the NEXFIT_* environment variables name."""
    settings = Settings()
    uvicorn.run(
        "nexfit.app:create_app",
        factory=True,
        host=host or settings.http.host,
        port=port or settings.http.port,
        workers=workers or settings.http.workers,
        timeout_graceful_shutdown=int(settings.http.drain_seconds),
        access_log=False,
    )


@app.command()
def schema(
    check: Annotated[bool, typer.Option("--check", help="Fail if the file differs instead of writing it.")] = False,
    file: Annotated[Path, typer.Option(help="The file.")] = Path("schema.graphql"),
) -> None:
    """Write the GraphQL schema to a file."""
    text = schema_text(build_schema())
    if check:
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            errors.print(f"{file} is not what the code says. Run: make schema")
            raise typer.Exit(1)
        console.print(f"{file} is up to date.")
        return
    file.write_text(text, encoding="utf-8")
    console.print(f"Wrote {file}.")


@app.command()
def seed(
    scale: Annotated[float, typer.Option(min=0.1, max=1000, help="Multiplies the 300 members.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Same seed and day, same data.")] = 7,
    today: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day the data ends on.")] = None,
) -> None:
    """Load demo data into empty, migrated stores."""
    day: date | None = today.date() if today else None
    with development.progress(console) as bars:
        report = _run(development.load_demo(Settings(), bars, scale=scale, seed_number=seed, today=day))
    table = Table("rows", "of")
    for name, rows in report.rows.items():
        table.add_row(f"{rows:,}", name)
    console.print(table)
    console.print(f"{report.members:,} members as of {report.today} in {report.seconds:.0f} s")


@migrate.command()
def up() -> None:
    """Apply what is missing in both stores."""
    _run(setup.migrate_up(Settings(), on_step=console.print))
    console.print("Both schemas are up to date.")


@migrate.command()
def down(steps: Annotated[int, typer.Option(min=1, help="How many PostgreSQL migrations to undo.")] = 1) -> None:
    """Undo the newest PostgreSQL migrations; with the last one MongoDB's validators and indexes go too."""
    _run(setup.migrate_down(Settings(), steps, on_step=console.print))


@migrate.command()
def status() -> None:
    """List every migration and collection, and what is pending."""
    found = _run(setup.schema_status(Settings()))
    table = Table("PostgreSQL", "name", "state", "applied", "by")
    for one in found.postgres:
        applied = f"{one.applied_at:%Y-%m-%d %H:%M}" if one.applied_at else ""
        table.add_row(one.version, one.name, one.state, applied, one.applied_by or "")
    console.print(table)
    table = Table("MongoDB", "documents", "pending")
    for collection in found.mongo:
        pending = ", ".join(str(change.action) for change in collection.pending)
        table.add_row(collection.collection, str(collection.documents), pending or "none")
    console.print(table)


@migrate.command()
def verify() -> None:
    """Compare both stores with the files; exit code 1 where they differ."""
    drift = _run(setup.schema_drift(Settings()))
    for migration in drift.postgres:
        console.print(f"postgres: {migration.version} {migration.name} is {migration.state}")
    for change in drift.mongo:
        console.print(f"mongo: {change}")
    if drift:
        raise typer.Exit(1)
    console.print("Both schemas are as their files say.")
