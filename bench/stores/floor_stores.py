"""What the floor reads through: the product's own store layer, or the drivers as plainly as they can be used.

Both send the same commands. Through the store layer (the default) the floor is what the API could at best become: all
that is left out is GraphQL, rights and domains. Through plain drivers it is what somebody would write without NexFit.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import asyncpg
import orjson
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from nexfit.domains.finance.overview import LIFETIME
from nexfit.hybrid.versions import GENERATION, tag_key
from nexfit.settings import MongoSettings, PostgresSettings, RedisSettings, Settings
from nexfit.stores.mongo import SINGLE_BATCH, Mongo
from nexfit.stores.postgres import Postgres
from nexfit.stores.redis import Command, RedisStore

NAME = "nexfit-bench-floor"

Json = dict[str, Any]
Load = Callable[[], Awaitable[Mapping[str, Any]]]


class Reads(Protocol):
    """The reads a floor needs."""

    async def find(
        self,
        collection: str,
        filter: Json,
        columns: Sequence[str],
        *,
        sort: Sequence[tuple[str, int]] | None = None,
        limit: int = 0,
    ) -> list[Json]:
        """MongoDB documents."""

    async def aggregate(self, pipeline: Sequence[Json], collection: str | None = None) -> list[Json]:
        """MongoDB documents of a pipeline over a collection, or one that starts from `$documents`."""

    async def fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        """PostgreSQL rows."""

    async def send(self, batch: Sequence[Command]) -> Sequence[Any]:
        """Answers of Redis to a batch of commands."""

    async def close(self) -> None:
        """Close every connection."""


class StoreLayer:
    """Reads through `nexfit.stores`."""

    def __init__(self, mongo: Mongo, postgres: Postgres, redis: RedisStore) -> None:
        self._stores = (mongo, postgres, redis)
        self.find = partial(mongo.find, zoneless=True)
        self.fetch = postgres.fetch
        self.send = redis.send

    @classmethod
    async def open(cls, settings: Settings) -> StoreLayer:
        """Open it inside the running loop."""
        return cls(Mongo(settings.mongo), await Postgres.connect(settings.postgres), RedisStore(settings.redis))

    async def aggregate(self, pipeline: Sequence[Json], collection: str | None = None) -> list[Json]:
        """MongoDB documents of a pipeline over a collection, or one that starts from `$documents`."""
        mongo = self._stores[0]
        if collection is None:
            return await mongo.aggregate_documents(pipeline, zoneless=True)
        return await mongo.aggregate(collection, pipeline, zoneless=True)

    async def close(self) -> None:
        """Close every connection."""
        for store in self._stores:
            await store.close()


class PlainDrivers:
    """Reads through PyMongo, asyncpg and redis-py, with the product's own limits and guarantees.

    The pool is not told to reset sessions that nobody changed, and nobody listens to the commands.
    """

    def __init__(
        self, client: AsyncMongoClient[Json], database: str, postgres: asyncpg.Pool[Any], redis: Redis
    ) -> None:
        self._client = client
        self._mongo = client[database]
        self._postgres = postgres
        self._redis = redis
        self.fetch = postgres.fetch

    @classmethod
    async def open(cls, settings: Settings) -> PlainDrivers:
        """Open it inside the running loop."""
        client = _mongo_client(settings.mongo)
        pool = _postgres_pool(settings.postgres)
        await pool
        return cls(client, settings.mongo.database, pool, _redis_client(settings.redis))

    async def find(
        self,
        collection: str,
        filter: Json,
        columns: Sequence[str],
        *,
        sort: Sequence[tuple[str, int]] | None = None,
        limit: int = 0,
    ) -> list[Json]:
        """MongoDB documents."""
        selected = {"_id": 1, **dict.fromkeys(columns, 1)}
        batch = 0 if limit else SINGLE_BATCH
        cursor = self._mongo[collection].find(filter, selected, sort=sort, limit=limit, batch_size=batch)
        return await cursor.to_list()

    async def aggregate(self, pipeline: Sequence[Json], collection: str | None = None) -> list[Json]:
        """MongoDB documents of a pipeline over a collection, or one that starts from `$documents`."""
        source = self._mongo if collection is None else self._mongo[collection]
        return await (await source.aggregate(pipeline, batchSize=SINGLE_BATCH)).to_list()

    async def command(self, command: Mapping[str, Any], codec: CodecOptions[Json]) -> list[Json]:
        """MongoDB's first batch of a command that reads, which is all there is of a page."""
        answer = await self._mongo.command({**command, "readConcern": {"level": "majority"}}, codec_options=codec)
        documents: list[Json] = answer["cursor"]["firstBatch"]
        return documents

    async def transaction(self, body: Callable[[AsyncDatabase[Json], AsyncClientSession], Awaitable[object]]) -> None:
        """Run a transaction of MongoDB as the driver does, with the product's concerns."""

        async def run(session: AsyncClientSession) -> None:
            await body(self._mongo, session)

        async with self._client.start_session() as session:
            await session.with_transaction(run, ReadConcern("snapshot"), WriteConcern("majority", j=True))

    async def send(self, batch: Sequence[Command]) -> Sequence[Any]:
        """Answers of Redis to a batch of commands."""
        pipeline = self._redis.pipeline(transaction=False)
        for command in batch:
            pipeline.execute_command(*command)
        answers: list[Any] = await pipeline.execute()
        return answers

    async def close(self) -> None:
        """Close every connection."""
        await self._postgres.close()
        await self._redis.aclose()
        await self._client.close()


