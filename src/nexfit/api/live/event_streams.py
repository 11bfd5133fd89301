"""GraphQL over server-sent events: one operation per request, by graphql-sse's "distinct connections" form.

What is wrong with the operation comes as an event, too: a browser's EventSource shows its page no other answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.types import Receive, Send

from nexfit.api.context import Context
from nexfit.api.execution import Answer, Asked, Operations, failed
from nexfit.api.language import Speech
from nexfit.api.live.connections import Connections
from nexfit.api.live.fanout import Fanout, Follower
from nexfit.api.live.outlets import Waiting
from nexfit.api.observing import Observer, Seen
from nexfit.api.requests import BadRequest, Headers
from nexfit.domains.errors import ErrorCode, Refusal, Unauthenticated
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
    def __init__(self, waiting: Waiting, speech: Speech, seen: Seen) -> None:
        self._waiting = waiting
        self._speech = speech
        self._seen = seen

    def send(self, result: bytes) -> bool:
        taken = self._waiting.put(_next(result))
        self._seen.sent += taken
        return taken

    def end(self, why: Refusal) -> None:
        self.fail(why)

    def fail(self, why: Exception) -> None:
        """End, for any reason."""
        answer = failed(why, self._speech)
        self._seen.answered(answer)
        self._waiting.end(_next(answer.body), _COMPLETE)


class EventStreams:
    """Answers requests that ask for an event stream; one per process."""

    def __init__(
        self,
        settings: LiveSettings,
        operations: Operations,
        fanout: Fanout,
        connections: Connections,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._settings = settings
        self._operations = operations
        self._fanout = fanout
        self._connections = connections
        self._observers = observers

    async def __call__(
        self,
        receive: Receive,
        send: Send,
        asked: Asked,
        context: Context,
        seen: Seen,
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
                await self._answer(receive, send, asked, context, seen, expires)
            finally:
                self._connections.leave(actor)
        finally:
            self._connections.close()

    async def _answer(
        self, receive: Receive, send: Send, asked: Asked, context: Context, seen: Seen, expires: float | None
    ) -> None:
        waiting = Waiting()
        await send({"type": "http.response.body", "body": _HEARTBEAT, "more_body": True})  # shows that it is open
        leaving = asyncio.create_task(_until_gone(receive, waiting))
        working = asyncio.create_task(self._work(waiting, asked, context, seen, expires))
        try:
            async for messages in waiting.taken(self._settings.heartbeat_seconds):
                body = b"".join(messages) or _HEARTBEAT
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            leaving.cancel()
            working.cancel()
            await asyncio.gather(leaving, working, return_exceptions=True)

    async def _work(self, waiting: Waiting, asked: Asked, context: Context, seen: Seen, expires: float | None) -> None:
        with seen.watched_by(self._observers):
            begun = await self._begun(waiting, asked, context, seen)
            if isinstance(begun, Answer):
                seen.answered(begun)
            seen.status = 200  # the stream is open, whatever it says
        if isinstance(begun, Answer):
            waiting.end(_next(begun.body), _COMPLETE)
        else:
            await self._follow(*begun, context, seen, expires)

    async def _begun(
        self, waiting: Waiting, asked: Asked, context: Context, seen: Seen
    ) -> Answer | tuple[Follower, _Outlet]:
        """The answer, or who follows now and where its results go."""
        try:
            started = await self._operations.subscription(asked, context)
            if started is None:
                return await self._operations.run(asked, context)
            if isinstance(started, Answer):
                return started
            outlet = _Outlet(waiting, context.speech, seen)
            return await self._fanout.follow(started, context, outlet), outlet
        except Exception as error:
            return failed(error, context.speech)

    async def _follow(
        self, follower: Follower, outlet: _Outlet, context: Context, seen: Seen, expires: float | None
    ) -> None:
        """Follow until cancelled or the token's end."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        try:
            async with asyncio.timeout(None if expires is None else expires - context.services.clock().timestamp()):
                await self._fanout.feed(follower)
                await asyncio.Event().wait()
        except TimeoutError:
            outlet.end(Unauthenticated("The access token has expired."))
        except Exception as error:
            outlet.fail(error)
        finally:
            self._fanout.leave(follower)
            seen.is_over("subscription", self._observers, loop.time() - since)


async def _until_gone(receive: Receive, waiting: Waiting) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    waiting.end()


def _next(result: bytes) -> bytes:
    return b"event: next\ndata: %b\n\n" % result
