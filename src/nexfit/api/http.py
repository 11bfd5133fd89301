"""GraphQL over HTTP at one endpoint: POST for everything, GET for queries, a code in every refusal.

An ASGI application by itself: what answers a cached response in some ten microseconds has no use for a framework.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import orjson
import structlog
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from nexfit.api.context import Context, Services
from nexfit.api.errors import INTERNAL
from nexfit.api.execution import Answer, Asked, Operations, Sharing
from nexfit.api.graphiql import GraphiQLConfig, graphiql_page, wants_graphiql
from nexfit.api.language import Speech, negotiated
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
from nexfit.domains.errors import ErrorCode
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.identity.session_watch import SessionsUnknown
from nexfit.domains.identity.tokens import InvalidToken

JSON = b"application/json; charset=utf-8"
GRAPHQL_RESPONSE = b"application/graphql-response+json; charset=utf-8"

_NO_STORE = (b"cache-control", b"no-store")
_NO_SNIFF = (b"x-content-type-options", b"nosniff")

log = structlog.get_logger(__name__)


class Endpoint:
    """The endpoint; one per process."""

    def __init__(
        self,
        services: Services,
        operations: Operations,
        persisted: PersistedOperations,
        responses: ResponseCache | None,
        graphiql: GraphiQLConfig | None,
    ) -> None:
        self._services = services
        self._operations = operations
        self._responses = responses
        self._persisted = persisted
        self._graphiql = graphiql
        self._most_bytes = services.settings.http.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        headers: Headers = dict(scope["headers"])
        reads = scope["method"] != "POST"
        if reads and self._graphiql is not None and wants_graphiql(Request(scope)):
            page = graphiql_page(self._graphiql, root_path=scope.get("root_path", ""))
            await page(scope, receive, send)
            return
        strict = b"application/graphql-response+json" in headers.get(b"accept", b"")
        media_type = GRAPHQL_RESPONSE if strict else JSON
        wanted = headers.get(b"accept-language")
        speech = Speech(negotiated(wanted.decode("latin-1"))) if wanted else Speech()
        try:
            now = datetime.now(UTC)
            actor = self._actor(headers, now)
            asked = (
                read_get(scope["query_string"]) if reads else await read_post(receive, headers, limit=self._most_bytes)
            )
            client = scope.get("client")
            context = Context(
                self._services,
                now,
                actor,
                address=client[0] if client else "",
                user_agent=headers.get(b"user-agent", b"").decode("latin-1"),
                speech=speech,
            )
            answer = await self._answer(asked, context, headers, queries_only=reads)
        except BadRequest as refused:
            more = ((b"www-authenticate", b"Bearer"),) if refused.status == 401 else ()
            body = _refusal(speech.refusal(refused), refused.code)
            await _respond(send, refused.status, media_type, body, *more, *_language(speech))
        except Disconnected:
            return
        except Exception:
            log.exception("request failed")
            body = _refusal(speech.say(INTERNAL), ErrorCode.INTERNAL)
            await _respond(send, 500, media_type, body, *_language(speech))
        else:
            # The older media type keeps 200 for a well-formed request whatever GraphQL says of it.
            status = 200 if answer.executed or not strict else 400
            shown = ((b"x-nexfit-executor", answer.executor.encode()),) if self._services.settings.demo else ()
            await _respond(send, status, media_type, answer.body, *shown, *_language(speech), sharing=answer.sharing)

    async def _answer(self, asked: GraphQLRequest, context: Context, headers: Headers, *, queries_only: bool) -> Answer:
        try:
            query = await self._persisted.document(asked.query, asked.extensions)
        except UnknownOperation as unknown:
            return Answer(_refusal(context.speech.refusal(unknown), unknown.code), "none", executed=False, failed=True)
        context.max_staleness = max_staleness(asked.extensions)
        operation = Asked(query, asked.variables, asked.operation_name, queries_only)
        if self._responses is None:
            return await self._operations.run(operation, context)
        control = headers.get(b"cache-control")
        wishes = {part.strip().lower() for part in control.split(b",")} if control else ()
        keep = b"no-store" not in wishes
        return await self._responses.run(operation, context, fresh=b"no-cache" in wishes, keep=keep)

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
            raise BadRequest("The access token is not valid or has expired.", 401, ErrorCode.UNAUTHENTICATED) from None
        except SessionsUnknown:
            raise BadRequest("A store does not answer. Try again in a moment.", 503, ErrorCode.UNAVAILABLE) from None


def _refusal(message: str, code: ErrorCode) -> bytes:
    return orjson.dumps({"errors": [{"message": message, "extensions": {"code": str(code)}}]})


def _language(speech: Speech) -> tuple[tuple[bytes, bytes], ...]:
    """Names the languages that messages are in; nothing where nothing was said."""
    return ((b"content-language", ", ".join(sorted(speech.spoken)).encode()),) if speech.spoken else ()


async def _respond(
    send: Send,
    status: int,
    media_type: bytes,
    body: bytes,
    *more: tuple[bytes, bytes],
    sharing: Sharing | None = None,
) -> None:
    headers = [
        (b"content-type", media_type),
        (b"content-length", b"%d" % len(body)),
        _NO_SNIFF,
        *more,
        *([_NO_STORE] if sharing is None else _shared(sharing)),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _shared(sharing: Sharing) -> Iterable[tuple[bytes, bytes]]:
    """How long others may keep the response; its age counts towards that. Who is signed in asks here each time.

    A browser that answered him by itself would show him what he has just changed as it was before.
    """
    yield b"cache-control", b"private, no-cache" if sharing.private else b"public, max-age=%d" % sharing.max_age
    yield b"age", b"%d" % sharing.age
    yield b"vary", b"accept, authorization"
