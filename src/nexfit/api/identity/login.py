"""`login`: a session for an e-mail address and its password."""

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
from nexfit.api.identity.guests import brought
from nexfit.api.identity.types import User
from nexfit.domains.identity.contact import MAX_EMAIL
from nexfit.domains.identity.guests import Claim
from nexfit.domains.identity.login import login


@strawberry.input(description="Who signs in.")
class LoginInput:
    """Input of `login`."""

    email: str = strawberry.field(
        description=f"The account's e-mail address, at most {MAX_EMAIL} characters; case does not matter."
    )
    password: str = strawberry.field(description="At most 1024 bytes.")
    code: str | None = strawberry.field(
        default=None,
        description="Six digits of the authenticator app, or a recovery code, where the answer was "
        "`SECOND_FACTOR_REQUIRED`.",
    )
    device_name: str | None = strawberry.field(default=None, description=payloads.DEVICE_NAME)
    guest_token: str | None = strawberry.field(default=None, description=payloads.BROUGHT)


@strawberry.type(description="A signed-in viewer, or why not.")
class LoginPayload:
    """Payload of `login`."""

    access_token: str | None = column(description=payloads.ACCESS_TOKEN)
    expires_at: datetime | None = column(description=payloads.EXPIRES_AT)
    refresh_token: str | None = column(description=payloads.REFRESH_TOKEN)
    refresh_token_expires_at: datetime | None = column(description=payloads.REFRESH_EXPIRES_AT)
    viewer: User | None = column(description=payloads.VIEWER)
    guest_claim: Claim | None = column(description=payloads.GUEST_CLAIM)
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginArgs(Args):
    """Arguments of `login`."""

    input: Annotated[LoginInput, strawberry.argument(description="Who signs in.")]


async def _login(args: LoginArgs, context: Context) -> Mapping[str, Any]:
    opened = await login(
        context.services.accounts,
        email=args.input.email,
        password=args.input.password,
        code=args.input.code,
        device=payloads.device(context, args.input.device_name),
        now=context.now,
    )
    claim = await brought(args.input.guest_token, opened, context)
    return {**await payloads.signed_in(opened, args.selection, context), "guestClaim": claim}


@strawberry.type
class LoginMutation:
    """`login`."""

    login: LoginPayload = batch(answering(_login), args=LoginArgs, description="Sign in.")
