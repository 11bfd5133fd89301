"""One unit of work, one outcome: in PostgreSQL, in MongoDB, or in both or neither."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from nexfit.hybrid import two_phase, unit_of_work
from nexfit.hybrid.audit import REMOVED, Audit
from nexfit.hybrid.commits import OutcomeUnknown
from nexfit.hybrid.unit_of_work import NestedUnitOfWork, UnitsOfWork, WrongHome
from nexfit.stores.connections import Stores
from nexfit.stores.errors import ConstraintViolated, StoreError, StoreUnavailable, WriteConflict
from nexfit.stores.mongo_transactions import end_idle_transactions
from nexfit.stores.postgres_transactions import Isolation

from .conftest import (
    NOTHING,
    Database,
    Guarded,
    Kept,
    PairFiled,
    PairWritten,
    Purged,
    at_point,
    kept,
    until,
    write_document,
    write_row,
)

KINDS = ("postgres", "mongo", "both")


async def _write(work: Any, name: str, value: int) -> None:
    """What a unit of any kind can write of a pair, with an audit entry and a tag."""
    if hasattr(work, "postgres"):
        await write_row(work, name, value)
    if hasattr(work, "mongo"):
        await write_document(work, name, value)
    work.audit(Audit("set", "pair", name[:24], after={"value": value, "apiToken": "s3cret"}))
    work.invalidates(f"extra:{name}")


def _expected(kind: str, value: int) -> Kept:
    """Two events a store: the fact, and the tags named besides those of the events."""
    rows, documents = kind in ("postgres", "both"), kind in ("mongo", "both")
    return Kept(value if rows else None, value if documents else None, int(rows), int(documents))


async def _audits(postgres: asyncpg.Connection, mongo: Database, name: str) -> list[Any]:
    rows = await postgres.fetch("SELECT new_state FROM finance.audit_logs WHERE entity_id = $1", name[:24])
    documents = await mongo.audit_entries.find({"entityId": name[:24]}).to_list()
    return [row["new_state"] for row in rows] + [document["newState"].decode() for document in documents]


@pytest.mark.parametrize("kind", KINDS)
async def test_everything_is_there_with_the_commit_and_not_before(
    units: UnitsOfWork, postgres: asyncpg.Connection, mongo: Database, purged: Purged, name: str, kind: str
) -> None:
    async with getattr(units, kind)("test") as work:
        await _write(work, name, 7)
        assert await kept(postgres, mongo, name) == NOTHING
        assert purged.tags == []
    assert await kept(postgres, mongo, name) == _expected(kind, 7)
    (state,) = await _audits(postgres, mongo, name)
    assert "s3cret" not in state
    assert REMOVED in state
    assert sorted(purged.tags) == [f"extra:{name}", f"pair:{name}"]
    assert await postgres.fetchval("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()") == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_leaving_by_an_exception_leaves_nothing(
    units: UnitsOfWork, postgres: asyncpg.Connection, mongo: Database, purged: Purged, name: str, kind: str
) -> None:
    async def body(work: Any) -> None:
        await _write(work, name, 7)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await getattr(units, kind)("test").run(body)
    assert await kept(postgres, mongo, name) == NOTHING
    assert await _audits(postgres, mongo, name) == []
    assert purged.tags == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_body_leaves_nothing(
    units: UnitsOfWork, postgres: asyncpg.Connection, mongo: Database, name: str, kind: str
) -> None:
    has_written = asyncio.Event()

    async def body(work: Any) -> None:
        await _write(work, name, 7)
        has_written.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(getattr(units, kind)("test").run(body))
    await has_written.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await kept(postgres, mongo, name) == NOTHING
    # And no lock is left: the same pair can be written at once.
    async with getattr(units, kind)("test") as work:
        await _write(work, name, 8)
    assert await kept(postgres, mongo, name) == _expected(kind, 8)


@pytest.mark.parametrize("point", ["written", "prepared", "decided"])
async def test_a_cancellation_in_the_middle_of_a_commit_waits_for_its_outcome(
    units: UnitsOfWork, postgres: asyncpg.Connection, mongo: Database, purged: Purged, name: str, point: str
) -> None:
    async def body(work: Any) -> None:
        await _write(work, name, 7)

    running = asyncio.create_task(units.both("test").run(body))
    with at_point(point, running.cancel), pytest.raises(asyncio.CancelledError):
        await running
    assert await kept(postgres, mongo, name) == _expected("both", 7)
    assert f"pair:{name}" in purged.tags
    assert await postgres.fetchval("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()") == 0


@pytest.mark.parametrize("inner", KINDS)
@pytest.mark.parametrize("outer", KINDS)
async def test_units_do_not_nest(units: UnitsOfWork, outer: str, inner: str) -> None:
    async def nested() -> None:
        async with getattr(units, inner)("inner"):
            pass

    async with getattr(units, outer)("outer"):
        with pytest.raises(NestedUnitOfWork, match="inner was opened inside outer"):
            await nested()
        with pytest.raises(NestedUnitOfWork):
            await asyncio.create_task(nested())
    await nested()


async def test_an_event_is_told_by_a_unit_that_writes_its_store(units: UnitsOfWork) -> None:
    async with units.postgres("test") as work:
        with pytest.raises(WrongHome, match="PairFiled lives in mongo, which test does not write"):
            work.emit(PairFiled(name="x", value=1))
    async with units.mongo("test") as work_there:
        with pytest.raises(WrongHome):
            work_there.emit(PairWritten(name="x", value=1))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refused_write_is_an_error_and_nothing_is_kept(
    units: UnitsOfWork, postgres: asyncpg.Connection, mongo: Database, name: str, kind: str
) -> None:
    async def body(work: Any) -> None:
        await _write(work, name, 7)
        if kind == "mongo":
            await work.mongo.insert("pairs", {"_id": name, "value": 8})
        else:
            await work.postgres.execute("INSERT INTO pairs VALUES ($1, -1)", name)

    with pytest.raises(ConstraintViolated) as refused:
        await getattr(units, kind)("test").run(body)
    assert refused.value.constraint in {"_id_", "pairs_value_check", "pairs_pkey"}
    assert await kept(postgres, mongo, name) == NOTHING


@pytest.mark.parametrize("kind", KINDS)
async def test_a_failure_that_the_body_hides_is_not_committed(
    units: UnitsOfWork, postgres: asyncpg.Connection, mongo: Database, name: str, kind: str
) -> None:
    async def body(work: Any) -> None:
        await _write(work, name, 7)
        fails = (
            work.postgres.execute("SELECT 1 / 0")
            if kind == "postgres"
            else work.mongo.insert("pairs", {"_id": name, "value": 8})
        )
        with pytest.raises(StoreError):
            await fails

    with pytest.raises(StoreError):
        await getattr(units, kind)("test").run(body)
    assert await kept(postgres, mongo, name) == NOTHING


async def _add_one(work: Any, kind: str, name: str) -> int:
    """Read, then write: right only where nobody else comes between."""
    if kind != "mongo":
        value = await work.postgres.fetch_value("SELECT value FROM pairs WHERE name = $1", name)
        await asyncio.sleep(0.01)
        await write_row(work, name, value + 1)
    if kind != "postgres":
        found = await work.mongo.find_one("pairs", {"_id": name}, ["value"])
        await write_document(work, name, found["value"] + 1)
    return 1


@pytest.mark.parametrize("kind", KINDS)
async def test_conflicts_run_again_until_all_have_written(
    units: UnitsOfWork,
    postgres: asyncpg.Connection,
    mongo: Database,
    name: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unit_of_work, "TRIES", 60)
    monkeypatch.setattr(unit_of_work, "RETRY_SECONDS", 60.0)
    more = {} if kind == "mongo" else {"isolation": Isolation.REPEATABLE_READ}
    unit = getattr(units, kind)
    async with unit("test") as work:
        await _write(work, name, 0)
    done = await asyncio.gather(*(unit("test", **more).run(lambda work: _add_one(work, kind, name)) for _ in range(8)))
    found = await kept(postgres, mongo, name)
    assert sum(done) == 8
    assert (found.row or 0, found.document or 0) == ((8 if kind != "mongo" else 0), (8 if kind != "postgres" else 0))
    assert (found.row_events, found.document_events) == (
        9 if kind != "mongo" else 0,
        9 if kind != "postgres" else 0,
    )


async def test_a_deadlock_is_run_again(units: UnitsOfWork, postgres: asyncpg.Connection, mongo: Database) -> None:
    names = [f"deadlock {n}" for n in (1, 2)]
    async with units.postgres("test") as work:
        for name in names:
            await write_row(work, name, 0)
    both_hold_one = asyncio.Barrier(2)
    runs = 0

    async def body(work: Any, first: str, second: str) -> None:
        nonlocal runs
        runs += 1
        await work.postgres.execute("UPDATE pairs SET value = value + 1 WHERE name = $1", first)
        if runs <= 2:
            await both_hold_one.wait()
        await work.postgres.execute("UPDATE pairs SET value = value + 1 WHERE name = $1", second)

    await asyncio.gather(
        units.postgres("test").run(lambda work: body(work, *names)),
        units.postgres("test").run(lambda work: body(work, *reversed(names))),
    )
    assert runs == 3
    assert [(await kept(postgres, mongo, name)).row for name in names] == [2, 2]


@pytest.mark.parametrize("kind", KINDS)
async def test_retries_end(units: UnitsOfWork, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_of_work, "TRIES", 3)
    runs = 0

    async def body(_: Any) -> None:
        nonlocal runs
        runs += 1
        raise WriteConflict("mongo", "always")

    with pytest.raises(WriteConflict):
        await getattr(units, kind)("test").run(body)
    assert runs == 3


async def test_without_mongo_a_unit_over_both_is_one_plain_commit(
    units: UnitsOfWork, postgres: asyncpg.Connection, mongo: Database, name: str
) -> None:
    async with units.both("test") as work:
        await write_row(work, name, 7)
    assert await kept(postgres, mongo, name) == Kept(7, None, 1, 0)
    assert await mongo.decisions.count_documents({"_id": work.xid}) == 0


class _Runs:
    """A body that counts how often it runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0

    async def __call__(self, work: Any) -> None:
        self.count += 1
        await _write(work, self.name, self.count)


