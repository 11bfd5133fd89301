"""Plans and who holds them, as clients see them."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from nexfit.api.caching import Cached, CacheScope
from nexfit.api.classes.loaders import facilities_of_parents
from nexfit.api.fields import batch, column, derived
from nexfit.api.identity.types import User, user_field
from nexfit.api.memberships import loaders
from nexfit.api.money import Money, money_field
from nexfit.api.relay import Node, id_reader
from nexfit.domains.memberships.documents import DurationUnit, SubscriptionStatus

if TYPE_CHECKING:
    from nexfit.api.facilities.types import Facility
    from nexfit.api.finance.types import Subscription

strawberry.enum(DurationUnit, description="Calendar units.")
strawberry.enum(SubscriptionStatus, description="State of a membership somebody holds.")

LazyFacility = Annotated["Facility", strawberry.lazy("nexfit.api.facilities.types")]


@strawberry.type(description="How long a plan lasts.")
class Duration:
    """Embedded in a plan."""

    value: int = column(description="How many units.")
    unit: DurationUnit = column(description="The unit.")


@strawberry.type(description="What a plan includes.")
class Limitations:
    """Embedded in a plan; an absent maximum means no limit."""

    max_visits_per_week: int | None = column(description="Visits in a local week, Monday to Sunday.")
    max_class_bookings_per_week: int | None = column(description="Class bookings in a local week.")
    classes_included: bool | None = column(description="Whether group classes may be booked.")
    personal_training_included: bool | None = column(description="Whether personal training is included.")
    pt_sessions_included: int | None = column(description="Personal training sessions included.")


@strawberry.type(description="A membership plan a facility sells.")
class Membership(Node):
    """From MongoDB's `memberships`."""

    id: strawberry.ID = column("_id", read=id_reader("Membership"), description="The global id.")
    name: str = column(description="Name.")
    description: str | None = column(description="What it is.")
    duration: Duration = column(description="How long it lasts.")
    price: Money = money_field("price", description="What it costs, tax included.")
    features: list[str] | None = column(description="What it offers, in words.")
    limitations: Limitations | None = column(description="What it includes and limits.")
    is_active: bool = column(description="Whether it is sold now.")
    version: int = derived(
        lambda record, _args, _context: record.get("version") or 1,
        needs=("version",),
        description="Rises with every change; who holds an older one keeps it.",
    )
    facility: LazyFacility | None = batch(
        facilities_of_parents,
        needs=("facilityId",),
        description="Who sells it.",
        cache=Cached(60, shown="facility:{_id}"),
    )
    active_subscribers: int | None = batch(
        loaders.active_subscribers_of_plans,
        needs=("_id", "facilityId"),
        description="People whose subscription to it gives access now; null without members_read.",
        cache=Cached(10, CacheScope.PRIVATE, parents="plan:{_id}:subscribers"),
    )


@strawberry.type(description="A membership somebody holds or held.")
class MemberSubscription(Node):
    """From MongoDB's `member_subscriptions`; its billing is `subscription`, from PostgreSQL."""

    id: strawberry.ID = column("_id", read=id_reader("MemberSubscription"), description="The global id.")
    status: SubscriptionStatus = column(description="Mirror of the billing status.")
    start_date: date = column(description="First day, in the facility's calendar.")
    end_date: date = column(description="Last day, included.")
    auto_renew: bool = column(description="Whether it renews at its end.")
    cancelled_at: datetime | None = column(description="When it was cancelled.")
    cancellation_reason: str | None = column(description="Why it was cancelled.")
    user: User | None = user_field("userId", description="Who holds it.")
    facility: LazyFacility | None = batch(
        facilities_of_parents, needs=("facilityId",), description="Where it is valid."
    )
    membership: Membership | None = batch(
        loaders.plans_of_contracts, needs=("membershipId", "facilityId"), description="The plan."
    )
    subscription: Annotated[Subscription, strawberry.lazy("nexfit.api.finance.types")] | None = batch(
        loaders.subscriptions_of_contracts,
        needs=("subscriptionId",),
        description="How it is billed; for the holder and who has finance_read.",
    )
