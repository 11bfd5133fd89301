"""The load generator against a small server: what it sends is counted, and so is every answer that is no good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from bench.stores.errors import CannotMeasure
from bench.stores.generator import Load
from bench.stores.window import produce

DELAY = 0.004
BODY = '{"query": "{ ünlü }"}'


@dataclass
class Server:
    """Answers every tenth request with errors, every twenty-fifth with status 500."""

    port: int = 0
    received: int = 0
    bad: int = 0
    most_at_once: int = 0
    _open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        self.most_at_once = max(self.most_at_once, self._open)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                assert "authorization: bearer x" in head
                length = int(head.partition("content-length:")[2].split("\r\n")[0])
                assert (await reader.readexactly(length)).decode() == BODY
                await asyncio.sleep(DELAY)
                self.received += 1
                body, status = b'{"data":{}}', "200 OK"
                if self.received % 10 == 0:
                    body = b'{"errors":[{"message":"no"}]}'
                elif self.received % 25 == 0:
                    status = "500 Internal Server Error"
                self.bad += body != b'{"data":{}}' or status != "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
        finally:
            self._open -= 1


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


def load(port: int, connections: int) -> Load:
    return Load("127.0.0.1", port, "/graphql", {"authorization": "Bearer x"}, BODY, connections, 1.0)


@pytest.mark.parametrize("connections", [1, 16])
async def test_requests_and_failures_are_counted(connections: int) -> None:
    async with serving() as server:
        outcome = await asyncio.to_thread(produce, load(server.port, connections), None)
    assert server.most_at_once == connections
    assert outcome.sent == server.received
    assert outcome.failed == server.bad > 0
    assert outcome.first_failure is not None
    assert outcome.first_failure.startswith(("200: {", "500: {"))
    assert DELAY * 1000 <= outcome.p50_ms <= outcome.p99_ms
    assert outcome.per_second <= connections / DELAY


async def test_a_server_that_hangs_up_is_a_failure() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        outcome = await asyncio.to_thread(produce, load(port, 2), None)
    assert outcome.sent == outcome.failed == 2
    assert "connection" in (outcome.first_failure or "")


async def test_a_server_that_is_not_there_cannot_be_measured() -> None:
    async with serving() as server:
        port = server.port
    with pytest.raises(CannotMeasure, match="load generator"):
        await asyncio.to_thread(produce, load(port, 1), None)
