"""`User.notices`: what became of a person's bookings and memberships without them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, row_column
from nexfit.api.memberships.loaders import contracts_of_subscriptions
from nexfit.domains.classes import notices, timetable
from nexfit.domains.classes.notices import NoticeKind
from nexfit.engine.fields import Record

if TYPE_CHECKING:
    from nexfit.api.classes.types import ClassOccurrence
    from nexfit.api.memberships.types import MemberSubscription

strawberry.enum(NoticeKind, description="What became of a booking or a membership.")


async def _dates(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    ids = [parent["occurrence_id"] and ObjectId(parent["occurrence_id"]) for parent in parents]
    wanted = [id_ for id_ in ids if id_ is not None]
    found = await timetable.by_ids(context.stores.mongo, timetable.OCCURRENCES, wanted, args.selection.columns)
    return [found.get(id_) for id_ in ids]


@strawberry.type(description="That something became of a booking or a membership without the person's doing.")
class Notice:
    """From PostgreSQL's `platform.notices`, one for each event that tells of it."""

    kind: NoticeKind = row_column(description="What became of it.")
    at: datetime = row_column(description="When.")
    occurrence: Annotated[ClassOccurrence, strawberry.lazy("nexfit.api.classes.types")] | None = batch(
        _dates, needs=("occurrence_id",), description="The date it is about, as it is now; null where it is about none."
    )
    member_subscription: Annotated[MemberSubscription, strawberry.lazy("nexfit.api.memberships.types")] | None = batch(
        contracts_of_subscriptions,
        needs=("subscription_id",),
        description="The membership it is about, as it is now; null where it is about none.",
    )


async def notices_of_viewer(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The viewer's latest notices."""
    found = await notices.of_person(context.stores.postgres, context.actor.require(), args.selection.columns)
    return [found] * len(parents)
