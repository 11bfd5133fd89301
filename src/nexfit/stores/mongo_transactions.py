"""MongoDB transactions: snapshot reads, majority and journal writes, and commits whose answer got lost.

Two transactions that write the same document do not wait for each other: the later one fails with WriteConflict at
once and is to be run again. A transaction sends nothing before its first operation.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import pymongo
from beanie.odm.utils.dump import get_dict
from bson import Binary
from pymongo import ReturnDocument, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import (
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from nexfit.stores.documents import StoredDocument
from nexfit.stores.errors import (
    CommitUnknown,
    ConnectionLost,
    ConstraintViolated,
    StoreError,
    StoreUnavailable,
    WriteConflict,
)
from nexfit.stores.mongo import Document, Mongo, projection

T = TypeVar("T")

_INDEX = re.compile(r"index: (\S+) dup key")
_REFUSED_BY_VALIDATOR = 121
_UNKNOWN = "UnknownTransactionCommitResult"
_TRANSIENT = "TransientTransactionError"


class MongoTransaction:
    """One transaction. Operations wait for each other, so that callers may gather them.

    After a failed operation the server runs nothing more: the failure is kept and the transaction cannot be committed.
    `opening` is a document that is inserted before everything else.
    """

    def __init__(self, mongo: Mongo, opening: tuple[str, Document] | None = None) -> None:
        self._mongo = mongo
        self._opening = opening
        self._session: AsyncClientSession | None = None
        self._turn = asyncio.Lock()
        self._is_in_doubt = False
        self.failure: StoreError | None = None

    @property
    def begun(self) -> bool:
        """Whether anything was sent to the server."""
        return self._session is not None

    async def add(self, *documents: StoredDocument) -> None:
        """Insert documents of the models, of one collection or several; they get their ids. Raises StoreError."""
        for document in documents:
            stored = get_dict(document, to_db=True, keep_nulls=False)
            await self.insert(document.get_collection_name(), stored)
            document.id = stored["_id"]

    async def insert(self, collection: str, *documents: Document) -> None:
        """Insert plain documents; raises StoreError, ConstraintViolated for one that is there already."""

        async def run(target: AsyncCollection[Document], session: AsyncClientSession) -> None:
            if len(documents) == 1:
                await target.insert_one(documents[0], session=session)
            else:
                await target.insert_many(documents, session=session)

        if documents:
            await self._run(collection, run)

    async def find(
        self,
        collection: str,
        filter: Mapping[str, Any],
        columns: Iterable[str],
        *,
        sort: Sequence[tuple[str, int]] | None = None,
        limit: int = 0,
    ) -> list[Document]:
        """Matching documents of the transaction's snapshot carrying `_id` and the columns; raises StoreError."""

        async def run(target: AsyncCollection[Document], session: AsyncClientSession) -> list[Document]:
            cursor = target.find(
                filter, projection(columns), sort=list(sort) if sort else None, limit=limit, session=session
            )
            return await cursor.to_list()

        return await self._run(collection, run)

    async def aggregate(self, collection: str, pipeline: Sequence[Mapping[str, Any]]) -> list[Document]:
        """Result documents of a pipeline over the transaction's snapshot; raises StoreError."""

        async def run(target: AsyncCollection[Document], session: AsyncClientSession) -> list[Document]:
            return await (await target.aggregate(list(pipeline), session=session)).to_list()

        return await self._run(collection, run)

    async def find_one(self, collection: str, filter: Mapping[str, Any], columns: Iterable[str]) -> Document | None:
        """A matching document of the transaction's snapshot; raises StoreError."""
        found = await self.find(collection, filter, columns, limit=1)
        return found[0] if found else None

    async def update(
        self, collection: str, filter: Mapping[str, Any], update: Mapping[str, Any], *, upsert: bool = False
    ) -> int:
        """Change the matching documents; how many matched. Raises StoreError."""

        async def run(target: AsyncCollection[Document], session: AsyncClientSession) -> int:
            return (await target.update_many(filter, update, upsert=upsert, session=session)).matched_count

        return await self._run(collection, run)

    async def update_each(self, collection: str, changes: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> int:
        """Change one matching document per filter and update, in one command; how many matched. Raises StoreError."""
        writes = [UpdateOne(which, update) for which, update in changes]

        async def run(target: AsyncCollection[Document], session: AsyncClientSession) -> int:
            return (await target.bulk_write(writes, session=session)).matched_count

        return await self._run(collection, run) if writes else 0

    async def claim(
        self,
        collection: str,
        filter: Mapping[str, Any],
        update: Mapping[str, Any],
        columns: Iterable[str],
        *,
        sort: Sequence[tuple[str, int]] | None = None,
        upsert: bool = False,
    ) -> Document | None:
        """Change one matching document; how it is now, or None when none matched. Raises StoreError."""

        async def run(target: AsyncCollection[Document], session: AsyncClientSession) -> Document | None:
            return await target.find_one_and_update(
                filter,
                update,
                projection(columns),
                sort=list(sort) if sort else None,
                upsert=upsert,
                return_document=ReturnDocument.AFTER,
                session=session,
            )

        return await self._run(collection, run)

    async def delete(self, collection: str, filter: Mapping[str, Any]) -> int:
        """Delete the matching documents; how many. Raises StoreError."""

        async def run(target: AsyncCollection[Document], session: AsyncClientSession) -> int:
            return (await target.delete_many(filter, session=session)).deleted_count

        return await self._run(collection, run)

    async def commit(self, patience: float) -> None:
        """Commit, asking again for a lost answer for `patience` seconds.

        Raises WriteConflict or another StoreError when it was refused, CommitUnknown when no answer came.
        """
        async with self._turn:
            if self.failure is not None:
                raise self.failure
            if self._session is None:
                return
            deadline = asyncio.get_running_loop().time() + patience
            pause = 0.02
            while True:
                try:
                    with pymongo.timeout(max(0.1, deadline - asyncio.get_running_loop().time())):
                        await self._session.commit_transaction()
                except PyMongoError as error:
                    self._is_in_doubt = True
                    # A wait for the majority that somebody ended is no refusal: it is committed here.
                    unknown = error.has_error_label(_UNKNOWN) or isinstance(error, WriteConcernError)
                    if not unknown and not error.timeout:
                        self.failure = translate(error)
                        raise self.failure from error
                    if asyncio.get_running_loop().time() + pause > deadline:
                        raise CommitUnknown("mongo", repr(error)) from error
                else:
                    self._is_in_doubt = False
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.5)

    async def rollback(self) -> None:
        """Undo what is not committed. Never raises for the store: what it cannot reach ends by itself, in a while."""
        async with self._turn:
            with suppress(PyMongoError):
                if self._session is not None and self._is_in_doubt:
                    # The driver aborts nothing after a commit was sent. A commit that came through stays.
                    await self._mongo.client.admin.command("killSessions", [self._session.session_id])
                elif self._session is not None and self._session.in_transaction:
                    await self._session.abort_transaction()

    async def close(self) -> None:
        """End the session; an open transaction is rolled back by that."""
        if self._session is not None:
            with suppress(PyMongoError):
                await self._session.end_session()

    async def _run(
        self, collection: str, run: Callable[[AsyncCollection[Document], AsyncClientSession], Awaitable[T]]
    ) -> T:
        async with self._turn:
            try:
                session = self._session or await self._begin()
                return await run(self._mongo.database[collection], session)
            except PyMongoError as error:
                self.failure = translate(error)
                raise self.failure from error

    async def _begin(self) -> AsyncClientSession:
        session = self._session = self._mongo.client.start_session()
        await session.start_transaction(ReadConcern("snapshot"), WriteConcern("majority", j=True))
        if self._opening is not None:
            collection, document = self._opening
            await self._mongo.database[collection].insert_one(document, session=session)
        return session


