"""`startSecondFactor`, `confirmSecondFactor` and `removeSecondFactor`: codes of an authenticator app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.errors import UserError, accepted, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity import payloads
from nexfit.domains.identity import second_factor


@strawberry.input(description="Who wants a second factor.")
class StartSecondFactorInput:
    """Input of `startSecondFactor`."""

    password: str = strawberry.field(description="The viewer's password.")


@strawberry.type(description="A secret for an authenticator app, or why not.")
class StartSecondFactorPayload:
    """Payload of `startSecondFactor`."""

    secret: str | None = column(description="In base 32, to be typed; shown once.")
    address: str | None = column(description="The same as an `otpauth:` address, for a QR code.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSecondFactorArgs(Args):
    """Arguments of `startSecondFactor`."""

    input: Annotated[StartSecondFactorInput, strawberry.argument(description="Who wants a second factor.")]


async def _start(args: StartSecondFactorArgs, context: Context) -> Mapping[str, Any]:
    started = await second_factor.start(
        context.services.accounts,
        context.actor.require(),
        args.input.password,
        device=payloads.device(context),
        now=context.now,
    )
    return {"secret": started.secret, "address": started.address}


@strawberry.input(description="A code of the app.")
class ConfirmSecondFactorInput:
    """Input of `confirmSecondFactor`."""

    code: str = strawberry.field(description="Six digits.")


@strawberry.type(description="Recovery codes, or why not.")
class ConfirmSecondFactorPayload:
    """Payload of `confirmSecondFactor`."""

    recovery_codes: list[str] | None = column(
        description="Each signs in once without the app. Shown only now: keep them elsewhere."
    )
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmSecondFactorArgs(Args):
    """Arguments of `confirmSecondFactor`."""

    input: Annotated[ConfirmSecondFactorInput, strawberry.argument(description="A code of the app.")]


async def _confirm(args: ConfirmSecondFactorArgs, context: Context) -> Mapping[str, Any]:
    codes = await second_factor.confirm(
        context.services.accounts,
        context.actor.require(),
        args.input.code,
        device=payloads.device(context),
        now=context.now,
    )
    return {"recoveryCodes": codes}


@strawberry.input(description="Proof of both factors.")
class RemoveSecondFactorInput:
    """Input of `removeSecondFactor`."""

    password: str = strawberry.field(description="The viewer's password.")
    code: str = strawberry.field(description="Six digits of the app, or a recovery code.")


@strawberry.type(description="A second factor that is gone, or why not.")
class RemoveSecondFactorPayload:
    """Payload of `removeSecondFactor`."""

    accepted: bool = column(description="Whether the password alone is enough from now on.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveSecondFactorArgs(Args):
    """Arguments of `removeSecondFactor`."""

    input: Annotated[RemoveSecondFactorInput, strawberry.argument(description="Proof of both factors.")]


async def _remove(args: RemoveSecondFactorArgs, context: Context) -> None:
    await second_factor.remove(
        context.services.accounts,
        context.actor.require(),
        args.input.password,
        args.input.code,
        device=payloads.device(context),
        now=context.now,
    )


@strawberry.type
class SecondFactorMutations:
    """The second factor."""

    start_second_factor: StartSecondFactorPayload = batch(
        answering(_start),
        args=StartSecondFactorArgs,
        description="Get a secret for an authenticator app. It counts once it is confirmed.",
    )
    confirm_second_factor: ConfirmSecondFactorPayload = batch(
        answering(_confirm),
        args=ConfirmSecondFactorArgs,
        description="Turn the second factor on by a code of the app.",
    )
    remove_second_factor: RemoveSecondFactorPayload = batch(
        accepted(_remove), args=RemoveSecondFactorArgs, description="Turn the second factor off."
    )
