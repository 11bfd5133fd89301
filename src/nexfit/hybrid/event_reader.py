"""The process's one reader of the stream of events: it hands on what is new, in order, and finds what was missed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

import structlog

from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.hybrid.event_stream import FACILITY, RETAINED, STREAM, Entry, entry_id, number_of, read_entry
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.redis import Command, RedisStore
from nexfit.stores.redis_connection import ConnectionEnded, RedisConnection

BLOCK = 5.0
"""Seconds one read waits for something new."""

BATCH = 500
"""Entries that one read looks at, at most."""

PAUSE = 0.2
"""Seconds after a failed read; twice as many after each one that follows, because an attempt to connect costs the
process as much as a request does."""

LONGEST_PAUSE = 1.0
"""Seconds at most."""

CLOCKS = 60.0
"""Seconds by which this process' clock may differ from the one that numbers the entries."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of the stream: its entries of the facilities asked for, and the number of the last entry looked at."""

    entries: Sequence[Entry]
    end: int
    is_last: bool
    """Whether nothing followed when it was read."""


class EventReader:
    """Follows the stream from where it ends when `run` begins, or from behind the number `after`.

    `facilities` are those whose entries are wanted, looked at anew for each entry; `told` takes each passage, and the
    next one is read when it returns.
    """

    def __init__(
        self,
        redis: RedisStore,
        facilities: Container[str],
        told: Callable[[Passage], Awaitable[None]],
        after: int | None = None,
    ) -> None:
        self._redis = redis
        self._facilities = facilities
        self._told = told
        self._read_to = after

    async def run(self) -> NoReturn:
        """Read until cancelled, through every outage of Redis."""
        connection: RedisConnection | None = None
        is_lost, pause = False, PAUSE
        try:
            while True:
                stop_if_cancelled()
                try:
                    if connection is None or connection.ended:
                        connection = await self._redis.connect(BLOCK * 2)
                    if self._read_to is None:
                        rows = await _ask(connection, ("XREVRANGE", STREAM, "+", "-", "COUNT", 1))
                        self._read_to = number_of(rows[0][0]) if rows else 0
                        await self._told(Passage((), self._read_to, is_last=True))
                    stop_if_cancelled()
                    passage = await self._next(connection, self._read_to)
                except (StoreUnavailable, ConnectionEnded, TimeoutError) as error:
                    if not is_lost:
                        log.warning("the event stream is not read", error=str(error))
                    is_lost = True
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    continue
                is_lost, pause = False, PAUSE
                if passage is not None:
                    await self._told(passage)
                    self._read_to = passage.end
        finally:
            if connection is not None:
                connection.end()

    async def history(self, facility: str, after: int) -> Passage:
        """The passage after a number, with a facility's entries; raises StoreUnavailable."""
        [rows] = await self._redis.send([("XRANGE", STREAM, f"({entry_id(after)}", "+", "COUNT", BATCH)])
        return _passage(rows, {facility}, after)

    async def _next(self, connection: RedisConnection, after: int) -> Passage | None:
        found = await _ask(
            connection, ("XREAD", "COUNT", BATCH, "BLOCK", int(BLOCK * 1000), "STREAMS", STREAM, entry_id(after))
        )
        if not found:
            return None
        # A map of streams in RESP3, a list of pairs in RESP2.
        [rows] = found.values() if isinstance(found, dict) else [rows for _, rows in found]
        return _passage(rows, self._facilities, after)


def is_retained(number: int) -> bool:
    """Whether the stream still has everything after the number."""
    return number > _now() - int((RETAINED - CLOCKS) * 1e6)


def is_possible(number: int) -> bool:
    """Whether an entry can have the number by now."""
    return 0 <= number < _now() + int(CLOCKS * 1e6)


def a_moment_ago() -> int:
    """A number that no entry yet to be written is before."""
    return _now() - int(CLOCKS * 1e6)


def _now() -> int:
    return int(datetime.now(UTC).timestamp() * 1e6)


async def _ask(connection: RedisConnection, command: Command) -> Any:
    [answer] = await connection.send([command])
    if isinstance(answer, Exception):
        raise StoreUnavailable("redis", str(answer))
    return answer


def _passage(rows: Any, facilities: Container[str], after: int) -> Passage:
    entries = []
    for id_, fields in rows:
        try:
            if fields[fields.index(FACILITY) + 1].decode() in facilities:
                entries.append(read_entry(id_, fields))
        except (ValueError, KeyError, TypeError):  # must not hold up what is behind it
            log.exception("an entry of the event stream cannot be read", id=id_.decode())
    return Passage(entries, number_of(rows[-1][0]) if rows else after, is_last=len(rows) < BATCH)
