"""A member's own change of plan: the difference is charged once, and the new term begins with it or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from nexfit.domains.errors import IdempotencyConflict, NotFound, Unauthenticated
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.memberships import freezing, leaving, plan_changes, switching
from nexfit.domains.memberships.errors import AlreadySubscribed, PriceChanged
from nexfit.domains.memberships.leaving import CancelAt, NotPossibleNow
from nexfit.domains.memberships.plan_changes import NoSavedWay
from nexfit.domains.memberships.switching import OtherPlace

from .conftest import PRICE, Shop
from .online import Online, selling_online
from .test_billing import START, adds_up, bill, periods, state, subscriber

DEARER, CHEAPER = Decimal("1499.90"), Decimal("499.90")
MID = datetime(2026, 2, 13, 9, 0, tzinfo=UTC)  # the fourteenth of twenty-eight days: half is left
DUE = DEARER - Decimal("499.95")


@pytest.fixture
async def online(shop: Shop) -> AsyncIterator[Online]:
    async with selling_online(shop) as opened:
        opened.now = START
        opened.provider.faults.pay_at_once = True
        opened.provider.faults.delivery = "never"
        yield opened
        await shop.stores.postgres.fetch(
            "UPDATE finance.subscriptions SET provider = 'gone' WHERE facility_id = $1 RETURNING 1", str(shop.facility)
        )


async def contract_of(online: Online, member: ObjectId, status: str = "active") -> Any:
    found = await online.shop.database.member_subscriptions.find_one({"userId": member, "status": status})
    return found["_id"] if found else None


async def change(online: Online, member: ObjectId, plan: ObjectId, **more: Any) -> Any:
    """Change the member's membership now, for what is due in the middle of it."""
    given = {"expected_due": DUE, "key": uuid4().hex, "now": online.now, "actor": Actor(member)} | more
    contract = given.pop("contract", None) or await contract_of(online, member)
    return await plan_changes.change_plan(online.sales, given.pop("actor"), contract, plan, **given)


async def changed(online: Online) -> dict[str, int]:
    """Changes of this shop by state."""
    rows = await online.shop.stores.postgres.fetch(
        "SELECT status, count(*) AS n FROM finance.plan_changes WHERE facility_id = $1 GROUP BY 1",
        str(online.shop.facility),
    )
    return {row["status"]: row["n"] for row in rows}


async def money(online: Online) -> None:
    """The provider's money is the ledger's, and invoices less credit notes are what was kept."""
    [row] = await online.shop.stores.postgres.fetch(
        """SELECT coalesce(sum(amount) FILTER (WHERE transaction_type = 'charge'), 0) AS taken,
             coalesce(sum(amount) FILTER (WHERE transaction_type = 'refund'), 0) AS returned
           FROM finance.transactions WHERE facility_id = $1 AND status = 'succeeded'""",
        str(online.shop.facility),
    )
    has = online.provider.money()
    assert (row["taken"], row["returned"]) == (Decimal(has["taken"]) / 100, Decimal(has["returned"]) / 100)


async def test_a_dearer_plan_begins_now_for_the_difference(online: Online) -> None:
    dearer, member = await online.shop.plan(price=DEARER), await subscriber(online)
    online.now = MID
    contract = await contract_of(online, member)
    before = await switching.preview(online.shop.stores, Actor(member), contract, dearer, now=MID)
    assert before.due == DUE
    made = await asyncio.gather(*(change(online, member, dearer, key="tap", contract=contract) for _ in range(4)))
    assert {one["plan_change_id"] for one in made} == {made[0]["plan_change_id"]}
    again = await change(online, member, dearer, key="tap", contract=contract)
    assert again["status"] == "done"
    assert await changed(online) == {"done": 1}
    assert len(online.provider.payments) == 2  # the first period and the difference
    assert await contract_of(online, member, "cancelled") == contract
    rows = await online.shop.stores.postgres.fetch(
        """SELECT i.total_amount, i.status, s.status AS held, s.amount, s.auto_renew, s.current_period_end
           FROM finance.invoices i JOIN finance.subscriptions s USING (subscription_id)
           WHERE i.user_id = $1 ORDER BY i.issued_on""",
        str(member),
    )
    assert [tuple(row)[:4] for row in rows] == [
        (PRICE, "paid", "cancelled", PRICE), (DUE, "paid", "active", DEARER),
    ]  # fmt: skip
    assert (rows[1]["auto_renew"], rows[1]["current_period_end"]) == (True, date(2026, 3, 13))
    assert await online.shop.agrees(member)
    await money(online)
    with pytest.raises(IdempotencyConflict):
        await change(online, member, dearer, key="tap", contract=contract, expected_due=DUE + 1)
    # The next period is the new plan's, in full.
    await bill(online, "2026-03-13")
    assert online.provider.money()["taken"] == int((PRICE + DUE + DEARER) * 100)


