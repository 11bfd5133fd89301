"""A facility's members as its staff see them: a person with membership, debt and visits, joined over both stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any

import strawberry

from nexfit.api.access import PERMITTED
from nexfit.api.caching import Cached, CacheScope
from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, derived, row_column
from nexfit.api.identity.types import User, user_field
from nexfit.api.memberships.loaders import plans_of_rows
from nexfit.api.memberships.standings import MembershipStanding, standings_of_members, tags_of_standings
from nexfit.api.memberships.timeline import TimelineEntry, timelines_of_members
from nexfit.api.memberships.types import Membership
from nexfit.api.money import Money, money_field
from nexfit.api.order import OrderDirection
from nexfit.api.relay import (
    Connection,
    Node,
    PageArgs,
    connection,
    global_id,
    id_reader,
    local_id,
    node_selection,
    page_request,
)
from nexfit.api.search import search_text
from nexfit.domains.errors import BadInput
from nexfit.domains.facilities.hours import local_today
from nexfit.domains.memberships import members, remarks
from nexfit.domains.memberships.members import MemberFilter, MemberOrder, MemberStatus
from nexfit.engine.fields import Record
from nexfit.hybrid.ids import object_id

strawberry.enum(MemberOrder, description="How members are ordered.")


@strawberry.input(description="Which members; absent parts match everybody.")
class MembersFilter:
    """Filters of both stores at once."""

    overdue: bool | None = strawberry.field(default=None, description="Owing an invoice that is past its due date.")
    status: list[MemberStatus] | None = strawberry.field(default=None, description="In one of these states.")
    name: str | None = strawberry.field(default=None, description="Part of the name, without case or marks.")
    plan: strawberry.ID | None = strawberry.field(default=None, description="On this membership plan.")
    tag: str | None = strawberry.field(default=None, description="With this tag, without case or marks.")
    owing: bool | None = strawberry.field(default=None, description="Owing anything, overdue or not.")
    booked: bool | None = strawberry.field(default=None, description="With a booked class to come.")
    born_in_month: int | None = strawberry.field(default=None, description="With a birthday in this month, 1 to 12.")
    joined_since: datetime | None = strawberry.field(
        default=None, description="Whose first membership began then or later."
    )
    not_seen_since: datetime | None = strawberry.field(
        default=None, description="Whose last visit was before, and who never came."
    )


@strawberry.input(description="How members are ordered.")
class MembersOrder:
    """An order and its direction; members without the value come last going down."""

    field: MemberOrder = strawberry.field(description="By what.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which way.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersArgs(PageArgs):
    """Which members, in which order."""

    filter: Annotated[MembersFilter | None, strawberry.argument(description="Which members.")] = None
    order_by: Annotated[MembersOrder | None, strawberry.argument(description="Default: by name.")] = None


async def _last_visits(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    pairs = [(object_id(parent["facility_id"]), object_id(parent["user_id"])) for parent in parents]
    return await members.last_visits(context.stores.mongo, pairs)


@strawberry.type(description="What somebody of the staff noted about a member.")
class MemberNote:
    """From PostgreSQL's `platform.member_notes`."""

    id: strawberry.ID = row_column("note_id", read=id_reader("MemberNote"), description="To take it away by.")
    text: str = row_column(description="The note.")
    created_at: datetime = row_column(description="When.")
    author: User | None = user_field("author_id", description="Who noted it.")


def _month_and_day(record: Record, _args: object, _context: object) -> str | None:
    day = record["birthday"]
    return None if day is None else f"{day // 100:02d}-{day % 100:02d}"


def _pairs(parents: Sequence[Record]) -> list[tuple[str, str]]:
    return [(parent["facility_id"], parent["user_id"]) for parent in parents]