async def end_idle_transactions(mongo: Mongo, idle: float) -> int:
    """End transactions of this application that sent nothing for `idle` seconds; how many. Raises StoreError.

    The server would keep those of a killed process until its transactionLifetimeLimitSeconds (60). One that lives
    after all finds its transaction gone and fails as if by a conflict; what was committed stays committed.
    """
    forgotten: list[Mapping[str, Any]] = [
        {"$currentOp": {"idleSessions": True}},
        {
            "$match": {
                "type": "idleSession",
                "appName": "nexfit",
                "transaction.timeInactiveMicros": {"$gt": int(idle * 1_000_000)},
            }
        },
        {"$project": {"lsid.id": 1}},
    ]
    try:
        # The server's own state knows no majority.
        admin = mongo.client.get_database("admin", read_concern=ReadConcern("local"))
        cursor = await admin.aggregate(forgotten)
        sessions = [{"id": Binary.from_uuid(found["lsid"]["id"])} for found in await cursor.to_list()]
        if sessions:
            await admin.command("killSessions", sessions)
    except PyMongoError as error:
        raise translate(error) from error
    return len(sessions)


def translate(error: PyMongoError) -> StoreError:
    """A failure inside a transaction in our words."""
    detail = repr(error)
    if isinstance(error, DuplicateKeyError):
        index = _INDEX.search(str(error))
        return ConstraintViolated("mongo", index.group(1) if index else "unique", detail)
    if isinstance(error, OperationFailure) and error.code == _REFUSED_BY_VALIDATOR:
        return ConstraintViolated("mongo", "validator", detail)
    if isinstance(error, ServerSelectionTimeoutError | ExecutionTimeout) or error.timeout:
        return StoreUnavailable("mongo", detail)
    if isinstance(error, ConnectionFailure):
        return ConnectionLost("mongo", detail)
    if error.has_error_label(_TRANSIENT):
        return WriteConflict("mongo", detail)
    if isinstance(error, InvalidOperation):
        return ConnectionLost("mongo", detail)  # the client was closed under us
    return StoreError("mongo", detail)
