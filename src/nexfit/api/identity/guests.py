"""Guest sessions: `createGuestSession`, `endGuestSession`, `guestSession`, and bringing one along when signing in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column, row_column
from nexfit.api.identity import payloads
from nexfit.domains.identity.guests import Claim
from nexfit.domains.identity.sessions import Opened
from nexfit.domains.identity.tokens import InvalidToken
from nexfit.engine.fields import Record

strawberry.enum(Claim, name="GuestClaim", description="What became of a guest session brought along to sign in.")


@strawberry.type(
    description="What somebody has before signing in: the shop's cart and favourites belong to it, and go to the "
    "account that is signed in to with its token. It lets nobody see or do anything else."
)
class GuestSession:
    """From PostgreSQL's `shop.guest_sessions`."""

    device_info: str | None = row_column(description="The name given to the device, or what it called itself.")
    created_at: datetime = row_column(description="When it began.")
    last_activity: datetime = row_column(description="When it was last used, give or take a minute.")
    expires_at: datetime = row_column(description="When it ends, should nobody sign in with it before.")


async def _guest_session(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    guest_id = context.actor.guest_id
    if guest_id is None:
        return [None] * len(parents)
    try:
        found = await context.services.accounts.guests.find(guest_id, context.now)
    except InvalidToken:  # it has ended since the request began
        return [None] * len(parents)
    return [found] * len(parents)


@strawberry.type
class GuestQueries:
    """The guest's side of `viewer`."""

    guest_session: GuestSession | None = batch(
        _guest_session, description="The guest session whose token the request carries; null for everybody else."
    )


@strawberry.input(description="Where the guest is.")
class CreateGuestSessionInput:
    """Input of `createGuestSession`."""

    device_name: str | None = strawberry.field(default=None, description=payloads.DEVICE_NAME)


@strawberry.type(description="A guest session, or why there is none.")
class CreateGuestSessionPayload:
    """Payload of `createGuestSession`."""

    guest_token: str | None = column(
        description="Send it as `Authorization: Bearer …` until somebody signs in, and then once as `guestToken`."
    )
    expires_at: datetime | None = column(description="When the token stops working.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateGuestSessionArgs(Args):
    """Arguments of `createGuestSession`."""

    input: Annotated[CreateGuestSessionInput, strawberry.argument(description="Where the guest is.")]


async def _create(args: CreateGuestSessionArgs, context: Context) -> Mapping[str, Any]:
    device = payloads.device(context, args.input.device_name)
    opened = await context.services.accounts.guests.open(device, context.now)
    return {"guestToken": opened.value, "expiresAt": opened.expires_at}


@strawberry.input(description="Which guest session to give up.")
class EndGuestSessionInput:
    """Input of `endGuestSession`."""

    guest_token: str = strawberry.field(description="Its token.")


@strawberry.type(description="A guest session that is over, or why not.")
class EndGuestSessionPayload:
    """Payload of `endGuestSession`."""

    ended: bool = column(description="Whether this ended it. What hangs on it is nobody's then.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndGuestSessionArgs(Args):
    """Arguments of `endGuestSession`."""

    input: Annotated[EndGuestSessionInput, strawberry.argument(description="Which guest session to give up.")]


async def _end(args: EndGuestSessionArgs, context: Context) -> Mapping[str, Any]:
    await context.services.accounts.guests.end(args.input.guest_token, payloads.device(context), context.now)
    return {"ended": True}


@strawberry.type
class GuestMutations:
    """Guest sessions."""

    create_guest_session: CreateGuestSessionPayload = batch(
        answering(_create),
        args=CreateGuestSessionArgs,
        description="Begin to be somebody without an account, so that the shop can keep a cart and favourites. An "
        "address may do so only so often.",
    )
    end_guest_session: EndGuestSessionPayload = batch(
        answering(_end, {"ended": False}),
        args=EndGuestSessionArgs,
        description="Give a guest session up: its token is refused everywhere within a second.",
    )


async def brought(token: str | None, opened: Opened, context: Context) -> Claim | None:
    """What became of the guest session whose token was given when signing in; None where none was."""
    if token is None:
        return None
    guests = context.services.accounts.guests
    return await guests.claim(token, opened.user_id, payloads.device(context), context.now)
