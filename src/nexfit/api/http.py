"""GraphQL over HTTP at one endpoint: POST for everything, GET for queries, a code in every refusal.

An ASGI application by itself: what answers a cached response in some ten microseconds has no use for a framework.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import orjson
import structlog
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from nexfit.api import guard
from nexfit.api.context import Context, Services
from nexfit.api.cost import objects_in
from nexfit.api.errors import INTERNAL
from nexfit.api.execution import Answer, Asked, Operations, Sharing
from nexfit.api.graphiql import GraphiQLConfig, graphiql_page, wants_graphiql
from nexfit.api.language import Speech, negotiated
from nexfit.api.live.event_streams import EventStreams, wants_events
from nexfit.api.observing import Observer, Seen
from nexfit.api.persisted import PersistedOperations, UnknownOperation
from nexfit.api.requests import (
    BadRequest,
    Disconnected,
    GraphQLRequest,
    Headers,
    max_staleness,
    read_get,
    read_post,
)
from nexfit.api.response_cache import ResponseCache
from nexfit.domains.errors import ErrorCode, Refusal, TooOften
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.identity.addresses import client_address, networks
from nexfit.domains.identity.session_watch import SessionsUnknown
from nexfit.domains.identity.tokens import InvalidToken
from nexfit.logs import current_request
from nexfit.stores.errors import StoreUnavailable

_NO_STORE = (b"cache-control", b"no-store")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Reply:
    """What goes back: a status, a body, and headers beside those that every reply has."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    sharing: Sharing | None = None


_STREAMED = _Reply(200, b"")
"""Stands for a reply that was sent as a stream of events."""


class Endpoint:
    """The endpoint; one per process."""

    def __init__(
        self,
        services: Services,
        operations: Operations,
        persisted: PersistedOperations,
        responses: ResponseCache | None,
        streams: EventStreams,
        graphiql: GraphiQLConfig | None,
        observers: Sequence[Observer] = (),
    ) -> None:
        settings = services.settings
        self._services = services
        self._operations = operations
        self._responses = responses
        self._streams = streams
        self._persisted = persisted
        self._graphiql = graphiql
        self._observers = observers
        self._demo = settings.demo
        self._most_bytes = settings.http.max_body_bytes
        self._proxies = networks(settings.http.trusted_proxies)
        self._headers = (*guard.SECURITY_HEADERS, guard.HSTS) if settings.http.hsts else guard.SECURITY_HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        headers: Headers = dict(scope["headers"])
        if scope["method"] != "POST" and self._graphiql is not None and wants_graphiql(Request(scope)):
            page = graphiql_page(self._graphiql, root_path=scope.get("root_path", ""))
            await page(scope, receive, send)
            return
        id_ = guard.request_id(headers)
        current_request.set(id_)
        wanted = headers.get(b"accept-language")
        speech = Speech(negotiated(wanted.decode("latin-1"))) if wanted else Speech()
        media = guard.media_type(headers.get(b"accept"))
        seen = Seen(id_)
        if wants_events(headers):  # the stream tells of its operation, which it may outlive by days
            seen.transport = "sse"
            reply = await self._reply(scope, receive, send, headers, media, speech, id_, seen)
            if reply is not _STREAMED:
                with seen.watched_by(self._observers):
                    seen.status = reply.status if reply is not None else 499
        else:
            with seen.watched_by(self._observers):
                reply = await self._reply(scope, receive, send, headers, media, speech, id_, seen)
                seen.status = reply.status if reply is not None else 499
        if reply is not None and reply is not _STREAMED:
            more = [*self._headers, (guard.REQUEST_ID, id_.encode()), *reply.headers]
            if speech.spoken:
                more.append((b"content-language", ", ".join(sorted(speech.spoken)).encode()))
            await _send(send, reply, media or guard.JSON, more)

    async def _reply(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: Headers,
        media: bytes | None,
        speech: Speech,
        id_: str,
        seen: Seen,
    ) -> _Reply | None:
        """The reply; None where the client has left."""
        reads, streams = scope["method"] != "POST", wants_events(headers)
        try:
            if media is None and not streams:
                raise BadRequest("Accept application/json or application/graphql-response+json.", 406)
            if reads:
                guard.require_preflight(headers)
            context = self._context(scope, headers, speech)
            seen.asked_by(context)
            if context.viewer.guest_id is not None:
                await self._require_live(context.viewer.guest_id, context.now)
            await context.spend(1)
            asked = (
                read_get(scope["query_string"]) if reads else await read_post(receive, headers, limit=self._most_bytes)
            )
            if streams:
                document = await self._persisted.document(asked.query, asked.extensions)
                context.max_staleness = max_staleness(asked.extensions)
                operation = Asked(document, asked.variables, asked.operation_name, reads)
                seen.asked_for(operation, self._operations, self._persisted)
                more = [*self._headers, (guard.REQUEST_ID, id_.encode())]
                expires = self._expiry(headers)
                await self._streams(receive, send, operation, context, seen, expires=expires, headers=more)
                return _STREAMED
            answer = await self._answer(asked, context, headers, seen, queries_only=reads)
        except Disconnected:
            return None
        except Refusal as refused:
            seen.codes = (str(refused.code),)
            return _refused(refused, speech)
        except Exception:
            log.exception("request failed")
            return _Reply(500, _body_of(speech.say(INTERNAL), ErrorCode.INTERNAL))
        # The older media type keeps 200 for a well-formed request whatever GraphQL says of it.
        status = 200 if answer.executed or media is guard.JSON else 400
        shown: tuple[tuple[bytes, bytes], ...] = ()
        if answer.retry_after is not None:
            status, shown = 429, ((b"retry-after", b"%d" % answer.retry_after),)
        if self._demo:
            shown = (*shown, (b"x-nexfit-executor", answer.executor.encode()))
        return _Reply(status, answer.body, shown, answer.sharing)

    def _context(self, scope: Scope, headers: Headers, speech: Speech) -> Context:
        now = self._services.clock()
        client = scope.get("client")
        address = client_address(client[0] if client else "", headers.get(b"x-forwarded-for"), self._proxies)
        return Context(
            self._services,
            now,
            self._actor(headers, now),
            address=address,
            user_agent=headers.get(b"user-agent", b"").decode("latin-1"),
            speech=speech,
        )

    async def _answer(
        self, asked: GraphQLRequest, context: Context, headers: Headers, seen: Seen, *, queries_only: bool
    ) -> Answer:
        try:
            query = await self._persisted.document(asked.query, asked.extensions)
        except UnknownOperation as unknown:
            body = _body_of(context.speech.refusal(unknown), unknown.code)
            return Answer(body, "none", executed=False, failed=True, codes=(str(unknown.code),))
        context.max_staleness = max_staleness(asked.extensions)
        operation = Asked(query, asked.variables, asked.operation_name, queries_only)
        if self._responses is None:
            answer = await self._operations.run(operation, context)
        else:
            control = headers.get(b"cache-control")
            wishes = {part.strip().lower() for part in control.split(b",")} if control else ()
            keep = b"no-store" not in wishes
            answer = await self._responses.run(operation, context, fresh=b"no-cache" in wishes, keep=keep)
        if not answer.executed and self._operations.is_subscription(operation):
            raise BadRequest("Subscriptions need a stream: accept text/event-stream, or open a WebSocket.", 406)
        seen.answered(answer)
        seen.asked_for(operation, self._operations, self._persisted)
        if asked.extensions and asked.extensions.get("cost") is True:
            return self._with_cost(answer, operation, context)
        return answer

    def _with_cost(self, answer: Answer, operation: Asked, context: Context) -> Answer:
        """The answer with what it cost and what the viewer has left, as Shopify tells it."""
        body = orjson.loads(answer.body)
        cost: dict[str, object] = {
            "requestedQueryCost": self._operations.cost(operation),
            "actualQueryCost": objects_in(body.get("data")),
        }
        if (allowances := self._services.allowances) is not None:
            cost["throttleStatus"] = {
                "maximumAvailable": int(allowances.size),
                "currentlyAvailable": allowances.available(context.spender),
                "restoreRate": int(allowances.per_second),
            }
        body["extensions"] = {**body.get("extensions", {}), "cost": cost}
        return replace(answer, body=orjson.dumps(body), sharing=None)

    def _expiry(self, headers: Headers) -> float | None:
        """When the request's token stops working, in seconds since 1970; None for a guest."""
        authorization = headers.get(b"authorization")
        if authorization is None:
            return None
        return self._services.tokens.expiry(authorization.decode("latin-1").partition(" ")[2].strip())

    async def _require_live(self, guest_id: str, now: datetime) -> None:
        """Raises BadRequest for the token of a guest session that has ended, and while nobody knows whether it has."""
        try:
            await self._services.accounts.guests.require_live(guest_id, now)
        except InvalidToken:
            raise _unauthenticated() from None
        except StoreUnavailable as error:
            log.warning("store unavailable", detail=str(error))
            raise _unavailable() from None

    def _actor(self, headers: Headers, now: datetime) -> Actor:
        """Who asks; a token that does not hold is refused, never taken for a guest."""
        authorization = headers.get(b"authorization")
        if authorization is None:
            return GUEST
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise InvalidToken
            return self._services.tokens.verify(token.strip(), now)
        except InvalidToken:
            raise _unauthenticated() from None
        except SessionsUnknown:
            raise _unavailable() from None


