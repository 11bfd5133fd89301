"""Buying online (workflow 2): whatever the provider does and whoever dies, the stores agree and the money adds up."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from bson import Decimal128

from nexfit.domains.errors import IdempotencyConflict, NotFound, Unauthenticated
from nexfit.domains.finance import refunding
from nexfit.domains.finance.errors import RefundTooLarge
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.memberships import member_import, purchase
from nexfit.domains.memberships.errors import AlreadySubscribed, NothingToRenew, OtherCurrency, PriceChanged
from nexfit.domains.memberships.purchase import NotSoldOnline
from nexfit.hybrid.recovery import sweep
from nexfit.payments.local import SIGNATURE
from nexfit.payments.signatures import sign
from nexfit.stores.errors import StoreError

from .conftest import NOW, PRICE, Shop
from .online import WEBHOOK_SECRET, Online, selling_online


@pytest.fixture
async def online(shop: Shop) -> AsyncIterator[Online]:
    async with selling_online(shop) as opened:
        yield opened


async def test_a_purchase_is_paid_at_the_provider_and_becomes_a_membership(online: Online) -> None:
    member, plan = await online.shop.person(), await online.shop.plan()
    begun = await online.buy(plan, member, auto_renew=True)
    assert begun.payment is not None
    assert begun.payment.client_secret is not None
    assert begun.payment.checkout_url == f"{online.provider.url}/checkout/{begun.payment.reference}"
    assert await online.status(begun.purchase) == "awaiting_payment"
    stored = await online.shop.stores.postgres.fetch(
        "SELECT p::text AS row FROM finance.purchases p WHERE purchase_id = $1", begun.purchase
    )
    assert begun.payment.client_secret.get_secret_value() not in stored[0]["row"]
    async with httpx.AsyncClient() as browser:
        page = await browser.get(begun.payment.checkout_url)
        assert "Aylık Üyelik" in page.text
        await browser.post(begun.payment.checkout_url, data={"outcome": "paid"})
    assert await online.taken() == {"active": 1}
    [row] = await online.shop.stores.postgres.fetch(
        "SELECT auto_renew, provider, customer, method, plan_name FROM finance.subscriptions WHERE user_id = $1",
        str(member),
    )
    assert (row["auto_renew"], row["provider"], row["customer"]) == (True, "local", f"customer_{member}")
    assert row["method"].startswith("method_")
    actions = await online.shop.stores.postgres.fetch(
        "SELECT action FROM finance.audit_logs WHERE entity_id = $1 ORDER BY created_at", str(begun.purchase)
    )
    assert [row["action"] for row in actions] == ["purchase.initiated", "purchase.paid", "purchase.active"]


async def test_what_is_refused_writes_nothing_and_asks_nobody(online: Online) -> None:
    shop = online.shop
    member, plan = await shop.person(), await shop.plan()
    await shop.sell(plan, member)
    free, withdrawn = await shop.plan(price=Decimal(0)), await shop.plan(is_active=False)
    other_currency = await shop.plan(currency="EUR")
    before, calls = await shop.counts(), len(online.provider.calls)
    nobody = purchase.OnlineSales(shop.units, shop.stores, None, timedelta(minutes=30))
    for refused, plan_, who, more in (
        (PriceChanged, plan, await shop.person(), {"expected_total": Decimal("999.89")}),
        (AlreadySubscribed, plan, member, {}),
        (NothingToRenew, plan, await shop.person(), {"renew": True}),
        (OtherCurrency, other_currency, member, {}),
        (NotSoldOnline, free, member, {"expected_total": Decimal(0)}),
        (NotFound, withdrawn, member, {}),
    ):
        with pytest.raises(refused):
            await online.buy(plan_, who, **more)
        assert await shop.counts() == before, refused
    for refused, sales, actor in ((Unauthenticated, online.sales, GUEST), (NotSoldOnline, nobody, Actor(member))):
        with pytest.raises(refused):
            await purchase.begin(
                sales, actor, plan=plan, expected_total=PRICE, renew=False, auto_renew=False, key="k", now=NOW
            )
    assert await shop.counts() == before
    assert len(online.provider.calls) == calls
    found = await shop.stores.postgres.fetch(
        "SELECT 1 FROM finance.purchases WHERE facility_id = $1", str(shop.facility)
    )
    assert found == []


async def test_fifty_taps_are_one_purchase_and_one_payment(online: Online) -> None:
    member, plan = await online.shop.person(), await online.shop.plan()
    taps = await asyncio.gather(*(online.buy(plan, member, key="tap") for _ in range(50)))
    assert len({tap.purchase for tap in taps}) == 1
    assert len({tap.payment.reference for tap in taps if tap.payment}) == 1
    with pytest.raises(IdempotencyConflict):
        await online.buy(plan, member, key="tap", auto_renew=True)
    await online.shop.database.memberships.update_one({"_id": plan}, {"$set": {"price": Decimal128(Decimal(1))}})
    assert (await online.buy(plan, member, key="tap")).purchase == taps[0].purchase
    [reference] = online.provider.payments
    await online.provider.pay(reference)
    assert await online.taken() == {"active": 1}  # at the price of then


@pytest.mark.parametrize("delivery", ["once", "twice", "never", "held"])
async def test_webhooks_may_come_twice_late_or_never(online: Online, delivery: Any) -> None:
    online.provider.faults.delivery = delivery
    member, plan = await online.shop.person(), await online.shop.plan()
    begun = await online.buy(plan, member)
    assert begun.payment is not None
    await online.provider.pay(begun.payment.reference, "declined")
    await online.provider.pay(begun.payment.reference)
    if delivery == "held":
        await online.provider.release()  # the newer first
    await online.passes(minutes=1)
    assert await online.taken() == {"active": 1}
    if delivery != "never":
        heard = await online.shop.stores.postgres.fetch(
            "SELECT count(*) AS n FROM finance.provider_events WHERE reference = $1", begun.payment.reference
        )
        assert heard[0]["n"] == 2


async def test_the_webhook_comes_before_the_answer(online: Online) -> None:
    online.provider.faults.pay_at_once = True
    member, plan = await online.shop.person(), await online.shop.plan()
    begun = await online.buy(plan, member)
    assert await online.status(begun.purchase) == "active"
    assert await online.taken() == {"active": 1}


async def test_a_provider_that_does_not_answer_is_asked_again(online: Online) -> None:
    member, plan = await online.shop.person(), await online.shop.plan()
    online.provider.faults.hang = 1
    begun = await online.buy(plan, member, key="tap")
    assert begun.payment is None
    assert await online.status(begun.purchase) == "initiated"
    again = await online.buy(plan, member, key="tap")
    assert again.purchase == begun.purchase
    assert again.payment is not None
    assert list(online.provider.payments) == [again.payment.reference]
    online.provider.faults.refuse = 1
    await online.provider.pay(again.payment.reference)  # the webhook's question is refused, and it is sent again
    assert await online.taken() == {"active": 1}


async def test_what_nobody_pays_expires_and_cannot_be_paid_any_more(online: Online) -> None:
    member, plan = await online.shop.person(), await online.shop.plan()
    begun = await online.buy(plan, member)
    given_up = await online.buy(await online.shop.plan(), member)
    assert begun.payment is not None
    assert given_up.payment is not None
    await online.provider.pay(given_up.payment.reference, "abandoned")
    await online.provider.settled()
    await online.passes(minutes=31)
    await online.provider.pay(begun.payment.reference)
    assert await online.taken() == {"expired": 1, "failed": 1}


@pytest.mark.parametrize(("is_sold", "outcome"), [(True, "active"), (False, "refunded")])
async def test_money_after_the_expiry_buys_what_is_still_sold(online: Online, is_sold: bool, outcome: str) -> None:
    member, plan = await online.shop.person(), await online.shop.plan()
    begun = await online.buy(plan, member)
    assert begun.payment is not None
    # Ended here although the provider would still take the money.
    await online.shop.stores.postgres.fetch(
        "UPDATE finance.purchases SET status = 'expired' WHERE purchase_id = $1", begun.purchase
    )
    online.now += timedelta(hours=1)
    await online.shop.database.memberships.update_one({"_id": plan}, {"$set": {"isActive": is_sold}})
    await online.provider.pay(begun.payment.reference)
    assert await online.taken() == {outcome: 1}


async def test_two_purchases_of_one_membership_are_one_and_money_back(online: Online) -> None:
    member, plan = await online.shop.person(), await online.shop.plan()
    begun = [await online.buy(plan, member) for _ in range(2)]
    await asyncio.gather(*(online.provider.pay(one.payment.reference) for one in begun if one.payment))
    await online.passes(minutes=1)
    assert await online.taken() == {"active": 1, "refunded": 1}


async def test_a_refused_refund_is_named_and_can_be_tried_again(online: Online) -> None:
    shop, member, plan = online.shop, await online.shop.person(), await online.shop.plan()
    begun = await online.buy(plan, member)
    assert begun.payment is not None
    await shop.sell(plan, member)
    reference = begun.payment.reference
    online.provider.refunds["elsewhere"] = {"payment": reference, "amount": 1}  # given back at the provider by hand
    await online.provider.pay(reference)
    await online.passes(minutes=1)
    rows = await shop.stores.postgres.fetch(
        """SELECT p.status, p.failure, p.transaction_id, t.status AS movement FROM finance.purchases p
           JOIN finance.refunds r USING (refund_id)
           JOIN finance.transactions t ON t.transaction_id = r.refund_transaction_id WHERE p.purchase_id = $1""",
        begun.purchase,
    )
    assert [(row["status"], row["failure"], row["movement"]) for row in rows] == [
        ("paid", "refund_refused: not_refundable", "failed")
    ]
    del online.provider.refunds["elsewhere"]
    for part in (PRICE - 1, Decimal(1)):
        assert await online.status(begun.purchase) == "paid"
        await refunding.refund(
            *(shop.units, shop.stores, online.sales.provider, shop.owner),
            payment=rows[0]["transaction_id"],
            amount=part,
            reason=None,
            key=str(part),
            now=online.now,
        )
    assert await online.status(begun.purchase) == "refunded"
    assert online.provider.money()["returned"] == int(PRICE * 100)


async def test_a_renewal_bought_online_follows_the_present_term(online: Online) -> None:
    member, plan = await online.shop.person(), await online.shop.plan()
    online.provider.faults.pay_at_once = True
    await online.buy(plan, member)
    await online.buy(plan, member, renew=True)
    assert await online.taken() == {"active": 2}
    [stored] = await online.shop.database.member_subscriptions.find({"userId": member}).to_list()
    assert stored["endDate"].date().isoformat() == "2026-08-14"


async def test_what_a_provider_took_is_given_back_by_the_provider(online: Online) -> None:
    shop, provider = online.shop, online.provider
    provider.faults.pay_at_once = True
    begun = await online.buy(await shop.plan(), await shop.person())
    [row] = await shop.stores.postgres.fetch(
        "SELECT transaction_id FROM finance.purchases WHERE purchase_id = $1", begun.purchase
    )
    payment = row["transaction_id"]

    async def back(amount: str, key: str) -> UUID:
        return await refunding.refund(
            shop.units,
            shop.stores,
            online.sales.provider,
            shop.owner,
            payment=payment,
            amount=Decimal(amount),
            reason=None,
            key=key,
            now=online.now,
        )

    movement = await back("100", "a")
    assert await back("100", "a") == movement
    provider.faults.hang = 1
    unknown = await back("50", "b")
    [open_] = await shop.stores.postgres.fetch(
        "SELECT status FROM finance.refunds WHERE refund_transaction_id = $1", unknown
    )
    assert open_["status"] == "unknown"
    with pytest.raises(RefundTooLarge):  # what is unknown counts
        await back("849.91", "c")
    await online.passes(minutes=1)
    done = await asyncio.gather(*(back("100", str(n)) for n in range(20)), return_exceptions=True)
    assert Counter(type(one).__name__ for one in done) == {"UUID": 8, "RefundTooLarge": 12}
    await back("49.90", "rest")
    [sums] = await shop.stores.postgres.fetch(
        """SELECT sum(net_amount) AS net, sum(tax_amount) AS tax FROM finance.credit_notes WHERE facility_id = $1""",
        str(shop.facility),
    )
    assert (sums["net"], sums["tax"]) == (Decimal("833.25"), Decimal("166.65"))
    assert provider.money() == {"taken": 99990, "returned": 99990}
    assert len(provider.refunds) == 11


# --- webhooks that nobody should act upon


async def test_forged_and_old_webhooks_are_refused(online: Online) -> None:
    member, plan = await online.shop.person(), await online.shop.plan()
    begun = await online.buy(plan, member)
    assert begun.payment is not None
    url = online.provider.deliver_to
    assert url is not None
    body = orjson.dumps({"id": "e1", "type": "payment.succeeded", "payment": begun.payment.reference})
    async with httpx.AsyncClient() as http:
        for header, status in (
            ("", 400),
            ("t=x,v1=y", 400),
            (sign(body, "another secret", online.now), 400),
            (sign(body, WEBHOOK_SECRET, online.now - timedelta(seconds=301)), 400),
            (sign(body, WEBHOOK_SECRET, online.now + timedelta(seconds=301)), 400),
            (sign(body + b" ", WEBHOOK_SECRET, online.now), 400),
            (sign(body, WEBHOOK_SECRET, online.now), 200),
            (sign(body, WEBHOOK_SECRET, online.now), 200),
        ):
            assert (await http.post(url, content=body, headers={SIGNATURE: header})).status_code == status, header
        # Signed, and about nothing that is known, or no event at all.
        for other, status in ((b'{"id": "e2", "type": "x", "payment": "nobody"}', 200), (b"[]", 400), (b"\xff", 400)):
            headers = {SIGNATURE: sign(other, WEBHOOK_SECRET, online.now)}
            assert (await http.post(url, content=other, headers=headers)).status_code == status
        large = b"x" * 600_000
        assert (await http.post(url, content=large, headers={SIGNATURE: "t=1"})).status_code == 413
        assert (await http.get(url)).status_code == 405
    # What was said was asked, and nobody had paid.
    assert await online.status(begun.purchase) == "awaiting_payment"
    await online.provider.pay(begun.payment.reference)
    assert await online.taken() == {"active": 1}


# --- a process that dies


class Buyers:
    """The process of `buying.py`."""

    def __init__(self, online: Online, process: asyncio.subprocess.Process) -> None:
        self._online = online
        self._process = process

    async def dies_at(self, point: str, **task: Any) -> None:
        """Run a task until the process that runs it is killed at the point."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"point": point, "now": self._online.now.isoformat(), **task}, default=str)
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()
        answer = await asyncio.wait_for(self._process.stdout.readline(), 30)
        assert int(answer) == signal.SIGKILL, (point, answer)
        await sweep(self._online.shop.stores, 0.0)  # what it left prepared would hold the next one up


