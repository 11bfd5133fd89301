"""A checker of histories: whoever writes, by whichever way, nobody is served what is older than he may be served.

16 clients of three processes (each with views and connections of its own) read a view joined from both stores, write
through units of work of one store or both, roll some back, write past everything straight to the stores, raise tags and
empty Redis. 30 s of it with NEXFIT_CHECK_SECONDS=30; the seed is NEXFIT_CHECK_SEED, printed on failure.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from bson import ObjectId
from pymongo import AsyncMongoClient

from nexfit.hybrid.joined_views import JoinedViews, View
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.hybrid.view_values import Moment
from nexfit.settings import Settings
from nexfit.stores.connections import Stores, open_stores
from nexfit.stores.errors import WriteConflict
from tests.feeds.conftest import following

from .history import ROLLED_BACK, History, Register

SECONDS = float(os.environ.get("NEXFIT_CHECK_SECONDS", "8"))
SEED = int(os.environ.get("NEXFIT_CHECK_SEED", "1"))
CLIENTS = 16
KINDS = ("units", "out of band", "invalidations", "flushes")
COUNTERS = View("checked_counters", 1, 5.0)
_READ = """SELECT business_id AS facility_id, class_attendance AS n FROM finance.analytics_daily
WHERE business_id = ANY ($1) AND date = $2"""
_RAISE = """UPDATE finance.analytics_daily SET class_attendance = class_attendance + $3
WHERE business_id = $1 AND date = $2 RETURNING class_attendance"""


class _RollBack(Exception):
    """Thrown inside a unit."""


@dataclass(slots=True)
class Process:
    """What a process of the API has for itself."""

    stores: Stores
    views: JoinedViews
    units: UnitsOfWork


class BrokenViews(JoinedViews):
    """Without the guard of a fill: a value is stored under the versions of after its load."""

    async def _store(
        self, view: View, values: Mapping[str, Any], tags: Any, moment: Moment, took: float, also: Any = ()
    ) -> None:
        _, later = await self._read(View("nothing", 1, 1.0), [*values], tags)
        await super()._store(view, values, tags, later or moment, took, also)


@dataclass(slots=True)
class World:
    """Counters of some facilities, in both stores."""

    facilities: Sequence[str]
    day: Any
    processes: Sequence[Process]
    mongo: Any
    postgres: asyncpg.Pool[Any]
    history: History

    def tags(self, facility: str) -> Sequence[str]:
        return f"facility:{facility}", f"facility:{facility}:analytics"

    async def read(self, process: Process, facility: str) -> Mapping[str, int]:
        """One view, through the cache."""
        [value] = await process.views.get(COUNTERS, [facility], lambda ids: self.load(process, ids), tags=self.tags)
        found: Mapping[str, int] = value
        return found

    async def load(self, process: Process, facilities: Sequence[str]) -> Mapping[str, Any]:
        documents, rows = await asyncio.gather(
            process.stores.mongo.find(
                "facilities", {"_id": {"$in": [ObjectId(one) for one in facilities]}}, ["equipments.quantity"]
            ),
            process.stores.postgres.fetch(_READ, list(facilities), self.day),
        )
        await asyncio.sleep(random.random() * 0.01)  # noqa: S311  # so that writers have the time to get in between
        found = {str(one["_id"]): {"mongo": one["equipments"][0]["quantity"]} for one in documents}
        for row in rows:
            found[row["facility_id"]]["postgres"] = row["n"]
        return found

    async def write(self, client: int, process: Process, facility: str, kind: str, *, undone: bool) -> None:
        """Through a unit of work of one store or both."""
        added = ROLLED_BACK if undone else 1

        async def body(work: Any) -> dict[Register, int]:
            values: dict[Register, int] = {}
            if kind in ("postgres", "both"):
                values[facility, "postgres"] = await work.postgres.fetch_value(_RAISE, facility, self.day, added)
            if kind in ("mongo", "both"):
                document = await work.mongo.claim(
                    "facilities",
                    {"_id": ObjectId(facility)},
                    {"$inc": {"equipments.0.quantity": added}},
                    ["equipments.quantity"],
                )
                values[facility, "mongo"] = document["equipments"][0]["quantity"]
            work.invalidates(*self.tags(facility))
            if undone:
                raise _RollBack
            return values

        try:
            values = await getattr(process.units, kind)("check").run(body)
        except (_RollBack, WriteConflict):
            return
        for register, value in values.items():
            self.history.wrote(client, register, value)

    async def write_out_of_band(self, facility: str, store: str) -> None:
        """As a script does."""
        if store == "postgres":
            value = await self.postgres.fetchval(_RAISE, facility, self.day, 1)
        else:
            document = await self.mongo.facilities.find_one_and_update(
                {"_id": ObjectId(facility)}, {"$inc": {"equipments.0.quantity": 1}}, return_document=True
            )
            value = document["equipments"][0]["quantity"]
        self.history.wrote_out_of_band((facility, store), value)


@asynccontextmanager
async def world(settings: Settings, views: type[JoinedViews] = JoinedViews) -> AsyncIterator[World]:
    """Three processes over the stores."""
    async with AsyncExitStack() as stack:
        processes = []
        for _ in range(3):
            stores = await stack.enter_async_context(open_stores(settings))
            own = views(stores.redis)
            stack.callback(own.close)
            processes.append(Process(stores, own, UnitsOfWork(stores, own.invalidate)))
        client: AsyncMongoClient[dict[str, Any]] = await stack.enter_async_context(
            AsyncMongoClient(settings.mongo.url.get_secret_value(), w="majority")
        )
        postgres = await stack.enter_async_context(
            asyncpg.create_pool(settings.postgres.url.get_secret_value(), min_size=1, max_size=4)
        )
        rows = await postgres.fetch(
            "SELECT business_id AS id, max(date) AS day FROM finance.analytics_daily GROUP BY 1 ORDER BY 1 LIMIT 3"
        )
        day = min(row["day"] for row in rows)
        facilities = [row["id"] for row in rows]
        yield World(facilities, day, processes, client[settings.mongo.database], postgres, History())


async def client_of(world: World, number: int, until: float, *, flushes: bool) -> Counter[str]:
    """Does whatever comes to its mind until the time is over."""
    chance = random.Random(f"{SEED}/{number}")  # noqa: S311
    done: Counter[str] = Counter()
    while time.monotonic() < until:
        process = chance.choice(world.processes)
        facility = chance.choice(world.facilities)
        what = chance.random()
        if what < 0.78:
            done["reads"] += 1
            least = {store: world.history.expected(number, (facility, store)) for store in ("mongo", "postgres")}
            value = await world.read(process, facility)
            for store, bound in least.items():
                world.history.read(number, (facility, store), bound, value[store])
        elif what < 0.88:
            done["units"] += 1
            kind = chance.choice(("mongo", "postgres", "both"))
            await world.write(number, process, facility, kind, undone=chance.random() < 0.3)
        elif what < 0.92:
            done["out of band"] += 1
            await world.write_out_of_band(facility, chance.choice(("mongo", "postgres")))
        elif what < 0.985:
            done["invalidations"] += 1
            await process.views.invalidate([chance.choice(world.tags(facility))])
        elif flushes and chance.random() < 0.2:
            done["flushes"] += 1
            await process.stores.redis.send([("FLUSHDB",)])
        await asyncio.sleep(chance.random() * 0.02)
    return done


async def check(world: World, seconds: float, *, flushes: bool = True) -> Counter[str]:
    """What all clients have done; the violations are in the history."""
    until = time.monotonic() + seconds
    done = await asyncio.gather(*(client_of(world, number, until, flushes=flushes) for number in range(CLIENTS)))
    return sum(done, Counter())


async def test_nobody_is_served_what_is_older_than_it_may_be(settings: Settings) -> None:
    async with following(settings), world(settings) as checked:
        done = await check(checked, SECONDS)
        for _ in range(10):  # on a slow machine it takes longer until everything has happened
            counted = [process.views.counters[COUNTERS.name] for process in checked.processes]
            of = {name: sum(getattr(one, name) for one in counted) for name in ("memory", "redis", "races")}
            if done["reads"] > 400 and of["races"] and all(done[kind] for kind in KINDS):
                break
            done += await check(checked, 4.0)
    assert checked.history.violations == [], f"NEXFIT_CHECK_SEED={SEED}"
    assert min(done[kind] for kind in KINDS) > 0
    assert of["memory"] + of["redis"] > 0.2 * done["reads"], of  # it was a cache that was checked
    assert of["races"] > 0, of


async def test_the_checker_catches_a_fill_without_its_guard(settings: Settings) -> None:
    async with following(settings), world(settings, BrokenViews) as checked:
        for _ in range(5):
            await check(checked, 2.0, flushes=False)
            if checked.history.violations:
                break
    assert any("older than" in violation for violation in checked.history.violations), f"NEXFIT_CHECK_SEED={SEED}"
