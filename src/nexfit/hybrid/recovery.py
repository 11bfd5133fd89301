"""Ends what coordinators of commits over both stores left prepared, by the decision in MongoDB.

Any number of processes may do this at any time. Where there is no decision yet, one against the transaction is made
first (see `two_phase`). Where one store was restored without the other, or where the decision may have been forgotten,
a missing decision says nothing: those transactions wait for a person.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

import structlog

from nexfit.hybrid import commit_metrics, store_marker, two_phase
from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.hybrid.documents import Verdict
from nexfit.hybrid.store_marker import Marks
from nexfit.stores.connections import Stores
from nexfit.stores.errors import CommitUnknown, ConstraintViolated, StoreError, WriteConflict
from nexfit.stores.mongo_transactions import MongoTransaction, end_idle_transactions
from nexfit.stores.postgres_transactions import (
    Prepared,
    commit_prepared,
    prepared_transactions,
    rollback_prepared,
)

GRACE = 10.0
"""Seconds a coordinator is left alone. Safe with any value; a short one interrupts those that are slow."""

EVERY = 1.0
"""Seconds between two sweeps of the background work."""

TICK = 5.0
"""Seconds between two counts of the stores' marker."""

ALARM_AGE = 60.0
"""Seconds after which a prepared transaction is an alarm: it holds locks and stops VACUUM."""

ALARM_SHARE = 0.5
"""Share of max_prepared_transactions in use that is an alarm."""

DECISIONS_KEPT = dt.timedelta(days=1)
"""Far longer than a coordinator, a clock's error or a transaction of MongoDB can last."""

_ALARM_EVERY = 30.0

log = structlog.get_logger(__name__)


class State(StrEnum):
    """What became of a prepared transaction, or in a dry run would become of it."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    YOUNG = "left to its coordinator"
    BUSY = "busy, next time"
    FOR_A_PERSON = "undecidable"


@dataclass(frozen=True, slots=True)
class Found:
    """One prepared transaction, its age in seconds, and what became of it."""

    xid: str
    age: float
    state: State


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep found, oldest first."""

    found: list[Found]
    marks: Marks

    def of(self, state: State) -> list[Found]:
        """Those of one state."""
        return [one for one in self.found if one.state is state]


class AlreadyDecided(Exception):
    """The transaction has another decision, which stands."""


async def sweep(stores: Stores, grace: float = GRACE, *, dry_run: bool = False) -> Sweep:
    """End every prepared transaction older than `grace` seconds that can be ended. Raises StoreError."""
    marks = await store_marker.compare(stores)
    prepared = await prepared_transactions(stores.postgres, two_phase.PREFIX)
    commit_metrics.PREPARED.set(len(prepared))
    commit_metrics.PREPARED_AGE.set(max((one.age for one in prepared), default=0.0))
    commit_metrics.RESTORED.set(0 if marks.agree else 1)
    if not dry_run:
        await _end_forgotten(stores, grace)
    found: list[Found] = []
    for one in prepared:
        xid = two_phase.xid_of(one.gid)
        if xid is not None:
            found.append(Found(xid, one.age, await _end(stores, xid, one, grace, marks, dry_run)))
    return Sweep(found, marks)


async def _end_forgotten(stores: Stores, grace: float) -> None:
    """What a killed process had open in MongoDB would keep its documents, and its decision, locked for a minute."""
    try:
        await end_idle_transactions(stores.mongo, grace)
    except StoreError as error:  # the right to do so may be missing: then the server ends them, later
        log.info("forgotten transactions are left to mongo", error=str(error))


