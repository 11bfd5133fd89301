"""Invoices by hand: gapless numbers, the tax of the day, payment once, and nothing changes what was issued."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from bson import ObjectId

from nexfit.domains.errors import BadInput, IdempotencyConflict, NotFound, Refusal, Unauthenticated
from nexfit.domains.finance import invoicing, papers, refunding
from nexfit.domains.finance.errors import InvoiceNotOpen
from nexfit.domains.finance.invoicing import Line, priced
from nexfit.domains.finance.papers import PaperKind, PaperLine, shares
from nexfit.domains.finance.tax import NoTaxRate, TaxClass, rate_on
from nexfit.domains.finance.words import PaymentMethod
from nexfit.domains.identity.access import GUEST, Actor

from .conftest import NOW, Shop

PROTEIN = Line("Protein barı (çikolatalı)", Decimal(3), Decimal("45.50"), TaxClass.LOWEST)
LOCKER = Line("Kilitli dolap", Decimal(1), Decimal("100.00"), TaxClass.STANDARD)


async def customer(shop: Shop) -> ObjectId:
    """Somebody who has bought something here before, and so is known here."""
    member = await shop.person()
    await shop.sell(await shop.plan(), member)
    return member


async def issue(shop: Shop, member: ObjectId, **more: Any) -> UUID:
    """Invoice a locker at NOW."""
    given = {
        "actor": shop.owner,
        "facility": shop.facility,
        "lines": [LOCKER],
        "includes_tax": True,
        "due": None,
        "key": uuid4().hex,
        "now": NOW,
    } | more
    return await invoicing.issue(shop.units, shop.stores, given.pop("actor"), member=member, **given)


async def pay(shop: Shop, invoice: UUID, **more: Any) -> UUID:
    """Pay it in cash at NOW."""
    given = {"actor": shop.owner, "method": PaymentMethod.CASH, "giver": None, "key": uuid4().hex, "now": NOW} | more
    return await invoicing.pay(shop.units, shop.stores, given.pop("actor"), invoice=invoice, **given)


async def row(shop: Shop, invoice: UUID) -> dict[str, Any]:
    [found] = await shop.stores.postgres.fetch("SELECT * FROM finance.invoices WHERE invoice_id = $1", invoice)
    return dict(found)


# --- tax


@pytest.mark.parametrize(
    ("of", "day", "rate"),
    [
        (TaxClass.STANDARD, date(2023, 7, 9), "0.18"),
        (TaxClass.STANDARD, date(2023, 7, 10), "0.20"),
        (TaxClass.REDUCED, date(2023, 7, 9), "0.08"),
        (TaxClass.REDUCED, date(2023, 7, 10), "0.10"),
        (TaxClass.LOWEST, date(2026, 1, 1), "0.01"),
        (TaxClass.EXEMPT, date(2026, 1, 1), "0"),
    ],
)
def test_the_rate_is_the_one_of_the_day(of: TaxClass, day: date, rate: str) -> None:
    assert rate_on("TR", day, of) == Decimal(rate)


@pytest.mark.parametrize(
    ("country", "day"), [("XX", date(2026, 1, 1)), (None, date(2026, 1, 1)), ("TR", date(1999, 1, 1))]
)
def test_no_rate_is_guessed(country: str | None, day: date) -> None:
    with pytest.raises(NoTaxRate):
        rate_on(country, day)


@pytest.mark.parametrize(
    ("line", "includes_tax", "net", "tax"),
    [
        (LOCKER, True, "83.33", "16.67"),
        (LOCKER, False, "100.00", "20.00"),
        (PROTEIN, True, "135.15", "1.35"),
        (PROTEIN, False, "136.50", "1.37"),  # 1.365 is rounded half up
        (Line("x", Decimal("0.333"), Decimal("0.10"), TaxClass.STANDARD), False, "0.03", "0.01"),
    ],
)
def test_tax_is_in_the_price_or_on_top_of_it(line: Line, includes_tax: bool, net: str, tax: str) -> None:
    rate = rate_on("TR", date(2026, 6, 15), line.tax)
    found = priced(line, rate, "TRY", includes_tax=includes_tax)
    assert (found.net, found.tax) == (Decimal(net), Decimal(tax))
    assert priced(Line("x", Decimal(1), Decimal(100), TaxClass.STANDARD), rate, "JPY", includes_tax=True).net % 1 == 0


async def test_the_facilitys_midnight_decides_which_rate_holds(shop: Shop) -> None:
    member = await customer(shop)
    before = datetime(2023, 7, 9, 20, 59, tzinfo=UTC)  # 23:59 in Istanbul
    for now, tax in ((before, "15.25"), (before + timedelta(minutes=1), "16.67")):
        assert (await row(shop, await issue(shop, member, now=now)))["tax_amount"] == Decimal(tax)


# --- numbers


async def test_parallel_issuers_leave_no_gap(shop: Shop) -> None:
    members = [await customer(shop) for _ in range(4)]
    plan = await shop.plan()
    bad = [Line("x", Decimal(0), Decimal(1), TaxClass.STANDARD)]
    year = datetime(2027, 1, 1, 12, tzinfo=UTC)
    results = await asyncio.gather(
        *(issue(shop, members[n % 4], lines=bad if n % 5 == 0 else [LOCKER, PROTEIN]) for n in range(25)),
        *(issue(shop, members[n % 4], now=year) for n in range(5)),
        *(shop.sell(plan, member) for member in members),
        return_exceptions=True,
    )
    assert Counter(type(result).__name__ for result in results) == {"UUID": 25, "BadInput": 5, "ObjectId": 4}
    found = await shop.stores.postgres.fetch(
        "SELECT invoice_number FROM finance.invoices WHERE business_id = $1", str(shop.facility)
    )
    numbers = sorted(str(one["invoice_number"]) for one in found)
    of_2026 = 4 + 20 + 4
    assert numbers == [
        *(f"2026-{n:06d}" for n in range(1, of_2026 + 1)),
        *(f"2027-{n:06d}" for n in range(1, 6)),
    ]


async def test_what_is_issued_is_refused_to_change_by_the_database_itself(shop: Shop) -> None:
    invoice = await issue(shop, await customer(shop))
    paid = await issue(shop, await customer(shop))
    await refund(shop, await pay(shop, paid), "10")
    before = [await row(shop, one) for one in (invoice, paid)]
    for statement in (
        "UPDATE finance.invoices SET net_amount = 1, total_amount = 1 + tax_amount WHERE invoice_id = $1",
        "UPDATE finance.invoices SET invoice_data = '{}' WHERE invoice_id = $1",
        "UPDATE finance.invoices SET due_date = due_date + 1 WHERE invoice_id = $1",
        "UPDATE finance.invoices SET invoice_sequence = 900 WHERE invoice_id = $1",
        "DELETE FROM finance.invoices WHERE invoice_id = $1",
        "UPDATE finance.invoice_lines SET description = 'x' WHERE invoice_id = $1",
        "DELETE FROM finance.invoice_lines WHERE invoice_id = $1",
        "INSERT INTO finance.invoice_lines SELECT $1, 9, 'x', 1, 0, 1, 0, 1",
        "UPDATE finance.credit_notes SET reason = 'x' WHERE invoice_id = $1",
        "DELETE FROM finance.credit_notes WHERE invoice_id = $1",
    ):
        of = paid if "credit_notes" in statement else invoice
        async with shop.stores.postgres.connection() as connection:
            with pytest.raises(
                (asyncpg.RestrictViolationError, asyncpg.IntegrityConstraintViolationError, asyncpg.RaiseError)
            ):
                await connection.execute(statement, of)
    assert [await row(shop, one) for one in (invoice, paid)] == before


# --- payment


async def refund(shop: Shop, payment: UUID, amount: str) -> UUID:
    return await refunding.refund(
        shop.units,
        shop.stores,
        None,
        shop.owner,
        payment=payment,
        amount=Decimal(amount),
        reason="Şikâyet",
        key=uuid4().hex,
        now=NOW,
    )


async def balance(shop: Shop, member: ObjectId) -> Decimal:
    [found] = await shop.stores.postgres.fetch(
        "SELECT balance FROM platform.member_facts WHERE facility_id = $1 AND user_id = $2",
        str(shop.facility),
        str(member),
    )
    owed: Decimal = found["balance"]
    return owed


async def test_an_invoice_is_paid_once_however_many_ask(shop: Shop) -> None:
    member = await customer(shop)
    invoice = await issue(shop, member, lines=[LOCKER, PROTEIN], includes_tax=False, due=date(2026, 7, 1))
    assert await balance(shop, member) == Decimal("257.87")
    results = await asyncio.gather(*(pay(shop, invoice, giver="Ayşe") for _ in range(20)), return_exceptions=True)
    assert Counter(type(result).__name__ for result in results) == {"UUID": 1, "InvoiceNotOpen": 19}
    [payment] = [result for result in results if isinstance(result, UUID)]
    found = await row(shop, invoice)
    assert (found["status"], found["transaction_id"], found["payment_date"]) == ("paid", payment, date(2026, 6, 15))
    [moved] = await shop.stores.postgres.fetch("SELECT * FROM finance.transactions WHERE transaction_id = $1", payment)
    assert (moved["amount"], moved["payment_method"], moved["metadata"]) == (
        Decimal("257.87"), "cash", {"gift": {"from": "Ayşe"}},
    )  # fmt: skip
    assert await balance(shop, member) == 0
    with pytest.raises(InvoiceNotOpen):
        await invoicing.void(shop.units, shop.stores, shop.owner, invoice=invoice, reason=None)


async def test_the_same_key_is_the_same_payment_and_the_same_invoice(shop: Shop) -> None:
    member = await customer(shop)
    issued = await asyncio.gather(*(issue(shop, member, key="tap") for _ in range(10)))
    assert len(set(issued)) == 1
    paid = await asyncio.gather(*(pay(shop, issued[0], key="tap") for _ in range(10)))
    assert len(set(paid)) == 1
    with pytest.raises(IdempotencyConflict):
        await issue(shop, member, key="tap", lines=[PROTEIN])
    with pytest.raises(IdempotencyConflict):
        await pay(shop, issued[0], key="tap", method=PaymentMethod.CARD)


async def test_paying_what_is_owed_wakes_a_membership_that_fell_behind(shop: Shop) -> None:
    member = await customer(shop)
    [subscription] = await shop.stores.postgres.fetch(
        """UPDATE finance.subscriptions SET status = 'past_due' WHERE user_id = $1
           RETURNING subscription_id, current_period_end AS ends""",
        str(member),
    )
    owed = [await issue(shop, member) for _ in range(2)]
    async with shop.stores.postgres.connection() as connection:  # as the billing job leaves them
        await connection.execute("ALTER TABLE finance.invoices DISABLE TRIGGER guard")
        for place, invoice in enumerate(owed):
            await connection.execute(
                "UPDATE finance.invoices SET subscription_id = $2, period_start = $3 WHERE invoice_id = $1",
                *(invoice, subscription["subscription_id"], subscription["ends"] + timedelta(days=place)),
            )
        await connection.execute("ALTER TABLE finance.invoices ENABLE TRIGGER guard")
    states = []
    for invoice in owed:
        await pay(shop, invoice)
        [found] = await shop.stores.postgres.fetch(
            "SELECT status FROM finance.subscriptions WHERE subscription_id = $1", subscription["subscription_id"]
        )
        states.append(found["status"])
    assert states == ["past_due", "active"]


async def test_an_open_invoice_is_taken_back_and_keeps_its_number(shop: Shop) -> None:
    member = await customer(shop)
    invoice = await issue(shop, member)
    number = (await row(shop, invoice))["invoice_number"]
    for _ in range(2):
        await invoicing.void(shop.units, shop.stores, shop.owner, invoice=invoice, reason="Yanlış üye")
    found = await row(shop, invoice)
    assert (found["status"], found["invoice_number"]) == ("void", number)
    assert await balance(shop, member) == 0
    with pytest.raises(InvoiceNotOpen):
        await pay(shop, invoice)
    told = await shop.stores.postgres.fetch(
        "SELECT event_type FROM finance.outbox WHERE aggregate_id = $1 ORDER BY position", str(invoice)
    )
    assert [one["event_type"] for one in told] == ["InvoiceIssued", "InvoiceVoided"]


async def test_what_is_refused_writes_nothing(shop: Shop) -> None:
    member, stranger = await customer(shop), await shop.person()
    invoice = await issue(shop, member)
    before = await shop.counts()

    def line(**more: Any) -> list[Line]:
        return [
            Line(**{"description": "x", "quantity": Decimal(1), "price": Decimal(1), "tax": TaxClass.STANDARD, **more})
        ]

    issues: list[tuple[type[Refusal], ObjectId, dict[str, Any]]] = [
        (Unauthenticated, member, {"actor": GUEST}),
        (NotFound, member, {"actor": Actor(ObjectId())}),
        (NotFound, member, {"actor": Actor(member)}),
        (NotFound, stranger, {}),
        (NotFound, member, {"facility": ObjectId()}),
        (BadInput, member, {"lines": []}),
        (BadInput, member, {"lines": [LOCKER] * 51}),
        (BadInput, member, {"lines": line(description="")}),
        (BadInput, member, {"lines": line(description="x" * 201)}),
        (BadInput, member, {"lines": line(quantity=Decimal(0))}),
        (BadInput, member, {"lines": line(quantity=Decimal("1.0001"))}),
        (BadInput, member, {"lines": line(price=Decimal("-1"))}),
        (BadInput, member, {"lines": line(price=Decimal("1.001"))}),
        (BadInput, member, {"lines": line(price=Decimal(0))}),
        (BadInput, member, {"due": date(2026, 6, 14)}),
        (BadInput, member, {"due": date(2027, 6, 17)}),
        (BadInput, member, {"key": ""}),
    ]
    for refused, whom, more in issues:
        with pytest.raises(refused):
            await issue(shop, whom, **more)
        assert await shop.counts() == before, more
    for kind, of, more in (
        (Unauthenticated, invoice, {"actor": GUEST}),
        (NotFound, invoice, {"actor": Actor(ObjectId())}),
        (NotFound, invoice, {"actor": Actor(member)}),
        (NotFound, uuid4(), {}),
        (BadInput, invoice, {"method": PaymentMethod.WALLET}),
    ):
        with pytest.raises(kind):
            await pay(shop, of, **more)
        if kind is not BadInput:
            with pytest.raises(kind):
                await invoicing.void(shop.units, shop.stores, more.get("actor", shop.owner), invoice=of, reason=None)
        assert await shop.counts() == before, more


# --- credit notes as documents


async def test_a_credit_note_of_several_rates_gives_back_each_ones_share(shop: Shop) -> None:
    invoice = await issue(shop, await customer(shop), lines=[LOCKER, PROTEIN], includes_tax=False)
    payment = await pay(shop, invoice)
    for amount in ("100", "0.01", "100", "57.86"):
        await refund(shop, payment, amount)
    notes = await shop.stores.postgres.fetch(
        "SELECT credit_note_id FROM finance.credit_notes WHERE invoice_id = $1 ORDER BY created_at", invoice
    )
    found = [await papers.load(shop.stores, PaperKind.CREDIT_NOTE, note["credit_note_id"]) for note in notes]
    assert len(found) == 4
    for paper in found:
        assert paper is not None
        assert sum(line.net for line in paper.lines) == paper.net
        assert sum(line.tax for line in paper.lines) == paper.tax
        assert paper.corrects is not None
        assert paper.corrects[0] == (await row(shop, invoice))["invoice_number"]
    assert sum(paper.net for paper in found if paper) == Decimal("236.50")
    assert sum(paper.tax for paper in found if paper) == Decimal("21.37")


def test_shares_add_up_whatever_the_parts() -> None:
    lines = [
        PaperLine("a", Decimal(1), Decimal("0.20"), Decimal("33.33"), Decimal("6.67")),
        PaperLine("b", Decimal(1), Decimal("0.01"), Decimal("99.01"), Decimal("0.99")),
        PaperLine("c", Decimal(1), Decimal(0), Decimal("0.02"), Decimal(0)),
    ]
    for cents in range(1, 14_002, 97):
        net, tax = Decimal(cents) / 100, (Decimal(cents) / 1000).quantize(Decimal("0.01"))
        found = shares(lines, net, tax, "TRY")
        assert (sum(line.net for line in found), sum(line.tax for line in found)) == (net, tax)
        assert all(line.net >= 0 and line.tax >= 0 for line in found)
