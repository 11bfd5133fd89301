"""Counts the commands each store receives on behalf of one request, for budgets in tests, logs and benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from nexfit.stores.errors import StoreName


@dataclass(slots=True)
class CommandLog:
    """Commands sent while the log was open, by store, in the order they were sent."""

    sent: dict[StoreName, list[str]] = field(default_factory=lambda: {"mongo": [], "postgres": [], "redis": []})

    def count(self, store: StoreName) -> int:
        """Number of commands a store received."""
        return len(self.sent[store])


_current: ContextVar[CommandLog | None] = ContextVar("nexfit_command_log", default=None)


def record(store: StoreName, command: str) -> None:
    """Add one command to the open log, if any."""
    log = _current.get()
    if log is not None:
        log.sent[store].append(command)


@contextmanager
def request_commands() -> Iterator[CommandLog]:
    """Collect a request's commands, which a log that is open around it gets as well. Complete when the context ends."""
    outer = _current.get()
    with command_log() as log:
        yield log
    if outer is not None:
        for store, sent in log.sent.items():
            outer.sent[store] += sent


@contextmanager
def command_log() -> Iterator[CommandLog]:
    """Collect the commands of this task and of the tasks it starts."""
    log = CommandLog()
    token = _current.set(log)
    try:
        yield log
    finally:
        _current.reset(token)
