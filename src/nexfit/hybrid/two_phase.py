"""The commit over both stores. MongoDB cannot be asked to prepare, so it decides: PostgreSQL prepares, a MongoDB
transaction commits the decision together with its own changes, then PostgreSQL follows.

    xid                a UUID version 7; PostgreSQL knows the transaction as `nexfit:` and its 32 hex digits
    MongoDB            inserts {_id: xid, decision: "commit"} before anything else of its transaction
    PREPARE            the PostgreSQL half survives everything and keeps its locks
    commit in MongoDB  this is the decision
    COMMIT PREPARED    by the coordinator, or by whoever finds it undone

Whoever wants a transaction without a decision ended inserts {_id: xid, decision: "abort"} first. There is one document
per id: if that insert wins, a late coordinator cannot commit any more; if it loses, the decision is there to follow.
Nobody rolls back because they saw no decision.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from uuid import UUID

import structlog

from nexfit.hybrid.documents import Verdict
from nexfit.stores.connections import Stores
from nexfit.stores.errors import CommitUnknown, ConstraintViolated, StoreError, StoreUnavailable, WriteConflict
from nexfit.stores.mongo import Mongo
from nexfit.stores.mongo_transactions import MongoTransaction
from nexfit.stores.postgres_transactions import (
    commit_prepared,
    max_prepared_transactions,
    rollback_prepared,
)

PREFIX = "nexfit:"

DECISIONS = "decisions"

PATIENCE = 3.0
"""Seconds one step is tried again before it is left to recovery."""

log = structlog.get_logger(__name__)


class CannotPrepare(Exception):
    """PostgreSQL refuses prepared transactions; the message says which setting to change."""


def gid_of(xid: str) -> str:
    """PostgreSQL's name of the transaction."""
    return PREFIX + xid


def xid_of(gid: str) -> str | None:
    """The transaction a gid names, None when its form is not ours."""
    xid = gid.removeprefix(PREFIX)
    try:
        return xid if xid != gid and UUID(hex=xid).hex == xid else None
    except ValueError:
        return None


def commit_record(xid: str) -> tuple[str, dict[str, object]]:
    """Collection and document that decide for the commit, as the opening of the MongoDB transaction."""
    return DECISIONS, {"_id": xid, "decision": Verdict.COMMIT.value, "at": dt.datetime.now(dt.UTC)}


async def check_limits(stores: Stores) -> int:
    """How many transactions PostgreSQL can hold prepared; raises CannotPrepare when none, StoreError."""
    most = await max_prepared_transactions(stores.postgres)
    if most == 0:
        raise CannotPrepare(
            "PostgreSQL has max_prepared_transactions = 0, so nothing can be committed in both stores. Set it to at "
            "least the number of connections all processes open together, and restart the server."
        )
    return most


async def decision_of(mongo: Mongo, xid: str) -> Verdict | None:
    """The decision as the majority holds it, None when there is none yet; raises StoreError."""
    found = await mongo.find(DECISIONS, {"_id": xid}, ["decision"], limit=1)
    return Verdict(found[0]["decision"]) if found else None


async def end_undecided(mongo: Mongo, xid: str, patience: float) -> Verdict | None:
    """Decide against the transaction unless it is decided already; the decision that stands from now on.

    None when a coordinator holds its own decision in an open transaction, or the majority does not know yet: look again
    later. Raises StoreError, CommitUnknown.
    """
    tx = MongoTransaction(mongo)
    try:
        # In a transaction, because a plain insert would wait for a coordinator's open one instead of telling of it.
        await tx.insert(DECISIONS, {"_id": xid, "decision": Verdict.ABORT.value, "at": dt.datetime.now(dt.UTC)})
        await tx.commit(patience)
    except ConstraintViolated:
        return await decision_of(mongo, xid)
    except WriteConflict:
        return None
    finally:
        await tx.rollback()
        await tx.close()
    return Verdict.ABORT


async def settle(stores: Stores, xid: str) -> Verdict | None:
    """The decision after a commit in MongoDB that gave no plain answer, made if need be; None when out of reach."""
    deadline = _now() + PATIENCE
    pause = 0.02
    while True:
        try:
            verdict = await end_undecided(stores.mongo, xid, max(0.1, deadline - _now()))
        except (CommitUnknown, StoreUnavailable):
            verdict = None
        if verdict is not None or _now() + pause > deadline:
            return verdict
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.5)


async def finish(stores: Stores, xid: str, verdict: Verdict) -> bool:
    """Second phase in PostgreSQL, tried again for PATIENCE. False: it is left to recovery."""
    deadline = _now() + PATIENCE
    pause = 0.01
    act = commit_prepared if verdict is Verdict.COMMIT else rollback_prepared
    while True:
        try:
            await act(stores.postgres, gid_of(xid))
        except StoreError as error:
            if _now() + pause > deadline:
                log.warning("left to recovery", gid=gid_of(xid), verdict=verdict.value, error=str(error))
                return False
        else:
            return True
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.5)


def _now() -> float:
    return asyncio.get_running_loop().time()
