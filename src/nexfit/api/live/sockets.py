"""GraphQL over WebSocket: the graphql-transport-ws protocol, kept strictly, over the same operations as HTTP.

The access token comes in `connection_init`. A new one may come in a `ping` before the old one ends; else the socket is
closed with 4403 when it does, and a client that connects again with a new token goes on where it was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from nexfit.api.context import Services
from nexfit.api.execution import Operations
from nexfit.api.guard import request_id
from nexfit.api.live.connections import Connections
from nexfit.api.live.fanout import Fanout
from nexfit.api.live.handshakes import is_welcome, refuse
from nexfit.api.live.messages import Close
from nexfit.api.live.socket import Socket
from nexfit.api.observing import Observer, Seen
from nexfit.api.persisted import PersistedOperations
from nexfit.api.requests import Headers
from nexfit.domains.identity.addresses import networks


class Sockets:
    """The endpoint for WebSockets; one per process."""

    def __init__(
        self,
        services: Services,
        operations: Operations,
        persisted: PersistedOperations,
        fanout: Fanout,
        connections: Connections,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.observers = observers
        self.services = services
        self.operations = operations
        self.persisted = persisted
        self.fanout = fanout
        self.connections = connections
        self.proxies = networks(services.settings.http.trusted_proxies)
        self.running: set[asyncio.Task[None]] = set()
        """Operations under way. What was begun is ended, also when the client has left: it may be a change."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket until it is closed, or refuse its handshake: 403 for its origin, 503 for want of room."""
        await receive()  # websocket.connect
        headers: Headers = dict(scope["headers"])
        seen = Seen(request_id(headers), "websocket")
        began = time.perf_counter()
        try:
            if not is_welcome(headers, self.services.settings.http.cors_origins):
                seen.status = 403
                await refuse(send, scope, 403)
            elif not self.connections.open():
                seen.status = 503
                await refuse(send, scope, 503)
            else:
                seen.status = Close.INTERNAL
                try:
                    await Socket(self, scope, receive, send, seen).run()
                finally:
                    self.connections.close()
        finally:
            seen.is_over("socket", self.observers, time.perf_counter() - began)
