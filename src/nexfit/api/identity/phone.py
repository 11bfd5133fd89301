"""`requestPhoneVerification` and `verifyPhone`: proving a phone number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.errors import UserError, accepted, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity import payloads
from nexfit.api.identity.types import User
from nexfit.domains.identity import people, verification
from nexfit.domains.identity.one_time import DIGITS, MOST_TRIES
from nexfit.domains.identity.validation import checked


@strawberry.input(description="The number to prove.")
class RequestPhoneVerificationInput:
    """Input of `requestPhoneVerification`."""

    phone_number: str = strawberry.field(description="In E.164, such as `+902121234567`.")


@strawberry.type(description="A code that is on its way, or why not.")
class RequestPhoneVerificationPayload:
    """Payload of `requestPhoneVerification`."""

    accepted: bool = column(description="Whether a code is on its way. An earlier one stops working.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPhoneVerificationArgs(Args):
    """Arguments of `requestPhoneVerification`."""

    input: Annotated[RequestPhoneVerificationInput, strawberry.argument(description="The number to prove.")]


async def _request(args: RequestPhoneVerificationArgs, context: Context) -> None:
    user_id = context.actor.require()
    await verification.request_code(
        context.services.accounts,
        checked(verification.Phone, phone_number=args.input.phone_number),
        user_id,
        device=payloads.device(context),
        now=context.now,
    )


@strawberry.input(description="The code of a message.")
class VerifyPhoneInput:
    """Input of `verifyPhone`."""

    code: str = strawberry.field(
        description=f"{DIGITS} digits. Good for 10 minutes; after {MOST_TRIES} wrong ones another is needed."
    )


@strawberry.type(description="The person with the proven number, or why not.")
class VerifyPhonePayload:
    """Payload of `verifyPhone`."""

    viewer: User | None = column(description="With the number.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyPhoneArgs(Args):
    """Arguments of `verifyPhone`."""

    input: Annotated[VerifyPhoneInput, strawberry.argument(description="The code of a message.")]


async def _verify(args: VerifyPhoneArgs, context: Context) -> Mapping[str, Any]:
    user_id = context.actor.require()
    await verification.verify_phone(
        context.services.accounts, args.input.code, user_id, device=payloads.device(context), now=context.now
    )
    found = await people.by_ids(context.stores.mongo, [user_id], args.selection.at("viewer").columns)
    return {"viewer": found.get(user_id)}


@strawberry.type
class PhoneMutations:
    """Phone numbers."""

    request_phone_verification: RequestPhoneVerificationPayload = batch(
        accepted(_request),
        args=RequestPhoneVerificationArgs,
        description="Send a code to a number that is to be the viewer's.",
    )
    verify_phone: VerifyPhonePayload = batch(
        answering(_verify),
        args=VerifyPhoneArgs,
        description="Prove the number: it is then the viewer's.",
    )