async def test_a_lost_answer_to_a_postgres_commit_is_found_out(
    guarded: Guarded, postgres: asyncpg.Connection, mongo: Database, name: str
) -> None:
    body = _Runs(name)
    with at_point("written", guarded.postgres.stall):
        running = asyncio.create_task(guarded.units.postgres("test").run(body))
        await until(lambda: postgres.fetchval("SELECT true FROM pairs WHERE name = $1", name))
        guarded.postgres.cut()
        guarded.postgres.resume()
        await running
    assert body.count == 1
    assert await kept(postgres, mongo, name) == _expected("postgres", 1)


async def test_a_connection_lost_before_a_postgres_commit_is_run_again(
    guarded: Guarded, postgres: asyncpg.Connection, mongo: Database, name: str
) -> None:
    body = _Runs(name)
    with at_point("written", guarded.postgres.cut):
        await guarded.units.postgres("test").run(body)
    assert body.count == 2
    assert await kept(postgres, mongo, name) == _expected("postgres", 2)


@pytest.mark.parametrize("kind", ["mongo", "both"])
async def test_a_lost_answer_to_a_mongo_commit_is_asked_for_again(
    guarded: Guarded, postgres: asyncpg.Connection, mongo: Database, name: str, kind: str
) -> None:
    body = _Runs(name)
    point = "written" if kind == "mongo" else "prepared"
    with at_point(point, guarded.mongo.stall):
        running = asyncio.create_task(getattr(guarded.units, kind)("test").run(body))
        await until(lambda: mongo.pairs.find_one({"_id": name}))
        guarded.mongo.cut()
        guarded.mongo.resume()
        await running
    assert body.count == 1
    assert await kept(postgres, mongo, name) == _expected(kind, 1)


