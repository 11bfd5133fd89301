"""A client opens data to a coach, and closes it again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry

from nexfit.api.coaching.types import Consent
from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.relay import object_id
from nexfit.domains.coaching import consents
from nexfit.domains.errors import BadInput
from nexfit.domains.identity.documents import ConsentScope
from nexfit.engine.fields import BatchLoad


@strawberry.input(description="Which data, and to whom.")
class ConsentInput:
    """Input of `grantConsent` and `withdrawConsent`."""

    coach: strawberry.ID = strawberry.field(description="The coach, a `User`.")
    scopes: list[ConsentScope] = strawberry.field(description="Kinds of data; what is not named stays as it is.")


@strawberry.type(description="What the coach may see now, or why nothing was changed.")
class ConsentPayload:
    """Payload of `grantConsent` and `withdrawConsent`."""

    consent: Consent | None = column(description="What is open to the coach; null when it is nothing.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentArgs(Args):
    """Arguments of `grantConsent` and `withdrawConsent`."""

    input: Annotated[ConsentInput, strawberry.argument(description="Which data, and to whom.")]


_Change = Callable[..., Awaitable[None]]


def _changing(change: _Change) -> BatchLoad:
    async def run(args: ConsentArgs, context: Context) -> Mapping[str, Any]:
        coach = object_id(args.input.coach, "User", "coach")
        if not args.input.scopes:
            raise BadInput("Name at least one scope.", path=("scopes",))
        await change(context.services.units, context.actor, coach, args.input.scopes, now=context.now)
        asked = args.selection.at("consent")
        if not asked:
            return {}
        found = await consents.of_client(context.stores.mongo, context.actor.require(), {*asked.columns, "granteeId"})
        return {"consent": next((one for one in found if one["granteeId"] == coach), None)}

    return answering(run)


@strawberry.type
class ConsentMutations:
    """Root fields of this area."""

    grant_consent: ConsentPayload = batch(
        _changing(consents.grant),
        args=ConsentArgs,
        description="Let one of your coaches see kinds of your data, besides what they see already.",
    )
    withdraw_consent: ConsentPayload = batch(
        _changing(consents.withdraw),
        args=ConsentArgs,
        description="Take back kinds of your data from a coach; the next question is answered without them.",
    )
