"""What is known of a request once it is answered, for the log, metrics and traces; none of its own words.

Over HTTP and WebSocket alike an operation is one request. What lasts is told of once more when it is over: a
subscription, and the socket itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Literal, Protocol

from nexfit.api.context import Context
from nexfit.api.execution import Answer, Asked, Operations
from nexfit.api.persisted import PersistedOperations
from nexfit.stores.commands import CommandLog, request_commands

Transport = Literal["http", "sse", "websocket"]
Kind = Literal["request", "subscription", "socket"]


class Seen:
    """One request, one subscription that is over, or one socket that is closed.

    `operation` is set only for names from the manifest: any other one is a client's invention.
    """

    __slots__ = (
        "codes",
        "commands",
        "cost",
        "executor",
        "id",
        "kind",
        "operation",
        "seconds",
        "sent",
        "status",
        "transport",
        "viewer",
        "what",
    )

    def __init__(self, id_: str, transport: Transport = "http") -> None:
        self.id = id_
        self.transport: Transport = transport
        self.what: Kind = "request"
        self.operation: str | None = None
        self.cost = 0
        self.status = 500
        """The HTTP status, or the one an operation of a socket would have had; the close code of a socket."""
        self.codes: tuple[str, ...] = ()
        """Codes of top-level errors."""
        self.executor = "none"
        self.kind = "guest"
        """What kind of viewer asked: `user`, `guest_session` or `guest`."""
        self.viewer = ""
        """Who asked; for hashing only."""
        self.seconds = 0.0
        """Until it was answered; the life of what lasted."""
        self.sent = 0
        """Results of a subscription, operations of a socket."""
        self.commands = CommandLog()
        """Sent until it was answered. What the events of a subscription take is made once for all who follow."""

    def asked_by(self, context: Context) -> None:
        """Who asked."""
        self.kind, self.viewer = context.viewer.kind, context.viewer_name

    def asked_for(self, asked: Asked, operations: Operations, persisted: PersistedOperations) -> None:
        """What was asked for."""
        self.cost = operations.cost(asked)
        if persisted.trusts(asked.query):
            self.operation = operations.name(asked)

    def answered(self, answer: Answer) -> None:
        """What came of it, but for the status."""
        self.executor, self.codes = answer.executor, answer.codes

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

    def is_over(self, what: Kind, observers: Sequence[Observer], seconds: float) -> None:
        """Let the observers know that what lasted so long is over."""
        self.what, self.seconds = what, seconds
        with ExitStack() as stack:
            for observer in observers:
                stack.enter_context(observer(self))


class Observer(Protocol):
    """Watches requests: everything in `Seen` is there when its context ends."""

    def __call__(self, seen: Seen) -> AbstractContextManager[object]:
        """A context around one request; an empty one for what is over."""
