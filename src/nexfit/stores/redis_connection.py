"""One connection to Redis or Valkey that everybody in the process shares.

redis-py connects, encrypts and authenticates; after that the connection belongs to this module. What is sent within one
turn of the event loop leaves in one write, and answers are matched to their commands by order, so any number of
requests wait at the same time without a pool. A command costs about a tenth of what it costs through redis-py
(docs/decisions/0007-store-drivers.md). Nothing is ever sent twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import hiredis
from redis.asyncio.connection import AbstractConnection


class Packed(bytes):
    """A command as it is written to the server: for one that is sent again and again."""

    name: str


Command = tuple[str | bytes | int | float, ...] | Packed


def packed(command: tuple[str | bytes | int | float, ...]) -> Packed:
    """The command, made ready once."""
    made = Packed(_pack(command))
    made.name = str(command[0])
    return made


class ConnectionEnded(Exception):
    """The connection ended before the answer came."""


A_MOMENT = 0.001
"""Seconds of a timer that comes due only after the event loop has looked at its sockets; a timer of 0 may not."""


@dataclass(slots=True)
class _Batch:
    """Commands on their way, in the order they were sent."""

    size: int
    deadline: float
    answered: asyncio.Future[list[object]]
    answers: list[object] = field(default_factory=list)


_INCOMPLETE = object()
_pack: Any = hiredis.pack_command  # its annotation allows tuples of one part only


class RedisConnection(asyncio.Protocol):
    """An open connection. A batch that is not answered within `seconds` ends it, as everything behind it waits too."""

    def __init__(self, opened: AbstractConnection, seconds: float) -> None:
        self.ended = False
        self._opened = opened  # keeps redis-py from closing what it opened
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._unsent: list[bytes] = []
        self._waiting: deque[_Batch] = deque()
        self._watched = False
        writer = opened._writer
        if writer is None:
            raise ConnectionEnded("ended while it was opened")
        self._transport = cast("asyncio.Transport", writer.transport)
        self._transport.set_protocol(self)
        self._transport.resume_reading()

    async def send(self, commands: Sequence[Command]) -> list[object]:
        """The answers, errors among them as values. Raises TimeoutError and ConnectionEnded."""
        if self.ended:
            raise ConnectionEnded("it ended a moment ago")
        unsent = [command if type(command) is Packed else _pack(command) for command in commands]
        if not unsent:
            return []
        batch = _Batch(len(unsent), self._loop.time() + self._seconds, self._loop.create_future())
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent += unsent
        self._waiting.append(batch)
        if not self._watched:
            self._watched = True
            self._loop.call_later(self._seconds, self._watch)
        return await batch.answered

    def end(self, error: Exception | None = None) -> None:
        """Close at once; whoever waits gets the error."""
        self.ended = True
        self._transport.abort()
        while self._waiting:
            answered = self._waiting.popleft().answered
            if not answered.done():
                answered.set_exception(error or ConnectionEnded("closed"))

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        try:
            reader.feed(data)
            while (answer := reader.gets()) is not _INCOMPLETE:
                if type(answer) is hiredis.PushNotification:
                    continue
                batch = self._waiting[0]
                batch.answers.append(answer)
                if len(batch.answers) == batch.size:
                    self._waiting.popleft()
                    if not batch.answered.done():
                        batch.answered.set_result(batch.answers)
        except (hiredis.ProtocolError, IndexError) as error:
            self.end(ConnectionEnded(f"not an answer to what was asked: {error!r}"))

    def connection_lost(self, error: Exception | None) -> None:
        self.end(ConnectionEnded(repr(error)))

    def _flush(self) -> None:
        if not self.ended:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _watch(self) -> None:
        """Look after the oldest batch: all have the same time, so no younger one is due before it."""
        self._watched = bool(self._waiting)
        if self._watched:
            oldest = self._waiting[0]
            left = oldest.deadline - self._loop.time()
            if left > 0:
                self._loop.call_later(left, self._watch)
            else:
                # The answer may be there and this process was busy: a moment later what has come has been read.
                self._loop.call_later(A_MOMENT, self._expire, oldest)

    def _expire(self, oldest: _Batch) -> None:
        if self._waiting and self._waiting[0] is oldest:
            self.end(TimeoutError("no answer in time"))
        else:
            self._watch()