async def test_who_leaves_after_a_change_gets_the_credit_back_too(online: Online) -> None:
    dearer, member = await online.shop.plan(price=DEARER), await subscriber(online)
    online.now = MID
    await change(online, member, dearer)
    # On the day of the change 27 of 28 days are left; as staff sees it, without the right to withdraw.
    await online.shop.stores.postgres.fetch(
        "UPDATE finance.subscriptions SET start_date = start_date - 1 WHERE user_id = $1 AND status = $2 RETURNING 1",
        *(str(member), "active"),
    )
    contract = await contract_of(online, member)
    key = {"at": CancelAt.NOW, "reason": None, "key": "leave", "now": MID}
    await leaving.cancel(
        online.shop.units, online.shop.stores, online.sales.provider, online.shop.owner, contract, **key
    )
    back = (DEARER * 27 / 28).quantize(Decimal("0.01"))
    assert online.provider.money()["returned"] == int(back * 100)
    rows = await online.shop.stores.postgres.fetch(
        "SELECT total_amount FROM finance.credit_notes WHERE user_id = $1 ORDER BY 1 DESC", str(member)
    )
    assert [row["total_amount"] for row in rows] == [DUE, back - DUE]
    await money(online)


async def test_a_declined_charge_changes_nothing(online: Online) -> None:
    dearer, member = await online.shop.plan(price=DEARER), await subscriber(online)
    online.now = MID
    before = await state(online, member)
    online.provider.faults.decline = "soft"
    assert (await change(online, member, dearer))["status"] == "failed"
    assert await state(online, member) == before
    assert await periods(online, member) == [("2026-01-31", "paid", 0)]
    await money(online)
    online.provider.faults.decline = None
    assert (await change(online, member, dearer))["status"] == "done"


async def test_a_charge_without_an_answer_is_made_once(online: Online) -> None:
    dearer, member = await online.shop.plan(price=DEARER), await subscriber(online)
    online.now = MID
    online.provider.faults.hang = 1
    assert (await change(online, member, dearer))["status"] == "initiated"
    with pytest.raises(plan_changes.ChangeUnderWay):
        await change(online, member, dearer)
    assert await plan_changes.recover(online.sales, now=MID) == 0  # whoever made it is still at it
    later = MID.replace(minute=5)
    await asyncio.gather(*(plan_changes.recover(online.sales, now=later) for _ in range(3)))
    assert await changed(online) == {"done": 1}
    assert len(online.provider.payments) == 2
    await money(online)
    assert await online.shop.agrees(member)


@pytest.mark.parametrize("meanwhile", ["renewed", "frozen", "left", "bought"])
async def test_what_has_changed_meanwhile_is_paid_back(online: Online, meanwhile: str) -> None:
    dearer, member = await online.shop.plan(price=DEARER), await subscriber(online)
    online.now = MID
    online.provider.faults.refuse = 1
    assert (await change(online, member, dearer))["status"] == "initiated"
    shop, contract = online.shop, await contract_of(online, member)
    if meanwhile == "renewed":
        await bill(online, "2026-02-28")
    elif meanwhile == "frozen":
        await freezing.freeze(shop.units, shop.stores, Actor(member), contract, days=7, key="k", now=MID)
    elif meanwhile == "left":
        key = {"at": CancelAt.NOW, "reason": None, "key": "leave", "now": MID}
        await leaving.cancel(shop.units, shop.stores, online.sales.provider, Actor(member), contract, **key)
    else:
        await shop.sell(dearer, member, expected_total=DEARER, now=MID)
    online.now = online.now.replace(hour=10)
    await plan_changes.recover(online.sales, now=online.now)
    assert await changed(online) == {"returned": 1}
    assert online.provider.money()["returned"] >= int(DUE * 100)
    held = await shop.stores.postgres.fetch(
        "SELECT status FROM finance.subscriptions WHERE user_id = $1 AND amount = $2", str(member), PRICE
    )
    assert [row["status"] for row in held] == [{"left": "cancelled", "frozen": "frozen"}.get(meanwhile, "active")]
    assert await shop.agrees(member)


