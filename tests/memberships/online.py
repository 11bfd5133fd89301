"""A shop that sells online: a local provider over HTTP, an endpoint for its webhooks, a reader of what came of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import uvicorn
from bson import ObjectId
from pydantic import SecretStr
from starlette.applications import Starlette

from nexfit.api.webhooks import WEBHOOKS_PATH, webhooks_route
from nexfit.domains.identity.access import Actor
from nexfit.domains.memberships import purchase
from nexfit.domains.memberships.purchase import Begun, OnlineSales
from nexfit.hybrid.recovery import sweep
from nexfit.payments.local import LocalPayments
from nexfit.payments.local_server import LocalProvider, Server, serving
from nexfit.settings import PaymentSettings

from .conftest import NOW, PRICE, Shop

SECRET, WEBHOOK_SECRET = "a key of the tests", "a webhook secret of the tests"


@dataclass(slots=True)
class Online:
    """The shop, its provider, and the time everybody goes by."""

    shop: Shop
    sales: OnlineSales
    provider: LocalProvider
    settings: PaymentSettings
    now: datetime = NOW

    async def buy(self, plan: ObjectId, member: ObjectId, **more: Any) -> Begun:
        """Begin a purchase now, at the price the tests make plans with."""
        given = {"expected_total": PRICE, "renew": False, "auto_renew": False, "key": uuid4().hex} | more
        return await purchase.begin(self.sales, Actor(member), plan=plan, now=self.now, **given)

    async def passes(self, **time: float) -> None:
        """Let time pass, and recovery look until it finds nothing more to do."""
        self.now += timedelta(**time)
        await sweep(self.shop.stores, 0.0)
        for _ in range(4):
            await purchase.recover(self.sales, now=self.now)
            self.now += timedelta(seconds=31)

    async def status(self, id_: UUID) -> str:
        """How far a purchase has come."""
        [row] = await self.shop.stores.postgres.fetch(
            "SELECT status FROM finance.purchases WHERE purchase_id = $1", id_
        )
        return str(row["status"])

    async def taken(self) -> dict[str, int]:
        """Check what both stores hold of this shop against each other and the provider; purchases by state.

        Every purchase is over; an active one has its payment, its paid invoice and its contract, a refunded one its
        payment and all of it back, the others have no money. What the provider has is what the ledger has.
        """
        await self.provider.settled()
        rows = await self.shop.stores.postgres.fetch(
            """SELECT p.*, t.amount AS taken, t.status AS booked, t.provider_reference AS reference,
                 i.total_amount AS invoiced, i.status AS invoice, r.amount AS returned, r.status AS refund,
                 m.status AS movement, s.status AS subscription
               FROM finance.purchases p
               LEFT JOIN finance.transactions t ON t.transaction_id = p.transaction_id
               LEFT JOIN finance.invoices i ON i.transaction_id = p.transaction_id
               LEFT JOIN finance.refunds r ON r.refund_id = p.refund_id
               LEFT JOIN finance.transactions m ON m.transaction_id = r.refund_transaction_id
               LEFT JOIN finance.subscriptions s ON s.subscription_id = p.subscription_id
               WHERE p.facility_id = $1""",
            str(self.shop.facility),
        )
        total = Decimal(0)
        for row in rows:
            contract = await self.shop.database.member_subscriptions.find_one(
                {"subscriptionId": str(row["subscription_id"])}
            )
            if row["status"] == "active":
                assert (row["booked"], row["invoice"], row["subscription"], row["refund"]) == (
                    "succeeded", "paid", "active", None,
                ), row  # fmt: skip
                assert row["taken"] == row["invoiced"] == row["amount"]
                assert row["reference"] == row["provider_reference"]
                assert contract["status"] == "active"
                assert [one["transactionId"] for one in contract["paymentHistory"]].count(
                    str(row["transaction_id"])
                ) == 1
                total += row["amount"]
            elif row["status"] == "refunded":
                assert (row["booked"], row["invoice"], row["refund"], row["movement"]) == (
                    "succeeded", None, "succeeded", "succeeded",
                ), row  # fmt: skip
                assert row["taken"] == row["returned"] == row["amount"]
            else:
                assert row["status"] in ("failed", "expired"), row
                assert (row["taken"], contract) == (None, None)
        [ledger] = await self.shop.stores.postgres.fetch(
            """SELECT coalesce(sum(amount) FILTER (WHERE transaction_type = 'charge'), 0) AS taken,
                 coalesce(sum(amount) FILTER (WHERE transaction_type = 'refund'), 0) AS returned
               FROM finance.transactions WHERE facility_id = $1 AND provider = 'local' AND status = 'succeeded'""",
            str(self.shop.facility),
        )
        assert {name: value / 100 for name, value in self.provider.money().items()} == {
            name: float(value) for name, value in ledger.items()
        }
        assert ledger["taken"] - ledger["returned"] == total
        assert await self.shop.database.member_subscriptions.count_documents({"facilityId": self.shop.facility}) == len(
            await self.shop.stores.postgres.fetch(
                "SELECT 1 FROM finance.subscriptions WHERE facility_id = $1", str(self.shop.facility)
            )
        )
        for member in {row["user_id"] for row in rows}:
            assert await self.shop.agrees(ObjectId(member))
        return dict(Counter(row["status"] for row in rows))


@asynccontextmanager
async def selling_online(shop: Shop) -> AsyncIterator[Online]:
    """The shop with a provider of its own, and its endpoint, as long as the block runs."""
    provider = LocalProvider(SECRET, WEBHOOK_SECRET)
    async with serving(provider) as url:
        settings = PaymentSettings(
            provider="local",
            secret=SecretStr(SECRET),
            webhook_secret=SecretStr(WEBHOOK_SECRET),
            url=url,
            timeout=2,
        )
        client = LocalPayments(settings)
        sales = OnlineSales.of(shop.units, shop.stores, client, settings)
        online = Online(shop, sales, provider, settings)
        provider.clock = lambda: online.now
        provider.faults.hang_seconds = 2.5
        app = Starlette(routes=[webhooks_route(lambda: online.now)])
        app.state.sales = sales
        endpoint = Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", access_log=False))
        running = asyncio.create_task(endpoint.serve())
        while not endpoint.started:  # noqa: ASYNC110  # uvicorn has nothing to wait for
            await asyncio.sleep(0.01)
        port = endpoint.servers[0].sockets[0].getsockname()[1]
        provider.deliver_to = f"http://127.0.0.1:{port}{WEBHOOKS_PATH}"
        yield online
        await provider.settled()
        endpoint.should_exit = True
        await running
        await client.close()
