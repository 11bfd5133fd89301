"""Plans: making, changing and archiving what a facility sells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.inputs import given, values_of
from nexfit.api.memberships.types import Membership
from nexfit.api.relay import IDEMPOTENCY_KEY, object_id
from nexfit.domains.identity.validation import MAX_LINE, checked
from nexfit.domains.memberships import planning, plans
from nexfit.domains.memberships.documents import DurationUnit
from nexfit.domains.memberships.planning import (
    MOST_DESCRIPTION,
    MOST_FEATURES,
    MOST_PER_WEEK,
    MOST_PRICE,
    MOST_SESSIONS,
    NewPlan,
    PlanChange,
)


@strawberry.type(description="The plan as it is sold now, or why nothing changed.")
class MembershipPlanPayload:
    """Payload of the mutations of plans."""

    membership: Membership | None = column(description="The plan; after a change its new version.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.input(description="How long a plan lasts.")
class DurationInput:
    """Part of a plan's input."""

    value: int = strawberry.field(description="How many units, 1 to 366.")
    unit: DurationUnit = strawberry.field(description="The unit.")


@strawberry.input(description="What a plan includes and limits. Weeks are the facility's, Monday to Sunday.")
class LimitationsInput:
    """Part of a plan's input."""

    max_visits_per_week: int | None = strawberry.field(
        default=None, description=f"Visits in a week, 1 to {MOST_PER_WEEK}; without, no limit."
    )
    max_class_bookings_per_week: int | None = strawberry.field(
        default=None, description=f"Class bookings in a week, 1 to {MOST_PER_WEEK}; without, no limit."
    )
    classes_included: bool = strawberry.field(default=False, description="Whether group classes may be booked.")
    personal_training_included: bool = strawberry.field(
        default=False, description="Whether personal training is included."
    )
    pt_sessions_included: int = strawberry.field(
        default=0, description=f"Personal training sessions included, at most {MOST_SESSIONS}."
    )


_NAME = f"1 to {MAX_LINE} characters."
_DESCRIPTION = f"At most {MOST_DESCRIPTION} characters."
_FEATURES = f"What it offers, in words: at most {MOST_FEATURES} lines."
_PRICE = f"Tax included, 0 to {MOST_PRICE}, no finer than the currency's coins."


@strawberry.input(description="A plan to be sold.")
class CreateMembershipPlanInput:
    """Input of `createMembershipPlan`."""

    facility: strawberry.ID = strawberry.field(description="Who sells it.")
    name: str = strawberry.field(description=_NAME)
    duration: DurationInput = strawberry.field(description="How long it lasts.")
    price: Decimal = strawberry.field(description=_PRICE)
    currency: str = strawberry.field(description="ISO 4217; the one the facility trades in.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    description: str | None = given(_DESCRIPTION)
    features: list[str] | None = given(_FEATURES)
    limitations: LimitationsInput | None = given("Without, only visits, as many as one likes.")


@strawberry.input(description="What changes; what is left out stays.")
class ChangeMembershipPlanInput:
    """Input of `changeMembershipPlan`."""

    plan: strawberry.ID = strawberry.field(description="A `Membership` that is on sale.")
    name: str | None = given(_NAME)
    duration: DurationInput | None = given("How long it lasts.")
    price: Decimal | None = given(_PRICE)
    description: str | None = given(f"{_DESCRIPTION} Null removes it.")
    features: list[str] | None = given(_FEATURES)
    limitations: LimitationsInput | None = given("All of them anew, where given.")


@strawberry.input(description="Which plan is to be sold no more.")
class ArchiveMembershipPlanInput:
    """Input of `archiveMembershipPlan`."""

    plan: strawberry.ID = strawberry.field(description="A `Membership`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateArgs(Args):
    """Arguments of `createMembershipPlan`."""

    input: Annotated[CreateMembershipPlanInput, strawberry.argument(description="The plan.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeArgs(Args):
    """Arguments of `changeMembershipPlan`."""

    input: Annotated[ChangeMembershipPlanInput, strawberry.argument(description="What changes.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveArgs(Args):
    """Arguments of `archiveMembershipPlan`."""

    input: Annotated[ArchiveMembershipPlanInput, strawberry.argument(description="Which plan.")]


def _plan(asked: object) -> dict[str, Any]:
    return {
        name: value for name, value in values_of(asked).items() if name not in ("facility", "plan", "idempotency_key")
    }


async def _shown(plan: ObjectId, args: Args, context: Context) -> Mapping[str, Any]:
    found = await plans.by_ids(context.stores.mongo, [plan], args.selection.at("membership").columns)
    return {"membership": found.get(plan)}


async def _create(args: CreateArgs, context: Context) -> Mapping[str, Any]:
    made = await planning.create(
        context.services.units,
        context.stores,
        context.actor,
        object_id(args.input.facility, "Facility", "facility"),
        checked(NewPlan, **_plan(args.input)),
        key=args.input.idempotency_key,
        now=context.now,
    )
    return await _shown(made, args, context)


async def _change(args: ChangeArgs, context: Context) -> Mapping[str, Any]:
    made = await planning.change(
        context.services.units,
        context.stores,
        context.actor,
        object_id(args.input.plan, "Membership", "plan"),
        checked(PlanChange, **_plan(args.input)),
        now=context.now,
    )
    return await _shown(made, args, context)


async def _archive(args: ArchiveArgs, context: Context) -> Mapping[str, Any]:
    plan = object_id(args.input.plan, "Membership", "plan")
    await planning.archive(context.services.units, context.stores, context.actor, plan, now=context.now)
    return await _shown(plan, args, context)


@strawberry.type
class PlanMutations:
    """Root fields of this area."""

    create_membership_plan: MembershipPlanPayload = batch(
        answering(_create), args=CreateArgs, description="Put a plan on sale, by staff with plans_write."
    )
    change_membership_plan: MembershipPlanPayload = batch(
        answering(_change),
        args=ChangeArgs,
        description="Sell another version of a plan from now on, by staff with plans_write. Memberships that were sold "
        "keep the version they were sold as.",
    )
    archive_membership_plan: MembershipPlanPayload = batch(
        answering(_archive),
        args=ArchiveArgs,
        description="Take a plan off sale, by staff with plans_write. Memberships that were sold stay.",
    )
