"""`python -m bench feeds`: loads members, lets a process of its own follow, and measures what it does."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.feeds.measure import Lag, Rate, lags, rates, until_followed, writers
from bench.stores import data, processes
from bench.stores.errors import CannotMeasure
from nexfit.embedded import EmbeddedError
from nexfit.settings import Settings

ABOUT = """
Another program writes into MongoDB and PostgreSQL of its own accord, one write at a time at random moments, while one
process follows the changes as an API worker does. Lags count from the answer to the write until its effect can be read
(looked for every millisecond); the ratio is to what the write itself took. Rates are of one process at full work.
"""


def main(arguments: Sequence[str]) -> int:
    """Print the table; the exit code is 1 where something could not be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m bench feeds", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", type=int, metavar="N", help="members to load (3000)")
    parser.add_argument("--writes", type=int, metavar="N", help="writes of each kind (300)")
    parser.add_argument("--burst", type=int, metavar="N", help="documents written at once (10000)")
    parser.add_argument("--quick", action="store_true", help="a look: 600 members, 40 writes, a burst of 2000")
    given = parser.parse_args(arguments)
    members, writes, burst = (
        getattr(given, name) or (quick if given.quick else usual)
        for name, usual, quick in (("members", 3000, 600), ("writes", 300, 40), ("burst", 10_000, 2_000))
    )
    if members < 100 or writes < 2 or burst < 100:
        parser.error("--members and --burst are at least 100, --writes at least 2")
    console = Console() if sys.stdout.isatty() else Console(width=150)
    try:
        with ExitStack() as stack:
            home = stack.enter_context(data.folder(members, keep=False))
            running = stack.enter_context(data.servers(home, members, console))
            cores = processes.allot()
            for pid in data.store_pids(running):
                processes.pin(pid, cores.stores)
            made = data.settings(running.urls, "api")
            console.print(f"{members:,} members, {cores}", markup=False, highlight=False)
            with followed(made, home, cores):
                show(console, *asyncio.run(measured(made, writes, burst)))
    except (CannotMeasure, EmbeddedError) as error:
        console.print(f"bench: {error}", style="bold red", markup=False, highlight=False)
        return 1
    return 0


@contextmanager
def followed(made: Settings, home: Path, cores: processes.Allotment) -> Iterator[None]:
    """A process that follows the changes while the block runs. A CannotMeasure raised there gets the end of its log."""
    log = home / "follower.log"
    follower = processes.spawn(
        [sys.executable, "-m", "bench.feeds.follower"],
        log=log,
        environment={**data.environment(made), "NEXFIT_BACKGROUND": "true"},
        cores=cores.server,
    )
    try:
        yield
    except CannotMeasure as error:
        raise CannotMeasure(f"{error}\nThe follower's log ends:\n{log.read_text(errors='replace')[-2000:]}") from error
    finally:
        processes.end(follower)


async def measured(settings: Settings, writes: int, burst: int) -> tuple[list[Lag], list[Rate]]:
    """Both kinds of numbers, once somebody follows."""
    async with writers(settings) as them:
        await until_followed(them)
        return await lags(them, writes), await rates(them, burst)


def show(console: Console, found: Sequence[Lag], speeds: Sequence[Rate]) -> None:
    """One table of all."""
    table = Table(title="What others write", caption="times in ms; ratio: lag p50 to the write's own p50")
    table.add_column("what")
    for name in ("count", "per second", "write p50", "lag p50", "lag p99", "ratio"):
        table.add_column(name, justify="right")
    for lag in found:
        table.add_row(
            *(lag.name, f"{lag.writes:,}", "", f"{lag.write_ms:.1f}", f"{lag.p50_ms:.1f}", f"{lag.p99_ms:.1f}"),
            f"{lag.p50_ms / lag.write_ms:.1f}",
        )
    for rate in speeds:
        table.add_row(rate.name, f"{rate.done:,}", f"{rate.per_second:,.0f}")
    console.print(table)
