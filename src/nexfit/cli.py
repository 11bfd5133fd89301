"""The `nexfit` command."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.table import Table

from nexfit.commands import audit, jobs, keys, person, reconcile
from nexfit.commands.analytics import analytics
from nexfit.commands.coaches import app as coaches_app
from nexfit.commands.foods import app as foods_app
from nexfit.commands.recover import recover
from nexfit.commands.running import LOCAL, MOST_SHOWN, DataDir, console, errors
from nexfit.commands.running import expected as _expected
from nexfit.commands.running import failed as _failed
from nexfit.commands.running import run as _run
from nexfit.commands.running import settings as _settings

# Everything else is imported by the command that needs it: `nexfit --help` must not wait for a schema to be built.
if TYPE_CHECKING:
    from nexfit.operations.demo import SeedReport
    from nexfit.operations.importers import ImportReport
    from nexfit.settings import Settings
    from nexfit.stores.connections import Stores

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="NexFit: a fitness platform's GraphQL API.", rich_markup_mode="rich")
migrate = typer.Typer(no_args_is_help=True, help="Bring both stores' schemas up or down, or look at them.")
imports = typer.Typer(no_args_is_help=True, help="Read real data from files. Running one twice changes nothing more.")
app.add_typer(migrate, name="migrate")
app.add_typer(keys.app, name="keys")
app.add_typer(audit.app, name="audit")
app.add_typer(foods_app, name="foods")
app.add_typer(coaches_app, name="coaches")
app.add_typer(jobs.app, name="jobs")
app.add_typer(person.app, name="person")
app.command()(reconcile.reconcile)
app.add_typer(imports, name="import")
operations = typer.Typer(no_args_is_help=True, help="The operations clients are built with.")
app.add_typer(operations, name="operations")
app.command()(recover)
app.command()(analytics)


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
    from nexfit import development

    try:
        development.run(console, port=port, data_dir=data_dir, start_over=reset, demo=demo)
    except _expected() as error:
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
    import uvicorn

    from nexfit.api.trusted import ManifestRefused, read_manifest
    from nexfit.serving import server_options

    settings = _settings()
    if settings.operations.manifest:
        try:
            read_manifest(settings.operations.manifest)
        except ManifestRefused as error:
            raise _failed(error) from None
    if settings.encryption.active_id() is None or settings.encryption.index_key_bytes() is None:
        errors.print(
            "[bold red]nexfit:[/] NEXFIT_ENCRYPTION_KEYS and _INDEX_KEY are not set: nexfit keys new makes them"
        )
        raise typer.Exit(1)
    given = {"host": host, "port": port, "workers": workers or settings.http.workers}
    chosen = {name: value for name, value in given.items() if value is not None}
    uvicorn.run("nexfit.app:create_app", factory=True, **{**server_options(settings), **chosen})


@app.command()
def schema(
    check: Annotated[bool, typer.Option("--check", help="Fail if the file differs instead of writing it.")] = False,
    release: Annotated[
        bool, typer.Option("--release", help="Make it the schema that later ones must not break.")
    ] = False,
    file: Annotated[Path, typer.Option(help="The file.")] = Path("schema.graphql"),
) -> None:
    """Write the GraphQL schema to a file, and MongoDB's validators from the document models into `mongo_indexes`."""
    from nexfit.api.releases import ALLOWED, breaking_changes
    from nexfit.api.schema import build_schema, schema_text
    from nexfit.operations.mongo_files import default_folder
    from nexfit.operations.mongo_schema import ALL_DOCUMENTS
    from nexfit.operations.mongo_validators import write_validators

    text = schema_text(build_schema())
    released, allowed = file.with_name("schema.released.graphql"), file.with_name(ALLOWED)
    if check:
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            errors.print(f"{file} is not what the code says. Run: make schema")
            raise typer.Exit(1)
        on_purpose = allowed.read_text(encoding="utf-8").splitlines() if allowed.exists() else ()
        broken = breaking_changes(released.read_text(encoding="utf-8"), text, allowed=on_purpose)
        if broken:
            errors.print(f"Clients of the released schema break. Keep what they use, or list it in {allowed}:")
            errors.print("\n".join(broken), highlight=False, markup=False, soft_wrap=True)
            raise typer.Exit(1)
        console.print(f"{file} is up to date, and breaks nothing of {released.name}.")
        return
    for written in (file, released) if release else (file,):
        written.write_text(text, encoding="utf-8")
        console.print(f"Wrote {written}.")
    if release:
        allowed.unlink(missing_ok=True)
    for validator in write_validators(default_folder(), ALL_DOCUMENTS):
        console.print(f"Wrote {validator}.")


@operations.command()
def publish(
    files: Annotated[list[Path], typer.Argument(help="Documents as clients send them, or .json manifests.")],
    manifest: Annotated[Path, typer.Option(help="The manifest to add to.")] = Path("operations.json"),
    replace: Annotated[bool, typer.Option("--replace", help="Forget what was published before.")] = False,
) -> None:
    """Add documents to the manifest that NEXFIT_OPERATIONS_MANIFEST names to servers; refuses what is not valid."""
    from nexfit.api.execution import Operations
    from nexfit.api.schema import build_schema
    from nexfit.api.trusted import ManifestRefused, publish

    try:
        new = publish(files, manifest, Operations(build_schema()).faults, replace=replace)
    except ManifestRefused as error:
        raise _failed(error) from None
    for hash_ in new:
        console.print(hash_, highlight=False)
    console.print(f"{len(new)} new in {manifest}.")


