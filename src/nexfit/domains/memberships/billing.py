"""Renewals (workflow 3): each period is invoiced once, charged by the saved way to pay, and tried again when declined.

    active → (invoice, try) → active | past_due → active | suspended;   active → expired | cancelled at the period's end

Every step is a commit of both stores of its own, under the subscriptions' row locks, and safe to do again: any number
of workers may run `run` at any time. A period's invoice is unique in the database, and so is a try that is not
declined. A facility's subscriptions go together, several in one commit; if that fails, each goes alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from bson import ObjectId

from nexfit.domains.finance import refunding
from nexfit.domains.finance.invoicing import SELLER_COLUMNS
from nexfit.domains.finance.payments import PaymentProvider
from nexfit.domains.finance.tax import NoTaxRate
from nexfit.domains.memberships.charging import Outcome, apart, ask_all, settle
from nexfit.domains.memberships.renewing import FIRST_PAYMENT, advance, today_at
from nexfit.domains.memberships.states import sql
from nexfit.hybrid.fault_points import reach
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreError
from nexfit.stores.mongo import Document

AT_ONCE = 200
"""Subscriptions that are read at a time."""

TOGETHER = 50
"""Subscriptions of a facility in one commit; its sales wait for their turn at the numbers of invoices meanwhile."""

PATIENCE = timedelta(seconds=30)
"""How long a try without an outcome is left to whoever made it."""

_FIRST = UUID(int=0)
_NOWHERE: Document = {"timezone": "UTC"}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Billing:
    """What billing works with."""

    units: UnitsOfWork
    stores: Stores
    provider: PaymentProvider | None


async def run(billing: Billing, *, now: datetime) -> int:
    """Bill, charge and end whatever is due now, each at its facility's day; how many subscriptions were looked at.

    What fails for one leaves the others alone. Raises StoreError where nothing can be read.
    """
    looked, after = 0, _FIRST
    name = billing.provider and billing.provider.name
    open_ = await billing.stores.postgres.fetch(sql.open_tries, now - PATIENCE, AT_ONCE)
    await _charge(billing, [row["attempt_id"] for row in open_], now)
    rows = await billing.stores.postgres.fetch(sql.incomplete, now - FIRST_PAYMENT, AT_ONCE)
    looked += await _look(billing, [row["subscription_id"] for row in rows], _NOWHERE, now)
    while rows := await billing.stores.postgres.fetch(sql.due, now.date() + timedelta(days=1), name, after, AT_ONCE):
        of_facility: defaultdict[str, list[UUID]] = defaultdict(list)
        for row in rows:
            of_facility[row["facility_id"]].append(row["subscription_id"])
        places = await _places(billing.stores, of_facility.keys())
        for facility, ids in of_facility.items():
            if facility in places:
                looked += await _look(billing, ids, places[facility], now)
        after = rows[-1]["subscription_id"]
    return looked


async def _look(billing: Billing, subscriptions: Sequence[UUID], place: Document, now: datetime) -> int:
    """Take a step with each of a facility's subscriptions, and charge what is to be charged; how many there were."""
    for start in range(0, len(subscriptions), TOGETHER):
        some = subscriptions[start : start + TOGETHER]
        attempts = await _advanced(billing, some, place, now)
        reach("billing.advanced")
        await _charge(billing, attempts, now)
    return len(subscriptions)


async def _advanced(billing: Billing, some: Sequence[UUID], place: Document, now: datetime) -> list[UUID]:
    try:
        return await billing.units.both("bill_subscriptions").run(
            lambda work: advance(work, billing.stores, some, place, now)
        )
    except (NoTaxRate, StoreError) as error:
        if len(some) > 1:
            return [attempt for one in some for attempt in await _advanced(billing, [one], place, now)]
        if isinstance(error, NoTaxRate):
            log.error("a subscription cannot be billed", subscription=str(some[0]), error=str(error))  # noqa: TRY400
        else:
            log.warning("a subscription waits for a store", subscription=str(some[0]), error=str(error))
        return []


async def _places(stores: Stores, facilities: Iterable[str]) -> dict[str, Document]:
    found = await stores.mongo.find(
        "facilities", {"_id": {"$in": [ObjectId(id_) for id_ in facilities]}}, ("timezone", *SELLER_COLUMNS)
    )
    return {str(row["_id"]): row for row in found}


async def _charge(billing: Billing, attempts: Sequence[UUID], now: datetime) -> None:
    """Ask the provider for the money of tries, and write down what it says; a store that fails is waited for."""
    provider = billing.provider
    if provider is None or not attempts:
        return
    try:
        rows = await billing.stores.postgres.fetch(sql.asked, list(attempts), provider.name)
        outcomes, unknown = await ask_all(provider, rows)
        reach("billing.charged")
        if unknown:
            await billing.stores.postgres.fetch(sql.unknown, unknown)
        places = await _places(billing.stores, {one.facility for one in outcomes})
    except StoreError as error:
        log.warning("charges wait for a store", attempts=len(attempts), error=str(error))
        return
    for together in apart(outcomes, TOGETHER):
        place = places.get(together[0].facility, _NOWHERE)
        for refund in await _settled(billing, together, today_at(place, now), now):
            await refunding.settle(billing.units, billing.stores, provider, refund, now=now)


async def _settled(billing: Billing, outcomes: Sequence[Outcome], today: date, now: datetime) -> list[UUID]:
    try:
        refunds = await billing.units.both("settle_renewals").run(lambda work: settle(work, outcomes, today, now))
    except StoreError as error:
        if len(outcomes) > 1:
            return [refund for one in outcomes for refund in await _settled(billing, [one], today, now)]
        log.warning("a charge waits for a store", attempt=str(outcomes[0].attempt), error=str(error))
        return []
    reach("billing.settled")
    return refunds


@dataclass(frozen=True, slots=True)
class Expected:
    """What a facility's day will bring: subscriptions that renew for this total, or end."""

    facility_id: str
    day: date
    renews: bool
    subscriptions: int
    total: Any
    currency: str
    without_method: int


async def preview(stores: Stores, *, now: datetime) -> list[Expected]:
    """What billing would do tomorrow, at each facility's own day. Changes nothing. Raises StoreError."""
    ids = {row["facility_id"] for row in await stores.postgres.fetch(sql.facilities, now.date() + timedelta(days=2))}
    days: dict[date, list[str]] = {}
    for id_, place in (await _places(stores, ids)).items():
        days.setdefault(today_at(place, now) + timedelta(days=1), []).append(id_)
    return [
        Expected(
            row["facility_id"],
            day,
            row["renews"],
            row["subscriptions"],
            row["total"],
            row["currency"],
            row["without_method"],
        )
        for day, facilities in sorted(days.items())
        for row in await stores.postgres.fetch(sql.preview, day, facilities)
    ]
