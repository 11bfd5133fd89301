"""MongoDB's change stream of a database, as plain changes with the few fields that say whom they concern.

Nothing else of a document leaves the server: neither contents nor names of people pass through here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import Timestamp
from pymongo.asynchronous.change_stream import AsyncDatabaseChangeStream
from pymongo.errors import OperationFailure, PyMongoError

from nexfit.stores.errors import StoreError, StoreUnavailable
from nexfit.stores.mongo import Document, Mongo

WAIT = 0.25
"""Seconds the server holds back an empty answer."""

_LOST = frozenset({136, 260, 280, 286, 50811})
"""Codes of a token the oplog no longer reaches."""

_REFUSED = frozenset({13, 18})
"""Codes of a user who may not look: nothing is said about the token."""

_DOCUMENT = ("insert", "update", "replace", "delete")


class HistoryLost(StoreError):
    """The changes after the token cannot be told any more: what was derived from them has to be compared in full."""


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """What happened to a document. `operation` is insert, update, replace or delete.

    `before` and `after` hold those of the asked-for fields that it had then and has now. `before` is None for an
    insert, and where the collection keeps no pre-images; `after` is None for a delete, and for an update whose
    `before` is not known.
    """

    collection: str
    operation: str
    id: Any
    before: Document | None
    after: Document | None
    changed: frozenset[str]
    """Paths an update set or removed; empty otherwise."""
    at: datetime

    def sides(self) -> Iterable[Document]:
        """What is known of the document, before and after."""
        return [side for side in (self.before, self.after) if side is not None]


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """How far a stream was read: the server's token, and the cluster's time of the last change (seconds, ordinal)."""

    token: Document
    time: tuple[int, int]


class ChangeStream:
    """An open stream; made by `change_stream`."""

    def __init__(self, stream: AsyncDatabaseChangeStream[Document], fields: Iterable[str], time: Timestamp) -> None:
        self._stream = stream
        self._fields = frozenset(fields)
        self._time = (time.time, time.inc)

    @property
    def position(self) -> StreamPosition:
        """Behind the last change that was read, or further where nothing asked for lies between."""
        token = self._stream.resume_token
        if token is None:
            raise StoreError("mongo", "the server gave no resume token")
        return StreamPosition(dict(token), self._time)

    async def next(self) -> DocumentChange | None:
        """The next change; None when there is none for about `WAIT` seconds.

        Raises HistoryLost, also when a followed collection was dropped or renamed, and StoreUnavailable.
        """
        try:
            event = await self._stream.try_next()
        except PyMongoError as error:
            raise _translate(error) from error
        if event is None:
            if not self._stream.alive:
                raise HistoryLost("mongo", "the change stream was invalidated")
            return None
        self._time = (event["clusterTime"].time, event["clusterTime"].inc)
        if event["operationType"] not in _DOCUMENT:
            raise HistoryLost("mongo", f"{event['operationType']} of {event.get('ns')}")
        return self._change(event)

    def _change(self, event: Mapping[str, Any]) -> DocumentChange:
        before, after = event.get("fullDocumentBeforeChange"), event.get("fullDocument")
        changed = frozenset(event.get("changed") or ())
        if event["operationType"] == "update" and before is not None:
            # The values the update set arrive apart from the document, under their names.
            removed = changed & self._fields - event["set"].keys()
            after = {name: value for name, value in before.items() if name not in removed} | event["set"]
        return DocumentChange(
            event["ns"]["coll"],
            event["operationType"],
            event["documentKey"]["_id"],
            before,
            after,
            changed,
            event["wallTime"],
        )


@asynccontextmanager
async def change_stream(
    mongo: Mongo, collections: Iterable[str], fields: Iterable[str], start: StreamPosition | None
) -> AsyncIterator[ChangeStream]:
    """The changes of the collections after `start`, or from now on. `fields` are top-level names.

    Raises HistoryLost when the server cannot go back that far, StoreUnavailable.
    """
    wanted = sorted(set(fields))
    try:
        now: Timestamp | None = (await mongo.database.command("hello")).get("operationTime")
        if now is None:
            raise StoreUnavailable("mongo", "the server has only just started and knows no time yet")
        if start is not None and Timestamp(*start.time) > now:
            # MongoDB would wait in silence until its time has come.
            raise HistoryLost("mongo", "the position lies in the server's future: the database was restored")
        stream = await mongo.database.watch(
            _pipeline(sorted(set(collections)), wanted),
            resume_after=None if start is None else start.token,
            full_document_before_change="whenAvailable",
            max_await_time_ms=int(WAIT * 1000),
            batch_size=1000,
        )
    except OperationFailure as error:
        if start is not None and _blames_the_token(error):
            raise HistoryLost("mongo", repr(error)) from error
        raise _translate(error) from error
    except PyMongoError as error:
        raise _translate(error) from error
    try:
        yield ChangeStream(stream, wanted, now if start is None else Timestamp(*start.time))
    finally:
        await stream.close()


def _pipeline(collections: list[str], fields: list[str]) -> list[Document]:
    def shown(document: str) -> Document:
        kept = {name: f"${document}.{name}" for name in fields}
        return {"$cond": [{"$eq": [{"$type": f"${document}"}, "object"]}, kept, "$$REMOVE"]}

    # Paths that were set or removed may hold dots, which no projection by name could address.
    updated = {"$objectToArray": {"$ifNull": ["$updateDescription.updatedFields", {}]}}
    return [
        {
            "$match": {
                "$or": [
                    {"ns.coll": {"$in": collections}},
                    {"operationType": {"$in": ["dropDatabase", "invalidate"]}},
                ]
            }
        },
        {
            "$project": {
                **dict.fromkeys(("operationType", "ns", "documentKey", "clusterTime", "wallTime"), 1),
                "fullDocument": shown("fullDocument"),
                "fullDocumentBeforeChange": shown("fullDocumentBeforeChange"),
                "changed": {
                    "$concatArrays": [
                        {"$map": {"input": updated, "in": "$$this.k"}},
                        {"$ifNull": ["$updateDescription.removedFields", []]},
                    ]
                },
                "set": {
                    "$arrayToObject": {"$filter": {"input": updated, "cond": {"$in": ["$$this.k", fields]}}},
                },
            }
        },
    ]


def _blames_the_token(error: OperationFailure) -> bool:
    """Whether opening at a token failed for good: the server has many words for one that it cannot read."""
    passing = error.timeout or any(map(error.has_error_label, ("ResumableChangeStreamError", "RetryableError")))
    return not passing and error.code not in _REFUSED


def _translate(error: PyMongoError) -> StoreError:
    if isinstance(error, OperationFailure) and (
        error.code in _LOST or error.has_error_label("NonResumableChangeStreamError")
    ):
        return HistoryLost("mongo", repr(error))
    # Whatever else: the stream is opened anew where it stood.
    return StoreUnavailable("mongo", repr(error))