@app.command()
def seed(
    scale: Annotated[float, typer.Option(min=0.1, max=1000, help="Multiplies the 300 members.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Same seed and day, same data.")] = 7,
    today: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day the data ends on.")] = None,
    data_dir: DataDir = LOCAL,
) -> None:
    """Load demo data into empty stores, after bringing their schemas up."""
    from nexfit.operations import demo, setup
    from nexfit.progress import bar_per_step, progress
    from nexfit.stores.connections import open_stores

    day = today.date() if today else None

    async def load(settings: Settings) -> SeedReport:
        await setup.migrate_up(settings)
        async with open_stores(settings) as stores:
            with progress(console) as bars:
                return await demo.seed(stores, scale=scale, seed=seed, today=day, on_progress=bar_per_step(bars))

    report = _run(data_dir, load)
    table = Table("rows", "of")
    for name, rows in report.rows.items():
        table.add_row(f"{rows:,}", name)
    console.print(table)
    console.print(f"{report.members:,} members as of {report.today} in {report.seconds:.0f} s")


@migrate.command()
def up(data_dir: DataDir = LOCAL) -> None:
    """Apply what is missing in both stores."""
    from nexfit.operations import setup

    _run(data_dir, lambda settings: setup.migrate_up(settings, on_step=console.print))
    console.print("Both schemas are up to date.")


@migrate.command()
def down(
    steps: Annotated[int, typer.Option(min=1, help="How many PostgreSQL migrations to undo.")] = 1,
    lose_data: Annotated[
        bool, typer.Option("--lose-data", help="Also drop tables whose rows nothing else holds.")
    ] = False,
    data_dir: DataDir = LOCAL,
) -> None:
    """Undo the newest PostgreSQL migrations; with the last one MongoDB's validators and indexes go too."""
    from nexfit.operations import setup

    _run(data_dir, lambda settings: setup.migrate_down(settings, steps, lose_data=lose_data, on_step=console.print))


@migrate.command()
def status(data_dir: DataDir = LOCAL) -> None:
    """List every migration and collection, and what is pending."""
    from nexfit.operations import setup

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
    from nexfit.operations import setup

    drift = _run(data_dir, setup.schema_drift)
    for migration in drift.postgres:
        console.print(f"postgres: {migration.version} {migration.name} is {migration.state}")
    for change in drift.mongo:
        console.print(f"mongo: {change}")
    if drift:
        raise typer.Exit(1)
    console.print("Both schemas are as their files say.")


class WeightUnit(StrEnum):
    """What the Strong app was set to."""

    KG = "kg"
    LB = "lb"


class DistanceUnit(StrEnum):
    """What the Strong app was set to."""

    KM = "km"
    MI = "mi"


File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The file.")]
Work = Callable[["Stores", Callable[[str, int, int], None]], Coroutine[Any, Any, "ImportReport"]]


def _import(data_dir: Path, work: Work) -> None:
    """Run an importer with a progress bar and say what became of every row."""
    from nexfit.operations import setup
    from nexfit.progress import bar_per_step, progress
    from nexfit.stores.connections import open_stores

    async def run(settings: Settings) -> ImportReport:
        await setup.migrate_up(settings)
        async with open_stores(settings) as stores:
            with progress(console) as bars:
                return await work(stores, bar_per_step(bars))

    report = _run(data_dir, run)
    for label, value in report.table():
        console.print(f"{label:<16} {value}", highlight=False)
    skipped = report.skipped()
    for row in skipped[:MOST_SHOWN]:
        console.print(f"  row {row.row} ({row.name}) skipped: {row.reason}", highlight=False)
    if len(skipped) > MOST_SHOWN:
        console.print(f"  and {len(skipped) - MOST_SHOWN} more")


@imports.command()
def exercises(file: File, data_dir: DataDir = LOCAL) -> None:
    """Exercises in the JSON of free-exercise-db."""
    from nexfit.operations.importers import import_exercises

    _import(data_dir, lambda stores, progress: import_exercises(stores, file, on_progress=progress))


@imports.command()
def foods(file: File, data_dir: DataDir = LOCAL) -> None:
    """Foods in the CSV of USDA FNDDS, values per 100 g."""
    from nexfit.operations.importers import import_foods

    _import(data_dir, lambda stores, progress: import_foods(stores, file, on_progress=progress))


@imports.command()
def gyms(
    file: File,
    timezone: Annotated[str, typer.Option(help="IANA zone of all of them.")] = "Europe/Copenhagen",
    country: Annotated[str, typer.Option(help="ISO 3166 country of all of them.")] = "DK",
    owner: Annotated[str | None, typer.Option(help="E-mail of the user who owns them; default: nobody yet.")] = None,
    data_dir: DataDir = LOCAL,
) -> None:
    """Facilities in the JSON of an OpenStreetMap extract."""
    from nexfit.operations.importers import import_gyms

    _import(
        data_dir,
        lambda stores, progress: import_gyms(
            stores, file, timezone=timezone, country=country, owner_email=owner, on_progress=progress
        ),
    )


@imports.command()
def strong(
    file: File,
    email: Annotated[str, typer.Option(help="E-mail of the person whose workouts these are.")],
    timezone: Annotated[str, typer.Option(help="IANA zone of the times in the file.")] = "Europe/Istanbul",
    weight_unit: Annotated[WeightUnit, typer.Option(help="Unit of the weights in the file.")] = WeightUnit.KG,
    distance_unit: Annotated[DistanceUnit, typer.Option(help="Unit of the distances in the file.")] = DistanceUnit.KM,
    data_dir: DataDir = LOCAL,
) -> None:
    """One person's workouts in the CSV of the Strong app."""
    from nexfit.operations.importers import import_strong

    _import(
        data_dir,
        lambda stores, progress: import_strong(
            stores,
            file,
            email=email,
            timezone=timezone,
            weight_unit=weight_unit.value,
            distance_unit=distance_unit.value,
            on_progress=progress,
        ),
    )