END_LEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
"""As the product lets go of what it had taken to load alone."""


class Views:
    """Joined views in Redis as the product keeps them: under tags with versions, one load per key at a time."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._loading: dict[tuple[str, ...], asyncio.Future[Mapping[str, Any]]] = {}
        self._held: dict[str, Any] = {}

    async def _read(self, tags: Sequence[str], asked: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
        """Versions of the tags behind the generation, and the stored ones of the keys asked for."""
        [[_, *answered], *found] = await self._reads.send([("MGET", *tags), *(("GET", key) for key in asked)])
        versions = [(version or b"").decode() for version in answered]
        return versions, {key: orjson.loads(value) for key, value in zip(asked, found, strict=True) if value}

    async def get(self, keys: Sequence[tuple[str, str]], items: Sequence[str], load: Load) -> Mapping[str, Any]:
        """The values of a view, given as (key, tag) per item; loaded where a value or a tag says no.

        All items are loaded when one is missing: they are stored together and become unreadable together. Requests that
        saw the same versions share a load, as they do in the product.
        """
        tags = [GENERATION, *(tag_key(tag) for _, tag in keys)]
        held = [self._held.get(key) for key, _ in keys]
        asked = [key for (key, _), one in zip(keys, held, strict=True) if one is None]
        versions, read = await self._read(tags, asked)
        old = [
            key for (key, _), one, version in zip(keys, held, versions, strict=True) if one and one["tag"] != version
        ]
        if old:  # somebody may have stored what is new
            held = [None if key in old else one for (key, _), one in zip(keys, held, strict=True)]
            versions, newer = await self._read(tags, old)
            read |= newer
        stored = [one or read.get(key) for (key, _), one in zip(keys, held, strict=True)]
        if all(value and value["tag"] == version for value, version in zip(stored, versions, strict=True)):
            self._held |= {key: value for (key, _), value in zip(keys, stored, strict=True)}
            return {item: value["value"] for item, value in zip(items, stored, strict=True) if value}
        flight = tuple(f"{key}@{version}" for (key, _), version in zip(keys, versions, strict=True))
        loading = self._loading.get(flight)
        if loading is not None:
            return await loading
        loading = self._loading[flight] = asyncio.ensure_future(load())
        try:
            leases = [f"{key}:fill:{version}" for (key, _), version in zip(keys, versions, strict=True)]
            await self._reads.send([("SET", lease, "1", "NX", "PX", 1000) for lease in leases])
            values = await loading
        finally:
            del self._loading[flight]
        commands: list[Command] = [("MGET", *tags)]
        for (key, _), version, item in zip(keys, versions, items, strict=True):
            value = {"tag": version, "value": values[item]}
            self._held[key] = value
            lifetime = int(LIFETIME * 1000 * random.uniform(0.8, 1.0))
            commands.append(("SET", key, orjson.dumps(value), "PX", lifetime))
        commands += [("EVAL", END_LEASE, 1, lease, "1", 10) for lease in leases]
        await self._reads.send(commands)
        return values


def _mongo_client(settings: MongoSettings) -> AsyncMongoClient[Json]:
    return AsyncMongoClient(
        settings.url.get_secret_value(),
        appname=NAME,
        w="majority",
        journal=True,
        readConcernLevel="majority",
        timeoutMS=int(settings.timeout * 1000),
        serverSelectionTimeoutMS=int(settings.server_selection_timeout * 1000),
        connectTimeoutMS=int(settings.server_selection_timeout * 1000),
        maxPoolSize=settings.pool_size,
    )


def _postgres_pool(settings: PostgresSettings) -> asyncpg.Pool[Any]:
    async def leave_as_it_is(_: object) -> None:
        """Nobody changes a session's settings here, so none has to be reset."""

    return asyncpg.create_pool(
        settings.url.get_secret_value(),
        min_size=0,
        max_size=settings.pool_size,
        timeout=settings.connect_timeout,
        command_timeout=settings.statement_timeout,
        statement_cache_size=1024,
        reset=leave_as_it_is,
        server_settings={
            "application_name": NAME,
            "statement_timeout": str(int(settings.statement_timeout * 1000)),
            "jit": "off",
        },
    )


_REDIS_CONNECTIONS = 20


def _redis_client(settings: RedisSettings) -> Redis:
    return Redis(
        connection_pool=BlockingConnectionPool.from_url(
            settings.url.get_secret_value(),
            max_connections=_REDIS_CONNECTIONS,
            timeout=settings.timeout,
            socket_timeout=settings.timeout,
            socket_connect_timeout=settings.connect_timeout,
            retry=Retry(NoBackoff(), 0),
            protocol=3,
            client_name=NAME,
        )
    )
