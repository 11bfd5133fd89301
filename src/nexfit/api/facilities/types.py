"""Facilities as clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from nexfit.api.access import PERMITTED
from nexfit.api.caching import Cached, CacheScope
from nexfit.api.classes.loaders import (
    ClassesArgs,
    ScheduleArgs,
    SubstituteArgs,
    classes_of_facilities,
    dates_without_staff,
    schedules_of_facilities,
)
from nexfit.api.classes.types import Class, ClassOccurrence
from nexfit.api.coaching.earnings import CoachEarningsArgs, earnings_at_facilities
from nexfit.api.context import Context
from nexfit.api.facilities.parts import (
    Address,
    BookingPolicy,
    Contact,
    Equipment,
    FacilityMedia,
    OperatingHours,
    Room,
    SpecialDay,
    policy_of,
)
from nexfit.api.facilities.today import FacilityToday, tags_of_today, today_of_facilities
from nexfit.api.fields import Args, batch, column, derived
from nexfit.api.finance import facility as figures
from nexfit.api.finance import loaders as ledger
from nexfit.api.finance.audit import AuditEntry, entries_of_facilities
from nexfit.api.finance.charts import Cohort, FigurePeriod, FiguresArgs, cohorts_of_facilities, figures_of_facilities
from nexfit.api.finance.exports import Download, addresses_of, member_addresses
from nexfit.api.finance.till import TillArgs, TillReport, tills_of_facilities
from nexfit.api.finance.types import Invoice, Subscription, Transaction
from nexfit.api.identity.types import User, user_field
from nexfit.api.memberships.loaders import contracts_of_facilities, plans_of_facilities
from nexfit.api.memberships.members import Member, MembersArgs, members_of_facilities
from nexfit.api.memberships.types import Membership, MemberSubscription
from nexfit.api.money import Money, money
from nexfit.api.relay import Connection, Node, PageArgs, id_reader
from nexfit.domains.analytics.exports import Table
from nexfit.domains.facilities.directory import DISTANCE
from nexfit.domains.facilities.documents import FacilityType, StaffPermission, StaffRole
from nexfit.domains.facilities.hours import is_open
from nexfit.domains.facilities.listing import cheapest_plans, ratings
from nexfit.domains.identity.access import RIGHTS_COLUMNS, may
from nexfit.engine.fields import Record

if TYPE_CHECKING:
    from nexfit.api.coaching.packages import EarningsPeriod


@strawberry.type(description="Somebody who works at a facility.")
class StaffMember:
    """Embedded in a facility."""

    user: User | None = user_field("userId", description="The person.")
    role: StaffRole = column(description="What they do.")
    permissions: list[StaffPermission] | None = column(description="What they may do.")
    joined_at: datetime = column(description="Since when.")


@strawberry.type(description="Somebody who was sent a link to join a facility's staff and has not accepted yet.")
class StaffInvitation:
    """Embedded in a facility."""

    email: str = column(description="Where the link went.")
    role: StaffRole = column(description="What they will do.")
    permissions: list[StaffPermission] | None = column(description="What they will be allowed to do.")
    invited_by: User | None = user_field("invitedBy", description="Who sent it.")
    invited_at: datetime = column(description="When.")
    expires_at: datetime = column(description="Until when it can be accepted.")


def _open_now(record: Record, _args: object, context: Context) -> bool | None:
    known = record.get("operatingHours") or record.get("specialDays")
    return is_open(record, context.now) if known else None


@strawberry.type(description="What people think of a facility.")
class FacilityRating:
    """From MongoDB's `reviews`."""

    average: float = column(description="The mean of 1 to 5 stars.")
    count: int = column(description="How many reviews.")


def _distance(record: Record, _args: object, _context: object) -> float | None:
    metres = record.get(DISTANCE)
    return None if metres is None else metres / 1000


