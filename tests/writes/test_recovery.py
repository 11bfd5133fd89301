"""Whatever a coordinator leaves behind is ended by the decision, once, by whoever comes; nothing is ever guessed."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from pymongo.errors import WriteConcernError
from structlog.testing import capture_logs
from typer.testing import CliRunner

from nexfit.cli import app
from nexfit.hybrid import commit_metrics, recovery, store_marker, two_phase
from nexfit.hybrid.documents import Verdict
from nexfit.hybrid.ids import uuid7
from nexfit.hybrid.recovery import AlreadyDecided, State, decide, sweep
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.settings import Settings
from nexfit.stores.connections import Stores
from nexfit.stores.errors import ConstraintViolated
from nexfit.stores.mongo_transactions import MongoTransaction

from .conftest import Database, Kept, at_point, kept, until, write_document, write_row


class Died(BaseException):
    """Stands for the death of the process: nothing after it is run."""


async def _leave(units: UnitsOfWork, name: str, point: str) -> str:
    """Let a coordinator die at the point; the id of what it leaves."""
    found: list[str] = []

    async def body(work: Any) -> None:
        found.append(work.xid)
        await write_row(work, name, 1)
        await write_document(work, name, 1)

    def die() -> None:
        raise Died

    with at_point(point, die), pytest.raises(Died):
        await units.both("test").run(body)
    return found[0]


@pytest.fixture(autouse=True)
async def _nothing_prepared(stores: Stores, postgres: asyncpg.Connection) -> AsyncIterator[None]:
    yield
    await store_marker.accept(stores)
    for row in await postgres.fetch("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"):
        await postgres.execute(f"ROLLBACK PREPARED '{row['gid']}'")


BOTH = Kept(1, 1, 1, 1)
NEITHER = Kept(None, None, 0, 0)


@pytest.mark.parametrize(
    ("point", "state", "there"),
    [
        ("prepared", State.ROLLED_BACK, NEITHER),
        ("decided", State.COMMITTED, BOTH),
    ],
)
async def test_what_is_left_is_ended_by_the_decision(
    stores: Stores,
    units: UnitsOfWork,
    postgres: asyncpg.Connection,
    mongo: Database,
    name: str,
    point: str,
    state: State,
    there: Kept,
) -> None:
    xid = await _leave(units, name, point)
    assert [(one.xid, one.state) for one in (await sweep(stores)).found] == [(xid, State.YOUNG)]
    assert [one.state for one in (await sweep(stores, 0, dry_run=True)).found] == [state]
    assert (await kept(postgres, mongo, name)).row is None  # neither has done anything
    found = await asyncio.gather(*(sweep(stores, 0) for _ in range(8)))
    assert {one.state for swept in found for one in swept.found} <= {state, State.BUSY}
    assert (await sweep(stores, 0)).found == []
    assert await kept(postgres, mongo, name) == there
    verdict = Verdict.COMMIT if there == BOTH else Verdict.ABORT
    assert await two_phase.decision_of(stores.mongo, xid) is verdict


async def test_a_decision_against_keeps_a_late_coordinator_from_committing(stores: Stores, mongo: Database) -> None:
    xid = uuid7().hex
    assert await two_phase.end_undecided(stores.mongo, xid, 1) is Verdict.ABORT
    late = MongoTransaction(stores.mongo, opening=two_phase.commit_record(xid))
    with pytest.raises(ConstraintViolated):
        await late.insert("pairs", {"_id": xid})
    await late.rollback()
    await late.close()
    assert await mongo.pairs.count_documents({"_id": xid}) == 0


async def test_a_coordinator_that_is_at_it_is_not_ended(stores: Stores) -> None:
    xid = uuid7().hex
    slow = MongoTransaction(stores.mongo, opening=two_phase.commit_record(xid))
    await slow.insert("pairs", {"_id": xid})
    assert await two_phase.end_undecided(stores.mongo, xid, 1) is None
    await slow.commit(1)
    await slow.close()
    assert await two_phase.end_undecided(stores.mongo, xid, 1) is Verdict.COMMIT


async def test_a_wait_for_the_majority_that_was_interrupted_is_waited_for_again(
    stores: Stores, mongo: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends sessions that seem forgotten may hit one that is committing; the commit is there all the same."""
    id_ = uuid7().hex
    tx = MongoTransaction(stores.mongo)
    await tx.insert("pairs", {"_id": id_})
    session = tx._session
    assert session is not None
    commit = session.commit_transaction
    interrupted = [WriteConcernError("operation was interrupted", 11601)]

    async def commit_but_tell_of_an_interruption() -> None:
        await commit()
        if interrupted:
            raise interrupted.pop()

    monkeypatch.setattr(session, "commit_transaction", commit_but_tell_of_an_interruption)
    await tx.commit(5)
    await tx.close()
    assert interrupted == []
    assert await mongo.pairs.count_documents({"_id": id_}) == 1


