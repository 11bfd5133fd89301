"""`nexfit foods`: an operator looks at the foods that people want verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.table import Table

from nexfit.commands.running import LOCAL, MOST_SHOWN, DataDir, console, errors
from nexfit.commands.running import run as run_on_stores

if TYPE_CHECKING:
    from nexfit.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Foods that people want verified.")


@app.command()
def submitted(data_dir: DataDir = LOCAL) -> None:
    """List those that wait, the oldest first."""
    from nexfit.domains.nutrition import foods
    from nexfit.stores.connections import open_stores

    async def waiting(settings: Settings) -> Table:
        async with open_stores(settings) as stores:
            table = Table("id", "name", "category", "kcal", "protein", "carbs", "fat")
            for row in await foods.submitted(stores.mongo, MOST_SHOWN):
                figures = (f"{row['nutrients'][name]:g}" for name in ("calories", "protein", "carbs", "fat"))
                table.add_row(str(row["_id"]), row["name"], row.get("category", ""), *figures)
            return table

    console.print(run_on_stores(data_dir, waiting))


@app.command()
def verify(food: str, data_dir: DataDir = LOCAL) -> None:
    """Let everybody find a food that was submitted."""
    _decide(food, data_dir, verified=True)


@app.command()
def reject(food: str, data_dir: DataDir = LOCAL) -> None:
    """Give a food that was submitted back to who made it."""
    _decide(food, data_dir, verified=False)


def _decide(food: str, data_dir: DataDir, *, verified: bool) -> None:
    from datetime import UTC, datetime

    from bson import ObjectId

    from nexfit.domains.errors import Refusal
    from nexfit.domains.nutrition import foods
    from nexfit.hybrid.joined_views import JoinedViews
    from nexfit.hybrid.unit_of_work import UnitsOfWork
    from nexfit.stores.connections import open_stores

    if not ObjectId.is_valid(food):
        raise typer.BadParameter("not the id of a food, as `nexfit foods submitted` shows it")

    async def decided(settings: Settings) -> str | None:
        async with open_stores(settings) as stores:
            units = UnitsOfWork(stores, JoinedViews(stores.redis).invalidate)
            try:
                await foods.decide(units, ObjectId(food), verified=verified, now=datetime.now(UTC))
            except Refusal as refused:
                return str(refused)
            return None

    refused = run_on_stores(data_dir, decided)
    if refused is not None:
        errors.print(f"[bold red]nexfit:[/] {refused}", highlight=False)
        raise typer.Exit(1)
    console.print("Verified." if verified else "Rejected.")
