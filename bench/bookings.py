"""`python -m bench bookings`: bookings per second of one hot class and of many, seats and places on the waitlist.

The floor is what somebody would write who keeps only the seats right: a conditional update of the date and an insert of
the booking in one MongoDB transaction, with the same concerns and PyMongo's own retries. A booking of ours also looks
at the membership, the week's quota and clashes, is kept under its idempotency key, and tells its event and its audit
entry. All kinds take turns within a round, on servers that keep what they confirm. Every booking is of another member.
Two processes' desks take the requests in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import structlog
from bson import Decimal128, ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from rich.console import Console
from rich.table import Table

from bench.crashes.servers import stores_on
from bench.crashes.worker import Where
from bench.stores.data import bars
from bench.training import patient
from nexfit.domains.classes import booking
from nexfit.domains.classes.places import ClassDesk
from nexfit.domains.identity.access import Actor
from nexfit.embedded import EmbeddedServers
from nexfit.hybrid.turns import Turns
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.stores.commands import command_log
from nexfit.stores.connections import Stores, open_stores

CLIENTS = (1, 16, 64)
"""At once."""

MANY = 50
"""Classes that are not hot."""

NOW = datetime(2026, 6, 15, 9, 0, tzinfo=UTC)
APART = timedelta(minutes=2)
"""Between the dates of two windows, which last a minute, so that nobody is in two places."""

Book = Callable[[ObjectId, ObjectId], Awaitable[object]]
"""Gives a member a place on a date."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A way of booking; ratios are to the floor of the same classes, which has none itself."""

    name: str
    dates: int
    is_bare: bool = False
    waiting: bool = False
    """Whether the class is full but for places on the waitlist."""


KINDS = (
    Kind("one hot class, bare", 1, is_bare=True),
    Kind("one hot class, seats", 1),
    Kind("one hot class, waitlist", 1, waiting=True),
    Kind("many classes, bare", MANY, is_bare=True),
    Kind("many classes, seats", MANY),
    Kind("many classes, waitlist", MANY, waiting=True),
)


def floor_of(kind: Kind) -> Kind:
    """What a kind is compared with."""
    return next(one for one in KINDS if one.is_bare and one.dates == kind.dates)