@pytest.mark.parametrize("restored", ["postgres", "mongo", "mongo to before the marker"])
async def test_after_a_restore_nothing_is_guessed(
    settings: Settings,
    stores: Stores,
    units: UnitsOfWork,
    postgres: asyncpg.Connection,
    mongo: Database,
    name: str,
    restored: str,
) -> None:
    for _ in range(4):
        assert (await store_marker.tick(stores)).agree
    if restored == "postgres":
        await postgres.execute("UPDATE platform.store_marker SET tick = tick - 3")
    elif restored == "mongo":
        await mongo.store_marker.update_one({}, {"$inc": {"tick": -1}})
    else:
        await mongo.store_marker.delete_many({})
    undecided = await _leave(units, name, "prepared")
    decided = await _leave(units, f"{name} decided", "decided")
    swept = await sweep(stores, 0)
    assert not swept.marks.agree
    assert {one.xid: one.state for one in swept.found} == {
        undecided: State.FOR_A_PERSON,
        decided: State.COMMITTED,  # a decision that is there is one, whatever was restored
    }
    assert await two_phase.decision_of(stores.mongo, undecided) is None
    await store_marker.tick(stores)
    assert not (await store_marker.compare(stores)).agree  # it does not heal by itself
    assert await decide(stores, undecided, Verdict.ABORT)
    with pytest.raises(AlreadyDecided):
        await decide(stores, undecided, Verdict.COMMIT)
    await store_marker.accept(stores)
    assert (await sweep(stores, 0)).marks.agree
    assert await kept(postgres, mongo, name) == NEITHER


async def test_where_the_decision_may_be_forgotten_a_person_decides(
    stores: Stores, units: UnitsOfWork, postgres: asyncpg.Connection, mongo: Database, name: str
) -> None:
    kept_one = await _leave(units, f"{name} kept", "decided")
    left = await _leave(units, name, "prepared")
    other = await _leave(units, f"{name} other", "decided")
    await sweep(stores, 1e9)
    await postgres.execute(f"COMMIT PREPARED 'nexfit:{other}'")
    await asyncio.sleep(0.01)
    assert await recovery.prune_decisions(stores, dt.timedelta(0)) >= 1
    assert await two_phase.decision_of(stores.mongo, other) is None
    # Of what is still prepared the decision is kept, and a missing one means nothing any more.
    assert {one.xid: one.state for one in (await sweep(stores, 0)).found} == {
        kept_one: State.COMMITTED,
        left: State.FOR_A_PERSON,
    }
    assert await decide(stores, left, Verdict.COMMIT)
    assert (await kept(postgres, mongo, name)).row == 1


async def test_any_number_may_count_and_two_that_race_are_no_restore(stores: Stores) -> None:
    for _ in range(5):
        await asyncio.gather(*(store_marker.tick(stores) for _ in range(6)))
        assert (await store_marker.compare(stores)).agree


async def test_the_background_work_recovers(
    stores: Stores, units: UnitsOfWork, postgres: asyncpg.Connection, mongo: Database, name: str
) -> None:
    working = asyncio.create_task(recovery.keep_recovering(stores, grace=0.1, every=0.05))
    await _leave(units, name, "decided")

    async def is_there() -> bool:
        return await kept(postgres, mongo, name) == BOTH

    await until(is_there)
    working.cancel()


async def test_old_ones_and_a_restore_are_alarms(
    stores: Stores, units: UnitsOfWork, postgres: asyncpg.Connection, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "ALARM_AGE", 0.0)
    monkeypatch.setattr(recovery, "ALARM_SHARE", 0.0)
    await sweep(stores, 0)
    await postgres.execute("UPDATE platform.store_marker SET tick = tick + 9")
    await _leave(units, name, "prepared")
    with capture_logs() as logs:
        working = asyncio.create_task(recovery.keep_recovering(stores, grace=0.0, every=0.01))

        async def has_looked_again() -> bool:
            return bool(commit_metrics.PREPARED_AGE._value.get() > 0.3)

        await until(has_looked_again)
        working.cancel()
    # Each once, however often somebody looks.
    assert [line["event"] for line in logs if line["log_level"] == "critical"] == [
        "a store was restored without the other; run `nexfit recover`",
        "transactions stay prepared",
        "max_prepared_transactions is nearly used up",
    ]
    assert commit_metrics.PREPARED._value.get() == 1
    assert commit_metrics.RESTORED._value.get() == 1


async def test_the_command_says_what_it_would_do_and_does_it(
    settings: Settings,
    units: UnitsOfWork,
    stores: Stores,
    postgres: asyncpg.Connection,
    mongo: Database,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NEXFIT_MONGO_URL", settings.mongo.url.get_secret_value())
    monkeypatch.setenv("NEXFIT_MONGO_DATABASE", settings.mongo.database)
    monkeypatch.setenv("NEXFIT_POSTGRES_URL", settings.postgres.url.get_secret_value())
    monkeypatch.setenv("NEXFIT_REDIS_URL", settings.redis.url.get_secret_value())

    async def run(*arguments: str) -> tuple[int, str]:
        done = await asyncio.to_thread(CliRunner().invoke, app, ["recover", *arguments])
        return done.exit_code, done.output

    xid = await _leave(units, name, "decided")
    code, said = await run("--dry-run", "--grace", "0")
    assert (code, xid in said, "would be" in said, "committed" in said) == (0, True, True, True)
    assert (await kept(postgres, mongo, name)).row is None
    code, said = await run("--grace", "0")
    assert (code, "committed" in said) == (0, True)
    assert await kept(postgres, mongo, name) == BOTH
    assert await run() == (0, "Nothing is prepared.\n")
    await postgres.execute("UPDATE platform.store_marker SET tick = tick + 9")
    left = await _leave(units, f"{name} left", "prepared")
    code, said = await run("--grace", "0")
    assert (code, "undecidable" in said, "different moments" in said) == (1, True, True)
    code, said = await run("--accept-restore", "--abort", left)
    assert (code, "Nothing is prepared." in said) == (0, True)