async def _tags(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    pairs = _pairs(parents)
    found = await remarks.tags_of(context.stores.postgres, list(dict.fromkeys(pairs)))
    return [found.get(pair, []) for pair in pairs]


async def _notes(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    pairs = _pairs(parents)
    found = await remarks.notes_of(context.stores.postgres, list(dict.fromkeys(pairs)))
    return [found.get(pair, []) for pair in pairs]


def _id(record: Record, _args: object, _context: object) -> str:
    return global_id("Member", f"{record['facility_id']}:{record['user_id']}")


@strawberry.type(description="A person at a facility, as its staff see them.")
class Member(Node):
    """From PostgreSQL's `platform.member_facts`; the person and the visits come from MongoDB."""

    id: strawberry.ID = derived(_id, needs=("facility_id", "user_id"), description="The global id.")
    user: User | None = user_field("user_id", description="The person.")
    status: MemberStatus = row_column(description="State of the membership.")
    plan: Membership | None = batch(
        plans_of_rows, needs=("plan_id",), description="The plan.", cache=Cached(60, shown="plan:{_id}")
    )
    balance: Money | None = money_field(
        "balance", description="What the member owes: the open invoices' total; null before any money."
    )
    open_invoices: int = row_column(description="Invoices that are issued and not paid.")
    joined_at: datetime | None = row_column(description="When the first membership began.")
    last_payment_at: datetime | None = row_column(description="The latest payment that succeeded.")
    last_visit_at: datetime | None = batch(
        _last_visits,
        needs=("facility_id", "user_id"),
        description="The latest visit.",
        cache=Cached(10, CacheScope.PRIVATE, parents="user:{user_id}:visits"),
    )
    next_booking_at: datetime | None = row_column(description="Start of the next booked class.")
    birthday: str | None = derived(
        _month_and_day,
        needs=("birthday",),
        description="Month and day, such as 05-19; no year.",
    )
    tags: list[str] = batch(_tags, needs=("facility_id", "user_id"), description="What staff sort the member under.")
    timeline: Connection[TimelineEntry] = batch(
        timelines_of_members,
        needs=("facility_id", "user_id"),
        args=PageArgs,
        description="What happened with the member, from both stores, the latest first. Memberships, invoices and "
        "payments are there for who may read money (finance_read).",
    )
    notes: list[MemberNote] = batch(
        _notes,
        needs=("facility_id", "user_id"),
        description=f"What staff noted, the latest {remarks.SHOWN_NOTES}, newest first.",
    )
    standing: MembershipStanding | None = batch(
        standings_of_members,
        needs=("facility_id", "user_id"),
        description="Plan, debt, visits and bookings as both stores have them now, in one cached read.",
        cache=Cached(10, CacheScope.PRIVATE, tags=tags_of_standings),
    )


async def members_of_facilities(parents: Sequence[Record], args: MembersArgs, context: Context) -> Sequence[Any]:
    """A connection of each facility's members, filtered and ordered across both stores."""
    order, descending = MemberOrder.NAME, False
    if args.order_by is not None:
        order, descending = args.order_by.field, args.order_by.direction is OrderDirection.DESC
    name = f"members:{order}:{'DESC' if descending else 'ASC'}"
    request = page_request(args, name)
    todays = {str(parent["_id"]): local_today(parent["timezone"], context.now) for parent in parents}
    pages = await members.pages_of_facilities(
        context.stores.postgres,
        todays,
        _filter(args.filter),
        members.list_of(order, descending=descending),
        request,
        node_selection(args.selection).columns,
    )
    # One page per facility, which several parents may be.
    found = {
        facility: replace(page, rows=[_of_staff(row) for row in page.rows])
        for facility, page in zip(todays, pages, strict=True)
    }
    return [connection(found[str(parent["_id"])], name, args.selection) for parent in parents]


def _of_staff(row: Record) -> Record:
    """The row as somebody sees it who may read members."""
    shown = dict(row.items())  # which a driver's row gives in half the time of unpacking it
    shown[PERMITTED] = "members_read"
    return shown


def _filter(given: MembersFilter | None) -> MemberFilter:
    if given is None:
        return MemberFilter()
    # An id of another type matches nobody, as an unknown plan does.
    plan = (local_id(given.plan, "Membership") or "") if given.plan is not None else None
    status = tuple(given.status) if given.status is not None else None
    if given.born_in_month is not None and not 1 <= given.born_in_month <= 12:
        raise BadInput(
            "{name} must be between {least} and {most}.",
            path=("filter", "bornInMonth"),
            name="bornInMonth",
            least=1,
            most=12,
        )
    return MemberFilter(
        given.overdue,
        status,
        search_text(given.name, "filter", "name"),
        plan,
        search_text(given.tag, "filter", "tag"),
        given.owing,
        given.booked,
        given.born_in_month,
        given.joined_since,
        given.not_seen_since,
    )