async def test_a_cheaper_plan_begins_with_the_next_period(online: Online) -> None:
    cheaper = await online.shop.plan(price=CHEAPER)
    member, leaves = await subscriber(online), await subscriber(online)
    online.now = START.replace(day=31, hour=10)
    due = CHEAPER - (PRICE * 27 / 28).quantize(Decimal("0.01"))
    for who in (member, leaves):
        assert (await change(online, who, cheaper, expected_due=due))["status"] == "scheduled"
    assert (await change(online, member, cheaper, expected_due=due))["status"] == "scheduled"
    assert await changed(online) == {"scheduled": 2, "dropped": 1}
    assert len(online.provider.payments) == 2  # nobody was charged
    contract = await contract_of(online, leaves)
    await leaving.set_auto_renew(
        online.shop.units, online.shop.stores, Actor(leaves), contract, on=False, now=online.now
    )
    await bill(online, "2026-02-28")
    row = await state(online, member)
    assert (row["plan_id"], row["amount"], row["status"]) == (str(cheaper), CHEAPER, "active")
    stored = await online.shop.database.member_subscriptions.find_one({"userId": member})
    assert stored["membershipId"] == cheaper
    assert await periods(online, member) == [("2026-01-31", "paid", 0), ("2026-02-28", "paid", 1)]
    assert (await state(online, leaves))["status"] == "expired"
    assert await changed(online) == {"done": 1, "dropped": 2}
    assert await online.shop.agrees(member)
    await adds_up(online)
    # A plan the member came to hold meanwhile is not held twice.
    taken = await subscriber(online)
    online.now = online.now.replace(hour=11)
    held_due = CHEAPER - (PRICE * 27 / 28).quantize(Decimal("0.01"))
    assert (await change(online, taken, cheaper, expected_due=held_due))["status"] == "scheduled"
    await online.shop.sell(cheaper, taken, expected_total=CHEAPER, now=online.now)
    await bill(online, "2026-03-28")
    rows = await online.shop.stores.postgres.fetch(
        "SELECT amount FROM finance.subscriptions WHERE user_id = $1 ORDER BY amount", str(taken)
    )
    assert [row["amount"] for row in rows] == [CHEAPER, PRICE]


async def test_what_is_refused_changes_nothing(online: Online) -> None:
    shop = online.shop
    plan, dearer, held = await shop.plan(), await shop.plan(price=DEARER), await shop.plan(price=DEARER)
    member, at_desk = await subscriber(online, plan), await shop.person()
    await shop.sell(plan, at_desk, now=START)
    await shop.sell(held, member, expected_total=DEARER, now=START)
    elsewhere = await shop.person()
    online.now = MID
    contract = (await shop.database.member_subscriptions.find_one({"userId": member, "membershipId": plan}))["_id"]
    desk = await contract_of(online, at_desk)
    before, asked = await shop.counts(), len(online.provider.calls)
    for refused, new, more in (
        (PriceChanged, dearer, {"expected_due": DUE + 1}),
        (OtherPlace, plan, {}),
        (AlreadySubscribed, held, {}),
        (NotFound, ObjectId(), {}),
        (NotFound, dearer, {"contract": ObjectId()}),
        (NotFound, dearer, {"actor": Actor(elsewhere)}),
        (NotFound, dearer, {"actor": shop.owner}),  # who is no holder: the desk has its own way
        (Unauthenticated, dearer, {"actor": GUEST}),
        (NoSavedWay, dearer, {"contract": desk, "actor": Actor(at_desk)}),
    ):
        with pytest.raises(refused):
            await change(online, member, new, **({"contract": contract} | more))
        assert await shop.counts() == before, refused
    await shop.stores.postgres.fetch(
        "UPDATE finance.subscriptions SET status = 'past_due' WHERE user_id = $1 AND plan_id = $2 RETURNING 1",
        *(str(member), str(plan)),
    )
    with pytest.raises(NotPossibleNow):
        await change(online, member, dearer, contract=contract)
    assert await shop.counts() == before
    assert len(online.provider.calls) == asked
    assert await changed(online) == {}
