"""Moving subscriptions from state to state, in both stores at once; who does so holds their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from bson import ObjectId

from nexfit.domains.finance.words import SubscriptionState
from nexfit.domains.memberships.events import MembershipStateChanged
from nexfit.domains.memberships.selling import mirror_changes
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import BothWork
from nexfit.stores.mongo import Document
from nexfit.stores.postgres import Row
from nexfit.stores.sql import load_sql

sql = load_sql("nexfit.domains.memberships", "billing.sql")


@dataclass(frozen=True, slots=True)
class Change:
    """A subscription, the state it goes into, and what of its dunning and its payments goes with that."""

    row: Row
    to: SubscriptionState
    next_on: date | None = None
    failed: int = 0
    cancelled_at: datetime | None = None
    payment: Document | None = None


async def change_state(
    work: BothWork,
    row: Row,
    to: SubscriptionState,
    *,
    cancelled_at: datetime | None = None,
    by: ObjectId | None = None,
) -> None:
    """Put a subscription whose row is held into a state, in both stores, and tell so."""
    await change_states(work, [Change(row, to, cancelled_at=cancelled_at)], by=by)


async def change_states(work: BothWork, changes: Sequence[Change], *, by: ObjectId | None = None) -> None:
    """The same for many, one command per store. Raises what `mirror_changes` raises."""
    if not changes:
        return
    columns: list[tuple[Any, ...]] = [
        (one.row["subscription_id"], str(one.to), one.next_on, one.failed, one.cancelled_at) for one in changes
    ]
    after = {
        row["subscription_id"]: row
        for row in await work.postgres.fetch(sql.set_states, *map(list, zip(*columns, strict=True)))
    }
    await mirror_changes(work, [(after[one.row["subscription_id"]], one.payment) for one in changes])
    for one in changes:
        if one.row["status"] != one.to:
            _tell(work, one.row, one.to, by)


def _tell(work: BothWork, row: Row, to: SubscriptionState, by: ObjectId | None) -> None:
    work.emit(
        MembershipStateChanged(
            facility_id=row["facility_id"],
            subscription_id=str(row["subscription_id"]),
            plan_id=row["plan_id"],
            user_id=row["user_id"],
            before=row["status"],
            after=str(to),
        )
    )
    work.audit(
        Audit(
            action=f"subscription.{to}",
            entity_type="subscription",
            entity_id=str(row["subscription_id"]),
            facility_id=row["facility_id"],
            user_id=None if by is None else str(by),
            before={"status": row["status"]},
            after={"status": str(to)},
        )
    )
