"""A client opens data to a coach, and closes it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.coaching.types import Consent
from nexfit.api.context import Context
from nexfit.api.errors import UserError, user_error
from nexfit.api.fields import Args, batch, column
from nexfit.api.relay import local_id
from nexfit.domains.coaching import consents
from nexfit.domains.errors import BadInput, NotFound, Refusal, Unauthenticated
from nexfit.domains.identity.documents import ConsentScope
from nexfit.engine.fields import Record


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


def _changing(change: Any) -> Any:
    async def load(parents: Sequence[Record], args: ConsentArgs, context: Context) -> Sequence[Any]:
        try:
            coach = local_id(args.input.coach, "User")
            if coach is None or not ObjectId.is_valid(coach):
                raise NotFound("There is no such {name}.", path=("coach",), name="coach")
            if not args.input.scopes:
                raise BadInput("Name at least one scope.", path=("scopes",))
            await change(context.services.units, context.actor, ObjectId(coach), args.input.scopes, now=context.now)
        except Unauthenticated:
            raise
        except Refusal as refused:
            return [{"userErrors": [user_error(refused)]}] * len(parents)
        payload: dict[str, Any] = {"consent": None, "userErrors": []}
        if asked := args.selection.at("consent"):
            columns = {*asked.columns, "granteeId"}
            found = await consents.of_client(context.stores.mongo, context.actor.require(), columns)
            payload["consent"] = next((one for one in found if one["granteeId"] == ObjectId(coach)), None)
        return [payload] * len(parents)

    return load


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
