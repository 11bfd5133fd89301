"""Who may open a socket, and how often it may speak."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.types import Scope, Send

from nexfit.api.requests import Headers
from nexfit.settings import LiveSettings


def is_welcome(headers: Headers, origins: Collection[str]) -> bool:
    """Whether a page of the request's origin may open a socket; who names none is no page."""
    origin = headers.get(b"origin")
    if origin is None:
        return True
    text = origin.decode("latin-1")
    try:
        host = urlsplit(text).netloc
    except ValueError:  # no address at all
        return False
    return text in origins or host == headers.get(b"host", b"").decode("latin-1")


async def refuse(send: Send, scope: Scope, status: int) -> None:
    """Refuse the handshake with an HTTP status, where the server can; else with its own 403."""
    with suppress(OSError):
        if "websocket.http.response" in (scope.get("extensions") or {}):
            await send({"type": "websocket.http.response.start", "status": status, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b""})
        else:
            await send({"type": "websocket.close"})


class Pace:
    """How many messages a client may send: so many per second, and some at once."""

    def __init__(self, settings: LiveSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._left = float(settings.messages_at_once)
        self._counted_at = clock()

    def allows(self) -> bool:
        """Whether one more message is within the pace; it is counted."""
        now = self._clock()
        earned = (now - self._counted_at) * self._settings.messages_per_second
        self._left = min(float(self._settings.messages_at_once), self._left + earned) - 1
        self._counted_at = now
        return self._left >= 0
