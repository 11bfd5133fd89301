"""Leaving and pausing (workflow 3.5, 3.6): both stores, exact days, exact money, once per key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from bson import ObjectId

from nexfit.domains.errors import IdempotencyConflict, NotFound, Unauthenticated
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.memberships import billing, freezing, leaving
from nexfit.domains.memberships.billing import Billing
from nexfit.domains.memberships.freezing import FrozenTooOften, TooManyDays
from nexfit.domains.memberships.leaving import AtTheDesk, CancelAt, CannotRenew, NotPossibleNow, unused_share

from .conftest import NOW, PRICE, Shop
from .online import Online, selling_online


@pytest.fixture
async def online(shop: Shop) -> AsyncIterator[Online]:
    async with selling_online(shop) as opened:
        opened.provider.faults.pay_at_once = True
        yield opened
        await shop.stores.postgres.fetch(
            "UPDATE finance.subscriptions SET provider = 'gone' WHERE facility_id = $1 RETURNING 1", str(shop.facility)
        )


async def held_by(online: Online, *, auto_renew: bool = True) -> tuple[Actor, ObjectId]:
    """Somebody who bought online, and their contract."""
    member = await online.shop.person()
    await online.buy(await online.shop.plan(), member, auto_renew=auto_renew)
    contract = await online.shop.database.member_subscriptions.find_one({"userId": member})
    return Actor(member), contract["_id"]


async def cancel(
    online: Online, actor: Actor, contract: ObjectId, at: CancelAt = CancelAt.NOW, key: str | None = None
) -> UUID | None:
    return await leaving.cancel(
        online.shop.units,
        online.shop.stores,
        online.sales.provider,
        actor,
        contract,
        at=at,
        reason=None,
        key=key or uuid4().hex,
        now=online.now,
    )


async def freeze(online: Online, actor: Actor, contract: ObjectId, days: int, key: str | None = None) -> None:
    await freezing.freeze(
        online.shop.units, online.shop.stores, actor, contract, days=days, key=key or uuid4().hex, now=online.now
    )


async def state(online: Online, contract: ObjectId) -> Any:
    """The subscription, and that its contract says the same."""
    stored = await online.shop.database.member_subscriptions.find_one({"_id": contract})
    [row] = await online.shop.stores.postgres.fetch(
        "SELECT * FROM finance.subscriptions WHERE subscription_id = $1", UUID(stored["subscriptionId"])
    )
    assert (stored["status"], stored["autoRenew"]) == (row["status"], row["auto_renew"])
    assert stored["endDate"].date() == row["current_period_end"] - timedelta(days=1)
    return row


async def bill(online: Online) -> None:
    await billing.run(Billing(online.shop.units, online.shop.stores, online.sales.provider), now=online.now)


async def test_within_two_weeks_of_buying_online_everything_is_given_back(online: Online) -> None:
    member, contract = await held_by(online)
    online.now += timedelta(days=14)
    movements = await asyncio.gather(*(cancel(online, member, contract, key="tap") for _ in range(10)))
    assert len(set(movements)) == 1
    assert online.provider.money() == {"taken": 99990, "returned": 99990}
    row = await state(online, contract)
    assert (row["status"], row["cancelled_at"]) == ("cancelled", online.now)
    with pytest.raises(IdempotencyConflict):
        await cancel(online, member, contract, CancelAt.PERIOD_END, key="tap")
    with pytest.raises(NotPossibleNow):
        await cancel(online, member, contract)
    [note] = await online.shop.stores.postgres.fetch(
        "SELECT net_amount, tax_amount FROM finance.credit_notes WHERE user_id = $1", str(member.user_id)
    )
    assert tuple(note) == (Decimal("833.25"), Decimal("166.65"))
    online.now += timedelta(days=60)
    await bill(online)
    assert online.provider.money()["taken"] == 99990  # who left is never charged


async def test_later_the_days_after_today_are_given_back(online: Online) -> None:
    member, contract = await held_by(online)
    online.now += timedelta(days=20)  # 5 July; 6 to 14 July are left of 30 days
    await cancel(online, member, contract)
    assert online.provider.money() == {"taken": 99990, "returned": 29997}
    assert (await state(online, contract))["status"] == "cancelled"


async def test_desk_money_is_given_back_by_the_desk(online: Online) -> None:
    shop, member = online.shop, Actor(await online.shop.person())
    assert member.user_id is not None
    contract = await shop.sell(await shop.plan(), member.user_id)
    before = await shop.counts()
    with pytest.raises(AtTheDesk):
        await cancel(online, member, contract)
    with pytest.raises(CannotRenew):
        await leaving.set_auto_renew(shop.units, shop.stores, member, contract, on=True, now=NOW)
    assert await shop.counts() == before
    online.now += timedelta(days=14)  # no withdrawal window: the member stood there
    movement = await cancel(online, shop.owner, contract)
    [row] = await shop.stores.postgres.fetch(
        "SELECT amount, status FROM finance.transactions WHERE transaction_id = $1", movement
    )
    assert (row["amount"], row["status"]) == (Decimal("499.95"), "succeeded")


async def test_it_ends_with_its_period_unless_one_stays(online: Online) -> None:
    leaves, first = await held_by(online)
    stays, second = await held_by(online)
    for member, contract in ((leaves, first), (stays, second)):
        assert await cancel(online, member, contract, CancelAt.PERIOD_END) is None
        row = await state(online, contract)
        assert (row["status"], row["cancel_at_period_end"], row["auto_renew"]) == ("active", True, False)
    await leaving.set_auto_renew(online.shop.units, online.shop.stores, stays, second, on=True, now=online.now)
    online.now = datetime(2026, 7, 15, 9, 0, tzinfo=UTC)
    await bill(online)
    assert (await state(online, first))["status"] == "cancelled"
    assert (await state(online, second))["status"] == "active"
    assert online.provider.money() == {"taken": 3 * 99990, "returned": 0}


async def test_a_pause_moves_the_end_by_exactly_its_days(online: Online) -> None:
    member, contract = await held_by(online)
    await asyncio.gather(*(freeze(online, member, contract, 10, key="tap") for _ in range(5)))
    row = await state(online, contract)
    assert (row["status"], row["current_period_end"], row["billing_day"]) == ("frozen", date(2026, 7, 25), 25)
    for day in range(11):
        online.now = NOW + timedelta(days=day)
        await bill(online)
        await freezing.thaw_due(online.shop.units, online.shop.stores, now=online.now)
        expected = "frozen" if day < 10 else "active"
        assert (await state(online, contract))["status"] == expected, day
    assert online.provider.money()["taken"] == 99990
    online.now = datetime(2026, 7, 25, 9, 0, tzinfo=UTC)
    await bill(online)
    [_, second] = await online.shop.stores.postgres.fetch(
        "SELECT period_start, status FROM finance.invoices WHERE user_id = $1 ORDER BY period_start",
        str(member.user_id),
    )
    assert tuple(second) == (date(2026, 7, 25), "paid")
    assert (await state(online, contract))["current_period_end"] == date(2026, 8, 25)


async def test_who_comes_back_early_gets_only_the_days_away(online: Online) -> None:
    member, contract = await held_by(online)
    await freeze(online, member, contract, 30)
    online.now += timedelta(days=4)
    await freezing.thaw(online.shop.units, online.shop.stores, member, contract, now=online.now)
    row = await state(online, contract)
    assert (row["status"], row["current_period_end"]) == ("active", date(2026, 7, 19))
    with pytest.raises(NotPossibleNow):
        await freezing.thaw(online.shop.units, online.shop.stores, member, contract, now=online.now)


async def test_what_is_refused_changes_nothing(online: Online) -> None:
    shop = online.shop
    member, contract = await held_by(online)
    for _ in range(2):
        await freeze(online, member, contract, 7)
        await freezing.thaw(shop.units, shop.stores, member, contract, now=online.now)
    frozen, paused = await held_by(online)
    await freeze(online, frozen, paused, 7)
    online.now = NOW - timedelta(days=31)
    debtor, owing = await held_by(online)
    online.now, online.provider.faults.decline = NOW, "soft"
    await bill(online)
    assert (await state(online, owing))["status"] == "past_due"
    before = await shop.counts()
    for refused, actor, whose, days in (
        (FrozenTooOften, member, contract, 7),
        (TooManyDays, member, contract, 6),
        (TooManyDays, member, contract, 91),
        (NotPossibleNow, frozen, paused, 7),
        (NotPossibleNow, debtor, owing, 7),
        (NotFound, debtor, contract, 7),
        (NotFound, member, ObjectId(), 7),
        (Unauthenticated, GUEST, contract, 7),
    ):
        with pytest.raises(refused):
            await freeze(online, actor, whose, days)
        assert await shop.counts() == before, refused
    for refused, actor, whose in ((NotFound, debtor, contract), (Unauthenticated, GUEST, contract)):
        with pytest.raises(refused):
            await cancel(online, actor, whose)
        with pytest.raises(refused):
            await leaving.set_auto_renew(shop.units, shop.stores, actor, whose, on=False, now=NOW)
    assert await shop.counts() == before


def test_the_unused_share() -> None:
    starts, ends = date(2026, 6, 15), date(2026, 7, 15)

    def share(today: date, until: date | None = None) -> Decimal:
        return unused_share(PRICE, starts, ends, today, "TRY", withdrawn_until=until)

    assert share(starts, starts) == PRICE
    assert share(starts) == Decimal("966.57")
    assert share(date(2026, 7, 14)) == 0
    assert share(date(2026, 7, 20)) == 0
    assert share(date(2026, 6, 1)) == PRICE  # not begun yet
