"""Requests that take effect once, however often they are sent: their first outcome is kept with the change itself.

The key is taken in the transaction of the change, so there is no moment at which one is there without the other. In
units that write PostgreSQL a request waits for another one under its key; in units of MongoDB alone it tries again.
What fails keeps nothing, and may be sent again under the same key.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from nexfit.hybrid.documents import IdempotencyKey
from nexfit.hybrid.unit_of_work import BothWork, MongoWork, PostgresWork, Unit
from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres import Postgres

KEPT = dt.timedelta(hours=48)
"""How long an outcome is kept at least; PostgreSQL's table has the same default."""

PATIENCE = 3.0
"""Seconds a request in MongoDB waits for another one under its key."""

LONGEST = 255
"""Characters of a key at most."""

W = TypeVar("W", PostgresWork, MongoWork, BothWork)

_TAKE = """
INSERT INTO finance.idempotency_keys (actor_id, operation, idempotency_key, request_hash) VALUES ($1, $2, $3, $4)
  ON CONFLICT DO NOTHING RETURNING true
"""
_HELD = """
SELECT request_hash, outcome FROM finance.idempotency_keys
  WHERE actor_id = $1 AND operation = $2 AND idempotency_key = $3
"""
_KEEP = """
UPDATE finance.idempotency_keys SET outcome = $4 WHERE actor_id = $1 AND operation = $2 AND idempotency_key = $3
"""
_PRUNE = "DELETE FROM finance.idempotency_keys WHERE expires_at < now()"

_COLLECTION = IdempotencyKey.Settings.name


class KeyReused(Exception):
    """The key belongs to a request with another input."""


class _Known(Exception):
    """There is an outcome; nothing is to be written."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome


class _Taken(Exception):
    """MongoDB holds a document of the key, or another transaction is about to write it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One person's request of one operation under a key of their choice. `digest` is SHA-256 of its input."""

    actor_id: str
    operation: str
    key: str
    digest: bytes

    @classmethod
    def of(cls, actor_id: str, operation: str, key: str, input: Mapping[str, Any]) -> Request:
        """The request with this input, which is JSON-like. Raises ValueError for an empty or too long key."""
        if not 1 <= len(key) <= LONGEST or "\0" in key:
            raise ValueError(f"a key has 1 to {LONGEST} characters")
        told = orjson.dumps(input, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
        return cls(actor_id, operation, key, hashlib.sha256(told).digest())

    @property
    def id(self) -> str:
        """The key's document in MongoDB."""
        return f"{self.actor_id}:{self.operation}:{self.key}"


async def once(mongo: Mongo, unit: Unit[W], request: Request, body: Callable[[W], Awaitable[Any]]) -> Any:
    """The JSON-like outcome of `body`, run in the unit the first time and read from the stores ever after.

    Raises KeyReused, and what `Unit.run` raises; WriteConflict or StoreUnavailable when another request under the key
    is still at it.
    """

    async def keyed(work: W) -> Any:
        if isinstance(work, MongoWork):
            return await _in_mongo(work, request, body)
        return await _in_postgres(work, request, body)

    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            return await unit.run(keyed)
        except _Known as known:
            return known.outcome
        except _Taken:
            for held in await mongo.find(_COLLECTION, {"_id": request.id}, ["digest", "outcome"], limit=1):
                return _outcome(request, held["digest"], orjson.loads(held["outcome"]))
        if asyncio.get_running_loop().time() > deadline:
            raise WriteConflict("mongo", f"the key {request.id} is in use")
        await asyncio.sleep(0.02)


async def prune(postgres: Postgres) -> None:
    """Delete outcomes that were kept long enough; MongoDB does so by itself. Raises StoreError."""
    await postgres.fetch(_PRUNE)


async def _in_postgres(work: W, request: Request, body: Callable[[W], Awaitable[Any]]) -> Any:
    assert not isinstance(work, MongoWork)  # noqa: S101  # `once` has looked
    key = (request.actor_id, request.operation, request.key)
    if await work.postgres.fetch_one(_TAKE, *key, request.digest) is None:
        held = await work.postgres.fetch_one(_HELD, *key)
        if held is None:
            raise WriteConflict("postgres", f"the key {request.id} was let go a moment ago")
        raise _Known(_outcome(request, held["request_hash"], held["outcome"]))
    outcome = _as_kept(await body(work))
    await work.postgres.execute(_KEEP, *key, orjson.loads(outcome))
    return orjson.loads(outcome)


async def _in_mongo(work: MongoWork, request: Request, body: Callable[[Any], Awaitable[Any]]) -> Any:
    try:
        await work.mongo.insert(
            _COLLECTION,
            {"_id": request.id, "digest": request.digest, "expiresAt": dt.datetime.now(dt.UTC) + KEPT},
        )
    except ConstraintViolated as violated:
        if violated.constraint != "_id_":
            raise
        raise _Taken from violated
    outcome = _as_kept(await body(work))
    await work.mongo.update(_COLLECTION, {"_id": request.id}, {"$set": {"outcome": outcome}})
    return orjson.loads(outcome)


def _as_kept(outcome: Any) -> bytes:
    """The outcome as JSON: the first answer is made of the same as every later one."""
    return orjson.dumps(outcome, default=str)


def _outcome(request: Request, digest: bytes, outcome: Any) -> Any:
    if digest != request.digest:
        raise KeyReused(request.id)
    return outcome
