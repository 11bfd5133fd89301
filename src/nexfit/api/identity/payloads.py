"""What the mutations of this area have in common: expected failures become `userErrors`, and tokens one shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from nexfit.api.context import Context
from nexfit.api.errors import user_error
from nexfit.domains.errors import Refusal, Unauthenticated
from nexfit.domains.identity import people
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.sessions import Device, Opened
from nexfit.domains.identity.validation import InvalidInput
from nexfit.engine.fields import BatchLoad, Record
from nexfit.engine.selection import Selection

A = TypeVar("A")

ACCESS_TOKEN = "Send it as `Authorization: Bearer …`."  # noqa: S105 - a description
EXPIRES_AT = "When the access token stops working."
REFRESH_TOKEN = "Give it to `refreshToken` once, for the next tokens. Keep it like a password."  # noqa: S105
REFRESH_EXPIRES_AT = "When the refresh token stops working, should it not be used before."
VIEWER = "Who signed in."
USER_ERRORS = "Why not, if not."


def answering(
    run: Callable[[A, Context], Awaitable[Mapping[str, Any]]], refused: Mapping[str, Any] | None = None
) -> BatchLoad:
    """A root field's batch function from one that makes a payload or raises a Refusal, which becomes its `userErrors`.

    `refused` is the rest of such a payload. Unauthenticated stays an error of the request.
    """

    async def load(parents: Sequence[Record], args: Any, context: Context) -> Sequence[Any]:
        try:
            payload = {**await run(args, context), "userErrors": []}
        except Unauthenticated:
            raise
        except Refusal as refusal:
            payload = {**(refused or {}), "userErrors": [user_error(refusal)]}
        except InvalidInput as invalid:
            payload = {**(refused or {}), "userErrors": [user_error(refusal) for refusal in invalid.refusals]}
        return [payload] * len(parents)

    return load


def accepted(run: Callable[[A, Context], Awaitable[None]]) -> BatchLoad:
    """The same for a mutation that has nothing to show: its payload says `accepted`."""

    async def made(args: A, context: Context) -> Mapping[str, Any]:
        await run(args, context)
        return {"accepted": True}

    return answering(made, {"accepted": False})


def device(context: Context, name: str | None = None) -> Device:
    """Where the request comes from."""
    known = (name or "").strip()[:300] or None
    return Device(known, context.user_agent or None, context.address or None)


async def signed_in(opened: Opened, selection: Selection, context: Context) -> dict[str, Any]:
    """The fields of a payload that signs somebody in, who is the viewer of this request from now on."""
    context.actor = Actor(opened.user_id, opened.session_id)
    asked = selection.at("viewer")
    viewer = await people.by_ids(context.stores.mongo, [opened.user_id], asked.columns) if asked else {}
    return {**tokens_of(opened), "viewer": viewer.get(opened.user_id)}


def tokens_of(opened: Opened) -> dict[str, Any]:
    """The fields that hold a session's tokens."""
    return {
        "accessToken": opened.access.value,
        "expiresAt": opened.access.expires_at,
        "refreshToken": opened.refresh,
        "refreshTokenExpiresAt": opened.refresh_expires_at,
    }
