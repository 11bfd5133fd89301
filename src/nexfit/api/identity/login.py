"""`login`: an access token for an e-mail address and its password."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.errors import UserError, user_error
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity.types import User
from nexfit.domains.errors import Refusal
from nexfit.domains.identity import people
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.login import login
from nexfit.engine.fields import Record


@strawberry.input(description="Who signs in.")
class LoginInput:
    """Input of `login`."""

    email: str = strawberry.field(description="The account's e-mail address; case does not matter.")
    password: str = strawberry.field(description="At most 1024 bytes.")


@strawberry.type(description="A signed-in viewer, or why not.")
class LoginPayload:
    """Payload of `login`."""

    access_token: str | None = column(description="Send it as `Authorization: Bearer …`.")
    expires_at: datetime | None = column(description="When the token stops working.")
    viewer: User | None = column(description="Who signed in.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginArgs(Args):
    """Arguments of `login`."""

    input: Annotated[LoginInput, strawberry.argument(description="Who signs in.")]


async def _login(parents: Sequence[Record], args: LoginArgs, context: Context) -> Sequence[Any]:
    services = context.services
    try:
        signed_in = await login(
            services.stores.mongo,
            services.passwords,
            services.tokens,
            services.attempts,
            email=args.input.email,
            password=args.input.password,
            address=context.address,
            now=context.now,
        )
    except Refusal as refusal:
        return [{"userErrors": [user_error(refusal)]}] * len(parents)
    context.actor = Actor(signed_in.user_id)
    asked = args.selection.at("viewer")
    viewer = await people.by_ids(services.stores.mongo, [signed_in.user_id], asked.columns) if asked else {}
    payload = {
        "accessToken": signed_in.token.value,
        "expiresAt": signed_in.token.expires_at,
        "viewer": viewer.get(signed_in.user_id),
        "userErrors": [],
    }
    return [payload] * len(parents)


@strawberry.type
class IdentityMutations:
    """Root fields of this area."""

    login: LoginPayload = batch(_login, args=LoginArgs, description="Sign in.")
