"""A member's timeline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import batch, derived, row_column
from nexfit.api.identity.types import User, user_field
from nexfit.api.memberships.loaders import plans_of_rows
from nexfit.api.memberships.types import Membership
from nexfit.api.money import Money, money_field
from nexfit.api.relay import PageArgs, connection, global_id, page_request
from nexfit.domains.facilities import directory
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.domains.memberships import timeline
from nexfit.domains.memberships.timeline import EntryKind
from nexfit.engine.fields import Record

strawberry.enum(EntryKind, name="TimelineKind", description="What an entry of a timeline tells of.")

_TYPES = {
    EntryKind.BOOKING: "ClassBooking",
    EntryKind.INVOICE: "Invoice",
    EntryKind.MEMBERSHIP: "Subscription",
    EntryKind.NOTE: "MemberNote",
    EntryKind.TRANSACTION: "Transaction",
    EntryKind.VISIT: "Visit",
}


def _id(record: Record, _args: object, _context: object) -> str:
    return global_id(_TYPES[EntryKind(record["kind"])], record["id"])


@strawberry.type(description="Something that happened with a member.")
class TimelineEntry:
    """From either store."""

    id: strawberry.ID = derived(_id, needs=("kind", "id"), description="The global id of what it tells of.")
    kind: EntryKind = row_column(description="What it tells of.")
    at: datetime = row_column(description="When; of a booking when the class begins.")
    status: str | None = row_column(description="What became of it, in the words of the store.")
    text: str | None = row_column(description="The class, the invoice's number, the payment's text, or the note.")
    amount: Money | None = money_field("amount", description="How much money it is about.")
    plan: Membership | None = batch(plans_of_rows, needs=("plan_id",), description="The membership's plan.")
    author: User | None = user_field("author_id", description="Who wrote the note.")


async def timelines_of_members(parents: Sequence[Record], args: PageArgs, context: Context) -> Sequence[Any]:
    """A connection of each member's entries."""
    request = page_request(args, timeline.ORDER)
    pairs = [(parent["facility_id"], parent["user_id"]) for parent in parents]
    mongo = context.stores.mongo
    money = await directory.managed(mongo, context.actor, [StaffPermission.FINANCE_READ])
    pages = await timeline.pages(mongo, context.stores.postgres, pairs, request, money=[str(id_) for id_ in money])
    return [connection(pages[pair], timeline.ORDER, args.selection) for pair in pairs]