async def _end(stores: Stores, xid: str, one: Prepared, grace: float, marks: Marks, dry_run: bool) -> State:
    if one.age < grace:
        return State.YOUNG
    verdict = await two_phase.decision_of(stores.mongo, xid)
    if verdict is None:
        if not marks.agree or (marks.pruned_before is not None and one.prepared_at <= marks.pruned_before):
            return State.FOR_A_PERSON
        if dry_run:
            return State.ROLLED_BACK
        try:
            verdict = await two_phase.end_undecided(stores.mongo, xid, two_phase.PATIENCE)
        except CommitUnknown:
            verdict = None
        if verdict is None:
            return State.BUSY
    state = State.COMMITTED if verdict is Verdict.COMMIT else State.ROLLED_BACK
    if dry_run:
        return state
    try:
        has_ended = await _follow(stores, xid, verdict)
    except WriteConflict:
        return State.BUSY
    if has_ended:
        commit_metrics.RECOVERED.labels(verdict.value).inc()
        log.warning("recovered", xid=xid, verdict=verdict.value, age=round(one.age, 1))
    return state


async def _follow(stores: Stores, xid: str, verdict: Verdict) -> bool:
    act = commit_prepared if verdict is Verdict.COMMIT else rollback_prepared
    return await act(stores.postgres, two_phase.gid_of(xid))


async def decide(stores: Stores, xid: str, verdict: Verdict) -> bool:
    """A person decides: keep the decision, then follow it. False when nothing is prepared under the id.

    Raises AlreadyDecided, WriteConflict when somebody is at it, StoreError.
    """
    tx = MongoTransaction(stores.mongo)
    try:
        await tx.insert(two_phase.DECISIONS, {"_id": xid, "decision": verdict.value, "at": dt.datetime.now(dt.UTC)})
        await tx.commit(two_phase.PATIENCE)
    except ConstraintViolated:
        if await two_phase.decision_of(stores.mongo, xid) is not verdict:
            raise AlreadyDecided(xid) from None
    finally:
        await tx.rollback()
        await tx.close()
    return await _follow(stores, xid, verdict)


async def prune_decisions(stores: Stores, kept: dt.timedelta = DECISIONS_KEPT) -> int:
    """Delete decisions nobody can need any more; how many. Raises StoreError."""
    before = dt.datetime.now(dt.UTC) - kept
    await store_marker.forget_decisions(stores.mongo, before)
    prepared = await prepared_transactions(stores.postgres, two_phase.PREFIX)
    needed = [xid for one in prepared if (xid := two_phase.xid_of(one.gid))]
    return await stores.mongo.delete(two_phase.DECISIONS, {"at": {"$lt": before}, "_id": {"$nin": needed}})


async def keep_recovering(stores: Stores, grace: float = GRACE, every: float = EVERY) -> None:
    """Sweep, count the marker and prune, until cancelled. What a store refuses is tried again."""
    clock = asyncio.get_running_loop().time
    ticked = pruned = alarmed = float("-inf")
    most: int | None = None
    is_away = False
    while True:
        stop_if_cancelled()
        try:
            if most is None:
                most = await two_phase.check_limits(stores)
            swept = await sweep(stores, grace)
            if clock() - alarmed >= _ALARM_EVERY and _alarm(swept, most):
                alarmed = clock()
            if swept.marks.agree and clock() - ticked >= TICK:
                await store_marker.tick(stores)
                ticked = clock()
            if swept.marks.agree and clock() - pruned >= 3600:
                await prune_decisions(stores)
                pruned = clock()
            is_away = False
        except two_phase.CannotPrepare as error:
            log.critical("nothing can be committed in both stores", error=str(error))
            await asyncio.sleep(_ALARM_EVERY)
        except StoreError as error:
            if not is_away:
                log.warning("recovery waits for a store", error=str(error))
            is_away = True
        await asyncio.sleep(every)


def _alarm(swept: Sweep, most: int) -> bool:
    """Say what somebody has to look at; whether there was anything."""
    old = [one for one in swept.found if one.age >= ALARM_AGE]
    if not swept.marks.agree:
        log.critical("a store was restored without the other; run `nexfit recover`", marks=str(swept.marks))
    if old:
        log.critical("transactions stay prepared", count=len(old), oldest=round(old[0].age), state=old[0].state.value)
    if len(swept.found) > most * ALARM_SHARE:
        log.critical("max_prepared_transactions is nearly used up", prepared=len(swept.found), most=most)
    return bool(old) or not swept.marks.agree or len(swept.found) > most * ALARM_SHARE
