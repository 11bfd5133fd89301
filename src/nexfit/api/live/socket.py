"""One client of GraphQL over WebSocket: its messages, its operations, and how it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from starlette.types import Receive, Scope, Send

from nexfit.api.context import Context
from nexfit.api.execution import Answer, Asked, failed
from nexfit.api.language import ENGLISH, Speech, negotiated
from nexfit.api.live.fanout import Follower
from nexfit.api.live.handshakes import Pace
from nexfit.api.live.messages import (
    PROTOCOL,
    BadMessage,
    Close,
    Message,
    complete,
    head_of,
    read_message,
    simple,
    token_in,
)
from nexfit.api.live.outlets import WRITE, Waiting, Write
from nexfit.api.observing import Seen
from nexfit.api.requests import GraphQLRequest, max_staleness
from nexfit.domains.errors import BadInput, Refusal, Unauthenticated
from nexfit.domains.identity.access import GUEST
from nexfit.domains.identity.addresses import client_address
from nexfit.domains.identity.session_watch import SessionsUnknown
from nexfit.domains.identity.tokens import InvalidToken
from nexfit.logs import current_request
from nexfit.stores.errors import StoreUnavailable

if TYPE_CHECKING:
    from nexfit.api.live.sockets import Sockets

LONGEST_REASON = 120
"""Bytes of a close frame's reason; WebSocket allows 123."""

NO_STATUS = 1005
"""A close frame without a code."""


class _Operation:
    """An operation under way; `follower` once it follows something, since when and with what to say of it."""

    __slots__ = ("follower", "seen", "since")

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.follower: Follower | None = None
        self.since = 0.0


class _Outlet:
    """Where the results of one subscription on a socket go."""

    __slots__ = ("_head", "_id", "_operation", "_socket")

    def __init__(self, socket: Socket, id_: str, operation: _Operation) -> None:
        self._socket = socket
        self._id = id_
        self._operation = operation
        self._head = head_of(id_, "next")

    def send(self, result: bytes) -> bool:
        taken = self._socket.write(self._head + result + b"}")
        self._operation.seen.sent += taken
        return taken

    def end(self, why: Refusal) -> None:
        if isinstance(why, Unauthenticated):  # then nothing else on the socket may go on either
            self._socket.spawn(self._socket.close(Close.FORBIDDEN, "The session has ended."))
            return
        self._socket.spawn(self._socket.finish(self._id, self._operation, failed(why, self._socket.speech())))


