"""Renewals (workflow 3): each period once, whoever runs them; declines, grace, suspension; the money adds up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from bson import ObjectId

from nexfit.domains.finance import invoicing
from nexfit.domains.finance.payments import Decline
from nexfit.domains.finance.words import PaymentMethod
from nexfit.domains.memberships import billing
from nexfit.domains.memberships.billing import Billing
from nexfit.domains.memberships.dunning import next_try
from nexfit.hybrid.recovery import keep_recovering, sweep
from nexfit.hybrid.unit_of_work import UnitsOfWork

from .conftest import PRICE, Shop, no_purge
from .online import Online, selling_online
from .test_purchase import Buyers, killing

START = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)


@pytest.fixture
async def online(shop: Shop) -> AsyncIterator[Online]:
    async with selling_online(shop) as opened:
        opened.now = START
        opened.provider.faults.pay_at_once = True
        yield opened
        # Billing looks at every facility: what is left of this one is none of the next test's provider's business.
        await shop.stores.postgres.fetch(
            "UPDATE finance.subscriptions SET provider = 'gone' WHERE facility_id = $1 RETURNING 1", str(shop.facility)
        )


@pytest.fixture
async def buyers(online: Online) -> AsyncIterator[Buyers]:
    async with killing(online) as process:
        yield process


async def subscriber(online: Online, plan: ObjectId | None = None) -> ObjectId:
    """Somebody who bought now, to be renewed; the user."""
    member = await online.shop.person()
    await online.buy(plan or await online.shop.plan(), member, auto_renew=True)
    return member


async def bill(online: Online, on: str | None = None) -> None:
    """Run billing, on the morning of a day."""
    if on is not None:
        online.now = datetime.combine(date.fromisoformat(on), START.timetz())
    await billing.run(Billing(online.shop.units, online.shop.stores, online.sales.provider), now=online.now)


async def state(online: Online, member: ObjectId) -> Any:
    [row] = await online.shop.stores.postgres.fetch(
        "SELECT * FROM finance.subscriptions WHERE user_id = $1", str(member)
    )
    stored = await online.shop.database.member_subscriptions.find_one({"userId": member})
    assert stored["status"] == row["status"]
    assert stored["endDate"].date() == row["current_period_end"] - timedelta(days=1)
    return row


async def periods(online: Online, member: ObjectId) -> list[tuple[str, str, int]]:
    """First day and state of each invoice, and how often it was charged; what was taken is what was charged."""
    rows = await online.shop.stores.postgres.fetch(
        """SELECT i.period_start, i.status, i.total_amount, i.subscription_id,
             (SELECT count(*) FROM finance.billing_attempts a WHERE a.invoice_id = i.invoice_id) AS tries
           FROM finance.invoices i WHERE i.user_id = $1 ORDER BY i.period_start""",
        str(member),
    )
    return [(row["period_start"].isoformat(), row["status"], row["tries"]) for row in rows]


async def adds_up(online: Online) -> None:
    """What the provider took and gave back is what the ledger says, and every paid invoice has its own payment."""
    [ledger] = await online.shop.stores.postgres.fetch(
        """SELECT coalesce(sum(amount) FILTER (WHERE transaction_type = 'charge'), 0) AS taken,
             coalesce(sum(amount) FILTER (WHERE transaction_type = 'refund'), 0) AS returned
           FROM finance.transactions WHERE facility_id = $1 AND provider = 'local' AND status = 'succeeded'""",
        str(online.shop.facility),
    )
    money = online.provider.money()
    assert (ledger["taken"], ledger["returned"]) == (Decimal(money["taken"]) / 100, Decimal(money["returned"]) / 100)
    [papers] = await online.shop.stores.postgres.fetch(
        """SELECT coalesce(sum(i.total_amount), 0) AS paid, count(*) - count(DISTINCT i.transaction_id) AS shared
           FROM finance.invoices i JOIN finance.transactions t ON t.transaction_id = i.transaction_id
           WHERE i.facility_id = $1 AND i.status = 'paid' AND t.provider = 'local'""",
        str(online.shop.facility),
    )
    assert (papers["paid"], papers["shared"]) == (ledger["taken"] - ledger["returned"], 0)


async def test_a_membership_of_the_31st_is_billed_on_the_last_of_short_months(online: Online) -> None:
    member = await subscriber(online)
    for day in ("2026-02-27", "2026-02-28", "2026-02-28", "2026-03-30", "2026-03-31", "2026-04-30"):
        await bill(online, day)
    assert await periods(online, member) == [
        ("2026-01-31", "paid", 0), ("2026-02-28", "paid", 1), ("2026-03-31", "paid", 1), ("2026-04-30", "paid", 1),
    ]  # fmt: skip
    row = await state(online, member)
    assert (row["status"], row["current_period_end"].isoformat()) == ("active", "2026-05-31")
    stored = await online.shop.database.member_subscriptions.find_one({"userId": member})
    assert len(stored["paymentHistory"]) == 4
    assert await online.shop.agrees(member)
    await adds_up(online)


async def test_declines_are_tried_again_and_then_lock_out(online: Online) -> None:
    member = await subscriber(online)
    online.provider.faults.decline = "soft"
    seen = []
    for day in range(22):
        on = (date(2026, 2, 28) + timedelta(days=day)).isoformat()
        await bill(online, on)
        row = await state(online, member)
        if not seen or seen[-1][1:] != (row["status"], row["failed_attempts"]):
            seen.append((on, row["status"], row["failed_attempts"]))
    assert seen == [
        ("2026-02-28", "past_due", 1),
        ("2026-03-02", "past_due", 2),
        ("2026-03-07", "past_due", 3),
        ("2026-03-14", "past_due", 4),
        ("2026-03-21", "suspended", 5),
    ]
    assert await periods(online, member) == [("2026-01-31", "paid", 0), ("2026-02-28", "open", 5)]
    told = await online.shop.stores.postgres.fetch(
        """SELECT event_type, payload->>'after' AS state FROM finance.outbox
           WHERE facility_id = $1 AND event_type IN ('RenewalDeclined', 'MembershipStateChanged') ORDER BY position""",
        str(online.shop.facility),
    )
    assert [tuple(row) for row in told] == [
        ("MembershipStateChanged", "past_due"),
        *3 * [("RenewalDeclined", None)],
        ("MembershipStateChanged", "suspended"),
    ]  # fmt: skip
    online.provider.faults.decline = None
    await bill(online, "2026-04-15")
    assert (await state(online, member))["status"] == "suspended"  # nobody is charged who is locked out
    [owed] = await online.shop.stores.postgres.fetch(
        "SELECT invoice_id FROM finance.invoices WHERE user_id = $1 AND status = 'open'", str(member)
    )
    await invoicing.pay(
        online.shop.units,
        online.shop.stores,
        online.shop.owner,
        invoice=owed["invoice_id"],
        method=PaymentMethod.CASH,
        giver=None,
        key="tap",
        now=online.now,
    )
    await bill(online)
    row = await state(online, member)
    assert (row["status"], row["current_period_end"].isoformat()) == ("active", "2026-04-15")
    await bill(online)
    assert (await periods(online, member))[-1] == ("2026-04-15", "paid", 1)
    await adds_up(online)


async def test_a_hard_decline_stops_at_once_and_a_later_success_reactivates(online: Online) -> None:
    stolen, short = await subscriber(online), await subscriber(online)
    online.provider.faults.decline = "soft"
    await bill(online, "2026-02-28")
    online.provider.faults.decline = "hard"
    await online.shop.stores.postgres.fetch(
        "UPDATE finance.subscriptions SET next_attempt_on = '2026-03-02' WHERE user_id = $1 RETURNING 1", str(stolen)
    )
    await online.shop.stores.postgres.fetch(
        "UPDATE finance.subscriptions SET next_attempt_on = '2026-03-03' WHERE user_id = $1 RETURNING 1", str(short)
    )
    await bill(online, "2026-03-02")
    assert (await state(online, stolen))["status"] == "suspended"
    online.provider.faults.decline = None
    await bill(online, "2026-03-03")
    assert (await state(online, short))["status"] == "active"
    tries = len(online.provider.payments)
    for day in range(4, 25):
        await bill(online, f"2026-03-{day:02}")
    assert len(online.provider.payments) == tries
    assert await periods(online, stolen) == [("2026-01-31", "paid", 0), ("2026-02-28", "open", 2)]
    assert await periods(online, short) == [("2026-01-31", "paid", 0), ("2026-02-28", "paid", 2)]
    await adds_up(online)


async def test_a_charge_without_an_answer_is_asked_again_and_made_once(online: Online) -> None:
    member = await subscriber(online)
    online.provider.faults.hang = 1
    await bill(online, "2026-02-28")
    [tried] = await online.shop.stores.postgres.fetch(
        "SELECT a.status FROM finance.billing_attempts a JOIN finance.subscriptions s USING (subscription_id) "
        "WHERE s.user_id = $1",
        str(member),
    )
    assert tried["status"] == "unknown"
    assert (await state(online, member))["status"] == "active"
    online.now += timedelta(minutes=1)
    await bill(online)
    assert await periods(online, member) == [("2026-01-31", "paid", 0), ("2026-02-28", "paid", 1)]
    assert len(online.provider.payments) == 2
    await adds_up(online)


async def test_without_auto_renew_it_expires_and_is_never_charged(online: Online) -> None:
    member = await online.shop.person()
    await online.buy(await online.shop.plan(), member)
    leaving = await subscriber(online)
    await online.shop.stores.postgres.fetch(
        "UPDATE finance.subscriptions SET cancel_at_period_end = true WHERE user_id = $1 RETURNING 1", str(leaving)
    )
    await bill(online, "2026-02-27")
    assert (await state(online, member))["status"] == "active"
    for day in ("2026-02-28", "2026-03-31"):
        await bill(online, day)
    assert (await state(online, member))["status"] == "expired"
    assert (await state(online, leaving))["status"] == "cancelled"
    assert len(online.provider.payments) == 2
    assert await online.shop.agrees(member)


async def test_a_renewal_nobody_can_charge_is_owed(online: Online) -> None:
    member = await subscriber(online)
    await online.shop.stores.postgres.fetch(
        """UPDATE finance.subscriptions SET provider = NULL, customer = NULL, method = NULL WHERE user_id = $1
           RETURNING 1""",
        str(member),
    )
    await bill(online, "2026-02-28")
    assert (await state(online, member))["status"] == "past_due"
    for day in range(22):
        await bill(online, (date(2026, 2, 28) + timedelta(days=day)).isoformat())
    assert (await state(online, member))["status"] == "suspended"
    assert await periods(online, member) == [("2026-01-31", "paid", 0), ("2026-02-28", "open", 0)]


async def test_without_its_first_payment_it_expires_after_23_hours(online: Online) -> None:
    member = await subscriber(online)
    await online.shop.stores.postgres.fetch(
        "UPDATE finance.subscriptions SET status = 'incomplete' WHERE user_id = $1 RETURNING 1", str(member)
    )
    await online.shop.database.member_subscriptions.update_one({"userId": member}, {"$set": {"status": "incomplete"}})
    for hours, expected in ((22, "incomplete"), (24, "incomplete_expired")):
        online.now = START + timedelta(hours=hours)
        await bill(online)
        assert (await state(online, member))["status"] == expected


async def test_four_workers_bill_each_period_once(online: Online) -> None:
    plan = await online.shop.plan()
    members = [await subscriber(online, plan) for _ in range(8)]
    online.now = datetime(2026, 2, 28, 9, 0, tzinfo=UTC)
    workers = [
        Billing(UnitsOfWork(online.shop.stores, no_purge), online.shop.stores, online.sales.provider) for _ in range(4)
    ]
    await asyncio.gather(*(billing.run(worker, now=online.now) for worker in workers))
    online.now += timedelta(minutes=1)
    await bill(online)
    for member in members:
        assert await periods(online, member) == [("2026-01-31", "paid", 0), ("2026-02-28", "paid", 1)]
        assert await online.shop.agrees(member)
    assert len(online.provider.payments) == 16
    await adds_up(online)


async def test_a_worker_killed_at_any_step_bills_once_all_the_same(online: Online, buyers: Buyers) -> None:
    plan = await online.shop.plan()
    points = ("billing.advanced", "billing.charged", "prepared", "decided", "billing.settled")
    members = []
    for month, point in enumerate(points):
        members.append(await subscriber(online, plan))
        online.now = datetime(2026, 2, 28, 9, month, tzinfo=UTC)
        await buyers.dies_at(point, bill=True)
        online.now = START
    online.now = datetime(2026, 2, 28, 10, 0, tzinfo=UTC)
    for _ in range(2):
        await sweep(online.shop.stores, 0.0)
        await bill(online)
        online.now += timedelta(minutes=1)
    for member in members:
        assert await periods(online, member) == [("2026-01-31", "paid", 0), ("2026-02-28", "paid", 1)]
        assert await online.shop.agrees(member)
    assert len(online.provider.payments) == 2 * len(points)
    await adds_up(online)


@pytest.mark.parametrize("point", ["prepared", "billing.charged"])
async def test_four_worker_processes_with_one_killed_bill_each_period_once(
    online: Online, buyers: Buyers, point: str
) -> None:
    plan = await online.shop.plan()
    members = [await subscriber(online, plan) for _ in range(12)]
    online.now = datetime(2026, 2, 28, 9, 0, tzinfo=UTC)
    recovering = asyncio.create_task(keep_recovering(online.shop.stores, grace=1.0, every=0.1))
    await buyers.dies_at(point, bill=True, beside=3, together=3)
    recovering.cancel()
    for _ in range(2):
        online.now += timedelta(minutes=1)
        await sweep(online.shop.stores, 0.0)
        await bill(online)
    assert len(online.provider.payments) == 2 * len(members)
    for member in members:
        assert await periods(online, member) == [("2026-01-31", "paid", 0), ("2026-02-28", "paid", 1)]
        assert (await state(online, member))["status"] == "active"
        stored = await online.shop.database.member_subscriptions.find_one({"userId": member})
        rows = await online.shop.stores.postgres.fetch(
            "SELECT transaction_id FROM finance.invoices WHERE user_id = $1 ORDER BY period_start", str(member)
        )
        paid = [str(row["transaction_id"]) for row in rows]
        assert [one["transactionId"] for one in stored["paymentHistory"]] == paid
    rows = await online.shop.stores.postgres.fetch(
        "SELECT invoice_sequence FROM finance.invoices WHERE facility_id = $1", str(online.shop.facility)
    )
    assert {row["invoice_sequence"] for row in rows} == set(range(1, 2 * len(members) + 1))
    await adds_up(online)


async def test_one_that_cannot_be_billed_does_not_hold_up_the_others(
    online: Online, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nexfit.hybrid.unit_of_work.RETRY_SECONDS", 0.05)
    plan = await online.shop.plan()
    members = [await subscriber(online, plan) for _ in range(3)]
    contracts = online.shop.database.member_subscriptions
    lost = await contracts.find_one_and_delete({"userId": members[1]})
    await bill(online, "2026-02-28")
    for member in (members[0], members[2]):
        assert await periods(online, member) == [("2026-01-31", "paid", 0), ("2026-02-28", "paid", 1)]
    assert await periods(online, members[1]) == [("2026-01-31", "paid", 0)]
    await contracts.insert_one(lost)
    await bill(online)
    assert await periods(online, members[1]) == [("2026-01-31", "paid", 0), ("2026-02-28", "paid", 1)]
    await adds_up(online)


async def test_tomorrow_is_known_and_nothing_is_changed(online: Online) -> None:
    plan = await online.shop.plan()
    await subscriber(online, plan)
    await subscriber(online, plan)
    await online.buy(plan, await online.shop.person())
    before, charged = await online.shop.counts(), len(online.provider.payments)
    found = await billing.preview(online.shop.stores, now=datetime(2026, 2, 27, 9, 0, tzinfo=UTC))
    ours = [one for one in found if one.facility_id == str(online.shop.facility)]
    assert [(one.renews, one.subscriptions, one.total, str(one.day)) for one in ours] == [
        (False, 1, PRICE, "2026-02-28"), (True, 2, 2 * PRICE, "2026-02-28"),
    ]  # fmt: skip
    assert (await online.shop.counts(), len(online.provider.payments)) == (before, charged)


def test_the_days_of_the_next_try() -> None:
    today = date(2026, 3, 1)
    assert [next_try(failed, Decline.SOFT, today) for failed in range(1, 6)] == [
        date(2026, 3, 3), date(2026, 3, 6), date(2026, 3, 8), date(2026, 3, 8), None,
    ]  # fmt: skip
    assert next_try(1, Decline.HARD, today) is None
