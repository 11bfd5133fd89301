"""What the mutations of this area have in common: where a request comes from, and tokens in one shape."""

from __future__ import annotations

from typing import Any

from nexfit.api.context import Context
from nexfit.domains.identity import people
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.sessions import Device, Opened
from nexfit.engine.selection import Selection

LONGEST_NAME = 300
"""Of a device."""

ACCESS_TOKEN = "Send it as `Authorization: Bearer …`."  # noqa: S105 - a description
EXPIRES_AT = "When the access token stops working."
REFRESH_TOKEN = "Give it to `refreshToken` once, for the next tokens. Keep it like a password."  # noqa: S105
REFRESH_EXPIRES_AT = "When the refresh token stops working, should it not be used before."
VIEWER = "Who signed in."
DEVICE_NAME = f"A name for the device, such as `Ece's phone`; what is beyond {LONGEST_NAME} characters is cut."
BROUGHT = (
    "Of a guest session, to bring its cart and favourites along. A session goes to one account, once, and its token is "
    "refused from then on."
)
GUEST_CLAIM = "What became of the session of `guestToken`; null where none was given."
USER_ERRORS = "Why not, if not."


def device(context: Context, name: str | None = None) -> Device:
    """Where the request comes from."""
    known = (name or "").strip()[:LONGEST_NAME] or None
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