@asynccontextmanager
async def killing(online: Online) -> AsyncIterator[Buyers]:
    """The process, as long as the block runs."""
    stores, payments = online.shop.settings, online.settings
    settings = {
        "NEXFIT_MONGO_URL": stores.mongo.url.get_secret_value(),
        "NEXFIT_MONGO_DATABASE": stores.mongo.database,
        "NEXFIT_POSTGRES_URL": stores.postgres.url.get_secret_value(),
        "NEXFIT_PAYMENTS_PROVIDER": "local",
        "NEXFIT_PAYMENTS_URL": payments.url,
        "NEXFIT_PAYMENTS_SECRET": payments.secret.get_secret_value(),
        "NEXFIT_PAYMENTS_WEBHOOK_SECRET": payments.webhook_secret.get_secret_value(),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.memberships.buying"),
        env=os.environ | settings,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    yield Buyers(online, process)
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


@pytest.fixture
async def buyers(online: Online) -> AsyncIterator[Buyers]:
    async with killing(online) as process:
        yield process


BUYING = (
    "purchase.initiated",
    "purchase.asked",
    "purchase.paid",
    "prepared",
    "decided",
    "purchase.finished",
)
RETURNING = (
    "purchase.asked",
    "purchase.paid",
    "purchase.finished",
    "refund.before_call",
    "refund.called",
    "refund.settled",
)


async def test_a_buyer_killed_at_any_step_has_a_membership_and_paid_once(online: Online, buyers: Buyers) -> None:
    online.provider.faults.delivery = "never"
    online.provider.faults.pay_at_once = True
    plan = await online.shop.plan()
    for point in BUYING:
        await buyers.dies_at(point, plan=plan, member=await online.shop.person(), total=PRICE)
    await online.passes(minutes=1)
    assert await online.taken() == {"active": len(BUYING)}


async def test_an_import_killed_at_any_step_is_whole_in_both_stores_and_goes_on_when_sent_again(
    online: Online, buyers: Buyers
) -> None:
    shop = online.shop
    await shop.plan()
    owner = shop.owner.require()
    for point in ("written", "prepared", "decided", "finished"):
        rows = "".join(f"Ada Işık;{point}{n}@example.org;Aylık Üyelik;01.07.2026\n" for n in range(2))
        file = "ad soyad;e-posta;plan;bitiş\n" + rows
        await buyers.dies_at(point, members=file, owner=owner, facility=shop.facility)
        names = {"emailNormalized": {"$regex": f"^{point}"}}
        made = [one["_id"] async for one in shop.database.users.find(names)]
        assert len(made) == (2 if point in ("decided", "finished") else 0), point
        for one in made:
            assert await shop.agrees(one)
        place = await member_import.permitted(shop.stores.mongo, shop.owner, shop.facility)
        report = await member_import.import_members(
            shop.units, shop.stores, shop.owner, place, file.encode(), apply=True, now=online.now
        )
        assert (report.created, report.unchanged, report.rejected) == (2 - len(made), len(made), []), point
        made = [one["_id"] async for one in shop.database.users.find(names)]
        held = {one["userId"] async for one in shop.database.member_subscriptions.find({"userId": {"$in": made}})}
        assert (len(made), held) == (2, set(made))
        for one in made:
            assert await shop.agrees(one)


async def test_money_is_given_back_whoever_is_killed_at_it(online: Online, buyers: Buyers) -> None:
    online.provider.faults.delivery = "never"
    plan = await online.shop.plan()
    for point in RETURNING:
        member = await online.shop.person()
        begun = await online.buy(plan, member)
        assert begun.payment is not None
        await online.shop.sell(plan, member)
        await online.provider.pay(begun.payment.reference)
        await buyers.dies_at(point, purchase=begun.purchase)
    await online.passes(minutes=1)
    assert await online.taken() == {"refunded": len(RETURNING)}


async def test_a_store_that_is_away_delays_and_loses_nothing(online: Online, monkeypatch: pytest.MonkeyPatch) -> None:
    member, plan = await online.shop.person(), await online.shop.plan()
    begun = await online.buy(plan, member)
    assert begun.payment is not None

    async def away(*_: object, **__: object) -> None:
        raise StoreError("mongo", "away")

    with monkeypatch.context() as broken:
        broken.setattr("nexfit.stores.mongo_transactions.MongoTransaction.commit", away)
        online.provider.faults.delivery = "never"
        await online.provider.pay(begun.payment.reference)
        await online.passes(minutes=1)
        assert await online.status(begun.purchase) == "paid"
    await online.passes(minutes=1)
    assert await online.taken() == {"active": 1}
