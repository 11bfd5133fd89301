"""`nexfit analytics`: the daily figures that owners' charts are drawn from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from nexfit.commands.running import LOCAL, DataDir, console
from nexfit.commands.running import run as run_on_stores

if TYPE_CHECKING:
    from nexfit.settings import Settings


def analytics(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Compute every day anew from both stores.")] = False,
    data_dir: DataDir = LOCAL,
) -> None:
    """Bring the daily figures up to date; with --rebuild all of them, which changes nothing where they are right.

    A running server does the former by itself, within seconds.
    """
    from nexfit.domains.analytics import keeping
    from nexfit.progress import bar_per_step, progress
    from nexfit.stores.connections import open_stores

    async def run(settings: Settings) -> int:
        patient = settings.postgres.model_copy(update={"statement_timeout": 300.0})
        async with open_stores(settings.model_copy(update={"postgres": patient})) as stores:
            if not rebuild:
                return await keeping.refresh(stores.mongo, stores.postgres, now=datetime.now(UTC))
            with progress(console) as bars:
                bar = bar_per_step(bars)
                return await keeping.rebuild(
                    stores.mongo,
                    stores.postgres,
                    now=datetime.now(UTC),
                    on_progress=lambda done, of: bar("facilities", done, of),
                )

    changed = run_on_stores(data_dir, run)
    console.print(f"{changed:,} days changed.", highlight=False)
