"""Many sockets of graphql-transport-ws in one process that read as little of what comes as they can.

The server is what is measured: so frames are counted and timed, not parsed. Messages come in the order of the events,
so the place of a message tells which event it carries.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import orjson

from bench.stores.errors import CannotMeasure

SECONDS = 60.0
"""How long opening all sockets may take."""


class Socket(asyncio.Protocol):
    """One subscriber. `arrived` is called for each message after the first notice with its place among them."""

    def __init__(self, port: int, first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
        self.following: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.count = 0
        self.arrived: Callable[[int], None] = lambda _: None
        self.last = b""
        """The latest message."""
        self._port = port
        self._messages = [first, second]
        self._held = b""
        self._is_upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        held = self._held + data if self._held else data
        place = 0
        if not self._is_upgraded:
            head, found, held = held.partition(b"\r\n\r\n")
            if not found:
                self._held = head
                return
            self._is_upgraded = True
            self._say()
        size = len(held)
        while size - place >= 2:
            length, start = held[place + 1], place + 2
            if length == 126:
                length, start = int.from_bytes(held[place + 2 : place + 4], "big"), place + 4
            if start + length > size or (length == 126 and size - place < 4):
                break
            if held[place] == 0x88 or length == 127:
                self._fail(held[start : start + length])
                return
            self._message(held, start, start + length)
            place = start + length
        self._held = held[place:]

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(b"connection lost")

    def close(self) -> None:
        """Leave without a word."""
        self.arrived = lambda _: None
        self._transport.abort()

    def _message(self, held: bytes, start: int, end: int) -> None:
        if self.following.done():
            self.last = held[start:end]
            self.count += 1
            self.arrived(self.count - 1)
        elif self._messages:
            self._say()  # what was said is acknowledged
        else:
            self.last = held[start:end]
            if b'"next"' not in self.last:
                self._fail(self.last)
            else:
                self.following.set_result(None)

    def _say(self) -> None:
        message = orjson.dumps(self._messages.pop(0))
        head = b"\x81" + (
            bytes([0x80 | len(message)]) if len(message) < 126 else b"\xfe" + len(message).to_bytes(2, "big")
        )
        self._transport.write(head + b"\0\0\0\0" + message)  # masked with nothing

    def _fail(self, why: bytes) -> None:
        if not self.following.done():
            self.following.set_exception(CannotMeasure(f"a socket was closed: {why.decode(errors='replace')}"))


class Crowd:
    """All sockets of a server, and when what arrived at them."""

    def __init__(self, sockets: list[Socket]) -> None:
        self.sockets = sockets
        self.sent: list[float] = []
        """When each event was published."""
        self.received = 0
        self.latencies: list[float] | None = None
        """Seconds from an event's publication to its arrival at a socket, while they are wanted."""
        self._wanted = 0
        self._is_wrong = False
        self._there = asyncio.Event()
        for socket in sockets:
            socket.count = 0
            socket.arrived = self._arrived

    async def wait(self, received: int) -> None:
        """Return when so many messages have arrived in all."""
        self._wanted = received
        self._there.clear()
        if self.received < received and not self._is_wrong:
            async with asyncio.timeout(SECONDS):
                await self._there.wait()
        if self._is_wrong:
            raise CannotMeasure("a socket got more than was sent: it did not keep up, so ask for fewer sockets")

    def _arrived(self, place: int) -> None:
        if place >= len(self.sent):  # something that is no event: a socket that did not keep up is told so
            self._there.set()
            self._is_wrong = True
            return
        self.received += 1
        if self.latencies is not None:
            self.latencies.append(time.perf_counter() - self.sent[place])
        if self.received == self._wanted:
            self._there.set()


async def connected(port: int, count: int, *, token: str | None, facility: str, query: str) -> list[Socket]:
    """So many sockets that follow a facility. Raises CannotMeasure."""
    first: dict[str, Any] = {"type": "connection_init"}
    if token is not None:
        first["payload"] = {"accessToken": token}
    loop = asyncio.get_running_loop()
    sockets: list[Socket] = []
    async with asyncio.timeout(SECONDS):
        for start in range(0, count, 50):
            opened = []
            for number in range(start, min(start + 50, count)):
                payload = {"query": query, "variables": {"facility": facility}}
                # Clients make ids of that length.
                second = {"id": f"{number:036d}", "type": "subscribe", "payload": payload}
                _, socket = await loop.create_connection(
                    lambda second=second: Socket(port, first, second),  # type: ignore[misc]
                    "127.0.0.1",
                    port,
                )
                opened.append(socket)
            await asyncio.gather(*(socket.following for socket in opened))
            sockets += opened
    return sockets
