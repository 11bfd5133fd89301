"""The `nexfit` command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import uvicorn
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from nexfit import development
from nexfit.api.schema import build_schema, schema_text
from nexfit.embedded import EmbeddedError
from nexfit.operations import setup
from nexfit.operations.demo import NotEmpty, SeedReport
from nexfit.operations.migration_errors import MigrationError
from nexfit.operations.mongo_files import MongoFileError, default_folder
from nexfit.operations.mongo_schema import ALL_DOCUMENTS, SchemaNotApplied
from nexfit.operations.mongo_validators import write_validators
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


DataDir = Annotated[Path, typer.Option(help="Local servers to use where no NEXFIT_*_URL names others.")]
LOCAL = Path(".data")


def _run(data_dir: Path, work: Callable[[Settings], Coroutine[Any, Any, T]]) -> T:
    """Run to the end against the stores at hand; what can be expected to go wrong is one line and exit code 1."""
    try:
        with development.local_servers(data_dir):
            return asyncio.run(work(_settings()))
    except _EXPECTED as error:
        raise _failed(error) from None


def _settings() -> Settings:
    """The environment's settings; a wrong one is named by its variable, without its value."""
    try:
        return Settings()
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            variable = "NEXFIT_" + "_".join(str(part) for part in fault["loc"]).upper()
            errors.print(f"[bold red]nexfit:[/] {variable}: {fault['msg']}", highlight=False)
        raise typer.Exit(1) from None


def _failed(error: BaseException) -> typer.Exit:
    errors.print(f"[bold red]nexfit:[/] {error}", highlight=False)
    return typer.Exit(1)


@app.command()
def dev(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the API.")] = 8000,
    data_dir: Annotated[Path, typer.Option(help="Where the local servers keep their data.")] = LOCAL,
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
    settings = _settings()
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
    """Write the GraphQL schema to a file, and MongoDB's validators from the document models into `mongo_indexes`."""
    text = schema_text(build_schema())
    if check:
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            errors.print(f"{file} is not what the code says. Run: make schema")
            raise typer.Exit(1)
        console.print(f"{file} is up to date.")
        return
    file.write_text(text, encoding="utf-8")
    console.print(f"Wrote {file}.")
    for written in write_validators(default_folder(), ALL_DOCUMENTS):
        console.print(f"Wrote {written}.")


@app.command()
def seed(
    scale: Annotated[float, typer.Option(min=0.1, max=1000, help="Multiplies the 300 members.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Same seed and day, same data.")] = 7,
    today: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day the data ends on.")] = None,
    data_dir: DataDir = LOCAL,
) -> None:
    """Load demo data into empty stores, after bringing their schemas up."""
    day: date | None = today.date() if today else None

    async def load(settings: Settings) -> SeedReport:
        await setup.migrate_up(settings)
        with development.progress(console) as bars:
            return await development.load_demo(settings, bars, scale=scale, seed_number=seed, today=day)

    report = _run(data_dir, load)
    table = Table("rows", "of")
    for name, rows in report.rows.items():
        table.add_row(f"{rows:,}", name)
    console.print(table)
    console.print(f"{report.members:,} members as of {report.today} in {report.seconds:.0f} s")


@migrate.command()
def up(data_dir: DataDir = LOCAL) -> None:
    """Apply what is missing in both stores."""
    _run(data_dir, lambda settings: setup.migrate_up(settings, on_step=console.print))
    console.print("Both schemas are up to date.")


@migrate.command()
def down(
    steps: Annotated[int, typer.Option(min=1, help="How many PostgreSQL migrations to undo.")] = 1,
    data_dir: DataDir = LOCAL,
) -> None:
    """Undo the newest PostgreSQL migrations; with the last one MongoDB's validators and indexes go too."""
    _run(data_dir, lambda settings: setup.migrate_down(settings, steps, on_step=console.print))


@migrate.command()
def status(data_dir: DataDir = LOCAL) -> None:
    """List every migration and collection, and what is pending."""
    found = _run(data_dir, setup.schema_status)
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
def verify(data_dir: DataDir = LOCAL) -> None:
    """Compare both stores with the files; exit code 1 where they differ."""
    drift = _run(data_dir, setup.schema_drift)
    for migration in drift.postgres:
        console.print(f"postgres: {migration.version} {migration.name} is {migration.state}")
    for change in drift.mongo:
        console.print(f"mongo: {change}")
    if drift:
        raise typer.Exit(1)
    console.print("Both schemas are as their files say.")
