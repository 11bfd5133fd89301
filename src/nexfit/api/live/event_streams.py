"""GraphQL over server-sent events: one operation per request, by graphql-sse's "distinct connections" form.

What is wrong with the operation comes as an event, too: a browser's EventSource shows its page no other answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from starlette.types import Receive, Send

from nexfit.api.context import Context
from nexfit.api.execution import Answer, Asked, Operations, failed
from nexfit.api.language import Speech
from nexfit.api.live.connections import Connections
from nexfit.api.live.fanout import Fanout
from nexfit.api.live.outlets import Waiting
from nexfit.api.requests import BadRequest, Headers
from nexfit.domains.errors import ErrorCode, Refusal, Unauthenticated
from nexfit.engine.subscription import Subscription
from nexfit.settings import LiveSettings

EVENT_STREAM = b"text/event-stream"

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # proxies that hold back what they pass on
]

_COMPLETE = b"event: complete\ndata:\n\n"  # without data a browser would not show it
_HEARTBEAT = b":\n\n"


def wants_events(headers: Headers) -> bool:
    """Whether a request asks for an event stream."""
    return EVENT_STREAM in headers.get(b"accept", b"")


class _Outlet:
    def __init__(self, waiting: Waiting, speech: Speech) -> None:
        self._waiting = waiting
        self._speech = speech

    def send(self, result: bytes) -> bool:
        return self._waiting.put(_next(result))

    def end(self, why: Refusal) -> None:
        self._waiting.end(_next(failed(why, self._speech).body), _COMPLETE)


class EventStreams:
    """Answers requests that ask for an event stream; one per process."""

    def __init__(
        self, settings: LiveSettings, operations: Operations, fanout: Fanout, connections: Connections
    ) -> None:
        self._settings = settings
        self._operations = operations
        self._fanout = fanout
        self._connections = connections

    async def __call__(
        self,
        receive: Receive,
        send: Send,
        asked: Asked,
        context: Context,
        *,
        expires: float | None,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """Answer by events until the operation is over, the client has left or the viewer's token `expires`.

        Raises BadRequest before anything is sent when too many streams are open.
        """
        if not self._connections.open():
            raise BadRequest("Too many streams are open.", 503, ErrorCode.UNAVAILABLE)
        try:
            actor = context.actor
            if not self._connections.enter(actor):
                raise BadRequest("Too many streams are open.", 429, ErrorCode.RATE_LIMITED)
            try:
                await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, *headers]})
                await self._answer(receive, send, asked, context, expires)
            finally:
                self._connections.leave(actor)
        finally:
            self._connections.close()

    async def _answer(
        self, receive: Receive, send: Send, asked: Asked, context: Context, expires: float | None
    ) -> None:
        waiting = Waiting()
        await send({"type": "http.response.body", "body": _HEARTBEAT, "more_body": True})  # shows that it is open
        leaving = asyncio.create_task(_until_gone(receive, waiting))
        working = asyncio.create_task(self._work(waiting, asked, context, expires))
        try:
            async for messages in waiting.taken(self._settings.heartbeat_seconds):
                body = b"".join(messages) or _HEARTBEAT
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            leaving.cancel()
            working.cancel()
            await asyncio.gather(leaving, working, return_exceptions=True)

    async def _work(self, waiting: Waiting, asked: Asked, context: Context, expires: float | None) -> None:
        try:
            started = await self._operations.subscription(asked, context)
            if isinstance(started, Subscription):
                await self._follow(started, waiting, context, expires)
            else:
                answer = started if isinstance(started, Answer) else await self._operations.run(asked, context)
                waiting.end(_next(answer.body), _COMPLETE)
        except Exception as error:
            waiting.end(_next(failed(error, context.speech).body), _COMPLETE)

    async def _follow(self, started: Subscription, waiting: Waiting, context: Context, expires: float | None) -> None:
        """Follow until cancelled or the token's end."""
        outlet = _Outlet(waiting, context.speech)
        follower = await self._fanout.follow(started, context, outlet)
        try:
            async with asyncio.timeout(None if expires is None else expires - datetime.now(UTC).timestamp()):
                await self._fanout.feed(follower)
                await asyncio.Event().wait()
        except TimeoutError:
            outlet.end(Unauthenticated("The access token has expired."))
        finally:
            self._fanout.leave(follower)


async def _until_gone(receive: Receive, waiting: Waiting) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    waiting.end()


def _next(result: bytes) -> bytes:
    return b"event: next\ndata: %b\n\n" % result
