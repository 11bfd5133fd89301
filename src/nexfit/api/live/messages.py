"""The messages of graphql-transport-ws: what a client sends, read strictly, and what it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import orjson

from nexfit.api.requests import BadRequest, GraphQLRequest, checked

PROTOCOL = "graphql-transport-ws"

_LONGEST_ID = 256
_TYPES = frozenset({"connection_init", "ping", "pong", "subscribe", "complete"})


class Close(IntEnum):
    """Why a socket is closed. Those below 4000 are WebSocket's own, the others the protocol's."""

    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    TRY_AGAIN_LATER = 1013
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    SUBPROTOCOL = 4406
    INIT_TIMEOUT = 4408
    ID_IN_USE = 4409
    TOO_MANY_INITS = 4429


class BadMessage(Exception):
    """The protocol has no such message; the socket is to be closed with `BAD_REQUEST` and this text."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a client: `id` with `subscribe` and `complete`, `request` with `subscribe`."""

    type: str
    payload: Mapping[str, Any] | None
    id: str = ""
    request: GraphQLRequest | None = None


def read_message(text: str) -> Message:
    """The message in a text frame; raises BadMessage."""
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadMessage("The message is not valid JSON.") from None
    if not isinstance(values, dict) or not isinstance(values.get("type"), str):
        raise BadMessage("A message is an object with a type.")
    kind, payload, id_ = values["type"], values.get("payload"), values.get("id")
    if kind not in _TYPES:
        raise BadMessage("There is no message of this type.")
    if payload is not None and not isinstance(payload, dict):
        raise BadMessage("The payload must be an object.")
    if kind not in ("subscribe", "complete"):
        return Message(kind, payload)
    if not isinstance(id_, str) or not 0 < len(id_) <= _LONGEST_ID:
        raise BadMessage(f"The id must be a string of 1 to {_LONGEST_ID} characters.")
    if kind == "complete":
        return Message(kind, payload, id_)
    try:
        return Message(kind, payload, id_, checked(payload))
    except BadRequest as refused:
        raise BadMessage(refused.message) from None


def token_in(payload: Mapping[str, Any] | None) -> str | None:
    """The access token in a payload: `accessToken`, or `authorization` as the header has it; None for none.

    What is there and is no token is an empty one, which does not hold.
    """
    for name, value in (payload or {}).items():
        if name.lower() == "accesstoken":
            return value if isinstance(value, str) else ""
        if name.lower() == "authorization":
            scheme, _, token = value.partition(" ") if isinstance(value, str) else ("", "", "")
            return token.strip() if scheme.lower() == "bearer" else ""
    return None


def simple(kind: str, payload: Mapping[str, Any] | None = None) -> bytes:
    """`connection_ack` or `pong`."""
    return orjson.dumps({"type": kind} if payload is None else {"type": kind, "payload": payload})


def head_of(id_: str, kind: str) -> bytes:
    """A message about an operation up to its payload, behind which a brace is to follow."""
    return b'{"id":%b,"type":"%b","payload":' % (orjson.dumps(id_), kind.encode())


def complete(id_: str) -> bytes:
    """That nothing follows for an operation."""
    return b'{"id":%b,"type":"complete"}' % orjson.dumps(id_)