class Socket:
    """One client's socket, from its acceptance until it is closed."""

    def __init__(self, endpoint: Sockets, scope: Scope, receive: Receive, send: Send, seen: Seen) -> None:
        self._endpoint = endpoint
        self._seen = seen
        """What is to be told of the socket; its `status` is the close code."""
        self._services = endpoint.services
        self._settings = endpoint.services.settings.live
        self._is_spoken = PROTOCOL in scope["subprotocols"]
        self._receive = receive
        self._send_event = send
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._operations: dict[str, _Operation] = {}
        self._running = 0
        self._actor = GUEST
        self._is_initialised = False
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._pace = Pace(self._settings, self._loop.time)
        languages = dict(scope["headers"]).get(b"accept-language")
        self._language = negotiated(languages.decode("latin-1")) if languages else ENGLISH
        client = scope.get("client")
        forwarded = dict(scope["headers"]).get(b"x-forwarded-for")
        self._address = client_address(client[0] if client else "", forwarded, endpoint.proxies)
        self._user_agent = dict(scope["headers"]).get(b"user-agent", b"").decode("latin-1")
        extensions: Mapping[str, Any] = scope.get("extensions") or {}
        write = extensions.get(WRITE)
        waiting = Waiting()
        self._waiting = None if write else waiting
        self._write: Write = write or waiting.put

    async def run(self) -> None:
        """Answer messages until the socket is closed by either side."""
        try:
            await self._event({"type": "websocket.accept", "subprotocol": PROTOCOL if self._is_spoken else None})
            if not self._is_spoken:
                await self.close(Close.SUBPROTOCOL, "Subprotocol not acceptable")
            self._close_in(self._settings.init_seconds, Close.INIT_TIMEOUT, "Connection initialisation timeout")
            if self._waiting is not None:
                self.spawn(self._send_waiting(self._waiting))
            while (event := await self._receive())["type"] == "websocket.receive":
                if not self._is_closed:
                    await self._on(event)
            if not self._is_closed:  # the client's own, or the server's for a broken frame
                self._seen.status = event.get("code") or NO_STATUS
        finally:
            self._stop()
            for task in self._tasks:
                task.cancel()

    def spawn(self, work: Any) -> None:
        """Run something beside the messages, at most as long as the socket lives."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def write(self, message: bytes) -> bool:
        """Send a message without waiting; False, and it is not sent, while too much waits."""
        return True if self._is_closed else self._write(message)

    def speech(self) -> Speech:
        """What is said to the client from now on."""
        return Speech(self._language)

    async def close(self, code: Close, reason: str) -> None:
        """Close; nothing more is sent."""
        if not self._is_closed:
            self._seen.status = code
            self._stop()
            short = reason.encode()[:LONGEST_REASON].decode(errors="ignore")
            await self._event({"type": "websocket.close", "code": int(code), "reason": short})

    async def finish(self, id_: str, operation: _Operation, answer: Answer) -> None:
        """The last of an operation: a result and the end, or the errors that kept or keep it from going on."""
        if self._operations.get(id_) is not operation:
            return  # the client has ended it
        del self._operations[id_]
        operation.seen.codes = answer.codes
        self._over(operation)
        if answer.executed:
            await self._send(head_of(id_, "next") + answer.body + b"}")
            await self._send(complete(id_))
        else:
            errors = orjson.dumps(orjson.loads(answer.body)["errors"])
            await self._send(head_of(id_, "error") + errors + b"}")

    # --- what the client sends

    async def _on(self, event: Mapping[str, Any]) -> None:
        text = event.get("text")
        if text is None:
            return await self.close(Close.BAD_REQUEST, "Messages are text.")
        if len(text) > self._settings.message_bytes:
            return await self.close(Close.TOO_BIG, f"A message has at most {self._settings.message_bytes} bytes.")
        if not self._pace.allows():
            return await self.close(Close.POLICY, "Too many messages")
        try:
            message = read_message(text)
        except BadMessage as bad:
            return await self.close(Close.BAD_REQUEST, str(bad))
        if message.type == "subscribe":
            return await self._on_subscribe(message)
        if message.type == "complete":
            self._end_by_client(message.id)
        elif message.type == "connection_init":
            await self._on_init(message)
        elif message.type == "ping":
            await self._on_ping(message)
        return None

    async def _on_init(self, message: Message) -> None:
        if self._is_initialised:
            return await self.close(Close.TOO_MANY_INITS, "Too many initialisation requests")
        token = token_in(message.payload)
        acknowledged = None if token is None else await self._signed_in(token)
        if token is not None and acknowledged is None:
            return None
        if not self._endpoint.connections.enter(self._actor):
            self._actor = GUEST
            return await self.close(Close.TRY_AGAIN_LATER, "Too many connections")
        self._is_initialised = True
        self._seen.asked_by(self._context(self._services.clock()))
        if token is None and self._timer is not None:
            self._timer.cancel()
        await self._send(simple("connection_ack", acknowledged))
        return None

    async def _on_ping(self, message: Message) -> None:
        token = token_in(message.payload)
        if token is None:
            return await self._send(simple("pong", message.payload))
        if not self._is_initialised:
            return await self.close(Close.UNAUTHORIZED, "Unauthorized")
        renewed = await self._signed_in(token)
        return None if renewed is None else await self._send(simple("pong", renewed))

    async def _signed_in(self, token: str) -> Mapping[str, Any] | None:
        """Until when the token lasts whose viewer is now this socket's; None where the socket was closed instead.

        A token that does not hold closes it, and so does one of another viewer than the one it was opened for.
        """
        tokens = self._services.tokens
        now = self._services.clock()
        try:
            actor = tokens.verify(token, now)
            if self._is_initialised and not actor.is_as(self._actor):
                raise InvalidToken
            if actor.guest_id is not None:
                await self._services.accounts.guests.require_live(actor.guest_id, now)
        except (SessionsUnknown, StoreUnavailable):
            await self.close(Close.TRY_AGAIN_LATER, "Try again in a moment.")
            return None
        except InvalidToken:
            await self.close(Close.FORBIDDEN, "Forbidden")
            return None
        self._actor = actor
        expires = tokens.expiry(token)
        self._close_in(expires - now.timestamp(), Close.FORBIDDEN, "The access token has expired.")
        return {"expiresAt": datetime.fromtimestamp(expires, UTC).isoformat().replace("+00:00", "Z")}

    async def _on_subscribe(self, message: Message) -> None:
        if not self._is_initialised:
            return await self.close(Close.UNAUTHORIZED, "Unauthorized")
        if message.id in self._operations:
            return await self.close(Close.ID_IN_USE, f"Subscriber for {message.id} already exists")
        self._seen.sent += 1
        operation = self._operations[message.id] = _Operation(Seen(f"{self._seen.id}.{self._seen.sent}", "websocket"))
        if max(self._running, len(self._operations) - 1) >= self._settings.operations:
            refused = BadInput("More operations are under way on this socket than it may have.")
            return await self.finish(message.id, operation, failed(refused, self.speech()))
        assert message.request is not None  # noqa: S101  # read_message has seen to it
        task = self._loop.create_task(self._operate(message.id, operation, message.request))
        self._endpoint.running.add(task)
        task.add_done_callback(self._endpoint.running.discard)
        return None

    def _end_by_client(self, id_: str) -> None:
        operation = self._operations.pop(id_, None)
        if operation is not None:
            self._over(operation)

    # --- operations

    def _over(self, operation: _Operation) -> None:
        """Nothing of the operation follows any more."""
        if operation.follower is not None:
            self._endpoint.fanout.leave(operation.follower)
            operation.follower = None
            operation.seen.is_over("subscription", self._endpoint.observers, self._loop.time() - operation.since)

    async def _operate(self, id_: str, operation: _Operation, request: GraphQLRequest) -> None:
        self._running += 1
        seen = operation.seen
        current_request.set(seen.id)
        try:
            with seen.watched_by(self._endpoint.observers):
                answer = await self._caught(self._answer(id_, operation, request))
                seen.status = 200
                if answer is not None:
                    seen.answered(answer)
                    seen.status = 200 if answer.executed else 429 if answer.retry_after is not None else 400
            if operation.follower is not None:
                answer = await self._caught(self._feed(operation.follower))
        finally:
            self._running -= 1
        if answer is not None:
            await self.finish(id_, operation, answer)

    async def _caught(self, work: Awaitable[Answer | None]) -> Answer | None:
        """What the work answers, or what kept it from answering."""
        try:
            return await work
        except SessionsUnknown:
            return failed(StoreUnavailable("mongo", "which sessions ended is not known"), self.speech())
        except Exception as error:
            return failed(error, self.speech())

    async def _feed(self, follower: Follower) -> None:
        try:
            await self._endpoint.fanout.feed(follower)
        except BaseException:
            self._endpoint.fanout.leave(follower)
            raise

    def _context(self, now: datetime) -> Context:
        return Context(
            self._services,
            now,
            self._actor,
            address=self._address,
            user_agent=self._user_agent,
            speech=self.speech(),
        )

    async def _answer(self, id_: str, operation: _Operation, request: GraphQLRequest) -> Answer | None:
        """The answer to an operation; None for a subscription that has begun."""
        now = self._services.clock()
        try:
            if not self._services.tokens.still_holds(self._actor):
                raise InvalidToken
            if self._actor.guest_id is not None:
                await self._services.accounts.guests.require_live(self._actor.guest_id, now)
        except InvalidToken:
            await self.close(Close.FORBIDDEN, "The session has ended.")
            return None
        context = self._context(now)
        operation.seen.asked_by(context)
        await context.spend(1)
        document = await self._endpoint.persisted.document(request.query, request.extensions)
        asked = Asked(document, request.variables, request.operation_name)
        operation.seen.asked_for(asked, self._endpoint.operations, self._endpoint.persisted)
        context.max_staleness = max_staleness(request.extensions)
        started = await self._endpoint.operations.subscription(asked, context)
        if started is None:
            return await self._endpoint.operations.run(asked, context)
        if isinstance(started, Answer):
            return started
        fanout = self._endpoint.fanout
        follower = await fanout.follow(started, context, _Outlet(self, id_, operation))
        if self._operations.get(id_) is not operation:  # ended meanwhile
            fanout.leave(follower)
            return None
        operation.follower, operation.since = follower, self._loop.time()
        return None

    # --- the socket

    async def _send(self, message: bytes) -> None:
        if not self._is_closed:
            await self._event({"type": "websocket.send", "text": message.decode()})

    async def _event(self, event: Mapping[str, Any]) -> None:
        try:
            await self._send_event(event)  # type: ignore[arg-type]
        except (OSError, RuntimeError):  # the client left (OSError), or the server has closed for a broken frame
            self._stop()

    async def _send_waiting(self, waiting: Waiting) -> None:
        async for messages in waiting.taken():
            for message in messages:
                await self._send(message)

    def _stop(self) -> None:
        """Nothing is sent any more, and nothing followed."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._waiting is not None:
            self._waiting.end()
        for operation in self._operations.values():
            self._over(operation)
        self._operations.clear()
        if self._is_initialised:
            self._endpoint.connections.leave(self._actor)

    def _close_in(self, seconds: float, code: Close, reason: str) -> None:
        """Close after so many seconds, instead of what was to be done later until now."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_closed:
            self._timer = self._loop.call_later(max(0.0, seconds), lambda: self.spawn(self.close(code, reason)))
