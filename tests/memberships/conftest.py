"""A business with a desk: migrated stores, a facility and its owner; reads go past the code under test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from bson import Decimal128, ObjectId

from nexfit.domains.finance.words import PaymentMethod
from nexfit.domains.identity.access import Actor
from nexfit.domains.memberships import mirror, sale
from nexfit.embedded import EmbeddedServers
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.settings import Settings
from nexfit.stores.connections import Stores, open_stores
from tests.databases import migrated

NOW = datetime(2026, 6, 15, 9, 0, tzinfo=UTC)
PRICE = Decimal("999.90")


async def no_purge(_: object) -> None:
    """Cache tags are not what is tested here."""


@dataclass(slots=True)
class Shop:
    """A business of its own: a facility and its owner. Reads go past the code under test."""

    stores: Stores
    units: UnitsOfWork
    database: Any
    facility: ObjectId
    owner: Actor
    settings: Settings

    async def plan(
        self, *, price: Decimal = PRICE, currency: str = "TRY", months: int = 1, is_active: bool = True
    ) -> ObjectId:
        """A plan on sale."""
        id_ = ObjectId()
        await self.database.memberships.insert_one(
            {
                "_id": id_,
                "facilityId": self.facility,
                "name": "Aylık Üyelik",
                "duration": {"value": months, "unit": "month"},
                "price": Decimal128(price),
                "currency": currency,
                "features": [],
                "limitations": {"classesIncluded": True, "personalTrainingIncluded": False, "ptSessionsIncluded": 0},
                "isActive": is_active,
                "createdAt": NOW,
                "updatedAt": NOW,
            }
        )
        return id_

    async def person(self) -> ObjectId:
        """Somebody to sell to."""
        id_ = ObjectId()
        email = f"{id_}@example.org"
        await self.database.users.insert_one(
            {
                "_id": id_,
                "firstName": "Ada",
                "lastName": "Işık",
                "nameFolded": "ada isik",
                "email": email,
                "emailNormalized": email,
                "role": ["client"],
                "isActive": True,
                "createdAt": NOW,
                "updatedAt": NOW,
            }
        )
        return id_

    async def sell(self, plan: ObjectId, member: ObjectId, **more: Any) -> ObjectId:
        """Sell at NOW for cash, at the price the test made the plan with."""
        given = {
            "method": PaymentMethod.CASH,
            "expected_total": PRICE,
            "renew": False,
            "now": NOW,
            "actor": self.owner,
            "key": str(uuid4()),
        }
        given |= more
        return await sale.sell(self.units, self.stores.mongo, given.pop("actor"), plan=plan, member=member, **given)

    async def counts(self) -> dict[str, int]:
        """Documents and rows a sale may write."""
        found = {
            name: await self.database[name].count_documents({})
            for name in ("member_subscriptions", "outbox", "decisions", "audit_entries")
        }
        for name in ("subscriptions", "transactions", "invoices", "invoice_lines", "outbox", "audit_logs"):
            [row] = await self.stores.postgres.fetch(f"SELECT count(*) AS n FROM finance.{name}")
            found[f"finance.{name}"] = row["n"]
        return found

    async def agrees(self, member: ObjectId) -> bool:
        """Whether MongoDB repeats exactly what PostgreSQL holds of the member."""
        pairs = [(str(self.facility), str(member))]
        return await mirror.discrepancies(self.stores.postgres, self.stores.mongo, pairs) == []


@pytest.fixture(scope="module")
async def opened(servers: EmbeddedServers) -> AsyncIterator[tuple[Stores, Any, Settings]]:
    async with migrated(servers.urls) as settings, open_stores(settings) as stores:
        yield stores, stores.mongo.database, settings


@pytest.fixture
async def shop(opened: tuple[Stores, Any, Settings]) -> Shop:
    """A business of its own for every test, so that its invoices begin at 1."""
    stores, _, settings = opened
    return await open_shop(stores, settings)


async def open_shop(stores: Stores, settings: Settings) -> Shop:
    """A new business."""
    facility, owner, database = ObjectId(), ObjectId(), stores.mongo.database
    await database.facilities.insert_one(
        {
            "_id": facility,
            "name": "Test",
            "nameFolded": "test",
            "type": "gym",
            "timezone": "Europe/Istanbul",
            "address": {"country": "TR"},
            "contact": {},
            "media": {},
            "ownerId": owner,
            "createdAt": NOW,
            "updatedAt": NOW,
        }
    )
    return Shop(stores, UnitsOfWork(stores, no_purge), database, facility, Actor(owner), settings)
