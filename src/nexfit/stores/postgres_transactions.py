"""PostgreSQL transactions on a pinned connection, and prepared transactions: the parts of a commit in two phases.

asyncpg's own transaction objects know nothing of PREPARE TRANSACTION, so all of this is raw statements, and every
answer is looked at: PREPARE TRANSACTION and COMMIT inside a failed transaction raise nothing and answer ROLLBACK.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, cast

import asyncpg

from nexfit.stores import commands
from nexfit.stores.errors import (
    CommitUnknown,
    ConnectionLost,
    ConstraintViolated,
    StoreError,
    StoreUnavailable,
    WriteConflict,
)
from nexfit.stores.postgres import PooledConnection, Postgres, Row

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[Row]

_GID = re.compile(r"[A-Za-z0-9:_-]{1,199}")

_CONNECTION = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
_NOT_NOW = (
    TimeoutError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
_ANY = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class Isolation(StrEnum):
    """Isolation level of a transaction, in the server's words."""

    READ_COMMITTED = "READ COMMITTED"
    REPEATABLE_READ = "REPEATABLE READ"
    SERIALIZABLE = "SERIALIZABLE"


class PostgresTransaction:
    """One transaction on one connection. Statements wait for each other, so that callers may gather them.

    After a failed statement the server runs nothing more: the failure is kept and the transaction cannot be committed.
    """

    def __init__(self, connection: Connection, release: AsyncExitStack) -> None:
        self._connection = connection
        self._release = release
        self._turn = asyncio.Lock()
        self._is_open = True
        self._is_held = True
        self.failure: StoreError | None = None

    @classmethod
    async def begin(cls, postgres: Postgres, isolation: Isolation = Isolation.READ_COMMITTED) -> PostgresTransaction:
        """Take a connection and begin; raises StoreError. The caller ends it with commit, prepare or rollback."""
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(postgres.connection())
            commands.record("postgres", "BEGIN")
            try:
                await connection.execute(f"BEGIN ISOLATION LEVEL {isolation}")
            except _ANY as error:
                connection.terminate()
                raise translate(error) from error
            return cls(connection, stack.pop_all())

    async def fetch(self, sql: str, *arguments: object) -> list[Row]:
        """Rows of one statement; raises StoreError."""
        async with self._turn:
            commands.record("postgres", sql)
            try:
                return await self._connection.fetch(sql, *arguments)
            except _ANY as error:
                raise self._failed(error) from error

    async def fetch_one(self, sql: str, *arguments: object) -> Row | None:
        """First row of one statement; raises StoreError."""
        rows = await self.fetch(sql, *arguments)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, *arguments: object) -> object:
        """First column of the first row, None without a row; raises StoreError."""
        row = await self.fetch_one(sql, *arguments)
        return None if row is None else cast("object", row[0])

    async def execute(self, sql: str, *arguments: object) -> str:
        """The command tag of one statement, such as `UPDATE 1`; raises StoreError."""
        async with self._turn:
            commands.record("postgres", sql)
            try:
                return await self._connection.execute(sql, *arguments)
            except _ANY as error:
                raise self._failed(error) from error

    async def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """One statement for every row of arguments; raises StoreError."""
        async with self._turn:
            commands.record("postgres", sql)
            try:
                await self._connection.executemany(sql, rows)
            except _ANY as error:
                raise self._failed(error) from error

    async def commit(self) -> None:
        """Commit in one phase. Raises StoreError when the server refused, CommitUnknown when it did not answer."""
        await self._end("COMMIT", "COMMIT")

    async def prepare(self, gid: str) -> None:
        """First phase: from here on the transaction belongs to the server under `gid`, not to this connection.

        Raises StoreError when the server refused (nothing is left), CommitUnknown when it did not answer.
        """
        await self._end(f"PREPARE TRANSACTION {_literal(gid)}", "PREPARE TRANSACTION")

    async def commit_prepared(self, gid: str) -> None:
        """Second phase of what `prepare` left, on the same connection; raises StoreError."""
        async with self._turn:
            try:
                await _finish(self._connection, f"COMMIT PREPARED {_literal(gid)}")
            except _ANY as error:
                self._drop()
                raise translate(error) from error

    async def rollback(self) -> None:
        """Undo what is not committed or prepared. Never raises for the store: what it cannot reach is undone anyway."""
        async with self._turn:
            if not self._is_open:
                return
            self._is_open = False
            try:
                commands.record("postgres", "ROLLBACK")
                await self._connection.execute("ROLLBACK")
            except _ANY:
                self._drop()

    async def close(self) -> None:
        """Give the connection back; an open transaction is rolled back by that. May be called again."""
        if self._is_held:
            if not self._is_open:
                # What is set within a transaction ends with it: a reset would be a round trip for nothing. There is no
                # connection any more where the pool has taken back what the server has ended.
                with suppress(AttributeError):
                    cast("PooledConnection", self._connection).take_back()
            self._is_held = self._is_open = False
            with suppress(StoreError):  # the pool drops a connection that it cannot reset
                await self._release.aclose()

    async def _end(self, sql: str, expected: str) -> None:
        async with self._turn:
            if self.failure is not None:
                raise self.failure
            commands.record("postgres", sql)
            try:
                tag = await self._connection.execute(sql)
            except (*_CONNECTION, TimeoutError, asyncpg.QueryCanceledError) as error:
                self._is_open = False
                self._drop()
                raise CommitUnknown("postgres", f"{expected}: {error!r}") from error
            except asyncpg.PostgresError as error:
                self._is_open = False  # a failed COMMIT or PREPARE TRANSACTION has rolled back
                raise self._failed(error) from error
            self._is_open = False
            if tag != expected:
                self.failure = StoreError("postgres", f"{expected} was answered by {tag}: a statement had failed")
                raise self.failure

    def _drop(self) -> None:
        with suppress(asyncpg.InterfaceError):  # the pool has taken back what the server has ended
            self._connection.terminate()

    def _failed(self, error: BaseException) -> StoreError:
        self.failure = translate(error)
        return self.failure


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared transaction of this database."""

    gid: str
    prepared_at: dt.datetime
    age: float
    """Seconds since it was prepared, by the server's clock."""