@pytest.mark.parametrize("point", ["written", "prepared", "decided"])
async def test_connections_to_postgres_cut_in_the_middle_of_a_commit_over_both(
    guarded: Guarded, postgres: asyncpg.Connection, mongo: Database, name: str, point: str
) -> None:
    body = _Runs(name)
    with at_point(point, guarded.postgres.cut):
        await guarded.units.both("test").run(body)
    assert await kept(postgres, mongo, name) == _expected("both", body.count)
    assert await postgres.fetchval("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()") == 0


async def test_mongo_out_of_reach_at_the_decision_leaves_it_open(
    guarded: Guarded,
    postgres: asyncpg.Connection,
    mongo: Database,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(two_phase, "PATIENCE", 0.5)
    body = _Runs(name)

    def lose() -> None:
        guarded.mongo.stall()
        guarded.mongo.cut()

    with at_point("prepared", lose), pytest.raises(OutcomeUnknown):
        await guarded.units.both("test").run(body)
    guarded.mongo.resume()
    assert body.count == 1
    # PostgreSQL holds its half for recovery: neither committed nor lost.
    gid = await postgres.fetchval("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
    assert (await kept(postgres, mongo, name)).row is None
    await postgres.execute(f"ROLLBACK PREPARED '{gid}'")
    await end_idle_transactions(guarded.stores.mongo, 0)


async def test_a_cache_that_is_away_keeps_no_commit_from_being_made(
    stores: Stores, postgres: asyncpg.Connection, mongo: Database, name: str
) -> None:
    async def away(_: object) -> None:
        raise StoreUnavailable("redis", "away")

    woken: list[bool] = []
    async with UnitsOfWork(stores, away, lambda: woken.append(True)).both("test") as work:
        await _write(work, name, 7)
    assert await kept(postgres, mongo, name) == _expected("both", 7)
    assert woken == [True]
