"""Pausing a membership (workflow 3.5): from today, for so many days that its end moves by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from bson import ObjectId

from nexfit.domains.errors import ErrorCode, Refusal
from nexfit.domains.finance.words import SubscriptionState
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor
from nexfit.domains.memberships.leaving import NotPossibleNow, find_held, sql
from nexfit.domains.memberships.states import change_state
from nexfit.domains.memberships.states import sql as billing_sql
from nexfit.hybrid.unit_of_work import BothWork, UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreError
from nexfit.stores.postgres import Postgres, Row

LEAST, MOST = 7, 90
"""Days of one pause."""

PER_YEAR = 2
"""Pauses that begin within a year of each other."""

AT_ONCE = 200

log = structlog.get_logger(__name__)


class TooManyDays(Refusal):
    """A pause is not shorter or longer than that."""

    code = ErrorCode.BAD_USER_INPUT

    def __init__(self) -> None:
        super().__init__(
            "{name} must be between {least} and {most}.", path=("days",), name="days", least=LEAST, most=MOST
        )


class FrozenTooOften(Refusal):
    """The year's pauses are used up."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("A membership is frozen at most {most} times a year.", path=("membership",), most=PER_YEAR)


class Owes(Refusal):
    """A debt is paid before a pause."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("What is open is paid first.", path=("membership",))


async def freeze(
    units: UnitsOfWork, stores: Stores, actor: Actor, contract: ObjectId, *, days: int, key: str, now: datetime
) -> None:
    """Pause a membership from today on; its end moves by exactly that many days.

    By its holder or staff with `members_write`. The same `key` and input change nothing more. Raises Unauthenticated,
    NotFound, TooManyDays, NotPossibleNow, Owes, FrozenTooOften, IdempotencyConflict; then nothing was written. The
    bookings inside are given back by `classes.release.release_frozen`.
    """
    by = actor.require()
    if not LEAST <= days <= MOST:
        raise TooManyDays
    held = await find_held(stores, actor, contract, now)

    async def body(work: BothWork) -> bool:
        row = await work.postgres.fetch_one(billing_sql.hold, held.subscription)
        if row is None or row["status"] != SubscriptionState.ACTIVE or row["current_period_end"] <= held.today:
            raise NotPossibleNow(state="gone" if row is None else row["status"])
        if await work.postgres.fetch_value(sql.owes, held.subscription):
            raise Owes
        since = held.today - timedelta(days=365)
        if int(str(await work.postgres.fetch_value(sql.freezes_since, held.subscription, since))) >= PER_YEAR:
            raise FrozenTooOften
        ends = held.today + timedelta(days=days)
        whose = (row["facility_id"], row["user_id"])
        await work.postgres.fetch_value(sql.freeze, held.subscription, *whose, held.today, ends, now)
        await work.postgres.execute(sql.move_end, held.subscription, days)
        await change_state(work, row, SubscriptionState.FROZEN, by=by)
        return True

    asked = {"contract": str(contract), "days": days}
    await once(stores.mongo, units.both("freeze_membership"), by, "freezeMembership", key, asked, body)


async def thaw(units: UnitsOfWork, stores: Stores, actor: Actor, contract: ObjectId, *, now: datetime) -> None:
    """End a pause today; the days of it that were not used are taken off the end again.

    By its holder or staff with `members_write`. Raises Unauthenticated, NotFound, NotPossibleNow.
    """
    by = actor.require()
    held = await find_held(stores, actor, contract, now)

    async def body(work: BothWork) -> None:
        row = await work.postgres.fetch_one(billing_sql.hold, held.subscription)
        pause = await work.postgres.fetch_one(sql.open_freeze, held.subscription)
        if row is None or pause is None or row["status"] != SubscriptionState.FROZEN:
            raise NotPossibleNow(state="gone" if row is None else row["status"])
        ends = min(max(held.today, pause["starts_on"]), pause["ends_on"])
        await work.postgres.execute(sql.end_freeze, pause["freeze_id"], ends)
        await work.postgres.execute(sql.move_end, held.subscription, (ends - pause["ends_on"]).days)
        await change_state(work, row, SubscriptionState.ACTIVE, by=by)

    await units.both("thaw_membership").run(body)


async def begun_since(postgres: Postgres, since: datetime) -> list[Row]:
    """Pauses that go on and were begun since: whose, and their days. Raises StoreError."""
    return await postgres.fetch(sql.open_freezes, since)


async def thaw_due(units: UnitsOfWork, stores: Stores, *, now: datetime) -> int:
    """End the pauses whose last day is over at their facility; how many. Raises StoreError."""
    rows = await stores.postgres.fetch(sql.freezes_to_end, now.date() + timedelta(days=1), AT_ONCE)
    places = await stores.mongo.find(
        "facilities", {"_id": {"$in": [ObjectId(row["facility_id"]) for row in rows]}}, ("timezone",)
    )
    zones = {str(place["_id"]): ZoneInfo(place["timezone"]) for place in places}
    ended = 0
    for row in rows:
        zone = zones.get(row["facility_id"], ZoneInfo("UTC"))
        try:
            ended += await units.both("end_freeze").run(_ending(row["subscription_id"], now, zone))
        except StoreError as error:
            log.warning("a pause waits for a store", subscription=str(row["subscription_id"]), error=str(error))
    return ended


def _ending(subscription: UUID, now: datetime, zone: ZoneInfo) -> Callable[[BothWork], Awaitable[int]]:
    async def body(work: BothWork) -> int:
        row = await work.postgres.fetch_one(billing_sql.hold, subscription)
        pause = await work.postgres.fetch_one(sql.open_freeze, subscription)
        if row is None or pause is None or pause["ends_on"] > now.astimezone(zone).date():
            return 0
        await work.postgres.execute(sql.end_freeze, pause["freeze_id"], pause["ends_on"])
        if row["status"] == SubscriptionState.FROZEN:
            await change_state(work, row, SubscriptionState.ACTIVE)
        return 1

    return body
