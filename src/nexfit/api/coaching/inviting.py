"""A coach and a client come together and part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.coaching.types import CoachClient
from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.relay import object_id, short_text
from nexfit.domains.coaching import inviting, relations
from nexfit.domains.errors import BadInput
from nexfit.domains.identity.documents import ConsentScope

MOST_GOALS, MOST_GOAL = 50, 300
GOALS = f"What they are to work for: at most {MOST_GOALS} of at most {MOST_GOAL} characters."


@strawberry.type(description="The relation as it is now, or why nothing was changed.")
class CoachingPayload:
    """Payload of the mutations of a coach's relation to a client."""

    relation: CoachClient | None = column(description="The relation; null when nothing was done.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.input(description="Who is invited.")
class InviteClientInput:
    """Input of `inviteClient`."""

    client: strawberry.ID = strawberry.field(description="The person, a `User`.")
    goals: list[str] = strawberry.field(default_factory=list, description=GOALS)


@strawberry.input(description="Which invitation, and what the coach may see.")
class AcceptCoachInput:
    """Input of `acceptCoach`."""

    relation: strawberry.ID = strawberry.field(description="The invitation, a `CoachClient`.")
    scopes: list[ConsentScope] | None = strawberry.field(
        default=None, description="What to open to the coach; default everything but photos and medical conditions."
    )


@strawberry.input(description="Which relation.")
class RelationInput:
    """Input of `declineCoach` and `endCoaching`."""

    relation: strawberry.ID = strawberry.field(description="A `CoachClient`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteClientArgs(Args):
    """Arguments of `inviteClient`."""

    input: Annotated[InviteClientInput, strawberry.argument(description="Who is invited.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptCoachArgs(Args):
    """Arguments of `acceptCoach`."""

    input: Annotated[AcceptCoachInput, strawberry.argument(description="Which invitation.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationArgs(Args):
    """Arguments of `declineCoach` and `endCoaching`."""

    input: Annotated[RelationInput, strawberry.argument(description="Which relation.")]


async def shown(id_: ObjectId, args: Args, context: Context) -> Mapping[str, Any]:
    """What became of a relation: read after the commit, as far as it was asked for."""
    asked = args.selection.at("relation")
    found = await relations.by_ids(context.stores.mongo, [id_], asked.columns) if asked else {}
    return {"relation": found.get(id_)}


def relation_id(given: str) -> ObjectId:
    """The stored id of an input's relation; raises NotFound."""
    return object_id(given, "CoachClient", "relation")


def goals_of(given: Sequence[str]) -> list[str]:
    """An input's goals without blank ones; raises BadInput."""
    goals = [goal for goal in (short_text(goal, MOST_GOAL, "goals") for goal in given) if goal]
    if len(goals) > MOST_GOALS:
        raise BadInput("{name} may have at most {most} entries.", path=("goals",), name="goals", most=MOST_GOALS)
    return goals


async def _invite(args: InviteClientArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    goals = goals_of(asked.goals)
    client = object_id(asked.client, "User", "client")
    id_ = await inviting.invite(context.services.units, context.actor, client, goals=goals, now=context.now)
    return await shown(id_, args, context)


async def _accept(args: AcceptCoachArgs, context: Context) -> Mapping[str, Any]:
    id_, scopes = relation_id(args.input.relation), args.input.scopes
    opened = inviting.UNLESS_SAID if scopes is None else scopes
    await inviting.accept(context.services.units, context.actor, id_, opened, now=context.now)
    return await shown(id_, args, context)


async def _decline(args: RelationArgs, context: Context) -> Mapping[str, Any]:
    id_ = relation_id(args.input.relation)
    await inviting.decline(context.services.units, context.actor, id_, now=context.now)
    return await shown(id_, args, context)


async def _end(args: RelationArgs, context: Context) -> Mapping[str, Any]:
    id_ = relation_id(args.input.relation)
    await inviting.end(context.services.units, context.actor, id_, now=context.now)
    return await shown(id_, args, context)


@strawberry.type
class CoachingMutations:
    """Root fields of this area."""

    invite_client: CoachingPayload = batch(
        answering(_invite),
        args=InviteClientArgs,
        description="As a coach, ask somebody to become your client. Asked again before an answer it is the same one.",
    )
    accept_coach: CoachingPayload = batch(
        answering(_accept),
        args=AcceptCoachArgs,
        description="Say yes to a coach who invited you, and what the coach may see. Repeating it changes nothing.",
    )
    decline_coach: CoachingPayload = batch(
        answering(_decline),
        args=RelationArgs,
        description="Say no to an invitation, or take back your own. Repeating it changes nothing.",
    )
    end_coaching: CoachingPayload = batch(
        answering(_end),
        args=RelationArgs,
        description="Coach or client end their relation at once: nothing of the client is shown to the coach any more.",
    )
