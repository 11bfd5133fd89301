"""Bookings as clients see them, and how they are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from nexfit.api.access import PERMITTED
from nexfit.api.classes.loaders import facilities_of_parents
from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity.types import User, user_field
from nexfit.api.relay import Node, PageArgs, connection, id_reader, node_selection, page_request
from nexfit.domains.classes import bookings, timetable
from nexfit.domains.classes.documents import BookingStatus
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.engine.fields import Record

if TYPE_CHECKING:
    from nexfit.api.classes.types import ClassOccurrence
    from nexfit.api.facilities.types import Facility

strawberry.enum(BookingStatus, description="State of a booking.")


async def dates_of_bookings(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The date each booking is about."""
    ids = [parent["occurrenceId"] for parent in parents]
    found = await timetable.by_ids(context.stores.mongo, timetable.OCCURRENCES, ids, args.selection.columns)
    return [found.get(id_) for id_ in ids]


@strawberry.type(description="Why a free seat went past a member who waited.")
class PassedOver:
    """Embedded in a booking."""

    at: datetime = column(description="When.")
    reason: str = column(description="The code a booking would have been refused with.")


@strawberry.type(description="A member's place on one date of a class.")
class ClassBooking(Node):
    """From MongoDB's `class_bookings`."""

    id: strawberry.ID = column("_id", read=id_reader("ClassBooking"), description="The global id.")
    status: BookingStatus = column(description="What became of it so far.")
    date: datetime = column(description="The start of the date.")
    waitlist_position: int | None = column(description="The place given on joining the waitlist; it orders promotion.")
    passed_over: PassedOver | None = column(description="The last time a free seat went past the member, and why.")
    booked_at: datetime = column(description="When it was made.")
    promoted_at: datetime | None = column(description="When a freed seat was given to the member.")
    cancelled_at: datetime | None = column(description="When it was cancelled, by whomever.")
    checked_in_at: datetime | None = column(description="When the member came.")
    user: User | None = user_field("userId", description="Whose place it is.")
    occurrence: Annotated[ClassOccurrence, strawberry.lazy("nexfit.api.classes.types")] | None = batch(
        dates_of_bookings, needs=("occurrenceId",), description="The date."
    )
    facility: Annotated[Facility, strawberry.lazy("nexfit.api.facilities.types")] | None = batch(
        facilities_of_parents, needs=("facilityId",), description="Where it takes place."
    )


async def bookings_of_dates(parents: Sequence[Record], args: PageArgs, context: Context) -> Sequence[Any]:
    """A connection of each date's bookings."""
    request = page_request(args, bookings.ORDER_OF_DATE)
    columns = node_selection(args.selection).columns
    pages = await bookings.pages_of_dates(context.stores.mongo, [parent["_id"] for parent in parents], request, columns)
    for page in pages:
        for row in page.rows:
            row[PERMITTED] = StaffPermission.MEMBERS_READ
    return [connection(page, bookings.ORDER_OF_DATE, args.selection) for page in pages]


async def viewers_bookings_of_dates(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The viewer's own live booking of each date."""
    if context.actor.user_id is None:
        return [None] * len(parents)
    ids = [parent["_id"] for parent in parents]
    found = await bookings.live_of_member(context.stores.mongo, context.actor.user_id, ids, args.selection.columns)
    return [found.get(id_) for id_ in ids]
