"""A run of the crash test: so many writers are killed, and then everything is compared."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import Any

import asyncpg
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from bench.crashes.worker import POINTS, Plan, Where, recover, write

WRITERS = 8
RECOVERERS = 2

SETTLE = 30.0
"""Seconds recovery gets to end the last prepared transaction."""

_PREPARED = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Outcome:
    """What was found when nobody wrote any more. All but the counts of the load must be 0 or empty."""

    runs: int
    kills: Counter[str]
    committed: int = 0
    refused: int = 0
    disagreeing: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    miscounted: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    prepared: int = 0
    decided_against: int = 0
    pairs: int = 0
    seconds: float = 0.0

    @property
    def is_right(self) -> bool:
        """Whether nothing was found."""
        return not (self.disagreeing or self.lost or self.miscounted or self.untold or self.prepared)


@dataclass(slots=True)
class _Slot:
    """A writer at work."""

    plan: Plan
    process: ForkServerProcess
    ears: Connection
    deadline: float
    """When the parent kills it: at its random moment, or because its point was never reached."""


def plans(runs: int, seed: int) -> list[Plan]:
    """A third dies at random moments, the rest at each point in turn, a quarter of those only after hanging there."""
    chance = random.Random(seed)
    made: list[Plan] = []
    for number in range(runs):
        point = None if number % 3 == 0 else POINTS[(number // 2) % len(POINTS)]
        paused = point in ("written", "prepared") and chance.random() < 0.25
        made.append(Plan(number, chance.getrandbits(32), point, chance.randint(1, 4), paused))
    chance.shuffle(made)
    return made


def crash(where: Where, runs: int, seed: int, progress: Progress = lambda _, __: None) -> Outcome:
    """Kill so many writers, then wait for recovery and compare. Reproduced by its seed, but for the scheduler."""
    started = time.monotonic()
    asyncio.run(_prepare(where))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.crashes.worker"])
    outcome = Outcome(runs, Counter())
    acknowledged: set[str] = set()
    accounts: Counter[str] = Counter()
    waiting = plans(runs, seed)
    chance = random.Random(seed + 1)
    slots: list[_Slot] = []
    recoverers = [_start_recoverer(context, where) for _ in range(RECOVERERS)]
    done = 0
    try:
        while waiting or slots:
            while waiting and len(slots) < WRITERS:
                slots.append(_start(context, where, waiting.pop(), chance))
            wait([slot.ears for slot in slots], timeout=0.02)
            for slot in [*slots]:
                if slot.process.is_alive() and time.monotonic() >= slot.deadline:
                    os.kill(slot.process.pid or 0, signal.SIGKILL)
                    slot.process.join()
                is_over = not slot.process.is_alive()
                _hear(slot, outcome, acknowledged, accounts)
                if is_over:
                    slots.remove(slot)
                    outcome.kills[slot.plan.point or "any moment"] += 1
                    slot.process.join()
                    done += 1
                    progress(done, runs)
                    if done % 40 == 0:  # recovery dies as well
                        victim = recoverers.pop(0)
                        victim.kill()
                        victim.join()
                        recoverers.append(_start_recoverer(context, where))
        asyncio.run(_compare(where, outcome, acknowledged, accounts))
    finally:
        for process in [*recoverers, *(slot.process for slot in slots)]:
            process.kill()
            process.join()
    outcome.seconds = time.monotonic() - started
    return outcome


def _start(context: Any, where: Where, plan: Plan, chance: random.Random) -> _Slot:
    ears, mouth = context.Pipe(duplex=False)
    process = context.Process(target=write, args=(where, plan, mouth), daemon=True)
    process.start()
    mouth.close()
    # Long enough to begin, by far, where a point ends it; at a random moment between connecting and writing otherwise.
    lifetime = chance.uniform(0.15, 0.9) if plan.point is None else 20.0
    return _Slot(plan, process, ears, time.monotonic() + lifetime)


def _start_recoverer(context: Any, where: Where) -> ForkServerProcess:
    process: ForkServerProcess = context.Process(target=recover, args=(where,), daemon=True)
    process.start()
    return process


def _hear(slot: _Slot, outcome: Outcome, acknowledged: set[str], accounts: Counter[str]) -> None:
    try:
        while slot.ears.poll():
            kind, name, detail = slot.ears.recv()
            if kind == "committed":
                acknowledged.add(name)
                accounts[detail] += 1
                outcome.committed += 1
            else:
                outcome.refused += 1
    except (EOFError, OSError):
        return


async def _prepare(where: Where) -> None:
    connection = await asyncpg.connect(where.postgres)
    await connection.execute("DROP TABLE IF EXISTS crash_pairs")
    await connection.execute("CREATE TABLE crash_pairs (name text PRIMARY KEY, value int NOT NULL)")
    await connection.close()
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(where.mongo) as client:
        await client[where.database].drop_collection("crash_pairs")
        await client[where.database].create_collection("crash_pairs")


async def _compare(where: Where, outcome: Outcome, acknowledged: set[str], accounts: Counter[str]) -> None:
    connection = await asyncpg.connect(where.postgres)
    deadline = time.monotonic() + SETTLE
    while (prepared := await connection.fetchval(_PREPARED)) and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    outcome.prepared = prepared
    rows = {row["name"]: row["value"] for row in await connection.fetch("SELECT name, value FROM crash_pairs")}
    told = {
        row["aggregate_id"]
        for row in await connection.fetch("SELECT aggregate_id FROM finance.outbox WHERE aggregate_type = 'pair'")
    }
    await connection.close()
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(where.mongo, readConcernLevel="majority") as client:
        database: AsyncDatabase[dict[str, Any]] = client[where.database]
        documents = {found["_id"]: found["value"] async for found in database.crash_pairs.find()}
        filed = {event["aggregateId"] async for event in database.outbox.find({"aggregateType": "pair document"})}
        decided = await database.decisions.count_documents({"decision": "abort"})
    names = rows.keys() | documents.keys()
    outcome.disagreeing = sorted(name for name in names if rows.get(name) != documents.get(name))
    outcome.lost = sorted(name for name in acknowledged if name not in rows or name not in documents)
    written = Counter(dict.fromkeys((name for name in rows if not name.startswith("account")), 1))
    # Each commit wrote one pair of its own and counted one account up.
    if sum(rows[name] for name in rows if name.startswith("account")) != len(written):
        outcome.miscounted.append("the accounts do not add up to the pairs")
    outcome.miscounted += sorted(name for name, least in accounts.items() if rows.get(name, 0) < least)
    outcome.untold = sorted(written.keys() ^ told) + sorted(written.keys() ^ filed)
    outcome.pairs = len(written)
    outcome.decided_against = decided
