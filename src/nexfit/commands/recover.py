"""`nexfit recover`: what commits over both stores left prepared in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from nexfit.commands.running import LOCAL, DataDir, console, errors
from nexfit.commands.running import run as run_on_stores

if TYPE_CHECKING:
    from nexfit.hybrid.recovery import Sweep
    from nexfit.settings import Settings

Xid = Annotated[str | None, typer.Option(metavar="ID", help="A person's decision on one that is undecidable.")]


def recover(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would become of each.")] = False,
    grace: Annotated[float, typer.Option(min=0, help="Seconds a coordinator is left alone.")] = 10.0,
    accept_restore: Annotated[
        bool, typer.Option("--accept-restore", help="Take two stores of different moments as they are, from now on.")
    ] = False,
    commit: Xid = None,
    abort: Xid = None,
    data_dir: DataDir = LOCAL,
) -> None:
    """End what commits over both stores left prepared in PostgreSQL, by MongoDB's decisions; safe at any time.

    Exit code 1 when something is left that only a person can decide.
    """
    from nexfit.hybrid import recovery, store_marker
    from nexfit.hybrid.documents import Verdict
    from nexfit.stores.connections import open_stores

    async def work(settings: Settings) -> Sweep:
        async with open_stores(settings) as stores:
            for xid, verdict in ((commit, Verdict.COMMIT), (abort, Verdict.ABORT)):
                if xid is not None and not await recovery.decide(stores, xid, verdict):
                    errors.print(f"nothing is prepared under {xid}", highlight=False)
            if accept_restore:
                await store_marker.accept(stores)
            return await recovery.sweep(stores, grace, dry_run=dry_run)

    try:
        swept = run_on_stores(data_dir, work)
    except (recovery.AlreadyDecided, ValueError) as error:
        errors.print(f"[bold red]nexfit:[/] decided otherwise, or no transaction: {error}", highlight=False)
        raise typer.Exit(1) from None
    _show(swept, dry_run=dry_run)
    if not swept.marks.agree or swept.of(recovery.State.FOR_A_PERSON):
        raise typer.Exit(1)


def _show(swept: Sweep, *, dry_run: bool) -> None:
    if not swept.marks.agree:
        errors.print(
            f"The stores are of different moments: {swept.marks}. One was restored without the other.\n"
            "Restore the other to the same moment, or compare them (nexfit reconcile) and run --accept-restore.",
            highlight=False,
        )
    if not swept.found:
        console.print("Nothing is prepared.")
        return
    table = Table("transaction", "age", "would be" if dry_run else "outcome")
    for one in swept.found:
        table.add_row(one.xid, f"{one.age:.0f} s", one.state.value)
    console.print(table)
