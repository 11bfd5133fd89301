"""Giving money back at the desk (workflow 6): never more than was paid, to the exact tax, once per key."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from bson import ObjectId

from bench import reader
from nexfit.domains.errors import IdempotencyConflict, NotFound, Refusal, Unauthenticated
from nexfit.domains.finance import refunding
from nexfit.domains.finance.errors import NoAmount, NotRefundable, RefundTooLarge
from nexfit.domains.finance.refunding import share_of_tax
from nexfit.domains.identity.access import GUEST, Actor

from .conftest import NOW, PRICE, Shop


async def sold(shop: Shop, price: Decimal = PRICE) -> UUID:
    """A payment of this size."""
    member = await shop.person()
    await shop.sell(await shop.plan(price=price), member, expected_total=price)
    [row] = await shop.stores.postgres.fetch(
        "SELECT transaction_id FROM finance.transactions WHERE user_id = $1", str(member)
    )
    id_: UUID = row["transaction_id"]
    return id_


async def give_back(shop: Shop, payment: UUID, amount: str, **more: Any) -> UUID:
    """Refund at NOW."""
    given = {"actor": shop.owner, "reason": None, "key": uuid4().hex, "now": NOW} | more
    return await refunding.refund(
        shop.units, shop.stores, None, given.pop("actor"), payment=payment, amount=Decimal(amount), **given
    )


async def sums(shop: Shop, payment: UUID) -> dict[str, Any]:
    """What was given back of a payment, added up from each table."""
    [row] = await shop.stores.postgres.fetch(
        """SELECT
             (SELECT coalesce(sum(amount), 0) FROM finance.refunds WHERE original_transaction_id = $1) AS refunds,
             (SELECT coalesce(sum(amount), 0) FROM finance.transactions
               WHERE original_transaction_id = $1) AS movements,
             n.net, n.tax, n.notes
           FROM (SELECT coalesce(sum(c.net_amount), 0) AS net, coalesce(sum(c.tax_amount), 0) AS tax, count(*) AS notes
             FROM finance.credit_notes c JOIN finance.invoices i USING (invoice_id) WHERE i.transaction_id = $1) n""",
        payment,
    )
    return dict(row)


async def test_parts_give_back_the_exact_net_and_tax(shop: Shop) -> None:
    payment = await sold(shop)
    for amount in ("333.30", "333.30", "0.01", "333.29"):
        await give_back(shop, payment, amount)
    assert await sums(shop, payment) == {
        "refunds": PRICE, "movements": PRICE, "net": Decimal("833.25"), "tax": Decimal("166.65"), "notes": 4,
    }  # fmt: skip
    numbers = await shop.stores.postgres.fetch(
        "SELECT credit_note_sequence FROM finance.credit_notes WHERE business_id = $1 ORDER BY 1", str(shop.facility)
    )
    assert [row["credit_note_sequence"] for row in numbers] == [1, 2, 3, 4]
    with pytest.raises(RefundTooLarge):
        await give_back(shop, payment, "0.01")


async def test_a_hundred_refunds_of_ten_on_a_hundred_are_ten(shop: Shop) -> None:
    payment = await sold(shop, Decimal(100))
    results = await asyncio.gather(*(give_back(shop, payment, "10") for _ in range(100)), return_exceptions=True)
    found = Counter(type(result).__name__ for result in results)
    assert found == {"UUID": 10, "RefundTooLarge": 90}, [r for r in results if not isinstance(r, UUID | Refusal)]
    assert await sums(shop, payment) == {
        "refunds": 100, "movements": 100, "net": Decimal("83.33"), "tax": Decimal("16.67"), "notes": 10,
    }  # fmt: skip
    assert await _broken(shop, payment) == []


async def test_a_hundred_refunds_of_any_size_give_back_no_more_than_was_paid(shop: Shop) -> None:
    payment = await sold(shop)
    chance = random.Random(5)  # noqa: S311
    amounts = [f"{chance.randrange(1, 5000) / 100:.2f}" for _ in range(100)]
    results = await asyncio.gather(*(give_back(shop, payment, amount) for amount in amounts), return_exceptions=True)
    assert {type(result).__name__ for result in results} == {"UUID", "RefundTooLarge"}
    given = sum(Decimal(amount) for amount, result in zip(amounts, results, strict=True) if isinstance(result, UUID))
    assert PRICE - 50 < given <= PRICE
    assert (await sums(shop, payment))["refunds"] == given
    if given < PRICE:
        await give_back(shop, payment, str(PRICE - given))
    assert await _broken(shop, payment) == []


async def _broken(shop: Shop, payment: UUID) -> list[str]:
    """What another reader of PostgreSQL finds wrong with the payment and the business's numbers."""
    connection = await asyncpg.connect(shop.settings.postgres.url.get_secret_value())
    try:
        wrong = await reader.of_payment(connection, payment) + await reader.of_numbers(connection, str(shop.facility))
        return wrong + await reader.of_commits(connection)
    finally:
        await connection.close()


async def test_a_repeated_request_gives_back_once(shop: Shop) -> None:
    payment = await sold(shop)
    made = await asyncio.gather(*(give_back(shop, payment, "50", key="tap") for _ in range(20)))
    assert len(set(made)) == 1
    assert (await sums(shop, payment))["refunds"] == 50
    with pytest.raises(IdempotencyConflict):
        await give_back(shop, payment, "51", key="tap")
    events = await shop.stores.postgres.fetch(
        "SELECT event_type FROM finance.outbox WHERE aggregate_id = $1", str(payment)
    )
    assert [event["event_type"] for event in events] == ["PaymentRefunded"]


async def test_what_is_refused_writes_nothing(shop: Shop) -> None:
    payment = await sold(shop)
    movement = await give_back(shop, payment, "1")
    before = await shop.counts()
    for refused, asked, amount, more in (
        (RefundTooLarge, payment, "999.91", {}),
        (RefundTooLarge, payment, "999.90", {}),
        (NoAmount, payment, "0", {}),
        (NoAmount, payment, "-5", {}),
        (NoAmount, payment, "0.001", {}),
        (NotRefundable, movement, "1", {}),
        (NotFound, uuid4(), "1", {}),
        (NotFound, payment, "1", {"actor": Actor(ObjectId())}),
        (Unauthenticated, payment, "1", {"actor": GUEST}),
    ):
        with pytest.raises(refused):
            await give_back(shop, asked, amount, **more)
        assert await shop.counts() == before, (refused, amount)


def test_any_parts_add_up_to_the_tax() -> None:
    total, tax = Decimal("999.90"), Decimal("166.65")
    for step in (Decimal("0.01"), Decimal("0.07"), Decimal("33.33"), Decimal("999.90")):
        before = returned = Decimal(0)
        while before < total:
            part = min(step, total - before)
            share = share_of_tax(total, tax, before, part, "TRY")
            assert 0 <= share <= part
            before, returned = before + part, returned + share
        assert returned == tax
