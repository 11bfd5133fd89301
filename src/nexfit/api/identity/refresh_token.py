"""`refreshToken`: the next tokens of a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity import payloads
from nexfit.domains.identity.refresh import refresh


@strawberry.input(description="The session to go on with.")
class RefreshTokenInput:
    """Input of `refreshToken`."""

    refresh_token: str = strawberry.field(description="The newest refresh token of the session.")
    retry_key: str | None = strawberry.field(
        default=None,
        description="Something random of the client's, new for every refresh. Who asks again with the same token and "
        "key within seconds, because the answer got lost, gets the same answer.",
    )


@strawberry.type(description="The session's next tokens, or why not.")
class RefreshTokenPayload:
    """Payload of `refreshToken`."""

    access_token: str | None = column(description=payloads.ACCESS_TOKEN)
    expires_at: datetime | None = column(description=payloads.EXPIRES_AT)
    refresh_token: str | None = column(description=payloads.REFRESH_TOKEN)
    refresh_token_expires_at: datetime | None = column(description=payloads.REFRESH_EXPIRES_AT)
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshTokenArgs(Args):
    """Arguments of `refreshToken`."""

    input: Annotated[RefreshTokenInput, strawberry.argument(description="The session to go on with.")]


async def _refresh_token(args: RefreshTokenArgs, context: Context) -> Mapping[str, Any]:
    services = context.services
    opened = await refresh(
        services.units,
        services.sessions,
        token=args.input.refresh_token,
        retry_key=args.input.retry_key,
        now=context.now,
    )
    return payloads.tokens_of(opened)


@strawberry.type
class RefreshTokenMutation:
    """`refreshToken`."""

    refresh_token: RefreshTokenPayload = batch(
        answering(_refresh_token),
        args=RefreshTokenArgs,
        description="Renew a session. The given refresh token works no more; a token that was used before ends the "
        "whole session, because two then have a copy of it.",
    )
