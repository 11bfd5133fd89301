"""What clients send: HTTP requests read into GraphQL requests, or refused with a status and a code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.types import Receive

from nexfit.domains.errors import ErrorCode, Refusal

Headers = Mapping[bytes, bytes]
"""By lower-case name, as ASGI spells them."""

MOST_STALENESS = 60
"""Seconds a client may bear not to see a change."""

_JSON_TYPES = (b"application/json", b"application/graphql-response+json")


class BadRequest(Refusal):
    """The HTTP request itself is at fault."""

    def __init__(
        self, text: str, status: int = 400, code: ErrorCode = ErrorCode.BAD_USER_INPUT, **values: object
    ) -> None:
        super().__init__(text, path=(), **values)
        self.status = status
        self.code = code


class Disconnected(Exception):
    """The client left before its request was complete."""


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """What a client asks to be executed; `extensions` may name the document (see `nexfit.api.persisted`)."""

    query: str | None
    extensions: Mapping[str, Any] | None
    variables: Mapping[str, Any] | None
    operation_name: str | None


async def read_post(receive: Receive, headers: Headers, *, limit: int) -> GraphQLRequest:
    """The request in the body of a POST, of at most `limit` bytes. Raises BadRequest, Disconnected."""
    if not _is_json(headers.get(b"content-type", b"")):
        raise BadRequest("Send the operation as application/json.", 415)
    if headers.get(b"content-encoding", b"identity").lower() not in (b"", b"identity"):
        raise BadRequest("Send the body as it is, without a content-encoding.", 415)
    if int(headers.get(b"content-length", b"0")) > limit:  # the server has checked that it is a number
        raise BadRequest("The body is larger than {most} bytes.", 413, most=limit)
    return checked(_json(await _body(receive, limit)))


@lru_cache(256)
def _is_json(content_type: bytes) -> bool:
    """Whether a body is JSON in UTF-8, the only encoding JSON has."""
    name, *parameters = (part.strip().lower() for part in content_type.split(b";"))
    return name in _JSON_TYPES and all(
        not parameter.startswith(b"charset") or parameter.replace(b'"', b"") in (b"charset=utf-8", b"charset=utf8")
        for parameter in parameters
    )


def read_get(query_string: bytes) -> GraphQLRequest:
    """The request in the address of a GET. Raises BadRequest."""
    values: dict[str, Any] = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    for name in ("variables", "extensions"):
        if name in values:
            values[name] = _json(values[name].encode())
    return checked(values)


async def _body(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise BadRequest("The body is larger than {most} bytes.", 413, most=limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not valid JSON in UTF-8.") from None


def checked(values: Any) -> GraphQLRequest:
    """The request in a JSON object, whatever it came in. Raises BadRequest."""
    if not isinstance(values, dict):
        raise BadRequest("The body must be a JSON object with a `query`.")
    query, variables, name = values.get("query"), values.get("variables"), values.get("operationName")
    extensions = values.get("extensions")
    if query is not None and (not isinstance(query, str) or not query.strip()):
        raise BadRequest("`query` must be a GraphQL document.")
    if variables is not None and not isinstance(variables, dict):
        raise BadRequest("`variables` must be an object.")
    if name is not None and not isinstance(name, str):
        raise BadRequest("`operationName` must be a string.")
    if extensions is not None and not isinstance(extensions, dict):
        raise BadRequest("`extensions` must be an object.")
    return GraphQLRequest(query, extensions, variables, name or None)


def max_staleness(extensions: Mapping[str, Any] | None) -> float:
    """Seconds of `extensions.maxStaleness`, 0 where nothing is said of it. Raises BadRequest."""
    seconds = extensions.get("maxStaleness", 0) if extensions else 0
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds <= MOST_STALENESS:
        raise BadRequest("`maxStaleness` must be a number of seconds from 0 to {most}.", most=MOST_STALENESS)
    return float(seconds)
