"""Time limits of many futures with one timer: a timer of the event loop costs as much as a small read decodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

A_MOMENT = 0.001
"""Seconds of a timer that comes due only after the event loop has looked at its sockets; a timer of 0 may not."""


class Deadlines:
    """Lets futures fail with TimeoutError when their time is over. Belongs to one event loop."""

    def __init__(self) -> None:
        self._due: dict[asyncio.Future[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, future: asyncio.Future[Any], seconds: float, *, loop: asyncio.AbstractEventLoop) -> None:
        """Give a future so many seconds. Whoever waits for it removes it afterwards, whatever became of it."""
        at = loop.time() + seconds
        self._due[future] = at
        if self._timer is None or at < self._timer.when():
            self._look_at(at, loop)

    def remove(self, future: asyncio.Future[Any]) -> None:
        """Watch a future no more."""
        self._due.pop(future, None)

    def close(self) -> None:
        """Watch nothing."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look_at(self, at: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(at, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """The earliest time limit may be over; most futures have been removed by then."""
        self._timer = None
        now = loop.time()
        overdue = [future for future, at in self._due.items() if at <= now]
        if overdue:
            # The answer may be there and this process was busy: a moment later what has come has been read.
            loop.call_later(A_MOMENT, self._expire, overdue)
        following = min((at for at in self._due.values() if at > now), default=None)
        if following is not None:
            self._look_at(following, loop)

    def _expire(self, overdue: Iterable[asyncio.Future[Any]]) -> None:
        for future in overdue:
            if future in self._due and not future.done():
                future.set_exception(TimeoutError("no answer in time"))
