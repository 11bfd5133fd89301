"""The floor of any operation that reads: the very commands it was seen to send, sent again by bare drivers.

Commands that were under way together are sent together, those that waited for others wait again; then the answer the
API gave is encoded by orjson. Nothing is parsed, checked, joined or shaped, so nobody who sends these commands from
Python is quicker than this floor. Through the product's own store layer the same is sent once more, which tells what
of a ratio is the drivers' (docs/decisions/0007-store-drivers.md).
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from unittest.mock import patch

import orjson
from bson.codec_options import CodecOptions
from rich.table import Table

from bench.stores.errors import CannotMeasure
from bench.stores.floor_stores import PlainDrivers
from nexfit.settings import Settings
from nexfit.stores.mongo_reads import MongoReads
from nexfit.stores.postgres import Postgres
from nexfit.stores.redis import RedisStore
from nexfit.stores.redis_connection import Command, Packed

Call = Callable[[], Awaitable[object]]
Ask = Callable[[], Awaitable[bytes]]
"""Sends the operation to the API in this process; its answer."""
Before = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Sent:
    """One command, and the ways to send it again."""

    store: str
    what: Any
    layer: Call
    """By the product's own store layer."""
    bare: Callable[[PlainDrivers], Awaitable[object]]


@dataclass(slots=True)
class Recording:
    """The commands of one operation, in waves: those of a wave were under way together."""

    waves: list[list[Sent]] = field(default_factory=list)
    answer: Any = None
    _open: int = 0

    def count(self, store: str) -> int:
        """Commands a store received."""
        return sum(
            len(one.what) if store == "redis" else 1 for wave in self.waves for one in wave if one.store == store
        )

    def mongo(self) -> list[Mapping[str, Any]]:
        """What MongoDB was asked."""
        return [one.what for wave in self.waves for one in wave if one.store == "mongo"]

    @contextmanager
    def under_way(self, sent: Sent) -> Iterator[None]:
        """Note a command while it is."""
        if not self._open:
            self.waves.append([])
        self.waves[-1].append(sent)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1


async def record(ask: Ask) -> Recording:
    """What one answer takes. Raises CannotMeasure for an answer with errors."""
    found = Recording()
    documents, fetch, send = MongoReads.documents, Postgres.fetch, RedisStore.send

    async def of_mongo(reads: MongoReads, command: Mapping[str, Any], seconds: float, codec: CodecOptions[Any]) -> Any:
        async def bare(drivers: PlainDrivers) -> object:
            return await drivers.command(command, codec)

        again = Sent("mongo", command, lambda: documents(reads, command, seconds, codec), bare)
        with found.under_way(again):
            return await documents(reads, command, seconds, codec)

    async def of_postgres(postgres: Postgres, sql: str, *given: object) -> Any:
        again = Sent("postgres", sql, lambda: fetch(postgres, sql, *given), lambda drivers: drivers.fetch(sql, *given))
        with found.under_way(again):
            return await fetch(postgres, sql, *given)

    async def of_redis(redis: RedisStore, batch: Sequence[Any]) -> Any:
        plain = [_arguments(command) for command in batch]
        again = Sent("redis", batch, lambda: send(redis, batch), lambda drivers: drivers.send(plain))
        with found.under_way(again):
            return await send(redis, batch)

    with (
        patch.object(MongoReads, "documents", of_mongo),
        patch.object(Postgres, "fetch", of_postgres),
        patch.object(RedisStore, "send", of_redis),
    ):
        found.answer = orjson.loads(await ask())
    if "errors" in found.answer:
        raise CannotMeasure(f"the API answers with errors: {found.answer['errors']}")
    return found


def _arguments(command: Command) -> tuple[str | bytes | int | float, ...]:
    """The parts of a command, also of one that was made ready to be sent."""
    if not isinstance(command, Packed):
        return command
    count, _, rest = bytes(command).partition(b"\r\n")
    parts = []
    for _ in range(int(count[1:])):
        length, _, rest = rest.partition(b"\r\n")
        parts.append(rest[: int(length[1:])])
        rest = rest[int(length[1:]) + 2 :]
    return tuple(parts)


async def again(recording: Recording, drivers: PlainDrivers | None) -> bytes:
    """Send it all again, by bare drivers or else by the store layer, and encode the answer."""
    for wave in recording.waves:
        await asyncio.gather(*(one.layer() if drivers is None else one.bare(drivers) for one in wave))
    return orjson.dumps(recording.answer)


@dataclass(frozen=True, slots=True)
class Line:
    """An operation: its commands by store, milliseconds of the clock and of this process, and ratios to the floors."""

    name: str
    commands: Mapping[str, int]
    ms: float
    cpu_ms: float
    to_bare: float
    to_layer: float | None = None


@asynccontextmanager
async def bare_drivers(settings: Settings) -> AsyncIterator[PlainDrivers]:
    """Connected drivers."""
    drivers = await PlainDrivers.open(settings)
    try:
        yield drivers
    finally:
        await drivers.close()


async def compare(
    name: str, ask: Ask, drivers: PlainDrivers, rounds: int, requests: int, before: Before | None = None
) -> Line:
    """Time an operation that reads next to both its floors. `before` runs ahead of each request and is not timed."""
    for _ in range(2):  # what is compiled or cached once is there
        await _prepared(before)
        await ask()
    await _prepared(before)
    recording = await record(ask)
    counts = {store: recording.count(store) for store in ("mongo", "postgres", "redis")}
    floors: list[Ask] = [lambda: again(recording, drivers), lambda: again(recording, None)]
    return await timed(name, counts, [ask, *floors], rounds, requests, before)


async def timed(
    name: str,
    commands: Mapping[str, int],
    runs: Sequence[Ask],
    rounds: int,
    requests: int,
    before: Before | None = None,
) -> Line:
    """Time the API and its floors in turn: bare drivers, and where it is given the store layer.

    Ratios are of the clock and of the same round: this process waits for the stores as any client does.
    """
    clock: list[list[float]] = [[] for _ in runs]
    cpu: list[float] = []
    for turn in range(rounds + 1):
        for place, run in enumerate(runs):
            gc.collect()
            spent = used = 0.0
            for _ in range(requests):
                await _prepared(before)
                started, busy = time.perf_counter(), time.process_time()
                await run()
                spent += time.perf_counter() - started
                used += time.process_time() - busy
            if turn:  # the first one warms up
                clock[place].append(spent / requests * 1000)
                if not place:
                    cpu.append(used / requests * 1000)
    ours, *floors = clock
    ratios = [median(one / other for one, other in zip(ours, floor, strict=True)) for floor in floors]
    return Line(name, commands, median(ours), median(cpu), *ratios)


async def _prepared(before: Before | None) -> None:
    if before is not None:
        await before()


def table(title: str, lines: Sequence[Line]) -> Table:
    """Lines as a table of ratios."""
    caption = "÷: to the same commands and orjson, by bare drivers or by our own store layer; median over rounds"
    shown = Table(title=title, caption=caption)
    shown.add_column("operation")
    for name in ("MongoDB", "PostgreSQL", "Redis", "ms", "CPU ms", "÷ bare drivers", "÷ store layer"):
        shown.add_column(name, justify="right")
    for one in lines:
        layer = "" if one.to_layer is None else f"{one.to_layer:.2f}"
        numbers = f"{one.ms:.2f}", f"{one.cpu_ms:.2f}", f"{one.to_bare:.2f}", layer
        shown.add_row(one.name, *map(str, one.commands.values()), *numbers)
    return shown
