"""`python -m bench commits`: what a commit in both stores costs, next to commits in one store each.

Every kind of unit writes the same pair: a row, a document, and an event for each. `one after the other` is what people
do without a common commit: two commits, and stores that disagree when the process dies in between. That is the floor
`both` is measured against. Kinds take turns within a round, on servers that keep what they confirm.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.crashes.servers import stores_on
from bench.crashes.worker import Filed, Where, Written
from nexfit.embedded import EmbeddedServers
from nexfit.hybrid.unit_of_work import BothWork, MongoWork, PostgresWork, UnitsOfWork
from nexfit.stores.connections import open_stores

WRITERS = (1, 8)

FLOOR = "one after the other"

Commit = Callable[[str], Awaitable[None]]


async def _row(work: PostgresWork | BothWork, name: str) -> None:
    await work.postgres.execute("INSERT INTO commit_pairs VALUES ($1, 1)", name)
    work.emit(Written(name=name))


async def _document(work: MongoWork | BothWork, name: str) -> None:
    await work.mongo.insert("commit_pairs", {"_id": name, "value": 1})
    work.emit(Filed(name=name))


def kinds(units: UnitsOfWork) -> Mapping[str, Commit]:
    """The kinds of commits by name."""

    async def postgres(name: str) -> None:
        await units.postgres("bench").run(lambda work: _row(work, name))

    async def mongo(name: str) -> None:
        await units.mongo("bench").run(lambda work: _document(work, name))

    async def one_after_the_other(name: str) -> None:
        await postgres(name)
        await mongo(name)

    async def both(name: str) -> None:
        async def body(work: BothWork) -> None:
            await _row(work, name)
            await _document(work, name)

        await units.both("bench").run(body)

    return {"postgres": postgres, "mongo": mongo, FLOOR: one_after_the_other, "both": both}


async def measure(where: Where, rounds: int, seconds: float) -> dict[int, dict[str, list[float]]]:
    """Seconds per commit of each kind in each round, by the number of writers."""
    found: dict[int, dict[str, list[float]]] = {}
    settings = where.settings()
    roomy = settings.model_copy(update={"postgres": settings.postgres.model_copy(update={"pool_size": 12})})
    async with open_stores(roomy) as stores:
        await stores.postgres.fetch("CREATE TABLE commit_pairs (name text PRIMARY KEY, value int NOT NULL)")
        await stores.mongo.database.create_collection("commit_pairs")

        async def purge(_: object) -> None:
            pass

        every = kinds(UnitsOfWork(stores, purge))
        number = 0
        for writers in WRITERS:
            of_kind: dict[str, list[float]] = {kind: [] for kind in every}
            for turn in range(rounds + 1):
                for kind, commit in every.items():
                    number += 1
                    spent = await _window(commit, f"{number}", writers, seconds)
                    if turn:  # the first one warms up
                        of_kind[kind].append(spent)
            found[writers] = of_kind
    return found


async def _window(commit: Commit, name: str, writers: int, seconds: float) -> float:
    """Seconds of one writer per commit, while so many write."""
    started = time.perf_counter()
    done = 0

    async def write(writer: int) -> None:
        nonlocal done
        count = 0
        while time.perf_counter() - started < seconds:
            count += 1
            await commit(f"{name} {writer} {count}")
            done += 1

    await asyncio.gather(*(write(writer) for writer in range(writers)))
    return (time.perf_counter() - started) * writers / done


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench commits", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds in which every kind has a window (7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a window (1)")
    given = parser.parse_args(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=120)
    with (
        tempfile.TemporaryDirectory(prefix="nexfit-commits-") as folder,
        EmbeddedServers(Path(folder) / "servers", durable=True) as servers,
        stores_on(servers.urls) as where,
    ):
        found = asyncio.run(measure(where, given.rounds, given.seconds))
    show(console, found)
    return 0


def show(console: Console, found: Mapping[int, Mapping[str, Sequence[float]]]) -> None:
    """Print what was measured."""
    table = Table(
        title="A commit of one row and one document, each with its event",
        caption=f"ms: median of a writer's commits; ratio: to `{FLOOR}`, median over rounds",
    )
    table.add_column("commit")
    for writers in found:
        for column in (f"ms, {writers} at once", f"ratio, {writers} at once"):
            table.add_column(column, justify="right")
    for kind in next(iter(found.values())):
        cells = []
        for of_kind in found.values():
            ratio = median(one / floor for one, floor in zip(of_kind[kind], of_kind[FLOOR], strict=True))
            cells += [f"{median(of_kind[kind]) * 1000:.2f}", f"{ratio:.2f}"]
        table.add_row(kind, *cells)
    console.print(table)
