"""The load generator: keeps a number of connections busy for some seconds, then lets every answer arrive.

Run as `python -m bench.stores.generator`, with a `Load` as JSON on standard input; prints an `Outcome` as JSON. In a
process of its own, so that it can be kept on a core of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import httptools
import orjson

PATIENCE = 30.0
"""Seconds an answer may take before it counts as failed."""


@dataclass(frozen=True, slots=True)
class Load:
    """A window of load. With `redis`, the `tags` are invalidated there before each request."""

    host: str
    port: int
    path: str
    headers: dict[str, str]
    body: str
    connections: int
    seconds: float
    redis: str | None = None
    tags: Sequence[str] = ()


@dataclass(slots=True)
class Outcome:
    """What came of a load: requests sent and failed (not 200, or with errors), rate, and latencies in milliseconds."""

    sent: int = 0
    failed: int = 0
    first_failure: str | None = None
    per_second: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0


@dataclass(slots=True)
class _Tally:
    latencies: list[float] = field(default_factory=list)
    preparing: float = 0.0
    outcome: Outcome = field(default_factory=Outcome)

    def fail(self, reason: str) -> None:
        self.outcome.failed += 1
        self.outcome.first_failure = self.outcome.first_failure or reason[:1000]


class _Connection(asyncio.Protocol):
    """One HTTP connection with one request under way; it plays httptools' callbacks itself."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer; raises ConnectionError."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the server closed the connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: Any) -> None:
        """Of asyncio."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Of asyncio."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError(f"the connection ended within a request: {exc}"))

    def on_message_begin(self) -> None:
        """Of httptools."""
        self._body.clear()

    def on_body(self, body: bytes) -> None:
        """Of httptools."""
        self._body += body

    def on_message_complete(self) -> None:
        """Of httptools."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((self._parser.get_status_code(), bytes(self._body)))


async def run(load: Load) -> Outcome:
    """Produce the load; an answer that does not come is a failure, and ends its connection's part."""
    request = _request(load)
    tally = _Tally()
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        prepare = await stack.enter_async_context(_invalidation(load)) if load.redis is not None else None
        connections = []
        for _ in range(load.connections):
            _, connection = await loop.create_connection(_Connection, load.host, load.port)
            stack.callback(connection.close)
            connections.append(connection)
        started = time.perf_counter()
        until = started + load.seconds
        await asyncio.gather(*(_keep_busy(one, request, until, prepare, tally) for one in connections))
        elapsed = time.perf_counter() - started
    outcome, latencies = tally.outcome, sorted(tally.latencies)
    if latencies:
        # What the generator did before requests is not the server's time.
        outcome.per_second = len(latencies) / (elapsed - tally.preparing / load.connections)
        outcome.p50_ms = latencies[len(latencies) // 2] * 1000
        outcome.p99_ms = latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))] * 1000
    return outcome


async def _keep_busy(
    connection: _Connection, request: bytes, until: float, prepare: Callable[[], Awaitable[None]] | None, tally: _Tally
) -> None:
    while (begun := time.perf_counter()) < until:
        if prepare is not None:
            await prepare()
        sent = time.perf_counter()
        tally.preparing += sent - begun
        tally.outcome.sent += 1
        try:
            async with asyncio.timeout(PATIENCE):
                status, body = await connection.ask(request)
        except (TimeoutError, OSError, httptools.HttpParserError) as error:
            tally.fail(repr(error))
            return
        tally.latencies.append(time.perf_counter() - sent)
        if status != 200 or b'"errors":' in body:
            tally.fail(f"{status}: {body.decode(errors='replace')}")


@contextlib.asynccontextmanager
async def _invalidation(load: Load) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """What makes the views unreadable. Imported here: most loads have no use for it, and it takes long to import."""
    from nexfit.hybrid.joined_views import JoinedViews
    from nexfit.settings import RedisSettings
    from nexfit.stores.redis import RedisStore

    given = {"url": load.redis, "timeout": PATIENCE, "connect_timeout": 5}
    store = RedisStore(RedisSettings.model_validate(given))
    try:
        yield partial(JoinedViews(store).invalidate, load.tags)
    finally:
        await store.close()


def _request(load: Load) -> bytes:
    body = load.body.encode()
    headers = {**load.headers, "host": f"{load.host}:{load.port}", "content-length": str(len(body))}
    lines = [f"POST {load.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def main() -> None:
    """Read a load, produce it, print what came of it."""
    load = Load(**orjson.loads(sys.stdin.buffer.read()))
    try:
        import uvloop
    except ImportError:
        outcome = asyncio.run(run(load))
    else:
        outcome = uvloop.run(run(load))
    sys.stdout.buffer.write(orjson.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
