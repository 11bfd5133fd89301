"""The three stores of a process, opened and closed together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nexfit.settings import Settings
from nexfit.stores.field_encryption import KeyRing
from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres import Postgres
from nexfit.stores.redis import RedisStore


@dataclass(frozen=True, slots=True)
class Stores:
    """Connected stores, and the keys of what is kept encrypted in them; none is contacted before its first command."""

    mongo: Mongo
    postgres: Postgres
    redis: RedisStore
    keys: KeyRing


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator[Stores]:
    """Stores for as long as the block runs; a store that is down does not keep the others from opening."""
    mongo = Mongo(settings.mongo)
    redis = RedisStore(settings.redis)
    postgres = await Postgres.connect(settings.postgres)
    try:
        yield Stores(mongo, postgres, redis, KeyRing.of(settings.encryption))
    finally:
        await postgres.close()
        await redis.close()
        await mongo.close()
