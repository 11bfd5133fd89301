"""A coach and clients to be made: migrated stores, and reads that go past the code under test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId

from nexfit.domains.coaching import inviting
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.documents import ConsentScope
from nexfit.embedded import EmbeddedServers
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.stores.connections import Stores, open_stores
from tests.databases import migrated

NOW = datetime(2026, 6, 15, 9, 0, tzinfo=UTC)


async def no_purge(_: object) -> None:
    """Cache tags are not what is tested here."""


@dataclass(slots=True)
class Practice:
    """One coach, and people who may become clients."""

    stores: Stores
    units: UnitsOfWork
    database: Any
    coach: Actor

    async def person(self, *roles: str) -> Actor:
        """Somebody."""
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
                "role": list(roles or ("client",)),
                "isActive": True,
                "createdAt": NOW,
                "updatedAt": NOW,
            }
        )
        return Actor(id_)

    async def invite(self, client: Actor, *, by: Actor | None = None, now: datetime = NOW) -> ObjectId:
        """The coach invites."""
        return await inviting.invite(self.units, by or self.coach, client.require(), goals=("Güç",), now=now)

    async def client(self, *, scopes: Collection[ConsentScope] = inviting.UNLESS_SAID) -> tuple[Actor, ObjectId]:
        """Somebody who accepted the coach, and the relation."""
        person = await self.person()
        relation = await self.invite(person)
        await inviting.accept(self.units, person, relation, scopes, now=NOW)
        return person, relation

    async def relation(self, id_: ObjectId) -> dict[str, Any]:
        """As it is stored."""
        found: dict[str, Any] = await self.database.coach_clients.find_one({"_id": id_})
        return found

    async def written(self) -> dict[str, int]:
        """How much of everything that coaching may write there is."""
        names = ("coach_clients", "consents", "outbox", "audit_entries", "pt_sessions", "decisions")
        found = {name: await self.database[name].count_documents({}) for name in names}
        for name in ("package_credit_ledger", "outbox", "audit_logs"):
            [row] = await self.stores.postgres.fetch(f"SELECT count(*) AS n FROM finance.{name}")
            found[f"finance.{name}"] = row["n"]
        return found


@pytest.fixture(scope="module")
async def opened(servers: EmbeddedServers) -> AsyncIterator[Stores]:
    """The stores; one pair per module."""
    async with migrated(servers.urls) as settings, open_stores(settings) as stores:
        yield stores


@pytest.fixture
async def practice(opened: Stores) -> Practice:
    """A coach of its own for every test."""
    made = Practice(opened, UnitsOfWork(opened, no_purge), opened.mongo.database, Actor())
    made.coach = await made.person("coach")
    return made
