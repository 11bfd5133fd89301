"""`logout`, `logoutEverywhere` and `revokeSession`: sessions that end before their time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity import payloads
from nexfit.api.relay import local_id
from nexfit.domains.errors import NotFound
from nexfit.domains.identity.documents import SessionEnd
from nexfit.domains.identity.sessions import end_all, end_by_token, end_one


@strawberry.input(description="Which session to leave.")
class LogoutInput:
    """Input of `logout`."""

    refresh_token: str | None = strawberry.field(
        default=None, description="The session's newest refresh token, when its access token has expired."
    )


@strawberry.type(description="A session that was left, or why not.")
class LogoutPayload:
    """Payload of `logout`."""

    logged_out: bool = column(description="Whether the session is over.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutArgs(Args):
    """Arguments of `logout`."""

    input: Annotated[LogoutInput, strawberry.argument(description="Which session to leave.")]


async def _logout(args: LogoutArgs, context: Context) -> Mapping[str, Any]:
    services = context.services
    if args.input.refresh_token is not None:
        await end_by_token(services.units, services.sessions, args.input.refresh_token, context.now)
        return {"loggedOut": True}
    user_id = context.actor.require()
    if context.actor.session_id is not None:
        await end_one(
            services.units, services.sessions, user_id, context.actor.session_id, SessionEnd.LOGOUT, context.now
        )
    return {"loggedOut": True}


@strawberry.input(description="Which sessions to end.")
class LogoutEverywhereInput:
    """Input of `logoutEverywhere`."""

    keep_this: bool = strawberry.field(default=False, description="Whether the session of this request goes on.")


@strawberry.type(description="Sessions that were ended, or why not.")
class LogoutEverywherePayload:
    """Payload of `logoutEverywhere`."""

    ended: int | None = column(description="How many sessions ended.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutEverywhereArgs(Args):
    """Arguments of `logoutEverywhere`."""

    input: Annotated[LogoutEverywhereInput, strawberry.argument(description="Which sessions to end.")]


async def _logout_everywhere(args: LogoutEverywhereArgs, context: Context) -> Mapping[str, Any]:
    services = context.services
    keep = context.actor.session_id if args.input.keep_this else None
    ended = await end_all(services.units, services.sessions, context.actor.require(), context.now, keep=keep)
    return {"ended": ended}


@strawberry.input(description="Which session to end.")
class RevokeSessionInput:
    """Input of `revokeSession`."""

    id: strawberry.ID = strawberry.field(description="One of `viewer.sessions`.")


@strawberry.type(description="A session that was ended, or why not.")
class RevokeSessionPayload:
    """Payload of `revokeSession`."""

    revoked_id: strawberry.ID | None = column(description="The session's id.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeSessionArgs(Args):
    """Arguments of `revokeSession`."""

    input: Annotated[RevokeSessionInput, strawberry.argument(description="Which session to end.")]


async def _revoke_session(args: RevokeSessionArgs, context: Context) -> Mapping[str, Any]:
    services = context.services
    user_id = context.actor.require()
    id_ = local_id(args.input.id, "Session")
    ended = ObjectId.is_valid(id_) and await end_one(
        services.units, services.sessions, user_id, ObjectId(id_), SessionEnd.REVOKED, context.now
    )
    if not ended:
        raise NotFound("There is no such session.", path=("id",))
    return {"revokedId": args.input.id}


@strawberry.type
class EndSessionMutations:
    """Ending sessions."""

    logout: LogoutPayload = batch(
        answering(_logout, {"loggedOut": False}),
        args=LogoutArgs,
        description="Leave a session: its tokens are refused everywhere within a second.",
    )
    logout_everywhere: LogoutEverywherePayload = batch(
        answering(_logout_everywhere), args=LogoutEverywhereArgs, description="End all sessions of the viewer."
    )
    revoke_session: RevokeSessionPayload = batch(
        answering(_revoke_session), args=RevokeSessionArgs, description="End one session of the viewer."
    )
