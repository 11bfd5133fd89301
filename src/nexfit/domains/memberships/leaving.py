"""Leaving a membership: now, with what is not used given back, or with the period; and whether it renews by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision
from bson import ObjectId

from nexfit.domains.errors import ErrorCode, NotFound, Refusal
from nexfit.domains.finance import refunding
from nexfit.domains.finance.payments import PaymentProvider
from nexfit.domains.finance.words import SubscriptionState, TransactionType
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import RIGHTS_COLUMNS, Actor, may
from nexfit.domains.memberships.contracts import COLLECTION
from nexfit.domains.memberships.selling import mirror_change
from nexfit.domains.memberships.states import change_state
from nexfit.domains.memberships.states import sql as billing_sql
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import BothWork, UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.postgres import Row
from nexfit.stores.sql import load_sql

sql = load_sql("nexfit.domains.memberships", "leaving.sql")

WITHDRAWAL = timedelta(days=14)
"""Within so many days who bought online may go back on it and gets everything back."""

_ENDED = (SubscriptionState.CANCELLED, SubscriptionState.EXPIRED, SubscriptionState.INCOMPLETE_EXPIRED)


class CancelAt(StrEnum):
    """When a membership is to end."""

    NOW = "now"
    PERIOD_END = "period_end"


class NotPossibleNow(Refusal):
    """The membership is in a state this does not lead from."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self, *, state: str) -> None:
        super().__init__("This cannot be done with a membership that is {state}.", path=("membership",), state=state)


class AtTheDesk(Refusal):
    """Money that was taken at a desk is given back there."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("It was paid at the desk: ask there, or end it with the period.", path=("at",))


class CannotRenew(Refusal):
    """Nothing was saved that a later term could be charged to."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("There is no saved way to pay later terms.", path=("autoRenew",))


def unused_share(
    paid: Decimal,
    starts: date,
    ends: date,
    today: date,
    currency: str,
    *,
    withdrawn_until: date | None,
    pauses: Sequence[tuple[date, date]] = (),
) -> Decimal:
    """What is given back to who leaves today: all within the withdrawal window, else the share of the days after today.

    Frozen days were not paid for: they count neither as used nor as left. Ends are the first day not covered, of the
    period as of its pauses.
    """
    if withdrawn_until is not None and today <= withdrawn_until:
        return paid
    left = _bought_days(max(today + timedelta(days=1), starts), ends, pauses)
    exponent = Decimal(1).scaleb(-get_currency_precision(currency))
    return (paid * left / _bought_days(starts, ends, pauses)).quantize(exponent, ROUND_HALF_UP)


def _bought_days(first: date, ends: date, pauses: Sequence[tuple[date, date]]) -> int:
    frozen = sum(max((min(until, ends) - max(since, first)).days, 0) for since, until in pauses)
    return max((ends - first).days, 0) - frozen


@dataclass(frozen=True, slots=True)
class Held:
    """A membership somebody may change: its contract and subscription, and the facility's day."""

    contract: ObjectId
    subscription: UUID
    by_staff: bool
    today: date


async def find_held(stores: Stores, actor: Actor, contract: ObjectId, now: datetime) -> Held:
    """The membership, for its holder and for staff with `members_write`. Raises Unauthenticated, NotFound."""
    actor.require()
    found = await stores.mongo.find(COLLECTION, {"_id": contract}, ("subscriptionId", "facilityId", "userId"), limit=1)
    facilities = (
        await stores.mongo.find("facilities", {"_id": found[0]["facilityId"]}, (*RIGHTS_COLUMNS, "timezone"), limit=1)
        if found
        else []
    )
    by_staff = bool(facilities) and may(actor, facilities[0], "members_write")
    if not facilities or not (by_staff or actor.is_user(found[0]["userId"])):
        raise NotFound("There is no such membership.", path=("membership",))
    today = now.astimezone(ZoneInfo(facilities[0]["timezone"])).date()
    return Held(contract, UUID(found[0]["subscriptionId"]), by_staff, today)


async def cancel(
    units: UnitsOfWork,
    stores: Stores,
    provider: PaymentProvider | None,
    actor: Actor,
    contract: ObjectId,
    *,
    at: CancelAt,
    reason: str | None,
    key: str,
    now: datetime,
) -> UUID | None:
    """End a membership; the movement that gives money back, the first of several where it came by several payments.

    By its holder or staff with `members_write`. The same `key` and input give the first outcome again. Raises
    Unauthenticated, NotFound, NotPossibleNow, AtTheDesk, IdempotencyConflict; then nothing was written.
    """
    by = actor.require()
    held = await find_held(stores, actor, contract, now)

    async def body(work: BothWork) -> dict[str, Any] | None:
        row = await work.postgres.fetch_one(billing_sql.hold, held.subscription)
        if row is None or row["status"] in _ENDED:
            raise NotPossibleNow(state="gone" if row is None else row["status"])
        await work.postgres.execute(sql.drop_change, held.subscription)
        if at is CancelAt.PERIOD_END:
            after = await work.postgres.fetch_one(sql.at_period_end, held.subscription, True, False)
            assert after is not None  # noqa: S101  # the row is held
            await mirror_change(work, after)
            _audit(work, row, "membership.ends_with_period", by, reason)
            return None
        asked = await _give_back_unused(work, row, held, by, now)
        await change_state(work, row, SubscriptionState.CANCELLED, cancelled_at=now, by=by)
        if reason is not None:
            await work.mongo.update(COLLECTION, {"_id": contract}, {"$set": {"cancellationReason": reason}})
        _audit(work, row, "membership.cancelled", by, reason)
        if not asked:
            return None
        return {"refunds": [str(one.refund) for one in asked if one.is_open], "movement": str(asked[0].movement)}

    asked_for = {"contract": str(contract), "at": str(at), "reason": reason}
    unit = units.both("cancel_membership")
    made = await once(stores.mongo, unit, by, "cancelMembership", key, asked_for, body)
    if made is None:
        return None
    for refund in made["refunds"]:
        await refunding.settle(units, stores, provider, UUID(refund), now=now)
    return UUID(made["movement"])


