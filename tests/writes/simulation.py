"""The commit over both stores in simulated time: real coordinators and real recovery, servers that are made up.

A history follows from its seed alone. Every answer may be late, or lost before or after the server did what it was
asked, and every coordinator may stop for good at any of its steps. What the servers promise is kept: one document per
id, a transaction is all or nothing, what is prepared survives.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nexfit.hybrid import commits, recovery, two_phase
from nexfit.hybrid.commits import BothCommit, OutcomeUnknown
from nexfit.hybrid.documents import Verdict
from nexfit.hybrid.outbox import Told
from nexfit.hybrid.store_marker import Marks
from nexfit.stores.errors import (
    CommitUnknown,
    ConnectionLost,
    ConstraintViolated,
    StoreError,
    StoreUnavailable,
    WriteConflict,
)
from nexfit.stores.postgres_transactions import Prepared

GRACE = 0.2
"""Seconds recovery leaves a coordinator alone: little, so that it interrupts slow ones."""

COORDINATORS, SWEEPERS = 4, 2


class SimulatedTime(asyncio.SelectorEventLoop):
    """Nobody waits: when nothing is ready, it is the time of the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        timers = [timer.when() for timer in cast("Any", self)._scheduled if not timer.cancelled()]
        if not cast("Any", self)._ready and timers:
            self._now = max(self._now, min(timers))
        cast("Any", super())._run_once()


@dataclass
class World:
    """Both servers. `quiet` ends all trouble."""

    chance: random.Random
    quiet: bool = False
    prepared: dict[str, float] = field(default_factory=dict)
    rows: set[str] = field(default_factory=set)
    documents: set[str] = field(default_factory=set)
    decisions: dict[str, str] = field(default_factory=dict)
    deciding: dict[str, MongoTx] = field(default_factory=dict)
    """Whose open transaction holds the decision of an id."""
    open: list[MongoTx] = field(default_factory=list)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def happens(self, share: float) -> bool:
        """Whether a trouble comes that comes so often."""
        return not self.quiet and self.chance.random() < share

    def later(self, seconds: float, act: Any) -> None:
        asyncio.get_running_loop().call_later(self.chance.random() * seconds, act)


@dataclass
class Process:
    """A process; `dies` is the step it does not survive."""

    world: World
    dies: int | None = None
    steps: int = 0
    outcome: str = "stopped"
    is_over: bool = False
    commit: BothCommit | None = None

    @property
    def stores(self) -> Any:
        return SimpleNamespace(postgres=self, mongo=Mongo(self))

    async def step(self) -> None:
        """The way to a server and back, or to nowhere."""
        if self.is_over:
            raise asyncio.CancelledError  # the history has ended: nothing is tidied up by who is dead
        self.steps += 1
        if self.dies is not None and self.steps >= self.dies:
            await asyncio.Event().wait()
        slow = self.world.happens(0.1)
        await asyncio.sleep(self.world.chance.random() * (2.0 if slow else 0.02))


@dataclass
class Mongo:
    """MongoDB as one process sees it."""

    process: Process

    async def find(self, _: str, filter: Mapping[str, Any], *__: Any, **___: Any) -> list[dict[str, Any]]:
        await self.process.step()
        world = self.process.world
        if world.happens(0.05):
            raise StoreUnavailable("mongo", "simulated")
        found = world.decisions.get(filter["_id"])
        return [{"_id": filter["_id"], "decision": found}] if found else []


