"""What is known of a request once it is answered, for the log, metrics and traces; none of its own words."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from nexfit.stores.commands import CommandLog, request_commands


class Seen:
    """One request. `operation` is set only for names from the manifest: any other one is a client's invention."""

    __slots__ = ("codes", "commands", "cost", "executor", "id", "kind", "operation", "seconds", "status", "viewer")

    def __init__(self, id_: str) -> None:
        self.id = id_
        self.operation: str | None = None
        self.cost = 0
        self.status = 500
        self.codes: tuple[str, ...] = ()
        """Codes of top-level errors."""
        self.executor = "none"
        self.kind = "guest"
        """What kind of viewer asked: `user`, `guest_session` or `guest`."""
        self.viewer = ""
        """Who asked; for hashing only."""
        self.seconds = 0.0
        self.commands = CommandLog()

    @contextmanager
    def watched_by(self, observers: Sequence[Observer]) -> Iterator[None]:
        """Measure what happens inside, and let the observers know."""
        started = time.perf_counter()
        with ExitStack() as stack:
            for observer in observers:
                stack.enter_context(observer(self))
            with request_commands() as self.commands:
                try:
                    yield
                finally:
                    self.seconds = time.perf_counter() - started


class Observer(Protocol):
    """Watches requests: everything in `Seen` is there when its context ends."""

    def __call__(self, seen: Seen) -> AbstractContextManager[object]:
        """A context around one request."""
