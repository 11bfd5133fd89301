"""A coach and clients to be made: migrated stores, and reads that go past the code under test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from nexfit.domains.coaching import inviting, packages, scheduling
from nexfit.domains.coaching.documents import SessionPlace
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.documents import ConsentScope
from nexfit.embedded import EmbeddedServers
from nexfit.hybrid.turns import Turns
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
    desks: Sequence[scheduling.CoachDesk]
    """Two, as of two processes."""

    @property
    def desk(self) -> scheduling.CoachDesk:
        """The first process."""
        return self.desks[0]

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

    async def sell(self, relation: ObjectId, sessions: int = 10, *, days: int = 30, **more: Any) -> ObjectId:
        """A package that ends so many days after NOW."""
        offer = packages.Offer(
            name=more.pop("name", "Paket"),
            sessions=sessions,
            price=more.pop("price", Decimal(1200)),
            currency="TRY",
            starts_on=NOW.date(),
            ends_on=NOW.date() + timedelta(days=days),
        )
        given = {"actor": self.coach, "key": str(uuid4()), "now": NOW} | more
        return await packages.sell(self.units, self.stores.mongo, given.pop("actor"), relation, offer, **given)

    async def schedule(self, relation: ObjectId, hours: float, **more: Any) -> ObjectId:
        """An hour that starts so many hours after NOW."""
        slot = scheduling.Slot(
            starts_at=NOW + timedelta(hours=hours),
            minutes=more.pop("minutes", 60),
            place=more.pop("place", SessionPlace.ONLINE),
            facility=more.pop("facility", None),
        )
        given = {"actor": self.coach, "key": str(uuid4()), "now": NOW} | more
        return await scheduling.schedule(self.desk, given.pop("actor"), relation, slot, **given)

    async def credits(self, package: ObjectId) -> tuple[int, int, int, int]:
        """Reserved, used, remaining, and expired or refunded; they add up to the total and to the ledger."""
        [row] = await self.stores.postgres.fetch(
            "SELECT * FROM finance.package_balances WHERE package_id = $1", str(package)
        )
        gone = row["expired"] + row["refunded"]
        assert row["total"] == row["used"] + row["reserved"] + row["remaining"] + gone
        entries = await self.stores.postgres.fetch(
            "SELECT entry_type, sum(credits) AS n FROM finance.package_credit_ledger WHERE package_id = $1 GROUP BY 1",
            str(package),
        )
        told = {entry["entry_type"]: entry["n"] for entry in entries}
        assert row["used"] == told.get("consume", 0)
        assert row["reserved"] == told.get("reserve", 0) - told.get("consume", 0) - told.get("release", 0)
        return row["reserved"], row["used"], row["remaining"], gone

    async def agrees(self, relation: ObjectId) -> None:
        """Every scheduled session has its reservation and every reservation its session."""
        found = await self.relation(relation)
        pair = {"coachId": found["coachId"], "clientId": found["clientId"]}
        scheduled = await self.database.pt_sessions.find({**pair, "status": "scheduled"}).to_list()
        open_ = await self.stores.postgres.fetch(
            """SELECT session_id FROM finance.package_credit_ledger
               WHERE coach_id = $1 AND client_id = $2 AND session_id IS NOT NULL
               GROUP BY session_id HAVING count(*) = 1""",
            *(str(pair["coachId"]), str(pair["clientId"])),
        )
        assert {str(session["_id"]) for session in scheduled} == {row["session_id"] for row in open_}

    async def relation(self, id_: ObjectId) -> dict[str, Any]:
        """As it is stored."""
        found: dict[str, Any] = await self.database.coach_clients.find_one({"_id": id_})
        return found

    async def written(self) -> dict[str, int]:
        """How much of everything that coaching may write there is."""
        names = ("coach_clients", "consents", "outbox", "audit_entries", "pt_sessions")
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
    units = UnitsOfWork(opened, no_purge)
    desks = [scheduling.CoachDesk(units, opened.mongo, Turns()) for _ in range(2)]
    made = Practice(opened, units, opened.mongo.database, Actor(), desks)
    made.coach = await made.person("coach")
    return made