class MongoTx:
    """A transaction in MongoDB."""

    def __init__(self, mongo: Mongo, opening: tuple[str, Mapping[str, Any]] | None = None) -> None:
        self.world, self.process = mongo.process.world, mongo.process
        self.failure: StoreError | None = None
        self.begun = False
        self._opening = opening
        self._writes: list[tuple[str, str, Any]] = []
        self.has_ended = self.is_committing = False
        self.spoke = 0.0

    async def insert(self, collection: str, document: Mapping[str, Any]) -> None:
        await self.process.step()
        try:
            if not self.begun:
                self.begun = True
                self.world.open.append(self)
                if self._opening is not None:
                    self._insert(*self._opening)
            self._insert(collection, document)
        except StoreError as error:
            self.failure = error
            self.abort()
            raise

    def _insert(self, collection: str, document: Mapping[str, Any]) -> None:
        self.spoke, id_ = self.world.now(), document["_id"]
        if self.has_ended:
            raise WriteConflict("mongo", "the transaction is gone")
        if collection == two_phase.DECISIONS:
            if id_ in self.world.decisions:
                raise ConstraintViolated("mongo", "_id_", "duplicate")
            if self.world.deciding.get(id_, self) is not self:
                raise WriteConflict("mongo", "somebody else writes it")
            self.world.deciding[id_] = self
        self._writes.append((collection, id_, document.get("decision")))

    async def commit(self, _: float) -> None:
        await self.process.step()
        if not self.begun:
            return
        if self.has_ended:
            self.failure = WriteConflict("mongo", "the transaction is gone")
            raise self.failure
        self.is_committing = True
        if self.world.happens(0.1):  # it arrives late, and nobody hears of it
            self.world.later(4.0, self.apply)
            raise CommitUnknown("mongo", "simulated: late")
        if self.world.happens(0.05):
            self.abort()
            self.failure = self.world.chance.choice(
                (WriteConflict("mongo", "simulated"), StoreUnavailable("mongo", "simulated"))
            )
            raise self.failure
        self.apply()
        if self.world.happens(0.1):
            raise CommitUnknown("mongo", "simulated: the answer was lost")

    async def rollback(self) -> None:
        await self.process.step()
        if self.world.happens(0.2):
            self.world.later(5.0, self.abort)  # out of reach: the server ends it
        else:
            self.abort()

    async def close(self) -> None:
        pass

    def apply(self) -> None:
        if self.has_ended:
            return
        self._end()
        for collection, id_, decision in self._writes:
            if collection == two_phase.DECISIONS:
                assert id_ not in self.world.decisions
                self.world.decisions[id_] = decision
            else:
                self.world.documents.add(id_)

    def abort(self) -> None:
        if not self.has_ended:
            self._end()

    def _end(self) -> None:
        self.has_ended = True
        if self in self.world.open:
            self.world.open.remove(self)
        self.world.deciding = {id_: tx for id_, tx in self.world.deciding.items() if tx is not self}


@dataclass
class PostgresTx:
    """A transaction in PostgreSQL."""

    process: Process
    failure: StoreError | None = None

    async def execute(self) -> None:
        await self.process.step()

    async def prepare(self, gid: str) -> None:
        await self.process.step()
        world = self.process.world
        if world.happens(0.05):
            raise WriteConflict("postgres", "simulated: refused")
        if world.happens(0.05):
            raise CommitUnknown("postgres", "simulated: it never arrived")
        if world.happens(0.05):
            world.later(3.0, lambda: world.prepared.setdefault(gid, world.chance.random()))
            raise CommitUnknown("postgres", "simulated: it arrives late")
        world.prepared[gid] = world.now()
        if world.happens(0.05):
            raise CommitUnknown("postgres", "simulated: the answer was lost")

    async def commit_prepared(self, gid: str) -> None:
        await _end_prepared(self.process, gid, commit=True)

    async def rollback(self) -> None:
        await self.process.step()

    async def close(self) -> None:
        pass


async def _end_prepared(process: Process, gid: str, *, commit: bool) -> bool:
    await process.step()
    world = process.world
    if world.happens(0.1):
        raise ConnectionLost("postgres", "simulated: before")
    if world.prepared.pop(gid, None) is None:
        return False
    if commit:
        world.rows.add(cast("str", two_phase.xid_of(gid)))
    if world.happens(0.1):
        raise ConnectionLost("postgres", "simulated: after")
    return True


async def _commit(process: Process, gid: str) -> bool:
    return await _end_prepared(process, gid, commit=True)


async def _roll_back(process: Process, gid: str) -> bool:
    return await _end_prepared(process, gid, commit=False)


