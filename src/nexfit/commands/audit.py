"""`nexfit audit`: the proof that audit entries are as they were written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.table import Table

from nexfit.commands.running import LOCAL, DataDir, console, errors, run

if TYPE_CHECKING:
    from nexfit.domains.finance.audit_chain import Break, Verified
    from nexfit.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Audit entries and their hash chains.")


@app.command()
def verify(data_dir: DataDir = LOCAL) -> None:
    """Seal what is new, check every chain, and name the first entry of each that is not as it was; exit code 1 then.

    The end of a chain, noted where the database's administrator cannot write, proves the chain up to there.
    """
    from nexfit.domains.finance import audit_chain
    from nexfit.operations.audit_sealing import seal
    from nexfit.stores.connections import open_stores

    async def check(settings: Settings) -> tuple[list[Verified], Break | None]:
        patient = settings.postgres.model_copy(update={"statement_timeout": 60.0})
        async with open_stores(settings.model_copy(update={"postgres": patient})) as stores:
            await seal(stores.postgres)
            found = [
                await audit_chain.verify(stores.postgres, chain) for chain in await audit_chain.chains(stores.postgres)
            ]
            return found, await audit_chain.loose(stores.postgres)

    found, loose = run(data_dir, check)
    table = Table("chain", "entries", "end", "hash of the end")
    for one in found:
        table.add_row(one.chain, f"{one.entries:,}", str(one.last_position), (one.last_hash or b"").hex()[:16])
    console.print(table)
    breaks = [f"{one.chain}, {one.broken}" for one in found if one.broken is not None]
    breaks += [str(loose)] if loose is not None else []
    for broken in breaks:
        errors.print(f"[bold red]broken:[/] {broken}", highlight=False)
    if breaks:
        raise typer.Exit(1)
    console.print("Every entry is as it was sealed.")
