"""One structured line per answered request: what was asked for under which published name, what it cost, how it went.

Operations on sockets and event streams are requests as well; a subscription and a socket have one more line at their
end, `subscription` and `socket`, and never count as slow.

It names no viewer and no variable: a viewer is a hash that only this installation can make again. The line is like
those of `nexfit.logs`, but made without structlog: there is one for every request, and it costs a third this way.
"""

from __future__ import annotations

import hmac
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256

import orjson

from nexfit.api.observing import Observer, Seen

SLOW = 1.0
"""Seconds from which a request is logged in any case."""


def request_log(secret: str, *, every: bool) -> Observer:
    """Logs every request, or only those that failed here or took long. `secret` keys the viewers' hashes."""
    key = secret.encode()

    @lru_cache(4096)
    def hashed(viewer: str) -> str:
        return hmac.new(key, viewer.encode(), sha256).hexdigest()[:16]

    @contextmanager
    def logged(seen: Seen) -> Iterator[None]:
        yield
        lasted = seen.what != "request"
        failed = (seen.status >= 500 and not lasted) or "INTERNAL" in seen.codes or "UNAVAILABLE" in seen.codes
        if every or failed or (seen.seconds >= SLOW and not lasted):
            write(
                {
                    "event": seen.what,
                    "request_id": seen.id,
                    "transport": seen.transport,
                    **(_of_socket(seen) if seen.what == "socket" else _of_operation(seen)),
                    "ms": round(seen.seconds * 1000, 2),
                    "kind": seen.kind,
                    "viewer": hashed(seen.viewer) if seen.viewer else None,
                    "level": "info",
                    "timestamp": datetime.now(UTC),
                }
            )

    return logged


def _of_operation(seen: Seen) -> dict[str, object]:
    line: dict[str, object] = {
        "operation": seen.operation,
        "status": seen.status,
        "codes": seen.codes,
        "executor": seen.executor,
        "cost": seen.cost,
        "commands": {store: len(sent) for store, sent in seen.commands.sent.items()},
    }
    return {**line, "results": seen.sent} if seen.what == "subscription" else line


def _of_socket(seen: Seen) -> dict[str, object]:
    return {"close_code": seen.status, "operations": seen.sent}


def write(line: dict[str, object]) -> None:
    """Put a line on stderr."""
    sys.stderr.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z).decode())
    sys.stderr.flush()
