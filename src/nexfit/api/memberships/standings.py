"""How somebody stands at a facility, as staff and coaches see it: one joined view, one read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.classes.loaders import facilities_of_parents
from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, row_column
from nexfit.api.memberships.loaders import plans_of_rows
from nexfit.api.memberships.types import Membership
from nexfit.api.money import Money, money_field
from nexfit.domains.memberships import standings
from nexfit.domains.memberships.members import MemberStatus
from nexfit.domains.memberships.standings import Standing
from nexfit.engine.fields import Record

if TYPE_CHECKING:
    from nexfit.api.facilities.types import Facility

strawberry.enum(MemberStatus, description="State of the membership that counts most: a live one, else the latest.")

_KEPT = frozenset({"_id", "name", "facilityId"})
"""What of a plan the view holds."""


async def _plans(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    if not args.selection.columns <= _KEPT:
        return await plans_of_rows(parents, args, context)
    return [
        parent["plan_name"]
        and {
            "_id": ObjectId(parent["plan_id"]),
            "name": parent["plan_name"],
            "facilityId": ObjectId(parent["facility_id"]),
        }
        for parent in parents
    ]


@strawberry.type(description="How somebody stands at a facility: membership, debt and visits, joined over both stores.")
class MembershipStanding:
    """A cached view (`nexfit.domains.memberships.standings`), confirmed by Redis on each read."""

    facility: Annotated[Facility, strawberry.lazy("nexfit.api.facilities.types")] | None = batch(
        facilities_of_parents, needs=("facility_id",), description="Where."
    )
    status: MemberStatus = row_column(description="State of the membership that counts most.")
    plan: Membership | None = batch(
        _plans, needs=("plan_id", "plan_name", "facility_id"), description="The plan of that membership."
    )
    balance: Money | None = money_field(
        "balance", description="What the person owes: the open invoices' total; null before any money."
    )
    open_invoices: int = row_column(description="Invoices that are issued and not paid.")
    last_payment_at: datetime | None = row_column(description="The latest payment that succeeded.")
    last_visit_at: datetime | None = row_column(description="The latest visit.")
    next_booking_at: datetime | None = row_column(description="Start of the next booked class.")


def shown(standing: Standing) -> Record:
    """A standing as a record of the API."""
    return asdict(standing)


async def standings_of_members(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """The standing of each member."""
    pairs = [(parent["facility_id"], parent["user_id"]) for parent in parents]
    stores = context.stores
    found = await standings.of_members(stores.mongo, stores.postgres, context.views, pairs, context.now)
    return [shown(found[pair]) if pair in found else None for pair in pairs]


def tags_of_standings(parents: Sequence[Record], _: Sequence[Any]) -> Iterable[str]:
    """What the standing of each member depends on."""
    return {tag for parent in parents for tag in standings.tags((parent["facility_id"], parent["user_id"]))}
