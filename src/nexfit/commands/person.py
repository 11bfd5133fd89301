"""`nexfit person`: everything about somebody, copied or erased."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nexfit.commands.running import LOCAL, DataDir, console, errors, run

if TYPE_CHECKING:
    from nexfit.operations.people.places import Person
    from nexfit.settings import Settings
    from nexfit.stores.connections import Stores

app = typer.Typer(no_args_is_help=True, help="Everything about a person: a copy of it, or its erasure.")

Who = Annotated[str, typer.Argument(help="The person's id, or e-mail address.")]


@app.command()
def export(
    who: Who,
    to: Annotated[Path | None, typer.Option(help="The file to write; WHO's id with .zip if not given.")] = None,
    data_dir: DataDir = LOCAL,
) -> None:
    """Write everything about a person into one ZIP file (docs/person-export.md)."""

    async def written(settings: Settings) -> str | None:
        from datetime import UTC, datetime

        from nexfit.operations.people.exporting import write_export
        from nexfit.progress import progress
        from nexfit.stores.connections import open_stores

        async with open_stores(settings) as stores:
            person = await _found(stores, who)
            if person is None:
                return _nobody(who)
            target = to or Path(f"{person.text}.zip")
            with progress(console) as bars:
                size = await write_export(
                    settings, stores, person, target, now=datetime.now(UTC), on_progress=_one_bar(bars)
                )
            console.print(f"{target}: {size:,} bytes", highlight=False)
        return None

    _end(run(data_dir, written))


@app.command()
def erase(
    who: Who,
    reason: Annotated[str, typer.Option(help="Why; kept until it is done.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")] = False,
    data_dir: DataDir = LOCAL,
) -> None:
    """Erase a person now, without the days of grace. Stopped half-way, run it again.

    Exit code 1 where something stands in the way.
    """

    async def erased(settings: Settings) -> str | None:
        from datetime import UTC, datetime

        from nexfit.domains.errors import Refusal
        from nexfit.domains.privacy.blockers import BLOCKERS, blockers_of
        from nexfit.domains.privacy.requests import RequestKind, request_on_command
        from nexfit.hybrid.joined_views import JoinedViews
        from nexfit.hybrid.unit_of_work import UnitsOfWork
        from nexfit.operations.people.desk import PeopleDesk
        from nexfit.operations.people.erasing import count
        from nexfit.operations.people.work import carry_out
        from nexfit.payments import open_provider
        from nexfit.progress import progress
        from nexfit.stores.connections import open_stores

        async with open_stores(settings) as stores:
            person, now = await _found(stores, who), datetime.now(UTC)
            if person is None:
                return _nobody(who)
            if dry_run:
                console.print(_table(await count(stores, person)))
                for code in await blockers_of(stores, person.id, now):
                    console.print(f"{code}: {BLOCKERS[code]()}", highlight=False)  # type: ignore[call-arg]
                return None
            units = UnitsOfWork(stores, JoinedViews(stores.redis).invalidate)
            provider = open_provider(settings.payments)
            try:
                request = await request_on_command(units, stores, person.id, RequestKind.ERASURE, reason, now=now)
                with progress(console) as bars:
                    desk = PeopleDesk(settings, stores, units, provider)
                    is_done = await carry_out(desk, request, now=now, on_progress=_one_bar(bars))
            except Refusal as refused:
                return str(refused)
            finally:
                if provider is not None:
                    await provider.close()
            console.print(f"{person.text} is erased." if is_done else f"Somebody else is erasing {person.text}.")
        return None

    _end(run(data_dir, erased))


@app.command()
def schema() -> None:
    """Print the JSON Schema of what `export` writes."""
    from nexfit.operations.people.export_schema import schema_text

    typer.echo(schema_text(), nl=False)


def _table(found: list[tuple[str, str, int]]) -> Table:
    table = Table("what", "becomes of it", "how many")
    for section, erased, count in found:
        table.add_row(section, erased, f"{count:,}")
    return table


def _one_bar(bars: Any) -> Any:
    """Progress as one bar, which says what it is at."""
    task = bars.add_task("", total=None)
    return lambda name, done, total: bars.update(task, description=name, completed=done, total=total)


async def _found(stores: Stores, who: str) -> Person | None:
    from bson import ObjectId

    from nexfit.domains.text import normalize_email
    from nexfit.operations.people.places import find_person

    if ObjectId.is_valid(who):
        return await find_person(stores, ObjectId(who))
    rows = await stores.mongo.find("users", {"emailNormalized": normalize_email(who)}, (), limit=1)
    return await find_person(stores, rows[0]["_id"]) if rows else None


def _nobody(who: str) -> str:
    return f"there is nobody {who}"


def _end(refused: str | None) -> None:
    if refused is not None:
        errors.print(f"[bold red]nexfit:[/] {refused}", highlight=False)
        raise typer.Exit(1)
