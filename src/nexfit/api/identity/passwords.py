"""`requestPasswordReset`, `resetPassword` and `changePassword`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import strawberry

from nexfit.api.context import Context
from nexfit.api.errors import UserError, accepted
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity import payloads
from nexfit.api.identity.register import NEW_PASSWORD
from nexfit.domains.identity import password_change, password_reset
from nexfit.domains.identity.contact import MAX_EMAIL
from nexfit.domains.identity.validation import MAX_PASSWORD, checked


@strawberry.input(description="Who forgot a password.")
class RequestPasswordResetInput:
    """Input of `requestPasswordReset`."""

    email: str = strawberry.field(
        description=f"The account's address, at most {MAX_EMAIL} characters; case does not matter."
    )


@strawberry.type(description="A mail that is on its way if there is such an account, or why not.")
class RequestPasswordResetPayload:
    """Payload of `requestPasswordReset`."""

    accepted: bool = column(description="The same whether there is such an account or not.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPasswordResetArgs(Args):
    """Arguments of `requestPasswordReset`."""

    input: Annotated[RequestPasswordResetInput, strawberry.argument(description="Who forgot a password.")]


async def _request(args: RequestPasswordResetArgs, context: Context) -> None:
    await password_reset.request_reset(
        context.services.accounts, args.input.email, device=payloads.device(context), now=context.now
    )


@strawberry.input(description="The link of a mail, and the new password.")
class ResetPasswordInput:
    """Input of `resetPassword`."""

    token: str = strawberry.field(description="The token in the link.")
    new_password: str = strawberry.field(description=NEW_PASSWORD)


@strawberry.type(description="A password that was set, or why not.")
class ResetPasswordPayload:
    """Payload of `resetPassword`."""

    accepted: bool = column(description="Whether the new password is set. Sign in with it.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetPasswordArgs(Args):
    """Arguments of `resetPassword`."""

    input: Annotated[ResetPasswordInput, strawberry.argument(description="The link of a mail, and the new password.")]


async def _reset(args: ResetPasswordArgs, context: Context) -> None:
    await password_reset.reset(
        context.services.accounts,
        checked(password_reset.Reset, new_password=args.input.new_password),
        token=args.input.token,
        device=payloads.device(context),
        now=context.now,
    )


@strawberry.input(description="The current and the new password.")
class ChangePasswordInput:
    """Input of `changePassword`."""

    current_password: str = strawberry.field(description=f"The password so far, at most {MAX_PASSWORD} characters.")
    new_password: str = strawberry.field(description=NEW_PASSWORD)


@strawberry.type(description="A password that was changed, or why not.")
class ChangePasswordPayload:
    """Payload of `changePassword`."""

    accepted: bool = column(description="Whether the new password is set.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePasswordArgs(Args):
    """Arguments of `changePassword`."""

    input: Annotated[ChangePasswordInput, strawberry.argument(description="The current and the new password.")]


async def _change(args: ChangePasswordArgs, context: Context) -> None:
    context.actor.require()
    await password_change.change(
        context.services.accounts,
        checked(password_change.Change, new_password=args.input.new_password),
        actor=context.actor,
        current=args.input.current_password,
        device=payloads.device(context),
        now=context.now,
    )


@strawberry.type
class PasswordMutations:
    """Forgotten and changed passwords."""

    request_password_reset: RequestPasswordResetPayload = batch(
        accepted(_request),
        args=RequestPasswordResetArgs,
        description="Ask for a link that sets a new password. It works once, within an hour.",
    )
    reset_password: ResetPasswordPayload = batch(
        accepted(_reset),
        args=ResetPasswordArgs,
        description="Set a new password by a link. All sessions of the account end.",
    )
    change_password: ChangePasswordPayload = batch(
        accepted(_change),
        args=ChangePasswordArgs,
        description="Change the viewer's password. All other sessions of the viewer end.",
    )
