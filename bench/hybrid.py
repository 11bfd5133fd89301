"""`python -m bench hybrid`: what the meeting of the stores costs and saves, in one table of ratios.

Commits in both stores next to commits in one store each; cached joined views next to the same joins made anew; how soon
a change made past the application is known, next to the change itself; how much is projected in a second. What is
compared takes turns within a round, on servers that keep what they confirm, so a busy machine slows both sides.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from bson import ObjectId
from rich.console import Console
from rich.table import Table

from bench.commits import FLOOR, measure
from bench.crashes.servers import stores_on
from bench.feeds.measure import Lag, Rate
from bench.feeds.section import followed, measured
from bench.stores import data, processes
from bench.stores.errors import CannotMeasure
from nexfit.domains.classes import today
from nexfit.domains.coaching import clients
from nexfit.domains.coaching.documents import RelationStatus
from nexfit.domains.memberships import standings
from nexfit.embedded import EmbeddedError
from nexfit.hybrid.joined_views import JoinedViews, Load, TagsOf, View
from nexfit.settings import Settings
from nexfit.stores.connections import Stores, open_stores

MEMBERS = 20
"""Of a page, whose standings are read."""

Read = Callable[[JoinedViews], Awaitable[Mapping[Any, Any]]]


@dataclass(frozen=True, slots=True)
class Ratio:
    """One line: what was measured, next to what it is compared with, both in milliseconds."""

    name: str
    ms: float
    compared: str
    compared_ms: float

    @property
    def ratio(self) -> float:
        """Below 1 where the first one is quicker."""
        return self.ms / self.compared_ms


class Unkept(JoinedViews):
    """Keeps nothing: every read makes its joins anew, from the stores."""

    async def get(self, view: View, items: Sequence[str], load: Load, *, tags: TagsOf) -> list[Any]:
        loaded = await load(list(dict.fromkeys(items)))
        return [loaded.get(item) for item in items]


async def joins(settings: Settings, rounds: int, reads: int) -> list[Ratio]:
    """Each kind of joined view, cached next to made anew. Raises CannotMeasure when they do not say the same."""
    async with open_stores(settings) as stores:
        kept, unkept = JoinedViews(stores.redis), Unkept(stores.redis)
        found = []
        for name, read in (await _reads(stores)).items():
            if (expected := await read(unkept)) != await read(kept) or expected != await read(kept):
                raise CannotMeasure(f"{name}: what is cached is not what the stores say")
            spent: dict[JoinedViews, list[float]] = {kept: [], unkept: []}
            for turn in range(rounds + 1):
                for views, of_views in spent.items():
                    started = time.perf_counter()
                    for _ in range(reads):
                        await read(views)
                    if turn:  # the first one warms up
                        of_views.append((time.perf_counter() - started) * 1000 / reads)
            found.append(Ratio(f"{name}, cached", median(spent[kept]), "joined anew", median(spent[unkept])))
        kept.close()
        return found


async def _reads(stores: Stores) -> dict[str, Read]:
    """The reads of the joined views the API has, by name."""
    now = datetime.now(UTC)
    mongo, postgres = stores.mongo, stores.postgres
    rows = await postgres.fetch(
        """SELECT facility_id, user_id FROM platform.member_facts WHERE facility_id =
             (SELECT facility_id FROM platform.member_facts GROUP BY 1 ORDER BY count(*) DESC LIMIT 1)
           ORDER BY user_id LIMIT $1""",
        MEMBERS,
    )
    pairs = [(row["facility_id"], row["user_id"]) for row in rows]
    place = await mongo.find("facilities", {"_id": ObjectId(pairs[0][0])}, ["timezone"])
    zones = {pairs[0][0]: place[0]["timezone"]}
    active = {"relationship.status": str(RelationStatus.ACTIVE)}
    relations = await mongo.find("coach_clients", active, ["coachId", "clientId", "relationship.status"])
    coach = relations[0]["coachId"]
    own = [one for one in relations if one["coachId"] == coach]
    return {
        f"standings of {len(pairs)} members": lambda views: standings.of_members(mongo, postgres, views, pairs, now),
        "a facility's day": lambda views: today.of_facilities(mongo, postgres, views, zones, now),
        f"a coach's {len(own)} clients": lambda views: clients.at_a_glance(mongo, postgres, views, coach, own, now),
    }


def commits(found: Mapping[int, Mapping[str, Sequence[float]]]) -> list[Ratio]:
    """A commit in both stores next to each other way, by the number of writers."""
    return [
        Ratio(
            f"commit in both stores, {writers} at once",
            median(of_kind["both"]) * 1000,
            f"{kind} alone" if kind != FLOOR else FLOOR,
            median(of_kind[kind]) * 1000,
        )
        for writers, of_kind in found.items()
        for kind in (FLOOR, "postgres", "mongo")
    ]


def main(arguments: Sequence[str]) -> int:
    """Print the table; the exit code is 1 where something could not be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m bench hybrid", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a look: few members, rounds and writes")
    parser.add_argument("--members", type=int, metavar="N", help="members to load (3000; quick: 600)")
    given = parser.parse_args(arguments)
    members = given.members or (600 if given.quick else 3000)
    if members < 100:
        parser.error("--members is at least 100")
    rounds, seconds, reads, writes, burst = (2, 0.3, 20, 10, 500) if given.quick else (7, 1.0, 200, 300, 10_000)
    console = Console() if sys.stdout.isatty() else Console(width=150)
    try:
        with ExitStack() as stack:
            home = stack.enter_context(data.folder(members, keep=False))
            running = stack.enter_context(data.servers(home, members, console))
            cores, made = processes.allot(), data.settings(running.urls, "api")
            with stores_on(running.urls) as where:
                ratios = commits(asyncio.run(measure(where, rounds, seconds)))
            for pid in data.store_pids(running):
                processes.pin(pid, cores.stores)
            console.print(f"{members:,} members, {cores}", markup=False, highlight=False)
            with followed(made, home, cores):
                lags, rates = asyncio.run(measured(made, writes, burst))
                ratios += asyncio.run(joins(made, rounds, reads))
            show(console, ratios, lags, rates)
    except (CannotMeasure, EmbeddedError) as error:
        console.print(f"bench: {error}", style="bold red", markup=False, highlight=False)
        return 1
    return 0


def show(console: Console, ratios: Sequence[Ratio], lags: Sequence[Lag], rates: Sequence[Rate]) -> None:
    """One table of all."""
    table = Table(title="Where the stores meet", caption="ratio: to what it is compared with; below 1 is quicker")
    for name in ("what", "ms", "p99", "compared with", "its ms", "ratio", "per second"):
        table.add_column(name, justify="left" if name in ("what", "compared with") else "right")
    for one in ratios:
        table.add_row(one.name, f"{one.ms:.2f}", "", one.compared, f"{one.compared_ms:.2f}", f"{one.ratio:.2f}")
    for lag in lags:
        numbers = (f"{lag.p50_ms:.1f}", f"{lag.p99_ms:.1f}", "the write itself", f"{lag.write_ms:.1f}")
        table.add_row(lag.name, *numbers, f"{lag.p50_ms / lag.write_ms:.2f}")
    for rate in rates:
        table.add_row(f"{rate.name} ({rate.done:,})", "", "", "", "", "", f"{rate.per_second:,.0f}")
    console.print(table)
