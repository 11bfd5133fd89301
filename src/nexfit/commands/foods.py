"""`nexfit foods`: an operator looks at the foods that people want verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.table import Table

from nexfit.commands.running import LOCAL, MOST_SHOWN, DataDir, console, decide
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

    from nexfit.domains.nutrition import foods

    if not ObjectId.is_valid(food):
        raise typer.BadParameter("not the id of a food, as `nexfit foods submitted` shows it")
    id_, now = ObjectId(food), datetime.now(UTC)
    done = "Verified." if verified else "Rejected."
    decide(data_dir, lambda units: foods.decide(units, id_, verified=verified, now=now), done)
