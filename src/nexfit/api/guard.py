"""What every HTTP answer says to browsers, and what a request must be like before anybody reads its body.

The API keeps no cookies: a page of another origin has no token to send. That it can send nothing at all without asking
first (a CORS preflight, which only origins of the settings pass) is the second wall.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from functools import lru_cache
from itertools import count

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nexfit.api.requests import BadRequest, Headers

JSON = b"application/json; charset=utf-8"
GRAPHQL_RESPONSE = b"application/graphql-response+json; charset=utf-8"

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)
HSTS = (b"strict-transport-security", b"max-age=31536000")

REQUEST_ID = b"x-request-id"
PREFLIGHTED = (b"authorization", b"graphql-preflight", b"apollo-require-preflight", b"x-apollo-operation-name")
"""Headers no page can send to another origin without asking first; so is a content-type of JSON."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_PROCESS = secrets.token_hex(6)
_numbers = count(1)


def request_id(headers: Headers) -> str:
    """The caller's `X-Request-Id` where it is well-formed, else a new one."""
    given = headers.get(REQUEST_ID)
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode()
    return f"{_PROCESS}-{next(_numbers)}"


def require_preflight(headers: Headers) -> None:
    """Refuse a GET that a foreign page could have sent without asking. Raises BadRequest."""
    if not any(name in headers for name in PREFLIGHTED) and not headers.get(b"content-type", b"").startswith(
        b"application/json"
    ):
        raise BadRequest("A GET needs a header that pages must ask to send, such as graphql-preflight.")


@lru_cache(1024)
def media_type(accept: bytes | None) -> bytes | None:
    """The media type to answer in: of GraphQL's two the one that `Accept` likes better; None if it takes neither.

    Clients that take anything get the older one, which they can read for certain.
    """
    if accept is None or not accept.strip():
        return JSON
    liked: dict[bytes, float] = {}
    for item in accept.split(b",")[:50]:
        name, *parameters = (part.strip().lower() for part in item.split(b";"))
        liked[name] = max(liked.get(name, 0.0), _quality(parameters))
    newer = liked.get(b"application/graphql-response+json", 0.0)
    older = max(liked.get(name, 0.0) for name in (b"application/json", b"application/*", b"*/*"))
    if newer > 0 and newer >= liked.get(b"application/json", 0.0):
        return GRAPHQL_RESPONSE
    return JSON if older > 0 else None


def _quality(parameters: Iterable[bytes]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


class Secured:
    """Adds the security headers to whatever the wrapped application answers without them."""

    def __init__(self, app: ASGIApp, *, hsts: bool) -> None:
        self._app = app
        self._headers = (*SECURITY_HEADERS, HSTS) if hsts else SECURITY_HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                there = {name.lower() for name, _ in headers}
                message["headers"] = [*headers, *(pair for pair in self._headers if pair[0] not in there)]
            await send(message)

        await self._app(scope, receive, secured if scope["type"] == "http" else send)
