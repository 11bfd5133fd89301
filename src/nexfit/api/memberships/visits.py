"""Visits, and `recordVisit`: the front desk lets a member in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.access import PERMITTED
from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity.types import User, user_field
from nexfit.api.relay import Node, id_reader, local_id
from nexfit.domains.errors import BadInput
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.domains.memberships import visits
from nexfit.domains.memberships.documents import VisitSource

strawberry.enum(VisitSource, description="How an entry was noticed.")


@strawberry.type(description="Somebody's entry into a facility.")
class Visit(Node):
    """From MongoDB's `visits`."""

    id: strawberry.ID = column("_id", read=id_reader("Visit"), description="The global id.")
    at: datetime = column(description="When.")
    source: VisitSource = column(description="How it was noticed.")
    user: User | None = user_field("userId", description="Who came in.")


@strawberry.input(description="Who comes in.")
class RecordVisitInput:
    """Input of `recordVisit`."""

    member: strawberry.ID = strawberry.field(description="The member's global id, which names the facility, too.")
    idempotency_key: str = strawberry.field(
        description="1 to 255 characters of the client's choice; sent again, it gives the same visit."
    )


@strawberry.type(description="A recorded visit, or why not.")
class RecordVisitPayload:
    """Payload of `recordVisit`."""

    visit: Visit | None = column(description="The visit.")
    visits_left: int | None = column(description="How often the member may come again this week; null for no limit.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordVisitArgs(Args):
    """Arguments of `recordVisit`."""

    input: Annotated[RecordVisitInput, strawberry.argument(description="Who comes in.")]


async def _record_visit(args: RecordVisitArgs, context: Context) -> Mapping[str, Any]:
    facility, user = member_of(args.input.member)
    recorded = await visits.record(
        context.services.units,
        context.stores.mongo,
        context.actor,
        facility_id=facility,
        user_id=user,
        idempotency_key=args.input.idempotency_key,
        now=context.now,
    )
    found = await visits.by_ids(context.stores.mongo, [recorded.visit]) if args.selection.at("visit") else {}
    visit = found.get(recorded.visit)
    return {"visit": visit and {**visit, PERMITTED: StaffPermission.CHECK_IN}, "visitsLeft": recorded.left}


def member_of(global_id: str) -> tuple[ObjectId, ObjectId]:
    """Facility and person of a member's global id; raises BadInput."""
    facility, _, user = (local_id(global_id, "Member") or "").partition(":")
    if not ObjectId.is_valid(facility) or not ObjectId.is_valid(user):
        raise BadInput("This is not the id of a member.", path=("member",))
    return ObjectId(facility), ObjectId(user)


@strawberry.type
class VisitMutations:
    """Root fields of this area."""

    record_visit: RecordVisitPayload = batch(
        answering(_record_visit),
        args=RecordVisitArgs,
        description="Let a member in, for staff with check_in: a membership must cover today and its week have room.",
    )
