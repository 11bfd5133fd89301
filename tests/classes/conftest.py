"""A gym made for booking: migrated stores, one facility, and dates and members as a test wants them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from bson import Decimal128, ObjectId

from nexfit.domains.classes.places import ClassDesk
from nexfit.domains.identity.access import Actor
from nexfit.embedded import EmbeddedServers
from nexfit.hybrid.turns import Turns
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.stores.connections import Stores, open_stores
from tests.databases import migrated

NOW = datetime(2026, 6, 15, 9, 0, tzinfo=UTC)
"""A Monday noon in Istanbul."""

DAY = timedelta(days=1)


async def no_purge(_: object) -> None:
    """Cache tags are not what is tested here."""


@dataclass(slots=True)
class Gym:
    """One facility and its documents; `desks` stand for two processes."""

    database: Any
    desks: list[ClassDesk]
    facility: ObjectId
    owner: Actor
    stores: Stores
    plans: dict[int | None, ObjectId] = field(default_factory=dict)

    @property
    def desk(self) -> ClassDesk:
        """The first process."""
        return self.desks[0]

    async def date(self, starts_at: datetime, *, capacity: int = 10, waitlist: int = 5, minutes: int = 60) -> ObjectId:
        """A date of a class of its own."""
        made = ObjectId()
        await self.database.class_occurrences.insert_one(
            {
                "_id": made,
                "classId": ObjectId(),
                "facilityId": self.facility,
                "originalStart": starts_at,
                "startsAt": starts_at,
                "endsAt": starts_at + timedelta(minutes=minutes),
                "timezone": "Europe/Istanbul",
                "capacity": capacity,
                "seatsTaken": 0,
                "waitlisted": 0,
                "waitlistLimit": waitlist,
                "status": "scheduled",
                "createdAt": NOW,
                "updatedAt": NOW,
            }
        )
        return made

    async def member(
        self, *, weekly: int | None = None, until: datetime = NOW + 60 * DAY, status: str = "active"
    ) -> Actor:
        """Somebody with a membership that includes classes."""
        user = ObjectId()
        await self.join(user, weekly=weekly, until=until, status=status)
        return Actor(user)

    async def join(
        self, user: ObjectId, *, weekly: int | None = None, until: datetime = NOW + 60 * DAY, status: str = "active"
    ) -> None:
        """Give a membership to a user."""
        await self.database.member_subscriptions.insert_one(
            {
                "userId": user,
                "facilityId": self.facility,
                "membershipId": await self._plan(weekly),
                "subscriptionId": str(uuid4()),
                "startDate": datetime(2026, 1, 1, tzinfo=UTC),
                "endDate": until.replace(hour=0, minute=0, second=0, microsecond=0),
                "status": status,
                "autoRenew": True,
                "paymentHistory": [],
                "createdAt": NOW,
                "updatedAt": NOW,
            }
        )

    async def _plan(self, weekly: int | None) -> ObjectId:
        if weekly not in self.plans:
            self.plans[weekly] = ObjectId()
            limits = {"classesIncluded": True, "personalTrainingIncluded": False, "ptSessionsIncluded": 0}
            await self.database.memberships.insert_one(
                {
                    "_id": self.plans[weekly],
                    "facilityId": self.facility,
                    "name": f"Plan {weekly}",
                    "duration": {"value": 1, "unit": "month"},
                    "price": Decimal128(Decimal(900)),
                    "currency": "TRY",
                    "features": [],
                    "limitations": limits | ({} if weekly is None else {"maxClassBookingsPerWeek": weekly}),
                    "isActive": True,
                    "createdAt": NOW,
                    "updatedAt": NOW,
                }
            )
        return self.plans[weekly]

    async def bookings(self, date: ObjectId) -> list[dict[str, Any]]:
        """The bookings of a date, read past the code under test, in the order they were made."""
        found: list[dict[str, Any]] = (
            await self.database.class_bookings.find({"occurrenceId": date}).sort("_id").to_list()
        )
        return found

    async def states(self, date: ObjectId) -> dict[str, int]:
        """How many bookings of a date are in which state; the date's own counters agree with them."""
        counted: dict[str, int] = {}
        for booking in await self.bookings(date):
            counted[booking["status"]] = counted.get(booking["status"], 0) + 1
        seats = sum(counted.get(state, 0) for state in ("booked", "attended", "no_show"))
        stored = await self.database.class_occurrences.find_one({"_id": date})
        assert stored["seatsTaken"] == (0 if stored["status"] == "cancelled" else seats)
        assert stored["waitlisted"] == counted.get("waitlisted", 0)
        assert seats <= stored["capacity"]
        return counted

    async def told(self, date: ObjectId) -> list[str]:
        """The facts told about a date, in the order of the outbox."""
        rows = await self.database.outbox.find({"aggregateId": str(date)}).sort("position").to_list()
        return [row["eventType"] for row in rows]


@pytest.fixture(scope="module")
async def gym(servers: EmbeddedServers) -> AsyncIterator[Gym]:
    """The gym; one per module."""
    async with migrated(servers.urls) as settings, AsyncExitStack() as open_:
        desks = []
        for _ in range(2):
            stores = await open_.enter_async_context(open_stores(settings))
            desks.append(ClassDesk(UnitsOfWork(stores, no_purge), stores.mongo, Turns()))
        database = stores.mongo.database
        owner = ObjectId()
        facility = ObjectId()
        await database.facilities.insert_one(
            {
                "_id": facility,
                "name": "Test",
                "nameFolded": "test",
                "type": "gym",
                "timezone": "Europe/Istanbul",
                "address": {},
                "contact": {},
                "media": {},
                "ownerId": owner,
                "createdAt": NOW,
                "updatedAt": NOW,
            }
        )
        yield Gym(database, desks, facility, Actor(owner), stores)
