"""Reads of MongoDB over connections that PyMongo opened: one message out, one message in, nothing around it.

PyMongo finds the primary, connects, encrypts and authenticates; the connection then belongs to this module, which
sends one command at a time over it. PyMongo's own way to the server costs about five times as much of our process's
time (docs/decisions/0007-store-drivers.md). It remains the judge of whatever is not a plain success: where a read
cannot be done here (no primary known, a lost connection, a refused command) the caller lets PyMongo do it, with
its server selection, retries and errors.

`_open` is the only place that touches what PyMongo does not document; the requirements pin PyMongo's minor version.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from struct import Struct
from typing import Any, cast

import bson
import structlog
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError
from pymongo.server_selectors import writable_server_selector

from nexfit.stores import commands
from nexfit.stores.deadlines import Deadlines

Document = dict[str, Any]
Reply = bytes | bytearray

MAX_OPENING = 2
"""Connections being opened at the same time, as PyMongo limits it: each costs both sides a password check."""

_OP_MSG = 2013
_HEADER = Struct("<iiiiIB")
"""Message length, request id, request answered, operation, flags, and the kind of the one section that follows."""
_LENGTH = Struct("<i")
_CURSOR = b"\x03cursor\x00"
"""How a field `cursor` that is a document begins, and behind it a field `ok` of 1."""
_OK = b"\x01ok\x00" + Struct("<d").pack(1.0)
_CURSOR_AT = _HEADER.size + _LENGTH.size
_LARGEST = 48_000_000 + 16 * 1024
_ROLE_LOST = frozenset({91, 189, 391, 10058, 10107, 11600, 11602, 13435, 13436})
"""Codes of a server that is no longer the primary, is going away, or wants the connection authenticated anew."""

log = structlog.get_logger(__name__)


class _Lost(Exception):
    """The connection ended, or what came over it was no answer to what was asked."""


class _Connection(asyncio.Protocol):
    """An open connection; carries one command at a time. What fails on it closes it."""

    def __init__(
        self, transport: asyncio.Transport, is_stale: Callable[[], bool], on_end: Callable[[_Connection], None]
    ) -> None:
        self.is_stale = is_stale
        self.ended = False
        self._transport = transport
        self._on_end = on_end
        self._received = bytearray()
        self._reply: asyncio.Future[Reply] | None = None
        transport.set_protocol(self)
        transport.resume_reading()

    def send(self, message: bytes, reply: asyncio.Future[Reply]) -> None:
        """Write a message; its answer becomes the result of `reply`, or _Lost its exception."""
        self._reply = reply
        self._transport.write(message)

    def answered(self) -> None:
        """The answer was taken."""
        self._reply = None

    def end(self) -> None:
        """Close at once."""
        self.ended = True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        received: bytes | bytearray = data
        if self._received:
            self._received += data
            received = self._received
        if len(received) < _HEADER.size:
            missing = True
        else:
            (length,) = _LENGTH.unpack_from(received)
            missing = len(received) < length
            if not _HEADER.size < length <= _LARGEST or len(received) > length:
                self._lose(_Lost("not a message"))
                return
        if missing:
            if received is data:
                self._received = bytearray(data)
            return
        self._received = bytearray()
        if self._reply is None:
            self.end()
        elif not self._reply.done():
            self._reply.set_result(received)

    def connection_lost(self, error: Exception | None) -> None:
        self._lose(_Lost(repr(error)))
        self._on_end(self)

    def _lose(self, error: _Lost) -> None:
        self.end()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)


class MongoReads:
    """Runs read commands against the primary over at most `limit` connections of its own."""

    def __init__(self, client: AsyncMongoClient[Document], database: AsyncDatabase[Document], *, limit: int) -> None:
        self._client = client
        self._fixed = {"readConcern": database.read_concern.document, "$db": database.name}
        self._limit = limit
        self._requests = count(1)
        self._open: set[_Connection] = set()
        self._idle: list[_Connection] = []
        self._waiting: deque[asyncio.Future[_Connection | None]] = deque()
        self._openers: set[asyncio.Task[None]] = set()
        self._deadlines = Deadlines()

    def close(self) -> None:
        """Close every connection; reads under way fail."""
        for opener in self._openers:
            opener.cancel()
        for connection in [*self._open]:
            connection.end()
        self._deadlines.close()

    async def documents(
        self, command: Mapping[str, Any], seconds: float, codec: CodecOptions[Document]
    ) -> list[Document] | None:
        """All result documents of a `find` or `aggregate`; None where PyMongo has to run it.

        Raises TimeoutError when `seconds` are over.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        connection = self._idle.pop() if self._idle else None
        if connection is None or connection.ended or connection.is_stale():
            if connection is not None:
                connection.end()
            connection = await self._take(seconds)
            if connection is None:
                return None
        try:
            limited = {**command, "maxTimeMS": max(1, int(seconds * 1000)), **self._fixed}
            cursor = await self._cursor(connection, limited, seconds, codec, loop)
            if cursor is None:
                return None
            found: list[Document] = cursor["firstBatch"]
            while cursor["id"]:
                more = {
                    "getMore": cursor["id"],
                    "collection": cursor["ns"].partition(".")[2],
                    "$db": self._fixed["$db"],
                }
                cursor = await self._cursor(connection, more, started + seconds - loop.time(), codec, loop)
                if cursor is None:
                    return None
                found += cursor["nextBatch"]
        except _Lost:
            return None
        finally:
            self._give_back(connection)
        return found

    async def _cursor(
        self,
        connection: _Connection,
        command: Mapping[str, Any],
        seconds: float,
        codec: CodecOptions[Document],
        loop: asyncio.AbstractEventLoop,
    ) -> Document | None:
        """The `cursor` of the reply; None where the server refused the command. Raises TimeoutError, _Lost."""
        commands.record("mongo", next(iter(command)))
        body = bson.encode(command, codec_options=codec)
        request = next(self._requests) & 0x7FFFFFFF
        awaited: asyncio.Future[Reply] = loop.create_future()
        self._deadlines.add(awaited, seconds, loop=loop)
        try:
            connection.send(_HEADER.pack(_HEADER.size + len(body), request, 0, _OP_MSG, 0, 0) + body, awaited)
            received = await awaited
            _, _, answered, operation, flags, kind = _HEADER.unpack_from(received)
            if answered != request or operation != _OP_MSG or flags or kind:
                raise _Lost("not an answer to what was asked")
        except BaseException:  # the reply may still come, and would be taken for the next command's
            connection.end()
            raise
        finally:
            self._deadlines.remove(awaited)
            connection.answered()
        start = _CURSOR_AT + len(_CURSOR)
        if received.startswith(_CURSOR, _CURSOR_AT):
            # A success begins like this. What follows (cluster times and signatures) is of no use here.
            end = start + _LENGTH.unpack_from(received, start)[0]
            if received.startswith(_OK, end):
                return bson.decode(received[start:end], codec)
        reply = bson.decode(received[_HEADER.size :], codec)
        if reply.get("ok") == 1:
            return cast("Document", reply["cursor"])
        if reply.get("code") in _ROLE_LOST:
            for other in [connection, *self._idle]:
                other.end()
        return None

    # --- which connection

    async def _take(self, seconds: float) -> _Connection | None:
        """A connection as soon as one is free or opened; None when none can be opened. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[_Connection | None] = loop.create_future()
        self._waiting.append(waiter)
        self._open_more()
        self._deadlines.add(waiter, seconds, loop=loop)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                handed = waiter.result()
                if handed is not None:  # in the very moment the reader left
                    self._give_back(handed)
            raise
        finally:
            self._deadlines.remove(waiter)

    def _give_back(self, connection: _Connection) -> None:
        if connection.ended:
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle.append(connection)

    def _open_more(self) -> None:
        if len(self._openers) < MAX_OPENING and len(self._open) + len(self._openers) < self._limit:
            opener = asyncio.create_task(self._open_for_waiting())
            self._openers.add(opener)
            opener.add_done_callback(self._openers.discard)

    async def _open_for_waiting(self) -> None:
        """Open connections until nobody waits for one or there are enough."""
        while (
            any(not waiter.done() for waiter in self._waiting) and len(self._open) + len(self._openers) <= self._limit
        ):
            connection = await self._open_one()
            if connection is None:
                # Nobody who waits is kept waiting for what may not come: PyMongo reads for them.
                while self._waiting:
                    waiter = self._waiting.popleft()
                    if not waiter.done():
                        waiter.set_result(None)
                return
            self._give_back(connection)

    async def _open_one(self) -> _Connection | None:
        """A connection of our own to the primary that PyMongo knows at this moment; None without one."""
        try:
            topology = await self._client._get_topology()
            server = await topology.select_server(writable_server_selector, "find", server_selection_timeout=0)
            pool = server.pool
            made = await pool.connect()
        except PyMongoError:
            return None
        except Exception:
            log.exception("mongo reads take the slow way")
            return None
        pool.active_contexts.discard(made.cancel_context)  # nothing of PyMongo looks at this connection any more
        generation, service = made.generation, made.service_id
        transport = cast("asyncio.Transport", made.conn.conn[0])
        connection = _Connection(transport, lambda: pool.stale_generation(generation, service), self._ended)
        self._open.add(connection)
        return connection

    def _ended(self, connection: _Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting:
            self._open_more()
