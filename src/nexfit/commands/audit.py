"""`nexfit audit`: the proof that audit entries are as they were written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from nexfit.commands.running import LOCAL, DataDir, console, errors, run

if TYPE_CHECKING:
    from nexfit.domains.finance.audit_chain import Break, Checked, Verified
    from nexfit.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Audit entries and their hash chains.")

Chain = Annotated[str | None, typer.Option(help="Check this chain only: a business, or `platform`.")]
After = Annotated[str | None, typer.Option(help="With --chain: go on behind POSITION:HASH of an earlier run.")]


@app.command()
def verify(data_dir: DataDir = LOCAL, chain: Chain = None, after: After = None) -> None:
    """Seal what is new, check every chain, and name the first entry of each that is not as it was; exit code 1 then.

    Chains of any length are checked in batches. A run that is stopped says how far it came and how to go on. The end of
    a chain, noted where the database's administrator cannot write, proves the chain up to there.
    """
    from nexfit.domains.finance import audit_chain
    from nexfit.operations.audit_sealing import seal
    from nexfit.progress import bar_per_step, progress
    from nexfit.stores.connections import open_stores

    begin = _place(chain, after)
    found: list[Verified] = []
    under_way: list[Verified] = []

    async def check(settings: Settings) -> Break | None:
        patient = settings.postgres.model_copy(update={"statement_timeout": 60.0})
        async with open_stores(settings.model_copy(update={"postgres": patient})) as stores:
            await seal(stores.postgres)
            for name in [chain] if chain is not None else await audit_chain.chains(stores.postgres):
                with progress(console) as bars:
                    show = bar_per_step(bars)

                    def told(part: Verified) -> None:
                        under_way[:] = [part]
                        show(part.chain, part.until.position, part.length)  # noqa: B023

                    found.append(await audit_chain.verify(stores.postgres, name, after=begin, progress=told))
                under_way.clear()
            return await audit_chain.loose(stores.postgres)

    try:
        loose = run(data_dir, check)
    finally:
        if found or under_way:
            console.print(_table([*found, *under_way]))
        for part in under_way:
            end = f"{part.until.position}:{(part.until.hash or b'').hex()}"
            errors.print(f"not checked to its end: {part.chain}. Go on with --chain {part.chain} --after {end}")
    breaks = [f"{one.chain}, {one.broken}" for one in found if one.broken is not None]
    breaks += [str(loose)] if loose is not None else []
    for broken in breaks:
        errors.print(f"[bold red]broken:[/] {broken}", highlight=False)
    if breaks:
        raise typer.Exit(1)
    console.print("Every entry is as it was sealed.")


def _place(chain: str | None, after: str | None) -> Checked:
    from nexfit.domains.finance.audit_chain import Checked

    if after is None:
        return Checked()
    position, _, hash_ = after.partition(":")
    try:
        given = Checked(int(position), bytes.fromhex(hash_))
    except ValueError:
        given = Checked()
    if chain is None or not 0 < given.position < 2**63 or len(given.hash or b"") != 32:
        raise typer.BadParameter("--after takes POSITION:HASH as an earlier run printed it, and needs --chain.")
    return given


def _table(found: list[Verified]) -> Table:
    table = Table("chain", "entries checked", "until", "of", "hash there")
    for one in found:
        end = (one.until.hash or b"").hex()[:16]
        table.add_row(one.chain, f"{one.entries:,}", str(one.until.position), str(one.length), end)
    return table
