"""`deactivateAccount`: leaving, with a way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import strawberry

from nexfit.api.context import Context
from nexfit.api.errors import UserError, accepted
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity import payloads
from nexfit.domains.identity.deactivation import deactivate


@strawberry.input(description="Who leaves.")
class DeactivateAccountInput:
    """Input of `deactivateAccount`."""

    password: str = strawberry.field(description="The viewer's password.")


@strawberry.type(description="An account that sleeps, or why not.")
class DeactivateAccountPayload:
    """Payload of `deactivateAccount`."""

    accepted: bool = column(description="Whether the account sleeps.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeactivateAccountArgs(Args):
    """Arguments of `deactivateAccount`."""

    input: Annotated[DeactivateAccountInput, strawberry.argument(description="Who leaves.")]


async def _deactivate(args: DeactivateAccountArgs, context: Context) -> None:
    await deactivate(
        context.services.accounts,
        context.actor,
        args.input.password,
        device=payloads.device(context),
        now=context.now,
    )


@strawberry.type
class DeactivateAccountMutation:
    """`deactivateAccount`."""

    deactivate_account: DeactivateAccountPayload = batch(
        accepted(_deactivate),
        args=DeactivateAccountArgs,
        description="Put the viewer's account to sleep: every session ends. Signing in within a month wakes it.",
    )
