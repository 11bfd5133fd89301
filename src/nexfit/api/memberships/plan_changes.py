"""A member's own change of plan, with the saved way to pay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import strawberry

from nexfit.api.access import PERMITTED
from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.memberships.types import MemberSubscription
from nexfit.api.relay import IDEMPOTENCY_KEY, object_id
from nexfit.domains.memberships import contracts, plan_changes


@strawberry.enum(description="What became of a change of plan.")
class PlanChangeOutcome(StrEnum):
    """By the state of PostgreSQL's `finance.plan_changes`."""

    DONE = "done"
    PENDING = "initiated"
    DECLINED = "failed"
    PAID_BACK = "returned"
    AT_PERIOD_END = "scheduled"
    DROPPED = "dropped"


@strawberry.type(description="What became of the change, or why nothing changed.")
class ChangePlanPayload:
    """Payload of `changePlan`."""

    outcome: PlanChangeOutcome | None = column(description="How it went; null when nothing was done.")
    member_subscription: MemberSubscription | None = column(
        description="The membership that is held now: the new one once it is DONE, else the one that was to be changed."
    )
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.input(description="Which membership, to which plan.")
class ChangePlanInput:
    """Input of `changePlan`."""

    membership: strawberry.ID = strawberry.field(description="A `MemberSubscription` of the viewer.")
    plan: strawberry.ID = strawberry.field(description="Another `Membership` of the same facility.")
    expected_due: Decimal = strawberry.field(
        description="What `membershipSwitchPreview` said; another difference is refused as PRICE_CHANGED."
    )
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePlanArgs(Args):
    """Arguments of `changePlan`."""

    input: Annotated[ChangePlanInput, strawberry.argument(description="Which one, to what.")]


async def _change(args: ChangePlanArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    contract = object_id(asked.membership, "MemberSubscription", "membership")
    change = await plan_changes.change_plan(
        context.services.sales,
        context.actor,
        contract,
        object_id(asked.plan, "Membership", "plan"),
        expected_due=asked.expected_due,
        key=asked.idempotency_key,
        now=context.now,
    )
    below = args.selection.at("memberSubscription")
    mongo = context.stores.mongo
    if below and change["made_subscription_id"] is not None:
        made = str(change["made_subscription_id"])
        found = (await contracts.by_subscription_ids(mongo, [made], below.columns)).get(made)
    else:
        found = (await contracts.by_ids(mongo, [contract], below.columns)).get(contract) if below else None
    return {"outcome": change["status"], "memberSubscription": found and {**found, PERMITTED: "members_read"}}


@strawberry.type
class PlanChangeMutations:
    """Root fields of this area."""

    change_plan: ChangePlanPayload = batch(
        answering(_change),
        args=ChangePlanArgs,
        description="Change the viewer's own membership to another plan with the saved way to pay. Where "
        "`membershipSwitchPreview` says that something is due, it is charged and the new term begins today; a charge "
        "that is declined changes nothing. Else the plan is another one from the next period on.",
    )
