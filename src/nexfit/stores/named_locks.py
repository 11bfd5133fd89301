"""Locks with names, held by a PostgreSQL session of their own: a session that ends gives all of them back at once.

The server ends a session that says nothing for `SILENCE` seconds, so a process that hangs or is cut off loses its
locks as one that died does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from nexfit.settings import PostgresSettings
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.postgres import Row

SILENCE = 3.0
"""Seconds without a statement after which the server ends the session. Whoever holds a lock speaks more often."""

ANSWER = 1.5
"""Seconds to wait for the server; well below SILENCE, so that a holder notices a loss before somebody else can hold."""

# pg_try_advisory_lock counts: a session takes a lock once.
_TAKE = """
SELECT name FROM unnest($1::text[]) AS name WHERE pg_try_advisory_lock(hashtextextended('nexfit lock ' || name, 0))
"""
_GIVE_BACK = "SELECT pg_advisory_unlock(hashtextextended('nexfit lock ' || $1::text, 0))"


_FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class NamedLocks:
    """The locks of one session; made by `named_locks`."""

    def __init__(self, connection: asyncpg.Connection[Row]) -> None:
        self._connection = connection

    def on_loss(self, callback: Callable[[], None]) -> None:
        """Call when the session ends, for whatever reason: its locks are gone."""
        self._connection.add_termination_listener(lambda _: callback())

    async def take(self, names: Collection[str]) -> set[str]:
        """Take those of the locks, none of them held by this session, that are free; with no names just speak.

        Raises StoreUnavailable: then none can be counted on any more.
        """
        with _translated():
            return {row["name"] for row in await self._connection.fetch(_TAKE, list(names))}

    async def give_back(self, name: str) -> None:
        """Free a lock that this session holds. Raises StoreUnavailable."""
        with _translated():
            await self._connection.execute(_GIVE_BACK, name)


@asynccontextmanager
async def named_locks(settings: PostgresSettings) -> AsyncIterator[NamedLocks]:
    """A session for locks, not one of the pool's; behind a proxy that pools by transaction it needs a direct address.

    Raises StoreUnavailable when the server cannot be reached.
    """
    with _translated():
        connection: asyncpg.Connection[Row] = await asyncpg.connect(
            settings.url.get_secret_value(),
            timeout=settings.connect_timeout,
            command_timeout=ANSWER,
            server_settings={
                "application_name": "nexfit-locks",
                "idle_session_timeout": str(int(SILENCE * 1000)),
                "statement_timeout": str(int(ANSWER * 1000)),
            },
        )
    try:
        yield NamedLocks(connection)
    finally:
        # Not a polite goodbye, which a server that hangs would keep waiting: the closed socket says enough.
        connection.terminate()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        raise StoreUnavailable("postgres", repr(error)) from error
