"""`nexfit jobs`: the work that is due at times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from nexfit.commands.running import LOCAL, DataDir, console, errors, failed, run

if TYPE_CHECKING:
    from nexfit.settings import Settings
    from nexfit.stores.postgres import Row

app = typer.Typer(no_args_is_help=True, help="Jobs: renewals, no-shows, recovery, partitions.")


@app.command("list")
def list_jobs(data_dir: DataDir = LOCAL) -> None:
    """List every job, when it ran and will run, and why it failed; exit code 1 where one did."""
    from nexfit.hybrid import job_queue
    from nexfit.operations.jobs import JOBS
    from nexfit.stores.connections import open_stores

    async def read(settings: Settings) -> list[Row]:
        async with open_stores(settings) as stores:
            return await job_queue.jobs(stores.postgres)

    found = {row["name"]: row for row in run(data_dir, read)}
    narrow = (Column(title, no_wrap=True) for title in ("job", "state", "ran", "next", "schedule (UTC)"))
    is_wide = console.width >= 120
    table = Table(*narrow, *(["what it does"] if is_wide else []))
    for job in JOBS:
        row = found.get(job.name)
        state, times = (
            (row["status"], (row["last_run_at"], row["next_run_at"])) if row else ("not yet due", (None, None))
        )
        when = [f"{at:%m-%d %H:%M}" if at else "" for at in times]
        table.add_row(job.name, state, *when, job.schedule, *([job.what] if is_wide else []))
    console.print(table)
    wrong = [row for row in found.values() if row["status"] == "failed"]
    for row in wrong:
        errors.print(f"[bold red]failed:[/] {row['name']}: {row['failure']}", highlight=False)
    if wrong:
        raise typer.Exit(1)


@app.command("run")
def run_job(name: Annotated[str, typer.Argument(help="The job's name.")], data_dir: DataDir = LOCAL) -> None:
    """Run a job here and now. It may run elsewhere at the same time: its effect is the same."""
    from nexfit.operations import jobs
    from nexfit.stores.connections import open_stores

    if name not in {job.name for job in jobs.JOBS}:
        raise failed(ValueError(f"there is no job {name}"))

    async def work(settings: Settings) -> int:
        async with open_stores(settings) as stores:
            return await jobs.run_now(settings, stores, name)

    console.print(f"{name}: {run(data_dir, work)}")


@app.command("tomorrow")
def tomorrow(data_dir: DataDir = LOCAL) -> None:
    """What billing would do tomorrow, at each facility's day; changes nothing."""
    from datetime import UTC, datetime

    from nexfit.domains.memberships.billing import Expected, preview
    from nexfit.stores.connections import open_stores

    async def work(settings: Settings) -> list[Expected]:
        async with open_stores(settings) as stores:
            return await preview(stores, now=datetime.now(UTC))

    table = Table(Column("facility", no_wrap=True), "day", "memberships", "", "total", "to be paid at the desk")
    for one in run(data_dir, work):
        total = f"{one.total:f} {one.currency}" if one.renews else ""
        by_hand = str(one.without_method) if one.renews and one.without_method else ""
        table.add_row(
            one.facility_id, str(one.day), str(one.subscriptions), "renew" if one.renews else "end", total, by_hand
        )
    console.print(table)


@app.command("retry")
def retry_jobs(
    name: Annotated[str | None, typer.Argument(help="The job's name; without, all that failed.")] = None,
    data_dir: DataDir = LOCAL,
) -> None:
    """Queue failed jobs again. Each is tried again by itself when it is due the next time."""
    from nexfit.hybrid import job_queue
    from nexfit.stores.connections import open_stores

    async def work(settings: Settings) -> int:
        async with open_stores(settings) as stores:
            return await job_queue.retry(stores.postgres, name)

    console.print(f"{run(data_dir, work)} queued again.")
