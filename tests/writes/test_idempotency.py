"""A request under a key takes effect once, and its first result is the only one, whatever dies in between."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from bson import ObjectId

from nexfit.domains.errors import BadInput, ErrorCode, IdempotencyConflict
from nexfit.domains.idempotency import once
from nexfit.hybrid import idempotency
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.settings import Settings
from nexfit.stores.connections import Stores

from .conftest import Database, kept, write_document, write_row

KINDS = ("postgres", "mongo", "both")


class _Body:
    """Writes a pair, and answers how often it has run."""

    def __init__(self, name: str, pause: float = 0.0) -> None:
        self.name = name
        self.pause = pause
        self.ended = 0

    async def __call__(self, work: Any) -> dict[str, Any]:
        if hasattr(work, "postgres"):
            await write_row(work, self.name, 1)
        if hasattr(work, "mongo"):
            await write_document(work, self.name, 1)
        await asyncio.sleep(self.pause)
        self.ended += 1
        return {"run": self.ended, "id": ObjectId("5" * 24)}


@pytest.fixture
def user() -> ObjectId:
    return ObjectId()


@pytest.mark.parametrize("kind", KINDS)
async def test_fifty_at_once_take_effect_once_and_get_one_answer(
    stores: Stores,
    units: UnitsOfWork,
    postgres: asyncpg.Connection,
    mongo: Database,
    user: ObjectId,
    name: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = _Body(name, 0.02)

    async def ask() -> Any:
        return await once(stores.mongo, getattr(units, kind)("test"), user, "test", "key", {"name": name}, body)

    answers = await asyncio.gather(*(ask() for _ in range(50)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["id"] == "5" * 24
    found = await kept(postgres, mongo, name)
    assert (found.row_events, found.document_events) == (int(kind != "mongo"), int(kind != "postgres"))
    assert await ask() == answers[0]


@pytest.mark.parametrize("kind", KINDS)
async def test_another_input_is_a_conflict_and_another_user_or_operation_is_not(
    stores: Stores,
    units: UnitsOfWork,
    postgres: asyncpg.Connection,
    mongo: Database,
    user: ObjectId,
    name: str,
    kind: str,
) -> None:
    async def ask(user: ObjectId, operation: str, input: dict[str, Any], body: _Body) -> Any:
        return await once(stores.mongo, getattr(units, kind)("test"), user, operation, "key", input, body)

    body, other = _Body(name), _Body(f"{name} other")
    first = await ask(user, "test", {"a": 1, "b": 2}, body)
    assert await ask(user, "test", {"b": 2, "a": 1}, body) == first
    with pytest.raises(IdempotencyConflict) as refused:
        await ask(user, "test", {"a": 1, "b": 3}, other)
    assert refused.value.code == ErrorCode.IDEMPOTENCY_CONFLICT
    found = await kept(postgres, mongo, other.name)
    assert (found.row, found.document, other.ended, body.ended) == (None, None, 0, 1)
    await ask(user, "other", {"a": 1, "b": 3}, other)
    await ask(ObjectId(), "test", {"a": 1, "b": 3}, other)
    assert other.ended == 2


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refusal_keeps_nothing(
    stores: Stores, units: UnitsOfWork, user: ObjectId, name: str, kind: str
) -> None:
    async def refuse(_: Any) -> None:
        raise BadInput("Not today.")

    def ask(body: Any) -> Any:
        return once(stores.mongo, getattr(units, kind)("test"), user, "test", "key", {}, body)

    with pytest.raises(BadInput):
        await ask(refuse)
    assert (await ask(_Body(name)))["run"] == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a\0b"])
async def test_an_impossible_key_is_refused(stores: Stores, units: UnitsOfWork, user: ObjectId, key: str) -> None:
    with pytest.raises(BadInput):
        await once(stores.mongo, units.postgres("test"), user, "test", key, {}, _Body("x"))


async def test_old_keys_are_forgotten(
    stores: Stores, units: UnitsOfWork, postgres: asyncpg.Connection, user: ObjectId, name: str
) -> None:
    body = _Body(name)

    async def ask() -> Any:
        return await once(stores.mongo, units.postgres("test"), user, "test", "key", {}, body)

    await ask()
    await idempotency.prune(stores.postgres)
    await ask()
    assert body.ended == 1
    await postgres.execute(
        "UPDATE finance.idempotency_keys SET created_at = now() - interval '3 days',"
        " expires_at = now() - interval '1 day' WHERE actor_id = $1",
        str(user),
    )
    await idempotency.prune(stores.postgres)
    await ask()
    assert body.ended == 2


@pytest.mark.parametrize("kind", KINDS)
async def test_killed_between_commit_and_answer_the_retry_gets_the_first_result(
    settings: Settings,
    stores: Stores,
    units: UnitsOfWork,
    postgres: asyncpg.Connection,
    mongo: Database,
    user: ObjectId,
    name: str,
    kind: str,
) -> None:
    environment = os.environ | {
        "NEXFIT_MONGO_URL": settings.mongo.url.get_secret_value(),
        "NEXFIT_MONGO_DATABASE": settings.mongo.database,
        "NEXFIT_POSTGRES_URL": settings.postgres.url.get_secret_value(),
        "NEXFIT_REDIS_URL": settings.redis.url.get_secret_value(),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.writes.answering", kind, str(user), name),
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    assert await process.wait() == -signal.SIGKILL
    body = _Body(name)
    answer = await once(stores.mongo, getattr(units, kind)("test"), user, "test", "key", {"name": name}, body)
    assert answer == {"answered by": process.pid}
    assert body.ended == 0
    found = await kept(postgres, mongo, name)
    assert (found.row or 0, found.document or 0) == (int(kind != "mongo"), int(kind != "postgres"))
