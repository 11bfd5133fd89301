"""The processes that are killed. They are forked from one that has imported everything."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, ClassVar

import structlog
from pydantic import SecretStr

from nexfit.hybrid import fault_points, unit_of_work
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.recovery import keep_recovering
from nexfit.hybrid.unit_of_work import BothWork, UnitsOfWork
from nexfit.settings import MongoSettings, PostgresSettings, RedisSettings, Settings
from nexfit.stores.connections import open_stores
from nexfit.stores.errors import StoreError

POINTS = ("written", "prepared", "decided", "finished")
"""Of the protocol; at `unanswered` nobody gets without losing a server."""

ACCOUNTS = 12
"""Pairs that all writers change."""

GRACE = 0.25
"""Seconds recovery leaves a coordinator alone here: less than a paused one takes."""

PAUSE = 0.6
"""Seconds a slow writer hangs at its point."""


@dataclass(frozen=True, slots=True)
class Where:
    """The stores."""

    mongo: str
    database: str
    postgres: str
    redis: str

    def settings(self) -> Settings:
        return Settings(
            mongo=MongoSettings(url=SecretStr(self.mongo), database=self.database, timeout=5.0),
            postgres=PostgresSettings(
                url=SecretStr(self.postgres), pool_size=2, lock_timeout=4.0, statement_timeout=5.0
            ),
            redis=RedisSettings(url=SecretStr(self.redis)),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """How a writer ends: at a point of its n-th commit, or by its parent. A paused one hangs there and goes on."""

    number: int
    seed: int
    point: str | None
    commit: int
    is_paused: bool = False


class Written(Event):
    """A pair got a value, in PostgreSQL."""

    home: ClassVar[Home] = "postgres"
    aggregate: ClassVar[str] = "pair"
    name: str

    @property
    def aggregate_id(self) -> str:
        return self.name


class Filed(Written):
    """A pair got a value, in MongoDB."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "pair document"


def write(where: Where, plan: Plan, acknowledge: Connection) -> None:
    """Write pairs until killed; each name is sent once it is committed."""
    _be_quiet()
    asyncio.run(_write(where, plan, acknowledge))


def _be_quiet() -> None:
    """Conflicts and recoveries are what this is about: nobody reads a line for each."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def recover(where: Where) -> None:
    """Recover until killed."""

    async def work() -> None:
        async with open_stores(where.settings()) as stores:
            await keep_recovering(stores, GRACE, 0.05)

    _be_quiet()
    asyncio.run(work())


async def _write(where: Where, plan: Plan, acknowledge: Connection) -> None:
    chance = random.Random(plan.seed)
    commits = 0

    def reached(point: str) -> None:
        nonlocal commits
        if point == "written":
            commits += 1
        if point != plan.point or commits < plan.commit:
            return
        if not plan.is_paused:
            os.kill(os.getpid(), signal.SIGKILL)
        elif commits == plan.commit:
            time.sleep(PAUSE)

    fault_points.listen(reached)
    unit_of_work.TRIES = 50
    async with open_stores(where.settings()) as stores:

        async def purge(_: object) -> None:
            pass

        units = UnitsOfWork(stores, purge)
        count = 0
        while True:
            count += 1
            name = f"{plan.number}-{count}"
            account = f"account {chance.randrange(ACCOUNTS)}"

            async def body(work: BothWork, name: str = name, account: str = account) -> None:
                await _change(work, name, account)

            try:
                await units.both("crash").run(body)
            except StoreError as error:
                acknowledge.send(("refused", name, str(error)))
            else:
                acknowledge.send(("committed", name, account))
            if plan.is_paused and commits > plan.commit + 2:
                os.kill(os.getpid(), signal.SIGKILL)


async def _change(work: BothWork, name: str, account: str) -> None:
    await work.postgres.execute("INSERT INTO crash_pairs VALUES ($1, 1)", name)
    rows: Any = await work.postgres.fetch(
        "INSERT INTO crash_pairs VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET value = crash_pairs.value + 1"
        " RETURNING value",
        account,
    )
    await work.mongo.insert("crash_pairs", {"_id": name, "value": 1})
    await work.mongo.update("crash_pairs", {"_id": account}, {"$set": {"value": rows[0]["value"]}}, upsert=True)
    work.emit(Written(name=name))
    work.emit(Filed(name=name))
