"""Carrying out what people asked for: one worker at a time, step by step, going on where another one died."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog
from bson import ObjectId

from nexfit.domains.privacy.blockers import blockers_of, sql
from nexfit.domains.privacy.requests import RequestKind
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.fault_points import reach
from nexfit.hybrid.unit_of_work import PostgresWork
from nexfit.operations.people.desk import Case, PeopleDesk
from nexfit.operations.people.erasing import STEPS
from nexfit.operations.people.exporting import write_export
from nexfit.operations.people.places import find_person
from nexfit.stores.postgres import Row
from nexfit.stores.signed_files import SignedFiles

LEASE = 120
"""Seconds after which a worker that said nothing has lost its request."""

AGAIN = timedelta(days=1)
"""When an erasure that cannot be yet is looked at again."""

MOST = 50
"""Requests carried out in one run."""

Progress = Callable[[str, int, int], None]

log = structlog.get_logger(__name__)


class Lost(Exception):
    """Another worker has the request, or it was cancelled."""


async def work(desk: PeopleDesk, *, now: datetime, on_progress: Progress = lambda *_: None) -> int:
    """Carry out everything that is due, and delete files that have been there long enough; how many requests.

    Raises what a step raises; then the request goes on with the next run.
    """
    done = 0
    for row in await desk.stores.postgres.fetch(sql.due, now, MOST):
        done += await carry_out(desk, row["request_id"], now=now, on_progress=on_progress)
    await _delete_outdated(desk, now)
    return done


async def carry_out(desk: PeopleDesk, request: UUID, *, now: datetime, on_progress: Progress = lambda *_: None) -> bool:
    """Carry out one request, or go on with it; False where another worker has it, or it cannot be yet."""
    worker = uuid4()
    row = await _claim(desk, request, worker)
    if row is None:
        return False
    try:
        if row["kind"] == RequestKind.EXPORT:
            return await _export(desk, row, worker, now, on_progress)
        return await _erase(desk, row, worker, now, on_progress)
    except Lost:
        log.info("a request of a person went to somebody else", request=str(request))
        return False
    finally:
        await desk.stores.postgres.fetch(sql.release, request, worker)


async def _claim(desk: PeopleDesk, request: UUID, worker: UUID) -> Row | None:
    rows = await desk.stores.postgres.fetch(sql.claim, request, worker, LEASE)
    return rows[0] if rows else None


async def _begin(desk: PeopleDesk, request: UUID, worker: UUID) -> None:
    if not await desk.stores.postgres.fetch(sql.begin, request, worker):
        raise Lost


async def _export(desk: PeopleDesk, row: Row, worker: UUID, now: datetime, on_progress: Progress) -> bool:
    request = row["request_id"]
    await _begin(desk, request, worker)
    person = await find_person(desk.stores, ObjectId(row["user_id"]))
    assert person is not None  # noqa: S101  # accounts are never deleted
    key = f"people/{person.text}/{request}.zip"
    path = desk.settings.files.root / key
    size = await write_export(desk.settings, desk.stores, person, path, now=now, on_progress=on_progress)
    reach("export written")
    until = now + timedelta(days=desk.settings.privacy.export_days)

    async def body(unit: PostgresWork) -> bool:
        if await unit.postgres.fetch_one(sql.finish, request, now, key, size, until) is None:
            return False
        unit.audit(_audit("data.exported", row))
        return True

    is_finished = await desk.units.postgres("finish_export").run(body)
    if not is_finished:  # erased meanwhile
        path.unlink(missing_ok=True)
    return is_finished


async def _erase(desk: PeopleDesk, row: Row, worker: UUID, now: datetime, on_progress: Progress) -> bool:
    request, user_id = row["request_id"], ObjectId(row["user_id"])
    person = await find_person(desk.stores, user_id)
    assert person is not None  # noqa: S101  # accounts are never deleted
    if row["status"] != "running":
        blockers = await blockers_of(desk.stores, user_id, now)
        if blockers:
            await desk.stores.postgres.fetch(sql.block, request, [str(code) for code in blockers], now + AGAIN)
            return False
        await _begin(desk, request, worker)
    case = Case(desk, request, person, now)
    done = {step["step"] for step in await desk.stores.postgres.fetch(sql.steps, request)}
    for number, (name, step) in enumerate(STEPS, 1):
        if name not in done:
            if await _claim(desk, request, worker) is None:
                raise Lost
            reach(f"before {name}")
            counts = await step(case)
            reach(f"after {name}")
            await desk.stores.postgres.fetch(sql.step, request, name, counts)
            await desk.stores.postgres.fetch(sql.progress, request, number)
        on_progress("erasure", number, len(STEPS))

    async def body(unit: PostgresWork) -> bool:
        if await unit.postgres.fetch_one(sql.finish, request, now, None, None, None) is None:
            return False
        unit.audit(_audit("data.erasure_finished", row))
        return True

    return await desk.units.postgres("finish_erasure").run(body)


async def _delete_outdated(desk: PeopleDesk, now: datetime) -> None:
    for row in await desk.stores.postgres.fetch(sql.outdated, now):
        SignedFiles.of(desk.settings).remove([row["file_key"]])
        await desk.stores.postgres.fetch(sql.drop_file, row["request_id"])


def _audit(action: str, row: Row) -> Audit:
    return Audit(action, "user", row["user_id"], after={"request": str(row["request_id"])})
