"""MongoDB over PyMongo's asyncio API: durable by default, projected reads, one command per read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pymongo
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, monitoring
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect, ExecutionTimeout, NetworkTimeout, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from nexfit.settings import MongoSettings
from nexfit.stores import commands
from nexfit.stores.errors import StoreError, StoreUnavailable

Document = dict[str, Any]

SINGLE_BATCH = 10_000
"""First-batch size: a page of records must never need a second command (the server's own default is 101)."""

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
            codec_options=CodecOptions(tz_aware=True),
            write_concern=WriteConcern("majority", j=True),
            read_concern=ReadConcern("majority"),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self.client.close()

    async def ping(self) -> None:
        """One round trip to a usable server; raises StoreUnavailable."""
        try:
            await self.client.admin.command("ping")
        except PyMongoError as error:
            raise _translate(error) from error

    @contextmanager
    def unhurried(self) -> Iterator[AsyncDatabase[Document]]:
        """The database for loads and rebuilds: an hour for the block, not a request's limit. Failures leave as StoreError."""
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
    ) -> list[Document]:
        """Matching documents carrying `_id` and the columns (dotted paths), in one command; raises StoreError."""
        try:
            cursor = self.database[collection].find(
                filter,
                projection(columns),
                sort=list(sort) if sort else None,
                limit=limit,
                batch_size=0 if limit else SINGLE_BATCH,
            )
            return await cursor.to_list()
        except PyMongoError as error:
            raise _translate(error) from error

    async def aggregate(self, collection: str, pipeline: Sequence[Mapping[str, Any]]) -> list[Document]:
        """Result documents of a pipeline, in one command; raises StoreError."""
        try:
            cursor = await self.database[collection].aggregate(list(pipeline), batchSize=SINGLE_BATCH)
            return await cursor.to_list()
        except PyMongoError as error:
            raise _translate(error) from error

    async def aggregate_documents(self, pipeline: Sequence[Mapping[str, Any]]) -> list[Document]:
        """Result documents of a pipeline that starts from `$documents`, in one command; raises StoreError."""
        try:
            cursor = await self.database.aggregate(list(pipeline), batchSize=SINGLE_BATCH)
            return await cursor.to_list()
        except PyMongoError as error:
            raise _translate(error) from error

    async def update_one(self, collection: str, filter: Mapping[str, Any], update: Mapping[str, Any]) -> bool:
        """Whether a matching document was there and is updated; raises StoreError."""
        try:
            result = await self.database[collection].update_one(filter, update)
        except PyMongoError as error:
            raise _translate(error) from error
        return result.matched_count == 1

    async def count(self, collection: str, filter: Mapping[str, Any]) -> int:
        """Number of matching documents; raises StoreError."""
        try:
            return await self.database[collection].count_documents(filter)
        except PyMongoError as error:
            raise _translate(error) from error


def projection(columns: Iterable[str]) -> dict[str, int]:
    """A MongoDB projection of the columns; a path is dropped when an outer one covers it, which the server demands."""
    wanted = sorted(set(columns) | {"_id"})
    kept: dict[str, int] = {}
    for path in wanted:
        outer = path.split(".")
        if not any(".".join(outer[:depth]) in kept for depth in range(1, len(outer))):
            kept[path] = 1
    return kept


def _translate(error: PyMongoError) -> StoreError:
    unavailable = isinstance(error, AutoReconnect | NetworkTimeout | ExecutionTimeout) or error.timeout
    return (StoreUnavailable if unavailable else StoreError)("mongo", repr(error))
