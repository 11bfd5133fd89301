"""Redis or Valkey: short time limits and a circuit breaker, because everything here can be rebuilt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from hiredis import ReplyError
from redis import DriverInfo
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from nexfit.settings import RedisSettings
from nexfit.stores import commands
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.redis_connection import Command, ConnectionEnded, Packed, RedisConnection

__all__ = ["Command", "RedisStore"]


class RedisStore:
    """Sends commands over one shared connection; after a failure it refuses at once for `retry_after` seconds."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self.came_back_at = 0.0
        """When it answered for the first time after a failure, by the monotonic clock; 0 while it never failed."""
        self._refused_until = 0.0
        self._has_failed = False
        self._connection: RedisConnection | None = None
        self._connecting: asyncio.Task[RedisConnection] | None = None
        self._connections = ConnectionPool.from_url(  # knows every kind of URL; only used to make connections
            settings.url.get_secret_value(),
            socket_timeout=settings.timeout,
            socket_connect_timeout=settings.connect_timeout,
            retry=Retry(NoBackoff(), 0),
            protocol=3,
            client_name="nexfit",
            driver_info=DriverInfo(),  # made for each connection, it looks its version up in a file each time
        )

    @property
    def is_away(self) -> bool:
        """Whether it failed a moment ago, so that it would not be tried."""
        return time.monotonic() < self._refused_until

    async def close(self) -> None:
        """Close the connection; whoever waits for an answer gets StoreUnavailable."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.end()

    async def ping(self) -> None:
        """One round trip, tried even after a failure a moment ago; raises StoreUnavailable."""
        await self._send([("PING",)])

    async def send(self, batch: Sequence[Command]) -> list[object]:
        """Answers of a batch of commands in one round trip (bytes, ints, None); raises StoreUnavailable."""
        if self.is_away:
            raise StoreUnavailable("redis", "not tried: it failed a moment ago")
        return await self._send(batch)

    async def _send(self, batch: Sequence[Command]) -> list[object]:
        for command in batch:
            commands.record("redis", command.name if isinstance(command, Packed) else str(command[0]))
        try:
            connection = self._connection
            if connection is None or connection.ended:
                self._has_failed = self._has_failed or connection is not None
                connection = await self._connect()
            answers = await connection.send(batch)
        except (RedisError, ConnectionEnded, OSError, TimeoutError) as error:
            raise self._failed(repr(error)) from error
        for answer in answers:
            if type(answer) is ReplyError:
                if str(answer).startswith("READONLY"):
                    connection.end()  # no longer the primary: the address may lead to another server by now
                raise self._failed(str(answer))
        self._refused_until = 0.0
        if self._has_failed:
            self._has_failed = False
            self.came_back_at = time.monotonic()
        return answers

    def _failed(self, detail: str) -> StoreUnavailable:
        self._has_failed = True
        self._refused_until = time.monotonic() + self._settings.retry_after
        return StoreUnavailable("redis", detail)

    async def _connect(self) -> RedisConnection:
        """The connection that is being opened for everybody who wants one now."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._open())
            # Whoever wanted it may have left; the failure is then nobody's.
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._connecting)

    async def connect(self, seconds: float) -> RedisConnection:
        """A connection of the caller's own, for commands that take up to so many seconds; raises StoreUnavailable.

        What is sent by it raises TimeoutError and ConnectionEnded, and no circuit breaker stands before it.
        """
        try:
            opened = self._connections.make_connection()  # type: ignore[no-untyped-call]
            async with asyncio.timeout(self._settings.connect_timeout):
                await opened.connect()
            return RedisConnection(opened, seconds)
        except (RedisError, ConnectionEnded, OSError, TimeoutError) as error:
            raise StoreUnavailable("redis", repr(error)) from error

    async def _open(self) -> RedisConnection:
        opened = self._connections.make_connection()  # type: ignore[no-untyped-call]
        async with asyncio.timeout(self._settings.connect_timeout):
            await opened.connect()
        self._connection = RedisConnection(opened, self._settings.timeout)
        return self._connection
