"""Where results wait until a client takes them: bounded, so that one who does not read costs little and no time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

WRITE = "nexfit.websocket.write"
"""Name of the extension of a WebSocket's scope that takes a message without awaiting (`nexfit.serving`)."""

MOST_BYTES = 64 * 1024
"""What may wait for one client. The server's own buffer has the same bound where it is written to directly."""

Write = Callable[[bytes], bool]
"""Takes a message to send; False, and it is not taken, while too much waits."""


class Waiting:
    """Messages that wait for a client, in order."""

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self._bytes = 0
        self._is_over = False
        self._changed = asyncio.Event()

    def put(self, message: bytes) -> bool:
        """Add a message; False, and it is not added, when too much waits already. After the end it is lost."""
        if self._bytes >= MOST_BYTES:
            return False
        if not self._is_over:
            self._add(message)
        return True

    def end(self, *last: bytes) -> None:
        """Nothing follows what waits but these; however much waits, they are added."""
        if not self._is_over:
            for message in last:
                self._add(message)
            self._is_over = True
            self._changed.set()

    async def taken(self, idle: float | None = None) -> AsyncIterator[list[bytes]]:
        """Everything that waits, as often as something does; an empty list after `idle` seconds without anything."""
        while True:
            try:
                async with asyncio.timeout(idle):
                    await self._changed.wait()
            except TimeoutError:
                yield []
                continue
            self._changed.clear()
            messages, self._messages, self._bytes = self._messages, [], 0
            if messages:
                yield messages
            if self._is_over:
                return

    def _add(self, message: bytes) -> None:
        self._messages.append(message)
        self._bytes += len(message)
        self._changed.set()
