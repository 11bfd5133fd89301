"""MongoDB over PyMongo's asyncio API: durable by default, projected reads, one command per read.

Reads go out through `mongo_reads`, which costs a fifth of a PyMongo command, and through PyMongo where that cannot.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from time import monotonic
from typing import Any

import pymongo
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, monitoring
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConnectionFailure, ExecutionTimeout, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from nexfit.settings import MongoSettings
from nexfit.stores import commands
from nexfit.stores.errors import StoreError, StoreUnavailable
from nexfit.stores.mongo_reads import MongoReads

Document = dict[str, Any]

SINGLE_BATCH = 10_000
"""First-batch size: a page of records must never need a second command (the server's own default is 101)."""

AWARE: CodecOptions[Document] = CodecOptions(tz_aware=True)
ZONELESS: CodecOptions[Document] = CodecOptions()

_AN_HOUR = 3600.0

_NOT_COUNTED = frozenset({"hello", "ping", "endSessions", "saslStart", "saslContinue"})


class _CommandCounter(monitoring.CommandListener):
    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name not in _NOT_COUNTED:
            commands.record("mongo", event.command_name)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


class Mongo:
    """A connected client and the project's database.

    Writes wait for the majority and the journal, reads see only majority-committed data: MongoDB's own read default
    may show writes that are later rolled back.
    """

    def __init__(self, settings: MongoSettings) -> None:
        self.client: AsyncMongoClient[Document] = AsyncMongoClient(
            settings.url.get_secret_value(),
            appname="nexfit",
            tz_aware=True,
            uuidRepresentation="standard",
            w="majority",
            journal=True,
            readConcernLevel="majority",
            retryReads=True,
            retryWrites=True,
            timeoutMS=int(settings.timeout * 1000),
            serverSelectionTimeoutMS=int(settings.server_selection_timeout * 1000),
            connectTimeoutMS=int(settings.server_selection_timeout * 1000),
            maxPoolSize=settings.pool_size,
            event_listeners=[_CommandCounter()],
        )
        self.database: AsyncDatabase[Document] = self.client.get_database(
            settings.database,
            codec_options=AWARE,
            write_concern=WriteConcern("majority", j=True),
            read_concern=ReadConcern("majority"),
        )
        self._seconds = settings.timeout
        self._reads = MongoReads(self.client, self.database, limit=settings.pool_size)

    async def close(self) -> None:
        """Close every connection."""
        self._reads.close()
        await self.client.close()

    async def ping(self) -> None:
        """One round trip to a usable server; raises StoreUnavailable."""
        try:
            await self.client.admin.command("ping")
        except PyMongoError as error:
            raise _translate(error) from error

    @contextmanager
    def unhurried(self) -> Iterator[AsyncDatabase[Document]]:
        """The database for loads and rebuilds: an hour for the block, not a request's limit; raises StoreError."""
        try:
            with pymongo.timeout(_AN_HOUR):
                yield self.database
        except PyMongoError as error:
            raise _translate(error) from error

    async def find(
        self,
        collection: str,
        filter: Mapping[str, Any],
        columns: Iterable[str],
        *,
        sort: Sequence[tuple[str, int]] | None = None,
        limit: int = 0,
        zoneless: bool = False,
    ) -> list[Document]:
        """Matching documents carrying `_id` and the columns (dotted paths), in one command; raises StoreError.

        With `zoneless` their datetimes are UTC without saying so, which decodes in a quarter of the time: for rows
        that are only shown.
        """
        fields = projection(columns)
        command: dict[str, Any] = {"find": collection, "filter": filter, "projection": fields}
        if sort:
            command["sort"] = dict(sort)
        if limit:
            command["limit"] = limit

        async def by_pymongo() -> list[Document]:
            cursor = self._database(zoneless)[collection].find(
                filter, fields, sort=list(sort) if sort else None, limit=limit, batch_size=0 if limit else SINGLE_BATCH
            )
            return await cursor.to_list()

        return await self._read({**command, "batchSize": SINGLE_BATCH}, by_pymongo, zoneless=zoneless)

    async def aggregate(
        self, collection: str, pipeline: Sequence[Mapping[str, Any]], *, zoneless: bool = False
    ) -> list[Document]:
        """Result documents of a pipeline, in one command; raises StoreError. `zoneless` is as for `find`."""

        async def by_pymongo() -> list[Document]:
            cursor = await self._database(zoneless)[collection].aggregate(list(pipeline), batchSize=SINGLE_BATCH)
            return await cursor.to_list()

        return await self._read(_aggregate(collection, pipeline), by_pymongo, zoneless=zoneless)

    async def aggregate_documents(
        self, pipeline: Sequence[Mapping[str, Any]], *, zoneless: bool = False
    ) -> list[Document]:
        """Result documents of a pipeline that starts from `$documents`, in one command; raises StoreError.

        `zoneless` is as for `find`.
        """

        async def by_pymongo() -> list[Document]:
            cursor = await self._database(zoneless).aggregate(list(pipeline), batchSize=SINGLE_BATCH)
            return await cursor.to_list()

        return await self._read(_aggregate(1, pipeline), by_pymongo, zoneless=zoneless)

    async def update_one(self, collection: str, filter: Mapping[str, Any], update: Mapping[str, Any]) -> bool:
        """Whether a matching document was there and is updated; raises StoreError."""
        try:
            result = await self.database[collection].update_one(filter, update)
        except PyMongoError as error:
            raise _translate(error) from error
        return result.matched_count == 1

    async def delete(self, collection: str, filter: Mapping[str, Any]) -> int:
        """Delete the matching documents; how many. Raises StoreError."""
        try:
            return (await self.database[collection].delete_many(filter)).deleted_count
        except PyMongoError as error:
            raise _translate(error) from error

    async def count(self, collection: str, filter: Mapping[str, Any]) -> int:
        """Number of matching documents; raises StoreError."""
        counted = await self.aggregate(collection, [{"$match": filter}, {"$count": "n"}])
        return counted[0]["n"] if counted else 0

    def _database(self, zoneless: bool) -> AsyncDatabase[Document]:
        return self.database.with_options(codec_options=ZONELESS) if zoneless else self.database

    async def _read(
        self,
        command: Mapping[str, Any],
        by_pymongo: Callable[[], Awaitable[list[Document]]],
        *,
        zoneless: bool = False,
    ) -> list[Document]:
        started = monotonic()
        try:
            found = await self._reads.documents(command, self._seconds, ZONELESS if zoneless else AWARE)
            if found is not None:
                return found
            with pymongo.timeout(max(0.001, self._seconds - (monotonic() - started))):
                return await by_pymongo()
        except TimeoutError as error:
            raise StoreUnavailable("mongo", str(error)) from error
        except PyMongoError as error:
            raise _translate(error) from error


def projection(columns: Iterable[str]) -> Mapping[str, int]:
    """A MongoDB projection of the columns; a path is dropped when an outer one covers it, which the server demands."""
    return _projection(frozenset(columns))


@lru_cache(maxsize=4096)
def _projection(columns: frozenset[str]) -> Mapping[str, int]:
    kept: dict[str, int] = {}
    for path in sorted(columns | {"_id"}):
        outer = path.split(".")
        if not any(".".join(outer[:depth]) in kept for depth in range(1, len(outer))):
            kept[path] = 1
    return kept


def _aggregate(collection: str | int, pipeline: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return {"aggregate": collection, "pipeline": list(pipeline), "cursor": {"batchSize": SINGLE_BATCH}}


def _translate(error: PyMongoError) -> StoreError:
    unavailable = isinstance(error, ConnectionFailure | ExecutionTimeout) or error.timeout
    return (StoreUnavailable if unavailable else StoreError)("mongo", repr(error))