async def prepared_transactions(postgres: Postgres, prefix: str) -> list[Prepared]:
    """Prepared transactions of this database whose gid starts with `prefix`, oldest first; raises StoreError."""
    rows = await postgres.fetch(
        """SELECT gid, prepared, greatest(extract(epoch FROM clock_timestamp() - prepared), 0)::float8 AS age
             FROM pg_prepared_xacts WHERE database = current_database() AND starts_with(gid, $1)
             ORDER BY prepared, gid""",
        prefix,
    )
    return [Prepared(row["gid"], row["prepared"], row["age"]) for row in rows]


async def commit_prepared(postgres: Postgres, gid: str) -> bool:
    """Second phase. False when no such gid is prepared: somebody has finished it. Raises StoreError, WriteConflict
    when somebody is at it right now."""
    async with postgres.connection() as connection:
        return await _finish(connection, f"COMMIT PREPARED {_literal(gid)}")


async def rollback_prepared(postgres: Postgres, gid: str) -> bool:
    """As `commit_prepared`, but undoing it."""
    async with postgres.connection() as connection:
        return await _finish(connection, f"ROLLBACK PREPARED {_literal(gid)}")


async def max_prepared_transactions(postgres: Postgres) -> int:
    """The server's limit; 0 means that it refuses to prepare. Raises StoreError."""
    (row,) = await postgres.fetch("SELECT current_setting('max_prepared_transactions')::int AS most")
    return int(row["most"])


async def _finish(connection: Connection, sql: str) -> bool:
    commands.record("postgres", sql)
    try:
        await connection.execute(sql)
    except asyncpg.UndefinedObjectError:
        return False
    except asyncpg.ObjectNotInPrerequisiteStateError as error:
        raise WriteConflict("postgres", repr(error)) from error
    return True


def _literal(gid: str) -> str:
    """The gid as a literal, which these statements demand; raises ValueError for what is not plainly harmless."""
    if not _GID.fullmatch(gid):
        raise ValueError(f"not a transaction identifier: {gid!r}")
    return f"'{gid}'"


def translate(error: BaseException) -> StoreError:
    """A failure inside a transaction in our words."""
    detail = repr(error)
    # The last one: as many transactions are prepared as the server can hold.
    if isinstance(
        error,
        asyncpg.SerializationError | asyncpg.DeadlockDetectedError | asyncpg.ConfigurationLimitExceededError,
    ):
        return WriteConflict("postgres", detail)
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return ConstraintViolated("postgres", error.constraint_name or error.sqlstate, detail)
    if isinstance(error, _NOT_NOW):
        return StoreUnavailable("postgres", detail)
    if isinstance(error, _CONNECTION):
        return ConnectionLost("postgres", detail)
    return StoreError("postgres", detail)
