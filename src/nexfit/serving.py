"""How uvicorn serves the application: one place for `nexfit serve`, `nexfit dev` and the tests.

Its WebSocket protocol is extended by one thing: an application may hand it finished messages without awaiting, which
is what makes sending the same one to thousands of sockets cheap. Elsewhere the application does without
(`nexfit.api.live.outlets`).
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from nexfit.api.live.outlets import WRITE
from nexfit.settings import Settings

_TEXT = 0x81
"""First byte of a frame that is a whole text message, not compressed."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A socket whose scope offers `write(message) -> bool`: False, and nothing is sent, while too much waits."""

    def handle_connect(self, event: Request) -> None:
        """Take the handshake; the application runs after this."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[WRITE] = self.write

    def write(self, message: bytes) -> bool:
        """Send a text message in UTF-8, once the handshake is done. What is written to a closing socket is lost."""
        if self.close_sent or self.disconnected:
            return True
        if not self.writable.is_set():
            return False
        size = len(message)
        if size < 126:
            head = bytes((_TEXT, size))
        elif size < 65536:
            head = bytes((_TEXT, 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((_TEXT, 127)) + size.to_bytes(8, "big")
        self.transport.write(head + message)
        return True


def server_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for `uvicorn.run` and `uvicorn.Config`.

    Messages are not compressed: it would cost each socket some 100 kB and each message its own work.
    """
    return {
        "host": settings.http.host,
        "port": settings.http.port,
        "timeout_graceful_shutdown": int(settings.http.drain_seconds),
        "access_log": False,
        "proxy_headers": False,  # who may say where a request comes from is a setting of ours
        "server_header": False,
        "ws": f"{__name__}:{WebSocketProtocol.__name__}",
        "ws_max_size": settings.live.message_bytes,
        "ws_ping_interval": settings.live.heartbeat_seconds,
        "ws_ping_timeout": settings.live.heartbeat_seconds,
        "ws_per_message_deflate": False,
    }