async def end_without_return(
    units: UnitsOfWork, stores: Stores, actor: Actor, contract: ObjectId, *, now: datetime
) -> None:
    """End a membership at once and give nothing back. Ended already, it stays so. Raises Unauthenticated, NotFound."""
    by = actor.require()
    held = await find_held(stores, actor, contract, now)

    async def body(work: BothWork) -> None:
        row = await work.postgres.fetch_one(billing_sql.hold, held.subscription)
        if row is None or row["status"] in _ENDED:
            return
        await work.postgres.execute(sql.drop_change, held.subscription)
        await change_state(work, row, SubscriptionState.CANCELLED, cancelled_at=now, by=by)
        _audit(work, row, "membership.cancelled", by, None)

    await units.both("end_membership").run(body)


async def _give_back_unused(work: BothWork, row: Row, held: Held, by: ObjectId, now: datetime) -> list[refunding.Asked]:
    """Raises AtTheDesk."""
    paid = await work.postgres.fetch(sql.paid_period, held.subscription, row["current_period_start"])
    if not paid:
        return []
    online = all(one["transaction_type"] == TransactionType.CHARGE for one in paid)
    is_first = row["current_period_start"] == row["start_date"]
    back = unused(row, paid, held.today, row["start_date"] + WITHDRAWAL if online and is_first else None)
    if back <= 0:
        return []
    if not online and not held.by_staff:
        raise AtTheDesk
    return await give_back(work, paid, back, "cancelled", by, today=held.today, now=now)


def unused(row: Row, paid: Sequence[Row], today: date, withdrawn_until: date | None) -> Decimal:
    """What is given back of the present period, as far as it was not given back already. `paid` is `paid_period`."""
    share = unused_share(
        paid[0]["total_amount"] + paid[0]["carried"],
        row["current_period_start"],
        row["current_period_end"],
        today,
        row["currency"],
        withdrawn_until=withdrawn_until,
        pauses=list(zip(paid[0]["paused_from"], paid[0]["paused_until"], strict=True)),
    )
    rest = sum((one["total_amount"] - one["returned"] for one in paid), Decimal(0))
    return max(min(share, rest), Decimal(0))


async def give_back(
    work: BothWork, paid: Sequence[Row], amount: Decimal, reason: str, by: ObjectId, *, today: date, now: datetime
) -> list[refunding.Asked]:
    """Give an amount back to the payments it came from, the latest first."""
    asked = []
    for one in paid:
        part = min(amount, one["total_amount"] - one["returned"])
        if part > 0:
            asked.append(await refunding.give_back(work, one["transaction_id"], part, reason, by, today=today, now=now))
            amount -= part
    return asked


async def set_auto_renew(
    units: UnitsOfWork, stores: Stores, actor: Actor, contract: ObjectId, *, on: bool, now: datetime
) -> None:
    """Let a membership renew by itself, or end with its period. Doing it again changes nothing more.

    By its holder or staff with `members_write`. Raises Unauthenticated, NotFound, NotPossibleNow, CannotRenew.
    """
    by = actor.require()
    held = await find_held(stores, actor, contract, now)

    async def body(work: BothWork) -> None:
        row = await work.postgres.fetch_one(billing_sql.hold, held.subscription)
        if row is None or row["status"] in _ENDED:
            raise NotPossibleNow(state="gone" if row is None else row["status"])
        if on and row["method"] is None:
            raise CannotRenew
        if (row["auto_renew"], row["cancel_at_period_end"]) == (on, False):
            return
        if not on:
            await work.postgres.execute(sql.drop_change, held.subscription)
        after = await work.postgres.fetch_one(sql.at_period_end, held.subscription, False, on)
        assert after is not None  # noqa: S101  # the row is held
        await mirror_change(work, after)
        _audit(work, row, "membership.renews" if on else "membership.does_not_renew", by, None)

    await units.both("set_auto_renew").run(body)


def _audit(work: BothWork, row: Row, action: str, by: ObjectId, reason: str | None) -> None:
    work.invalidates(f"user:{row['user_id']}:memberships", f"facility:{row['facility_id']}:members")
    work.audit(
        Audit(
            action=action,
            entity_type="subscription",
            entity_id=str(row["subscription_id"]),
            facility_id=row["facility_id"],
            user_id=str(by),
            before={"status": row["status"], "autoRenew": row["auto_renew"]},
            after={"reason": reason},
        )
    )
