"""Selling at the desk (workflow 2, without a provider): both stores or neither, one live membership, exact papers."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from bson import Decimal128, ObjectId

from nexfit.domains.errors import IdempotencyConflict, NotFound, Refusal, Unauthenticated
from nexfit.domains.finance.tax import NoTaxRate, rate_on, split_tax
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.memberships.documents import DurationUnit
from nexfit.domains.memberships.errors import (
    AlreadySubscribed,
    NothingToRenew,
    NotRenewable,
    OtherCurrency,
    PriceChanged,
)
from nexfit.domains.memberships.terms import day_after, period_after

from .conftest import NOW, PRICE, Shop


async def test_a_sale_is_in_both_stores_to_the_kurus(shop: Shop) -> None:
    member, plan = await shop.person(), await shop.plan()
    contract = await shop.sell(plan, member)
    stored = await shop.database.member_subscriptions.find_one({"_id": contract})
    assert (stored["status"], stored["startDate"].date(), stored["endDate"].date()) == (
        "active", date(2026, 6, 15), date(2026, 7, 14),
    )  # fmt: skip
    [row] = await shop.stores.postgres.fetch(
        """SELECT s.status, s.amount, s.tax_rate, i.invoice_number, i.status AS paid, i.net_amount, i.tax_amount,
             t.amount AS taken, t.transaction_type, l.total_amount AS line, i.transaction_id::text
           FROM finance.subscriptions s JOIN finance.invoices i USING (subscription_id)
           JOIN finance.transactions t ON t.transaction_id = i.transaction_id
           JOIN finance.invoice_lines l USING (invoice_id) WHERE s.user_id = $1""",
        str(member),
    )
    assert (row["status"], row["paid"], row["transaction_type"]) == ("active", "paid", "manual_payment")
    assert row["invoice_number"] == f"{NOW.year}-000001"
    assert (row["net_amount"], row["tax_amount"]) == (Decimal("833.25"), Decimal("166.65"))
    assert row["taken"] == row["line"] == row["amount"] == PRICE
    assert [payment["transactionId"] for payment in stored["paymentHistory"]] == [row["transaction_id"]]
    assert await shop.agrees(member)
    events = await shop.stores.postgres.fetch(
        "SELECT event_type, tags FROM finance.outbox WHERE facility_id = $1 AND event_type <> 'tags.raised'",
        str(shop.facility),
    )
    assert [event["event_type"] for event in events] == ["MembershipSold"]
    assert f"plan:{plan}:subscribers" in events[0]["tags"]
    audits = await shop.stores.postgres.fetch(
        "SELECT action, user_id FROM finance.audit_logs WHERE entity_id = $1", str(contract)
    )
    assert [(audit["action"], audit["user_id"]) for audit in audits] == [("membership.sold", str(shop.owner.user_id))]


async def test_what_is_refused_writes_nothing_in_either_store(shop: Shop) -> None:
    member, plan = await shop.person(), await shop.plan()
    await shop.sell(plan, member)
    other_currency, withdrawn = await shop.plan(currency="EUR"), await shop.plan(is_active=False)
    stranger = Actor(ObjectId())
    before = await shop.counts()
    for refused, plan_, who, more in (
        (PriceChanged, plan, member, {"expected_total": Decimal("999.89")}),
        (AlreadySubscribed, plan, member, {}),
        (OtherCurrency, other_currency, member, {}),
        (NothingToRenew, plan, await shop.person(), {"renew": True}),
        (NotFound, withdrawn, member, {}),
        (NotFound, ObjectId(), member, {}),
        (NotFound, plan, ObjectId(), {}),
        (NotFound, plan, member, {"actor": stranger}),
        (Unauthenticated, plan, member, {"actor": GUEST}),
    ):
        with pytest.raises(refused):
            await shop.sell(plan_, who, **more)
        assert await shop.counts() == before, refused
    assert await shop.agrees(member)


async def test_only_what_is_active_is_renewed(shop: Shop) -> None:
    member, plan = await shop.person(), await shop.plan()
    await shop.sell(plan, member)
    await shop.stores.postgres.fetch(
        "UPDATE finance.subscriptions SET status = 'suspended' WHERE user_id = $1 RETURNING 1", str(member)
    )
    with pytest.raises(NotRenewable):
        await shop.sell(plan, member, renew=True)


async def test_renewals_continue_the_day_after_and_go_back_to_the_31st(shop: Shop) -> None:
    member, plan = await shop.person(), await shop.plan()
    ends = []
    for number in range(4):
        at = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
        contract = await shop.sell(plan, member, renew=number > 0, now=at)
        stored = await shop.database.member_subscriptions.find_one({"_id": contract})
        ends.append(stored["endDate"].date().isoformat())
    # The first day not covered is 28 February, 31 March, 30 April, 31 May.
    assert ends == ["2026-02-27", "2026-03-30", "2026-04-29", "2026-05-30"]
    assert len(stored["paymentHistory"]) == 4
    periods = await shop.stores.postgres.fetch(
        "SELECT period_start FROM finance.invoices WHERE user_id = $1 ORDER BY period_start", str(member)
    )
    assert [row["period_start"].isoformat() for row in periods] == [
        "2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30",
    ]  # fmt: skip
    assert await shop.agrees(member)


async def test_twenty_desks_sell_one_membership_once(shop: Shop) -> None:
    member, plan = await shop.person(), await shop.plan()
    results = await asyncio.gather(*(shop.sell(plan, member) for _ in range(20)), return_exceptions=True)
    found = Counter(type(result).__name__ for result in results)
    assert found == {"ObjectId": 1, "AlreadySubscribed": 19}, [r for r in results if not isinstance(r, Refusal)]
    [taken] = await shop.stores.postgres.fetch(
        "SELECT count(*) AS n, sum(amount) AS total FROM finance.transactions WHERE user_id = $1", str(member)
    )
    assert (taken["n"], taken["total"]) == (1, PRICE)
    assert await shop.database.member_subscriptions.count_documents({"userId": member}) == 1
    assert await shop.agrees(member)


async def test_fifty_copies_of_one_request_are_one_sale(shop: Shop) -> None:
    member, plan = await shop.person(), await shop.plan()
    copies = await asyncio.gather(*(shop.sell(plan, member, key="tap") for _ in range(50)))
    assert len(set(copies)) == 1
    await shop.database.memberships.update_one({"_id": plan}, {"$set": {"price": Decimal128(Decimal(1))}})
    assert await shop.sell(plan, member, key="tap") == copies[0]
    with pytest.raises(IdempotencyConflict):
        await shop.sell(plan, member, key="tap", renew=True)
    [taken] = await shop.stores.postgres.fetch(
        "SELECT count(*) AS n, sum(amount) AS total FROM finance.transactions WHERE user_id = $1", str(member)
    )
    assert (taken["n"], taken["total"]) == (1, PRICE)
    assert await shop.agrees(member)


async def test_parallel_sales_number_their_invoices_without_a_gap(shop: Shop) -> None:
    plan = await shop.plan()
    members = [await shop.person() for _ in range(15)]
    await asyncio.gather(*(shop.sell(plan, member) for member in members))
    rows = await shop.stores.postgres.fetch(
        "SELECT invoice_sequence FROM finance.invoices WHERE business_id = $1 ORDER BY 1", str(shop.facility)
    )
    assert [row["invoice_sequence"] for row in rows] == list(range(1, 16))
    assert all([await shop.agrees(member) for member in members])
    [left] = await shop.stores.postgres.fetch(
        "SELECT count(*) AS n FROM pg_prepared_xacts WHERE database = current_database()"
    )
    assert left["n"] == 0


async def test_what_costs_nothing_is_given_without_a_payment_or_an_invoice(shop: Shop) -> None:
    member, plan = await shop.person(), await shop.plan(price=Decimal(0))
    contract = await shop.sell(plan, member, expected_total=Decimal(0))
    stored = await shop.database.member_subscriptions.find_one({"_id": contract})
    assert stored["paymentHistory"] == []
    assert await shop.agrees(member)
    [row] = await shop.stores.postgres.fetch(
        "SELECT count(*) AS n FROM finance.invoices WHERE user_id = $1", str(member)
    )
    assert row["n"] == 0


def test_net_and_tax_add_up_in_every_currency() -> None:
    assert split_tax(Decimal("999.90"), Decimal("0.20"), "TRY") == (Decimal("833.25"), Decimal("166.65"))
    assert split_tax(Decimal(1000), Decimal("0.10"), "JPY") == (Decimal(909), Decimal(91))
    assert split_tax(Decimal("10.005"), Decimal("0.05"), "KWD") == (Decimal("9.529"), Decimal("0.476"))
    for cents in range(1, 2000, 7):
        total = Decimal(cents) / 100
        net, tax = split_tax(total, Decimal("0.18"), "TRY")
        assert net + tax == total
        assert min(net, tax) >= 0


def test_the_rate_is_the_days_and_unknown_countries_have_none() -> None:
    assert rate_on("TR", date(2023, 7, 9)) == Decimal("0.18")
    assert rate_on("TR", date(2023, 7, 10)) == Decimal("0.20")
    for country in ("XX", "", None):
        with pytest.raises(NoTaxRate):
            rate_on(country, date(2026, 1, 1))


def test_terms_end_on_the_billing_day_or_on_the_last_of_a_short_month() -> None:
    assert day_after(date(2024, 1, 31), 1, DurationUnit.MONTH) == date(2024, 2, 29)
    assert period_after(date(2024, 2, 29), 1, DurationUnit.MONTH, 31) == date(2024, 3, 31)
    assert period_after(date(2024, 3, 31), 3, DurationUnit.MONTH, 31) == date(2024, 6, 30)
    assert period_after(date(2025, 2, 28), 3, DurationUnit.YEAR, 29) == date(2028, 2, 29)
    assert period_after(date(2024, 2, 29), 2, DurationUnit.WEEK, 31) == date(2024, 3, 14)
    assert day_after(date(2024, 2, 29), 1, DurationUnit.YEAR) == date(2025, 2, 28)
    assert day_after(date(2026, 6, 15), 2, DurationUnit.WEEK) == date(2026, 6, 15) + timedelta(days=14)
    assert day_after(date(2026, 6, 15), 10, DurationUnit.DAY) == date(2026, 6, 25)