@dataclass(slots=True)
class Gym:
    """A facility with members who may book, and what books for them."""

    stores: Stores
    desks: Sequence[ClassDesk]
    facility: ObjectId
    members: Sequence[ObjectId]

    @property
    def database(self) -> Any:
        """MongoDB, past the product."""
        return self.stores.mongo.database

    async def dates(self, kind: Kind, window: int) -> list[ObjectId]:
        """New dates of a window: a seat for every member, or none and as many places on the waitlist."""
        starts, room = NOW + timedelta(days=1) + window * APART, len(self.members)
        seats = 0 if kind.waiting else room
        return [await self.date(starts, capacity=seats, waitlist=room) for _ in range(kind.dates)]

    async def date(self, starts: datetime, *, capacity: int, waitlist: int) -> ObjectId:
        """A new date of a class of its own, which takes a minute."""
        id_ = ObjectId()
        await self.database["class_occurrences"].insert_one(
            {
                "_id": id_,
                "classId": ObjectId(),
                "facilityId": self.facility,
                "originalStart": starts,
                "startsAt": starts,
                "endsAt": starts + APART / 2,
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
        return id_

    async def ours(self, date: ObjectId, member: ObjectId) -> object:
        """Book as the API does; requests go to the desks in turn."""
        desk = self.desks[hash(member) % len(self.desks)]
        return await booking.book(desk, Actor(member), date, member=None, key=f"{date}:{member}", now=NOW)

    async def bare(self, date: ObjectId, member: ObjectId) -> None:
        """The conditional update and the insert, in one transaction."""

        async def seat(session: AsyncClientSession) -> None:
            taken = await self.database["class_occurrences"].find_one_and_update(
                {"_id": date, "status": "scheduled", "$expr": {"$lt": ["$seatsTaken", "$capacity"]}},
                {"$inc": {"seatsTaken": 1}, "$set": {"updatedAt": NOW}},
                {"classId": 1, "startsAt": 1},
                session=session,
            )
            place = {"classId": taken["classId"], "occurrenceId": date, "date": taken["startsAt"], "status": "booked"}
            place |= {"facilityId": self.facility, "userId": member, "bookedAt": NOW}
            await self.database["class_bookings"].insert_one(place, session=session)

        async with self.stores.mongo.client.start_session() as session:
            await session.with_transaction(seat)


async def opened_gym(stack: AsyncExitStack, where: Where, members: Sequence[ObjectId], now: datetime = NOW) -> Gym:
    """A new facility whose members all hold a plan that includes classes."""
    opened = [await stack.enter_async_context(open_stores(patient(where))) for _ in range(2)]

    async def purge(_: object) -> None:
        pass

    desks = [ClassDesk(UnitsOfWork(stores, purge), stores.mongo, Turns()) for stores in opened]
    gym = Gym(opened[0], desks, ObjectId(), members)
    plan, stamps = ObjectId(), {"createdAt": now, "updatedAt": now}
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    place = {"name": "Bench", "nameFolded": "bench", "type": "gym", "timezone": "Europe/Istanbul"}
    await gym.database["facilities"].insert_one(
        {"_id": gym.facility, **place, "ownerId": ObjectId(), "address": {}, "contact": {}, "media": {}, **stamps}
    )
    await gym.database["memberships"].insert_one(
        {
            "_id": plan,
            "facilityId": gym.facility,
            "name": "Aylık",
            "duration": {"value": 1, "unit": "month"},
            "price": Decimal128(Decimal(900)),
            "currency": "TRY",
            "limitations": {"classesIncluded": True},
            "isActive": True,
            **stamps,
        }
    )
    await gym.database["member_subscriptions"].insert_many(
        {
            "userId": member,
            "facilityId": gym.facility,
            "membershipId": plan,
            "subscriptionId": str(uuid4()),
            "startDate": today - timedelta(days=30),
            "endDate": today + timedelta(days=90),
            "status": "active",
            "autoRenew": True,
            **stamps,
        }
        for member in gym.members
    )
    return gym


@dataclass(frozen=True, slots=True)
class Found:
    """Bookings per second of a kind in each round, by clients at once, and the commands of one booking."""

    rates: Mapping[int, Sequence[float]]
    commands: int | None


async def measure(
    where: Where,
    members: int,
    rounds: int,
    seconds: float,
    on_window: Callable[[], None] = lambda: None,
    *,
    together: Sequence[int] = CLIENTS,
) -> dict[Kind, Found]:
    """All kinds. The first round warms up. At most `members` bookings are made in a window."""
    rates: dict[Kind, dict[int, list[float]]] = {kind: {clients: [] for clients in together} for kind in KINDS}
    commands: dict[Kind, int] = {}
    async with AsyncExitStack() as stack:
        gym = await opened_gym(stack, where, [ObjectId() for _ in range(members)])
        windows = itertools.count()
        for turn, clients, kind in itertools.product(range(rounds + 1), together, KINDS):
            dates = await gym.dates(kind, next(windows))
            book = gym.bare if kind.is_bare else gym.ours
            if not turn and kind not in commands:
                with command_log() as log:
                    await book(dates[0], gym.members[0])
                commands[kind] = log.count("mongo")
                continue
            rate = await _window(gym.members, dates, book, clients, seconds)
            on_window()
            if turn:
                rates[kind][clients].append(rate)
    return {kind: Found(rates[kind], commands.get(kind)) for kind in KINDS}


async def _window(
    members: Sequence[ObjectId], dates: Sequence[ObjectId], book: Book, clients: int, seconds: float
) -> float:
    """Bookings per second of so many clients together."""
    started, numbers, done = time.perf_counter(), iter(range(len(members))), 0

    async def client() -> None:
        nonlocal done
        for number in numbers:
            await book(dates[number % len(dates)], members[number])
            done += 1
            if time.perf_counter() - started >= seconds:
                return

    await asyncio.gather(*(client() for _ in range(clients)))
    return done / (time.perf_counter() - started)


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m bench bookings", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", type=int, default=3000, help="who book, each once in a window (3000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds in which every kind has its windows (5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a window (1)")
    given = parser.parse_args(arguments)
    if given.members < max(CLIENTS) or given.rounds < 1 or not 0 < given.seconds <= 30:
        parser.error(f"--members is at least {max(CLIENTS)}, --rounds at least 1, --seconds at most 30")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # conflicts are expected
    console = Console() if sys.stdout.isatty() else Console(width=120)
    with (
        tempfile.TemporaryDirectory(prefix="nexfit-bookings-") as folder,
        bars(console) as shown,
        EmbeddedServers(Path(folder) / "servers", durable=True) as servers,
        stores_on(servers.urls) as where,
    ):
        windows = shown.add_task("windows", total=(given.rounds + 1) * len(CLIENTS) * len(KINDS) - len(KINDS))
        found = asyncio.run(measure(where, given.members, given.rounds, given.seconds, lambda: shown.advance(windows)))
    show(console, found)
    return 0


def show(console: Console, found: Mapping[Kind, Found]) -> None:
    """One table: rates, and their ratios to the floor in the same round."""
    caption = "median over rounds; in brackets: part of the bare rate, of the same round"
    table = Table(title="Bookings per second", caption=caption)
    table.add_column("booked")
    table.add_column("commands", justify="right")
    for clients in CLIENTS:
        table.add_column(f"{clients} at once", justify="right")
    for kind, one in found.items():
        cells = [str(one.commands or "")]
        for clients, rates in one.rates.items():
            bare = found[floor_of(kind)].rates[clients]
            part = median(rate / other for rate, other in zip(rates, bare, strict=True))
            cells.append(f"{median(rates):.0f}" + ("" if kind.is_bare else f" ({part:.2f})"))
        table.add_row(kind.name, *cells)
    console.print(table)
