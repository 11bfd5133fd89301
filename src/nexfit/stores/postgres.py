"""PostgreSQL over an asyncpg pool: prepared statements, server-side time limits, JSON as Python values."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias, cast

import asyncpg
import orjson

from nexfit.settings import PostgresSettings
from nexfit.stores import commands
from nexfit.stores.errors import StoreError, StoreUnavailable

Row = asyncpg.Record
_Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[Row]"

_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.TooManyConnectionsError,
    asyncpg.LockNotAvailableError,
)


RELEASE_SECONDS = 0.25
"""How long giving back a connection may take; a server that hangs must not be waited for a second time."""


class PooledConnection(asyncpg.Connection):
    """A pooled connection that is reset on its way back only when a caller had it in hand.

    A single statement leaves nothing behind, and the reset would be a second round trip for each.
    """

    _lent = False

    def lend(self) -> None:
        """Reset the session once when it comes back."""
        self._lent = True

    def take_back(self) -> None:
        """Reset nothing: whoever had it left nothing behind."""
        self._lent = False

    def get_reset_query(self) -> str:
        lent, self._lent = self._lent, False
        query: str = super().get_reset_query() if lent else ""
        return query


class Postgres:
    """A pool of connections; made by `connect`, which succeeds even while the server is down.

    A connection that has answered a single statement goes to whoever waits first, or is kept at hand for the next one:
    taking it out of the pool and putting it back costs as much as the statement does. So it is decided here, and not
    in the pool, who waits: as many connections are taken out as there may be, and the pool always has one for them.
    """

    def __init__(self, settings: PostgresSettings, pool: asyncpg.Pool[Row]) -> None:
        self._settings = settings
        self._pool = pool
        self._at_hand: list[_Connection] = []
        self._taken = 0
        """Connections that are out of the pool, or about to be."""
        self._waiting: deque[asyncio.Future[_Connection | None]] = deque()
        """Those who wait: for a connection, or None for the word that they may take one out."""
        self._closing = False

    @classmethod
    async def connect(cls, settings: PostgresSettings) -> Postgres:
        """Open the pool lazily: no connection is made before the first statement."""
        pool = asyncpg.create_pool(
            settings.url.get_secret_value(),
            min_size=0,
            max_size=settings.pool_size,
            timeout=settings.connect_timeout,
            command_timeout=settings.statement_timeout,
            statement_cache_size=1024 if settings.prepared_statements else 0,
            init=set_codecs,
            connection_class=PooledConnection,
            server_settings={
                "application_name": "nexfit",
                "statement_timeout": _milliseconds(settings.statement_timeout),
                "lock_timeout": _milliseconds(settings.lock_timeout),
                "idle_in_transaction_session_timeout": _milliseconds(settings.idle_in_transaction_timeout),
                # Over dozens of partitions planning costs more than running; a generic plan prunes them when it starts.
                "plan_cache_mode": "force_generic_plan",
                "jit": "off",  # compiling costs more than the short statements of an API ever give back
            },
        )
        return cls(settings, await pool)

    async def close(self) -> None:
        """Close the pool, giving statements under way the statement time limit to end."""
        self._closing = True
        try:
            async with asyncio.timeout(self._settings.statement_timeout):
                while self._at_hand:
                    await self._release(self._at_hand.pop())
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def ping(self) -> None:
        """One round trip; raises StoreUnavailable."""
        async with self._acquired() as connection:
            await connection.execute("SELECT 1")

    async def fetch(self, sql: str, *arguments: object) -> list[Row]:
        """Rows of one statement; raises StoreError."""
        try:
            connection = await self._acquire()
            try:
                commands.record("postgres", sql)
                rows = await connection.fetch(sql, *arguments)
            except BaseException:
                await self._release(connection)
                raise
            if self._closing:
                await self._release(connection)
            else:
                self._hand_on(connection)
        except (*_UNAVAILABLE, asyncpg.PostgresError) as error:
            raise _translate(error) from error
        return rows

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[_Connection]:
        """A pooled connection for several statements; driver failures inside leave as StoreError."""
        async with self._acquired() as connection:
            cast("PooledConnection", connection).lend()
            yield connection

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[_Connection]:
        try:
            connection = await self._acquire()
            try:
                yield connection
            finally:
                await self._release(connection)
        except (*_UNAVAILABLE, asyncpg.PostgresError) as error:
            raise _translate(error) from error

    async def _acquire(self) -> _Connection:
        """A connection; raises TimeoutError where nobody gives one up, and none is opened, within `connect_timeout`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.connect_timeout
        while True:
            connection = self._at_hand.pop() if self._at_hand else None
            if connection is None and self._taken >= self._settings.pool_size:
                connection = await self._handed(until, loop)
            elif connection is None:
                self._taken += 1
            if connection is None:
                try:
                    return await self._pool.acquire(timeout=max(0.001, until - loop.time()))
                except BaseException:
                    self._free()
                    raise
            try:
                if not connection.is_closed():
                    return connection
            except asyncpg.InterfaceError:  # the pool took it back when the server ended it
                self._free()
                continue
            await self._release(connection)

    async def _handed(self, until: float, loop: asyncio.AbstractEventLoop) -> _Connection | None:
        """The connection somebody gives up; None where one may be taken out of the pool."""
        waiter: asyncio.Future[_Connection | None] = loop.create_future()
        self._waiting.append(waiter)
        timer = loop.call_at(until, _too_late, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                given = waiter.result()  # in the very moment the waiter left
                if given is None:
                    self._free()
                else:
                    self._hand_on(given)
            raise
        finally:
            timer.cancel()

    def _hand_on(self, connection: _Connection) -> None:
        waiter = self._next_waiter()
        if waiter is None:
            self._at_hand.append(connection)
        else:
            waiter.set_result(connection)

    def _free(self) -> None:
        """One connection less is out of the pool."""
        waiter = self._next_waiter()
        if waiter is None:
            self._taken -= 1
        else:
            waiter.set_result(None)

    def _next_waiter(self) -> asyncio.Future[_Connection | None] | None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                return waiter
        return None

    async def _release(self, connection: _Connection) -> None:
        try:
            await self._pool.release(connection, timeout=RELEASE_SECONDS)
        finally:
            self._free()


def _too_late(waiter: asyncio.Future[_Connection | None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError("no connection in time"))


def _translate(error: Exception) -> StoreError:
    return (StoreUnavailable if isinstance(error, _UNAVAILABLE) else StoreError)("postgres", repr(error))


async def set_codecs(connection: asyncpg.Connection[Row] | asyncpg.pool.PoolConnectionProxy[Row]) -> None:
    """Let JSON columns arrive and leave as Python values."""
    for type_name in ("json", "jsonb"):
        await connection.set_type_codec(
            type_name, schema="pg_catalog", encoder=_encode_json, decoder=orjson.loads, format="text"
        )


def _encode_json(value: object) -> str:
    return orjson.dumps(value, default=str).decode()


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


@asynccontextmanager
async def plain_connection(settings: PostgresSettings) -> AsyncIterator[asyncpg.Connection[Row]]:
    """A connection of its own as the driver makes it, for a library that brings its own SQL.

    Raises StoreUnavailable when the server cannot be reached.
    """
    try:
        connection = await asyncpg.connect(
            settings.url.get_secret_value(),
            timeout=settings.connect_timeout * 4,
            server_settings={"application_name": "nexfit-jobs"},
        )
    except (*_UNAVAILABLE, asyncpg.PostgresError) as error:
        raise StoreUnavailable("postgres", repr(error)) from error
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def maintenance_connection(settings: PostgresSettings) -> AsyncIterator[asyncpg.Connection[Row]]:
    """A connection of its own without a statement time limit, for migrations and bulk work.

    Raises StoreUnavailable when the server cannot be reached.
    """
    try:
        connection = await asyncpg.connect(
            settings.url.get_secret_value(),
            timeout=settings.connect_timeout * 4,
            server_settings={"application_name": "nexfit-maintenance"},
        )
    except (*_UNAVAILABLE, asyncpg.PostgresError) as error:
        raise StoreUnavailable("postgres", repr(error)) from error
    try:
        await set_codecs(connection)
        yield connection
    finally:
        await connection.close()