def _unauthenticated() -> BadRequest:
    return BadRequest("The access token is not valid or has expired.", 401, ErrorCode.UNAUTHENTICATED)


def _unavailable() -> BadRequest:
    return BadRequest("A store does not answer. Try again in a moment.", 503, ErrorCode.UNAVAILABLE)


def _refused(refusal: Refusal, speech: Speech) -> _Reply:
    body = _body_of(speech.refusal(refusal), refusal.code, **refusal.details())
    if isinstance(refusal, TooOften):
        return _Reply(429, body, ((b"retry-after", b"%d" % refusal.seconds),))
    status = refusal.status if isinstance(refusal, BadRequest) else 400
    return _Reply(status, body, ((b"www-authenticate", b"Bearer"),) if status == 401 else ())


def _body_of(message: str, code: ErrorCode, **more: object) -> bytes:
    return orjson.dumps({"errors": [{"message": message, "extensions": {"code": str(code), **more}}]})


async def _send(send: Send, reply: _Reply, media_type: bytes, more: Iterable[tuple[bytes, bytes]]) -> None:
    headers = [
        (b"content-type", media_type),
        (b"content-length", b"%d" % len(reply.body)),
        *more,
        *([_NO_STORE] if reply.sharing is None else _shared(reply.sharing)),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def _shared(sharing: Sharing) -> Iterable[tuple[bytes, bytes]]:
    """How long others may keep the response; its age counts towards that. Who is signed in asks here each time.

    A browser that answered him by itself would show him what he has just changed as it was before.
    """
    yield b"cache-control", b"private, no-cache" if sharing.private else b"public, max-age=%d" % sharing.max_age
    yield b"age", b"%d" % sharing.age
    yield b"vary", b"accept, authorization"
