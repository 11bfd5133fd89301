"""`register`, `verifyEmail` and `resendVerification`: becoming somebody here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.errors import UserError, accepted, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity import payloads
from nexfit.api.identity.guests import brought
from nexfit.api.identity.types import User
from nexfit.domains.identity import registration
from nexfit.domains.identity.contact import MAX_EMAIL
from nexfit.domains.identity.documents import UserType
from nexfit.domains.identity.guests import Claim
from nexfit.domains.identity.registration import NewAccount
from nexfit.domains.identity.validation import MAX_LINE, MAX_NAME, MAX_PASSWORD, MIN_PASSWORD, checked

strawberry.enum(UserType, description="Whether an account is a person's or a company's.")


@strawberry.enum(description="Roles somebody can register with. The others are given by a facility.")
class RegistrationRole(Enum):
    """Those of `registration.SelfChosen`."""

    CLIENT = strawberry.enum_value("client", description="Trains.")
    COACH = strawberry.enum_value("coach", description="Has clients of their own.")
    GYM_OWNER = strawberry.enum_value("gym_owner", description="Owns gyms.")
    STUDIO_OWNER = strawberry.enum_value("studio_owner", description="Owns studios.")


NEW_PASSWORD = (
    f"{MIN_PASSWORD} to {MAX_PASSWORD} characters, every one of which counts; not one of the first that anybody tries."
)


@strawberry.input(description="Who registers.")
class RegisterInput:
    """Input of `register`."""

    email: str = strawberry.field(
        description=f"At most {MAX_EMAIL} characters. Unique whatever its case, i and ı alike."
    )
    password: str = strawberry.field(description=NEW_PASSWORD)
    first_name: str = strawberry.field(description=f"Given name, 1 to {MAX_NAME} characters.")
    last_name: str = strawberry.field(description=f"Family name, 1 to {MAX_NAME} characters.")
    phone_number: str | None = strawberry.field(default=None, description="In E.164, such as `+902121234567`.")
    role: RegistrationRole = strawberry.field(
        default=RegistrationRole.CLIENT, description="What the person is on the platform."
    )
    user_type: UserType = strawberry.field(
        default=UserType.INDIVIDUAL, description="A person's account or a company's."
    )
    company_name: str | None = strawberry.field(
        default=None, description=f"For a corporate account: 1 to {MAX_LINE} characters."
    )
    tax_id: str | None = strawberry.field(
        default=None,
        description="For a corporate account: 5 to 20 letters, digits, spaces, dots and dashes. Kept encrypted.",
    )


@strawberry.type(description="A registration that was taken in, or why not.")
class RegisterPayload:
    """Payload of `register`."""

    accepted: bool = column(
        description="Look at the mail. The answer is the same whether the address is free or taken."
    )
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterArgs(Args):
    """Arguments of `register`."""

    input: Annotated[RegisterInput, strawberry.argument(description="Who registers.")]


async def _register(args: RegisterArgs, context: Context) -> None:
    given = vars(args.input)
    new = checked(NewAccount, **{**given, "role": given["role"].value})
    await registration.register(context.services.accounts, new, device=payloads.device(context), now=context.now)


@strawberry.input(description="The link of a mail.")
class VerifyEmailInput:
    """Input of `verifyEmail`."""

    token: str = strawberry.field(description="The token in the link.")
    password: str = strawberry.field(
        description=f"The password given to `register`, at most {MAX_PASSWORD} characters."
    )
    device_name: str | None = strawberry.field(default=None, description=payloads.DEVICE_NAME)
    guest_token: str | None = strawberry.field(default=None, description=payloads.BROUGHT)


@strawberry.type(description="A new account, signed in, or why not.")
class VerifyEmailPayload:
    """Payload of `verifyEmail`."""

    access_token: str | None = column(description=payloads.ACCESS_TOKEN)
    expires_at: datetime | None = column(description=payloads.EXPIRES_AT)
    refresh_token: str | None = column(description=payloads.REFRESH_TOKEN)
    refresh_token_expires_at: datetime | None = column(description=payloads.REFRESH_EXPIRES_AT)
    viewer: User | None = column(description=payloads.VIEWER)
    guest_claim: Claim | None = column(description=payloads.GUEST_CLAIM)
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyEmailArgs(Args):
    """Arguments of `verifyEmail`."""

    input: Annotated[VerifyEmailInput, strawberry.argument(description="The link of a mail.")]


async def _verify_email(args: VerifyEmailArgs, context: Context) -> Mapping[str, Any]:
    opened = await registration.verify_email(
        context.services.accounts,
        token=args.input.token,
        password=args.input.password,
        device=payloads.device(context, args.input.device_name),
        now=context.now,
    )
    claim = await brought(args.input.guest_token, opened, context)
    return {**await payloads.signed_in(opened, args.selection, context), "guestClaim": claim}


@strawberry.input(description="Who waits for a mail.")
class ResendVerificationInput:
    """Input of `resendVerification`."""

    email: str = strawberry.field(description=f"The address given to `register`, at most {MAX_EMAIL} characters.")


@strawberry.type(description="A mail that is on its way if somebody waits for it, or why not.")
class ResendVerificationPayload:
    """Payload of `resendVerification`."""

    accepted: bool = column(description="The same whether somebody waits for it or not.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResendVerificationArgs(Args):
    """Arguments of `resendVerification`."""

    input: Annotated[ResendVerificationInput, strawberry.argument(description="Who waits for a mail.")]


async def _resend(args: ResendVerificationArgs, context: Context) -> None:
    await registration.resend(
        context.services.accounts, args.input.email, device=payloads.device(context), now=context.now
    )


@strawberry.type
class RegisterMutations:
    """Registration."""

    register: RegisterPayload = batch(
        accepted(_register),
        args=RegisterArgs,
        description="Ask for an account. It exists once `verifyEmail` is given the link sent to the address.",
    )
    verify_email: VerifyEmailPayload = batch(
        answering(_verify_email),
        args=VerifyEmailArgs,
        description="Prove the address, and sign in.",
    )
    resend_verification: ResendVerificationPayload = batch(
        accepted(_resend),
        args=ResendVerificationArgs,
        description="Send the link of a registration again; the one before stops working.",
    )
