"""`nexfit reconcile`: what the stores repeat of one another, compared with who owns it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, TaskID
from rich.table import Table

from nexfit.commands.running import LOCAL, DataDir, console
from nexfit.commands.running import run as run_on_stores

if TYPE_CHECKING:
    from nexfit.operations.reconcile import ReconcileReport
    from nexfit.settings import Settings


def reconcile(
    repair: Annotated[bool, typer.Option("--repair", help="Make copies what their owner says.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Write all member facts anew first, beside readers.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, whatever else is asked for.")] = False,
    data_dir: DataDir = LOCAL,
) -> None:
    """Compare everything that one store repeats of the other, and every reference across. Exit code 1 if some differs.

    [bold]contracts[/]  memberships in MongoDB against subscriptions in PostgreSQL, which wins
    [bold]member money[/]  balances and last payments of member facts against the ledger, which wins
    [bold]member facts[/]  their other columns against the documents of MongoDB, which win
    [bold]instructors' names[/]  in classes and their dates against the person's own, which wins
    [bold]seat counters[/]  of dates of classes against their bookings, which win
    [bold]references[/]  ids in PostgreSQL of documents that are gone: told, never repaired

    Others may go on writing: what is only on its way is no difference. A running server does the same, with --repair,
    every six hours and whenever a change feed has missed something; /metrics has the outcome.
    """
    from nexfit.operations.reconcile import patient
    from nexfit.operations.reconcile import reconcile as compare
    from nexfit.progress import progress
    from nexfit.stores.connections import open_stores

    async def run(settings: Settings) -> ReconcileReport:
        async with open_stores(patient(settings)) as stores:
            with progress(console) as bars:
                return await compare(
                    stores, repair=repair and not dry_run, rebuild=rebuild and not dry_run, on_progress=_counting(bars)
                )

    report = run_on_stores(data_dir, run)
    _show(report)
    if report.found:
        raise typer.Exit(1)


def _counting(bars: Progress) -> Callable[[str, int], None]:
    """A progress callback `(step, done)` for steps whose length nobody knows before."""
    tasks: dict[str, TaskID] = {}

    def on_progress(step: str, done: int) -> None:
        if step not in tasks:
            for earlier in bars.tasks:
                bars.update(earlier.id, total=earlier.completed)
            tasks[step] = bars.add_task(step, total=None)
        bars.update(tasks[step], completed=done)

    return on_progress


def _show(report: ReconcileReport) -> None:
    table = Table("compared", "looked at", "differ", "repaired")
    for name, count in report.checked.items():
        drift = [one for kind, one in report.drift.items() if report.compared_by[kind] == name]
        found, repaired = sum(one.found for one in drift), sum(one.repaired for one in drift)
        table.add_row(name, f"{count:,}", f"{found:,}", f"{repaired:,}")
    console.print(table)
    if report.rebuilt:
        console.print(f"The rebuild changed {report.rebuilt:,} member facts.")
    for kind, one in report.drift.items():
        console.print(f"{kind}: {one.found:,} found, {one.repaired:,} repaired", highlight=False)
        for example in one.examples:
            console.print(f"  {example}", highlight=False, soft_wrap=True)
    outcome = f"{report.found:,} differ, {report.left:,} are left" if report.found else "The stores agree"
    console.print(f"{outcome} after {report.seconds:.1f} s.")
