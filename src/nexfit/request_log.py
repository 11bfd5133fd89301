"""One structured line per answered request: what was asked for under which published name, what it cost, how it went.

It names no viewer and no variable: a viewer is a hash that only this installation can make again.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

import structlog

from nexfit.api.observing import Observer, Seen

SLOW = 1.0
"""Seconds from which a request is logged in any case."""

log = structlog.get_logger(__name__)


def request_log(secret: str, *, every: bool) -> Observer:
    """Logs every request, or only those that failed here or took long. `secret` keys the viewers' hashes."""
    key = secret.encode()

    @contextmanager
    def logged(seen: Seen) -> Iterator[None]:
        yield
        failed = seen.status >= 500 or "INTERNAL" in seen.codes or "UNAVAILABLE" in seen.codes
        if not every and not failed and seen.seconds < SLOW:
            return
        log.info(
            "request",
            request_id=seen.id,
            operation=seen.operation,
            status=seen.status,
            codes=seen.codes,
            executor=seen.executor,
            cost=seen.cost,
            ms=round(seen.seconds * 1000, 2),
            commands={store: len(sent) for store, sent in seen.commands.sent.items()},
            viewer=hmac.new(key, seen.viewer.encode(), sha256).hexdigest()[:16] if seen.viewer else None,
        )

    return logged