async def _prepared(process: Process, _: str) -> list[Prepared]:
    await process.step()
    now = process.world.now()
    at = dt.datetime.now(dt.UTC)
    return [Prepared(gid, at, now - since) for gid, since in process.world.prepared.items()]


async def _agreeing(_: Any) -> Marks:
    return Marks(("epoch", 1), ("epoch", 1))


async def _end_idle(mongo: Mongo, idle: float) -> int:
    world = mongo.process.world
    forgotten = [tx for tx in world.open if not tx.is_committing and world.now() - tx.spoke > idle]
    for tx in forgotten:
        tx.abort()
    return len(forgotten)


async def _write_mongo(tx: MongoTx, _: Told, xid: str) -> None:
    await tx.insert("outbox", {"_id": xid})


async def _write_postgres(tx: PostgresTx, _: Told, *, prove: bool) -> None:
    await tx.execute()


@contextmanager
def simulated_servers() -> Iterator[pytest.MonkeyPatch]:
    """The protocol's own code talks to the servers made up here while the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (commits, two_phase):
            patch.setattr(module, "MongoTransaction", MongoTx)
        for module in (two_phase, recovery):
            patch.setattr(module, "commit_prepared", _commit)
            patch.setattr(module, "rollback_prepared", _roll_back)
        patch.setattr(recovery, "prepared_transactions", _prepared)
        patch.setattr(recovery, "end_idle_transactions", _end_idle)
        patch.setattr(recovery.store_marker, "compare", _agreeing)
        patch.setattr(commits, "write_mongo", _write_mongo)
        patch.setattr(commits, "write_postgres", _write_postgres)
        for log in (recovery.log, two_phase.log):
            patch.setattr(log, "warning", lambda *_, **__: None, raising=False)
        yield patch


async def _coordinate(process: Process) -> None:
    tx = PostgresTx(process)
    commit = process.commit = BothCommit(process.stores, cast("Any", tx))
    try:
        await commit.mongo.insert("documents", {"_id": commit.xid})
        await tx.execute()
        await commit.commit(Told("simulated"))
        process.outcome = "done"
    except OutcomeUnknown:
        process.outcome = "unknown"
    except StoreError:
        process.outcome = "refused"
    await commit.end()


async def _sweep(process: Process) -> None:
    while True:
        with suppress(StoreError):
            await recovery.sweep(process.stores, GRACE)
        await asyncio.sleep(0.3)


async def _history(seed: int) -> list[str]:
    """What is wrong after it."""
    chance = random.Random(seed)  # noqa: S311
    world = World(chance)
    processes = [Process(world, chance.choice((None, None, chance.randrange(1, 14)))) for _ in range(COORDINATORS)]
    coordinators = [asyncio.create_task(_coordinate(process)) for process in processes]
    sweeping = [Process(world) for _ in range(SWEEPERS)]
    sweepers = [asyncio.create_task(_sweep(process)) for process in sweeping]
    await asyncio.wait(coordinators, timeout=40)
    world.quiet = True
    await asyncio.sleep(20)  # what is on its way arrives, what is left is ended
    for process in (*processes, *sweeping):
        process.is_over = True
    for task in (*coordinators, *sweepers):
        task.cancel()
    await asyncio.gather(*coordinators, *sweepers, return_exceptions=True)
    wrong = [f"{gid} stays prepared" for gid in world.prepared]
    for number, process in enumerate(processes):
        assert process.commit is not None
        xid = process.commit.xid
        row, document = xid in world.rows, xid in world.documents
        said = f"coordinator {number} ({process.outcome}): row {row}, document {document}"
        if row != document or (process.outcome == "done" and not row) or (process.outcome == "refused" and row):
            wrong.append(said)
        if row and world.decisions.get(xid) != Verdict.COMMIT:
            wrong.append(f"{said}, decision {world.decisions.get(xid)}")
    return wrong


def history(seed: int) -> list[str]:
    """Live through one; what is wrong after it, nothing if nothing is."""
    with asyncio.Runner(loop_factory=SimulatedTime) as runner:
        return runner.run(_history(seed))