async def _cheapest(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    found = await cheapest_plans(context.stores.mongo, [parent["_id"] for parent in parents])
    plans = (found.get(parent["_id"]) for parent in parents)
    return [plan and money(plan["price"], plan["currency"]) for plan in plans]


async def _ratings(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    found = await ratings(context.stores.mongo, [parent["_id"] for parent in parents])
    return [found.get(parent["_id"]) for parent in parents]


async def _platform_plan(parents: Sequence[Record], _: Args, __: Context) -> Sequence[Any]:
    return [parent.get("subscriptionPlan") for parent in parents]


async def _invitations(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    return [
        [one for one in parent.get("staffInvitations") or () if one["expiresAt"] > context.now] for parent in parents
    ]


async def _staff(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """The staff of each facility; who may read its members sees their addresses, too."""
    found = []
    for parent in parents:
        known = {PERMITTED: "members_read"} if may(context.actor, parent, "members_read") else {}
        found.append([{**entry, **known} for entry in parent.get("staff") or ()])
    return found


@strawberry.type(description="A facility's own plan on the platform.")
class FacilitySubscription:
    """As MongoDB repeats it of the owner's subscription in PostgreSQL."""

    plan_id: str = column(description="Which plan: the id of what the platform sells.")
    start_date: datetime = column(description="Midnight (UTC) of its first day.")
    end_date: datetime | None = column(description="Midnight (UTC) of the last day that is paid for.")
    is_active: bool = column(description="Whether it counts: paid, or in the grace a declined charge has.")


@strawberry.type(description="A gym or studio.")
class Facility(Node):
    """From MongoDB's `facilities`, with its money from PostgreSQL. Guarded fields answer FORBIDDEN to others."""

    id: strawberry.ID = column("_id", read=id_reader("Facility"), description="The global id.")
    name: str = column(description="Name.")
    type: FacilityType = column(description="Kind.")
    timezone: str = column(description="IANA zone of its wall clock and calendar.")
    address: Address = column(description="Where it is.")
    contact: Contact | None = column(description="How to reach it.")
    media: FacilityMedia | None = column(description="Pictures.")
    operating_hours: list[OperatingHours] | None = column(description="Openings by weekday.")
    special_days: list[SpecialDay] | None = column(description="Holidays and other days with hours of their own.")
    open_now: bool | None = derived(
        _open_now,
        needs=("operatingHours", "specialDays", "timezone"),
        description="Whether it is open now; null without hours.",
        cache=Cached(30),
    )
    amenities: list[str] | None = column(description="What it offers, such as a sauna.")
    features: list[str] | None = column(description="What is special about it.")
    equipments: list[Equipment] | None = column(description="Machines and tools.")
    rooms: list[Room] | None = column(description="Rooms classes are held in.")
    booking_policy: BookingPolicy = derived(
        policy_of, needs=("bookingPolicy",), description="When its classes can be booked and left."
    )
    subscription_plan: FacilitySubscription | None = batch(
        _platform_plan,
        needs=("subscriptionPlan",),
        description="What its owner pays the platform for it; null without a plan; needs finance_read.",
    )
    created_at: datetime = column(description="When it joined.")
    distance: float | None = derived(
        _distance, needs=(DISTANCE,), description="Kilometres from the point of `filter.near`; null in other lists."
    )
    price_from: Money | None = batch(
        _cheapest,
        needs=("_id",),
        description="What its cheapest plan costs; null without plans.",
        cache=Cached(60, parents="facility:{_id}:plans"),
    )
    rating: FacilityRating | None = batch(
        _ratings, needs=("_id",), description="What people think of it; null without reviews."
    )
    classes: Connection[Class] = batch(
        classes_of_facilities,
        needs=("_id",),
        args=ClassesArgs,
        description="Classes it offers now.",
        cache=Cached(30, parents="facility:{_id}:classes"),
    )
    schedule: Connection[ClassOccurrence] = batch(
        schedules_of_facilities,
        needs=("_id",),
        args=ScheduleArgs,
        description="Dates of all its classes in a range, earliest first, also those that were called off.",
        cache=Cached(10, parents="facility:{_id}:classes"),
    )
    dates_to_substitute: list[ClassOccurrence] | None = batch(
        dates_without_staff,
        needs=("_id", "ownerId", "staff"),
        args=SubstituteArgs,
        description="The next dates whose instructor does not work here any more, for `substituteInstructor`; needs "
        "classes_write.",
    )
    memberships: list[Membership] = batch(
        plans_of_facilities,
        needs=("_id", *RIGHTS_COLUMNS),
        description="Plans it sells now, by name.",
        cache=Cached(60, parents="facility:{_id}:plans"),
    )
    staff: list[StaffMember] | None = batch(
        _staff, needs=("staff", "ownerId"), description="Who works there; needs members_read or staff_write."
    )
    staff_invitations: list[StaffInvitation] | None = batch(
        _invitations, needs=("staffInvitations",), description="Who may join them; needs staff_write."
    )
    members: Connection[Member] | None = batch(
        members_of_facilities,
        needs=("_id", "timezone"),
        args=MembersArgs,
        description="Its members, filtered and ordered across both stores; needs members_read.",
        cache=Cached(10, CacheScope.PRIVATE, parents="facility:{_id}:members"),
    )
    member_subscriptions: Connection[MemberSubscription] | None = batch(
        contracts_of_facilities,
        needs=("_id",),
        args=PageArgs,
        description="Memberships held there, latest first; needs members_read.",
    )
    revenue: list[figures.RevenuePeriod] | None = batch(
        figures.revenue_of_facilities,
        needs=("_id", "timezone"),
        args=figures.RevenueArgs,
        description="Payments less refunds by period; needs finance_read.",
        cache=Cached(10, CacheScope.PRIVATE, parents="facility:{_id}:money"),
    )
    outstanding: figures.Outstanding | None = batch(
        figures.outstanding_of_facilities,
        needs=("_id", "timezone"),
        description="What members owe; null where there never was money; needs finance_read.",
        cache=Cached(10, CacheScope.PRIVATE, parents="facility:{_id}:money"),
    )
    transactions: Connection[Transaction] | None = batch(
        ledger.transactions_of_facilities,
        needs=("_id",),
        args=ledger.TransactionsArgs,
        description="Payments and refunds, latest first; needs finance_read.",
    )
    subscriptions: Connection[Subscription] | None = batch(
        ledger.subscriptions_of_facilities,
        needs=("_id",),
        args=ledger.SubscriptionsArgs,
        description="What members are billed for, latest first; needs finance_read.",
    )
    invoices: Connection[Invoice] | None = batch(
        ledger.invoices_of_facilities,
        needs=("_id",),
        args=ledger.InvoicesArgs,
        description="Invoices, latest first; needs finance_read.",
    )
    expiring_subscriptions: Connection[Subscription] | None = batch(
        ledger.expiring_of_facilities,
        needs=("_id", "timezone"),
        args=ledger.ExpiringArgs,
        description="Memberships that end within so many days unless somebody renews them, the next first; needs "
        "finance_read.",
    )
    lapsed_subscriptions: Connection[Subscription] | None = batch(
        ledger.lapsed_of_facilities,
        needs=("_id", "timezone"),
        args=ledger.LapsedArgs,
        description="Memberships that ended within so many days, of people who hold no other one here: whom to win "
        "back, the latest first; needs finance_read.",
    )
    overdue_invoices: Connection[Invoice] | None = batch(
        ledger.overdue_invoices_of_facilities,
        needs=("_id", "timezone"),
        args=PageArgs,
        description="Invoices past their due date, the longest overdue first; needs finance_read.",
    )
    coach_earnings: list[Annotated[EarningsPeriod, strawberry.lazy("nexfit.api.coaching.packages")]] | None = batch(
        earnings_at_facilities,
        needs=("_id", "timezone"),
        args=CoachEarningsArgs,
        description="What coaches earned with packages sold at the desk, earliest first; needs finance_read.",
    )
    till: TillReport | None = batch(
        tills_of_facilities,
        needs=("_id", "timezone"),
        args=TillArgs,
        description="The desk's money of a local day; null where there never was money; needs finance_read.",
    )
    audit_log: Connection[AuditEntry] | None = batch(
        entries_of_facilities,
        needs=("_id",),
        args=PageArgs,
        description="Who did what here, latest first; needs audit_read.",
    )
    today: FacilityToday | None = batch(
        today_of_facilities,
        needs=("_id", "timezone"),
        description="The day so far: visits, occupancy of classes, revenue; needs analytics_read.",
        cache=Cached(10, CacheScope.PRIVATE, tags=tags_of_today),
    )
    by_period: list[FigurePeriod] | None = batch(
        figures_of_facilities,
        name="figures",
        needs=("_id",),
        args=FiguresArgs,
        description="Figures by day, week or month, earliest first, as charts need them; needs analytics_read.",
        cache=Cached(10, CacheScope.PRIVATE, parents="facility:{_id}:analytics"),
    )
    cohorts: list[Cohort] | None = batch(
        cohorts_of_facilities,
        needs=("_id", "timezone"),
        args=figures.DaysArgs,
        description="How many of those who joined in each month of the range stayed; needs analytics_read.",
    )
    members_csv: Download | None = batch(
        member_addresses,
        needs=("_id",),
        description="All members as CSV; needs members_read.",
    )
    transactions_csv: Download | None = batch(
        addresses_of(Table.TRANSACTIONS),
        needs=("_id",),
        args=figures.DaysArgs,
        description="The movements of some local days as CSV; needs finance_read.",
    )
    invoices_csv: Download | None = batch(
        addresses_of(Table.INVOICES),
        needs=("_id",),
        args=figures.DaysArgs,
        description="The invoices of some local days as CSV; needs finance_read.",
    )
    figures_csv: Download | None = batch(
        addresses_of(Table.FIGURES),
        needs=("_id",),
        args=figures.DaysArgs,
        description="The daily figures of some local days as CSV; needs analytics_read.",
    )
    analytics: list[figures.AnalyticsDay] | None = batch(
        figures.analytics_of_facilities,
        needs=("_id",),
        args=figures.DaysArgs,
        description="Stored daily figures, earliest first; needs analytics_read.",
        cache=Cached(10, CacheScope.PRIVATE, parents="facility:{_id}:analytics"),
    )
