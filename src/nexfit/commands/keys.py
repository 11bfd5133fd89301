"""`nexfit keys`: keys of the fields that are kept encrypted."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from nexfit.commands.running import LOCAL, MOST_SHOWN, DataDir, console
from nexfit.commands.running import run as run_on_stores

if TYPE_CHECKING:
    from nexfit.operations.key_rotation import FieldReport
    from nexfit.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Keys of the fields that are kept encrypted.")


@app.command()
def new() -> None:
    """Print new keys as settings. To add one to a ring, append its `id:key` to those in NEXFIT_ENCRYPTION_KEYS."""
    import base64
    import secrets
    from datetime import UTC

    made = [base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2)]
    typer.echo(f"NEXFIT_ENCRYPTION_KEYS={datetime.now(UTC):%Y-%m-%d}:{made[0]}")
    typer.echo(f"NEXFIT_ENCRYPTION_INDEX_KEY={made[1]}")


@app.command()
def status(data_dir: DataDir = LOCAL) -> None:
    """Count the encrypted values of every field by the key that holds them."""
    from nexfit.operations.key_rotation import key_use
    from nexfit.stores.connections import open_stores

    async def count(settings: Settings) -> Table:
        async with open_stores(settings) as stores:
            table = Table("field", "key", "values")
            for use in await key_use(stores):
                active = " (active)" if use.key_id == stores.keys.active else ""
                table.add_row(use.name, use.key_id + active, f"{use.values:,}")
            return table

    console.print(run_on_stores(data_dir, count))


@app.command()
def rotate(data_dir: DataDir = LOCAL) -> None:
    """Encrypt anew with the active key what others hold; exit code 1 if some is left. Stopped half-way, run it again.

    Every process must know the new key before it becomes the active one, and the old key until this is done.
    """
    from nexfit.operations import key_rotation
    from nexfit.progress import bar_per_step, progress
    from nexfit.stores.connections import open_stores

    async def run(settings: Settings) -> list[FieldReport]:
        async with open_stores(settings) as stores:
            with progress(console) as bars:
                return await key_rotation.rotate(stores, on_progress=bar_per_step(bars))

    reports = run_on_stores(data_dir, run)
    for report in reports:
        console.print(f"{report.name}: {report.renewed:,} renewed, {report.left:,} left", highlight=False)
        for reason in list(report.failed.values())[:MOST_SHOWN]:
            console.print(f"  {reason}", highlight=False)
    if any(report.left for report in reports):
        raise typer.Exit(1)
