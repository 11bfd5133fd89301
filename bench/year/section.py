"""`python -m bench year`: lives a simulated year of a chain with so many members, and compares it with the model.

Prints what happened, what it took, and every difference; the exit code is 1 where there is one.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.crashes.servers import stores_on
from bench.crashes.worker import Where
from bench.year.life import Chain, unhurried
from bench.year.reader import differences
from nexfit.domains.analytics import keeping
from nexfit.embedded import EmbeddedServers
from nexfit.stores.connections import open_stores

FIRST = date(2027, 1, 1)


async def lived(where: Where, members: int, days: int, console: Console) -> list[str]:
    """Live it, print what it took, and tell what differs."""
    async with open_stores(unhurried(where.settings())) as stores:
        chain = Chain(stores, members, FIRST)
        began = time.perf_counter()
        await chain.open()

        def told(day: date) -> None:
            if day.day == 1:
                console.print(f"{time.perf_counter() - began:6.0f} s  {day:%B}", highlight=False)

        await chain.live(days, told)
        took = time.perf_counter() - began
        found = await differences(chain)
        end = datetime.combine(FIRST, datetime.min.time(), UTC) + timedelta(days=days, hours=-1)
        changed = await keeping.rebuild(stores.mongo, stores.postgres, now=end)
        if changed:
            found.append(f"a rebuild changes {changed} daily figures")
    _print(console, chain, took, days)
    return found


def _print(console: Console, chain: Chain, took: float, days: int) -> None:
    books = [place.books for place in chain.places]
    terms = ((one, paper) for book in books for one in book.memberships for paper in one.papers.values())
    renewals = sum(paper.period != one.starts for one, paper in terms)
    table = Table(title=f"{len(chain.people)} members, {days} days: {took:.0f} s")
    table.add_column("what")
    table.add_column("number", justify="right")
    for what, number in sorted(chain.count.items()):
        table.add_row(what, str(number))
    for what, number in (
        ("invoices of later terms", renewals),
        ("invoices", sum(len(book.invoices) for book in books)),
        ("credit notes", sum(len(book.credits) for book in books)),
        ("movements of money", sum(len(book.movements) for book in books)),
        ("daily figures", days * len(books)),
    ):
        table.add_row(what, str(number), style="bold")
    for kind, seconds in chain.spent.items():
        table.add_row(f"seconds: {kind}", f"{seconds:.0f}")
    console.print(table)


def main(arguments: Sequence[str]) -> int:
    """Live the year."""
    parser = argparse.ArgumentParser(prog="python -m bench year", description=__doc__)
    parser.add_argument("--members", type=int, default=2000, help="people who join in the course of the year (2000)")
    parser.add_argument("--days", type=int, default=365, help="how much of the year (365)")
    given = parser.parse_args(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=120)
    with (
        tempfile.TemporaryDirectory(prefix="nexfit-year-") as folder,
        EmbeddedServers(Path(folder) / "servers", durable=False) as servers,
        stores_on(servers.urls) as where,
    ):
        found = asyncio.run(lived(where, given.members, given.days, console))
    for one in found[:50]:
        console.print(one, highlight=False)
    console.print("Both stores are what the model says." if not found else f"{len(found)} differences.")
    return 1 if found else 0
