"""Lives a year of a chain through the use cases and the nightly jobs, beside the model, which is told the same things.

Members buy online or at the desk, pause and come back, change plans, leave, are given money back; their cards are
declined for a while or for good, and answers of the bank get lost. What the model refuses, NexFit must refuse.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from bson import Decimal128, ObjectId

from bench.year.bank import MOMENT, Bank
from bench.year.model import Answer, Books, Happening, Membership, Plan, Refused, at_local
from nexfit.domains.analytics import keeping
from nexfit.domains.errors import Refusal
from nexfit.domains.finance import invoicing, refunding
from nexfit.domains.finance.words import PaymentMethod
from nexfit.domains.identity.access import Actor
from nexfit.domains.memberships import billing, freezing, leaving, mirror, planning, purchase, sale, switching
from nexfit.domains.memberships.billing import Billing
from nexfit.domains.memberships.leaving import CancelAt
from nexfit.domains.memberships.purchase import OnlineSales
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.settings import Settings
from nexfit.stores.connections import Stores

PLACES = (
    ("Kadıköy", "Europe/Istanbul", "TR", "TRY", Decimal("0.20"), Decimal("1499.90")),
    ("İzmir", "Europe/Istanbul", "TR", "TRY", Decimal("0.20"), Decimal("1249.90")),
    ("Warszawa", "Europe/Warsaw", "PL", "PLN", Decimal("0.23"), Decimal("189.99")),
)
"""Name, zone, country, currency, tax rate and the monthly price. Turkey's clocks stay, Poland's change."""

PLACES_IN_CLASSES = ("booked", "attended", "no_show", "late_cancelled", "cancelled")

NIGHT = timedelta(hours=22, minutes=15)
"""When the jobs run (UTC): after midnight in Istanbul always, in Warsaw in summer only."""

AGAIN = timedelta(minutes=30)
"""The jobs run a second time; what the bank had not answered is asked again."""

SOON = timedelta(days=5)
"""Before its end a term taken at the desk may be followed by another one."""

AT_ONCE = 6
"""People who act at the same time."""


@dataclass(slots=True)
class Person:
    """A member, with a chance of their own and a card that is bad at times."""

    id: ObjectId
    place: Place
    chance: random.Random
    joins: date
    bad: list[tuple[date, date, Answer]]

    @property
    def key(self) -> str:
        return str(self.id)


@dataclass(slots=True)
class Place:
    """A facility: its books by the model, its plans on sale."""

    id: ObjectId
    books: Books
    plans: dict[str, tuple[ObjectId, Plan]]
    happened: list[Happening] = field(default_factory=list)
    ids: dict[int, ObjectId] = field(default_factory=dict)
    """The contract of each of the model's memberships."""


def unhurried(settings: Settings) -> Settings:
    """The settings for stores that wait a minute before they give up: what is slow here is no failure."""
    wait = {"statement_timeout": 60, "connect_timeout": 60, "lock_timeout": 30, "idle_in_transaction_timeout": 60}
    return settings.model_copy(
        update={
            "mongo": settings.mongo.model_copy(update={"timeout": 60, "server_selection_timeout": 30}),
            "postgres": settings.postgres.model_copy(update=wait),
        }
    )


async def _no_purge(_: object) -> None:
    """Nothing is cached here."""


class Chain:
    """The chain, on empty stores of its own."""

    def __init__(self, stores: Stores, members: int, first: date, *, seed: int = 7) -> None:
        self.stores = stores
        self.first = first
        self.database = stores.mongo.database
        self.chance = random.Random(seed)  # the same year every time
        self.owner = Actor(ObjectId())
        self.bank = Bank(self._answer)
        self.units = UnitsOfWork(stores, _no_purge, clock=MOMENT.get)
        self.sales = OnlineSales(self.units, stores, self.bank, timedelta(minutes=30))
        self.billing = Billing(self.units, stores, self.bank)
        self.places: list[Place] = []
        self.people: dict[str, Person] = {}
        self.count: Counter[str] = Counter()
        self.spent: defaultdict[str, float] = defaultdict(float)
        """Seconds by kind of work."""
        self._members = members

    def _answer(self, person: str, at: datetime) -> tuple[Answer, bool]:
        day = at.astimezone(UTC).date()
        answer: Answer = next((how for since, until, how in self.people[person].bad if since <= day < until), "paid")
        return answer, hash((int(person[-6:], 16), day.toordinal())) % 40 == 0

    # --- before the year

    async def open(self) -> None:
        """Make the facilities, their plans, their members, and a year of visits and classes."""
        began = datetime(self.first.year, self.first.month, self.first.day, 6, tzinfo=UTC)
        MOMENT.set(began)
        stamps = {"createdAt": began, "updatedAt": began}
        for name, zone, country, currency, rate, price in PLACES:
            books = Books(zone, rate, self._answer)
            place = Place(ObjectId(), books, {})
            self.places.append(place)
            about = {"name": name, "nameFolded": name.casefold(), "type": "gym", "timezone": zone}
            sides: dict[str, Any] = {"address": {"country": country}, "contact": {}, "media": {}}
            await self.database["facilities"].insert_one(
                {"_id": place.id, **about, **sides, "ownerId": self.owner.user_id, **stamps}
            )
            for plan in (
                Plan("month", price, months=1),
                Plan("quarter", price * 2 + Decimal("50.05"), months=3),
                Plan("weeks", price - Decimal("0.07"), weeks=4),
                Plan("year", price * 9, months=12),
            ):
                await self._put_on_sale(place, plan, currency, stamps)
            await self._visits(place)
        for number in range(self._members):
            person = self._person(number)
            self.people[person.key] = person
        await self.database["users"].insert_many(
            [
                {
                    "_id": one.id,
                    "firstName": "Ada",
                    "lastName": "Işık",
                    "nameFolded": "ada isik",
                    "email": f"{one.id}@example.org",
                    "emailNormalized": f"{one.id}@example.org",
                    "role": ["client"],
                    "isActive": True,
                    **stamps,
                }
                for one in self.people.values()
            ]
        )

    async def _put_on_sale(self, place: Place, plan: Plan, currency: str, stamps: dict[str, Any]) -> None:
        id_ = ObjectId()
        place.plans[plan.name] = (id_, plan)
        length = {"value": plan.weeks or plan.months, "unit": "week" if plan.weeks else "month"}
        if plan.name == "year":
            length = {"value": 1, "unit": "year"}
        await self.database["memberships"].insert_one(
            {
                "_id": id_,
                "facilityId": place.id,
                "name": plan.name,
                "duration": length,
                "price": Decimal128(plan.price),
                "currency": currency,
                "features": [],
                "limitations": {"classesIncluded": True, "personalTrainingIncluded": False, "ptSessionsIncluded": 0},
                "isActive": True,
                **stamps,
            }
        )

    def _person(self, number: int) -> Person:
        chance = random.Random(self.chance.getrandbits(64))
        joins = self.first + timedelta(days=int(abs(chance.gauss(0, 110))) % 330)
        bad: list[tuple[date, date, Answer]] = []
        if chance.random() < 0.25:
            since = self.first + timedelta(days=chance.randrange(20, 365))
            bad.append((since, since + timedelta(days=chance.choice((1, 3, 8, 16, 40))), "soft"))
        if chance.random() < 0.05:
            since = self.first + timedelta(days=chance.randrange(20, 365))
            bad.append((since, since + timedelta(days=400), "hard"))
        id_ = ObjectId(f"{number:024x}")
        return Person(id_, self.places[number % len(self.places)], chance, joins, sorted(bad))

    async def _visits(self, place: Place) -> None:
        """Visits and classes of the whole year, many around midnights and where clocks change."""
        visits, dates, bookings = [], [], []
        for number in range(365):
            day = self.first + timedelta(days=number)

            def moment(day: date = day) -> datetime:
                minute = self.chance.choice((0, 1, 119, 121, 150, 181, 1439, self.chance.randrange(1440)))
                return at_local(place.books.zone, day, minute)

            for _ in range(self.chance.randrange(4)):
                at = moment()
                place.happened.append(Happening(at, "visit"))
                visits.append({"facilityId": place.id, "userId": ObjectId(), "at": at, "source": "front_desk"})
            if self.chance.random() < 0.4:
                at, seats, ids = moment(), self.chance.randrange(5, 20), (ObjectId(), ObjectId())
                place.happened += [Happening(at, "class"), Happening(at, "capacity", seats)]
                offered = {"originalStart": at, "startsAt": at, "endsAt": at + timedelta(hours=1), "capacity": seats}
                more = {"timezone": place.books.zone.key, "seatsTaken": 0, "waitlisted": 0, "status": "scheduled"}
                whose = {"classId": ids[0], "facilityId": place.id}
                dates.append({"_id": ids[1], **whose, **offered, **more, "createdAt": at, "updatedAt": at})
                for status in self.chance.choices(PLACES_IN_CLASSES, k=3):
                    place.happened.append(Happening(at, status))
                    booked = {"userId": ObjectId(), "date": at, "status": status, "bookedAt": at}
                    bookings.append({**whose, "occurrenceId": ids[1], **booked})
        for name, documents in (("visits", visits), ("class_occurrences", dates), ("class_bookings", bookings)):
            await self.database[name].insert_many(documents)

    # --- the year

    async def live(self, days: int, told: Callable[[date], None] = lambda _: None) -> None:
        """Day after day: what people do, then the night."""
        for number in range(days):
            day = self.first + timedelta(days=number)
            midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
            if number == 150:
                await self._raise_prices(midnight)
            acts = sorted(
                ((midnight + timedelta(minutes=person.chance.randrange(1290)), person) for person in self._acting(day)),
                key=lambda act: (act[0], act[1].id),
            )
            turns = asyncio.Semaphore(AT_ONCE)
            for late in (False, True):  # numbers of invoices follow the facility's days
                some = [self._acts(turns, at, one) for at, one in acts if (one.place.books.day(at) > day) is late]
                await self._timed("people", asyncio.gather(*some))
            for at in (midnight + NIGHT, midnight + NIGHT + AGAIN):
                await self._night(at)
            if number % 13 == 12 or number == days - 1:
                await self._timed("figures", self._refresh(midnight + NIGHT + 2 * AGAIN))
            told(day)

    def _acting(self, day: date) -> list[Person]:
        return [
            person
            for person in self.people.values()
            if person.joins == day or (person.joins < day and person.chance.random() < self._urge(person, day))
        ]

    @staticmethod
    def _urge(person: Person, day: date) -> float:
        """How likely somebody comes to do something; likelier where a term taken at the desk is about to end."""
        held = person.place.books.held(person.key)
        return 0.15 if held is not None and not held.online and held.ends - day <= SOON else 0.011

    async def _timed(self, kind: str, work: Awaitable[Any]) -> None:
        began = time.perf_counter()
        await work
        self.spent[kind] += time.perf_counter() - began

    async def _night(self, at: datetime) -> None:
        MOMENT.set(at)
        for place in self.places:
            place.books.night(at)
        await freezing.thaw_due(self.units, self.stores, now=at)
        await self._timed("billing", billing.run(self.billing, now=at))

    async def _refresh(self, at: datetime) -> None:
        MOMENT.set(at)
        while await self.stores.postgres.fetch("SELECT FROM finance.analytics_marks LIMIT 1"):
            await keeping.refresh(self.stores.mongo, self.stores.postgres, now=at)
        await keeping.refresh(self.stores.mongo, self.stores.postgres, now=at)

    async def _raise_prices(self, at: datetime) -> None:
        """A new version of each monthly plan; who holds the old one keeps its price."""
        MOMENT.set(at)
        for place in self.places:
            id_, plan = place.plans["month"]
            dearer = Plan("month", plan.price + Decimal("100.10"), months=1)
            change = planning.PlanChange(price=dearer.price)
            new = await planning.change(self.units, self.stores, self.owner, id_, change, now=at)
            place.plans["month"] = (new, dearer)

    async def _acts(self, turns: asyncio.Semaphore, at: datetime, person: Person) -> None:
        async with turns:
            MOMENT.set(at)
            held = person.place.books.held(person.key)
            if held is None:
                await self._joins(person, at)
            else:
                await self._does(person, held, at)

    async def _joins(self, person: Person, at: datetime) -> None:
        place, online = person.place, person.chance.random() < 0.7
        name = person.chance.choice(("month", "month", "month", "weeks", "quarter", "year"))
        id_, plan = place.plans[name]
        made = place.books.join(person.key, plan, at, online=online)
        self.count["joined online" if online else "joined at the desk"] += 1
        if online:
            await purchase.begin(
                self.sales,
                Actor(person.id),
                plan=id_,
                expected_total=plan.price,
                renew=False,
                auto_renew=True,
                key=uuid4().hex,
                now=at,
            )
            found = await self.database["member_subscriptions"].find_one(
                {"userId": person.id, "status": "active"}, {"_id": 1}
            )
            contract = found["_id"] if found else None
        else:
            contract = await self._sell(person, id_, plan.price, at, renew=False)
        place.ids[id(made)] = ObjectId(contract)

    async def _sell(self, person: Person, plan: ObjectId, price: Decimal, at: datetime, *, renew: bool) -> ObjectId:
        return await sale.sell(
            self.units,
            self.stores.mongo,
            self.owner,
            plan=plan,
            member=person.id,
            method=PaymentMethod.CASH,
            expected_total=price,
            renew=renew,
            key=uuid4().hex,
            now=at,
        )

    async def _does(self, person: Person, held: Membership, at: datetime) -> None:
        """One of the things a member may do, whether the rules allow it or not."""
        chance, books = person.chance, person.place.books
        owed = [paper for paper in held.papers.values() if paper.paid_on is None]
        if owed and chance.random() < 0.8:
            return await self._pays(person, held, at)
        ending = not held.online and held.ends - books.day(at) <= SOON
        what = (
            "renew"
            if ending
            else chance.choices(
                ("renew", "freeze", "thaw", "leave now", "leave later", "refund", "switch"), (6, 8, 4, 1, 2, 4, 2)
            )[0]
        )
        contract, actor = person.place.ids[id(held)], Actor(person.id)
        key = uuid4().hex
        if what == "renew":
            if not ending:
                return None
            # The version that is held is sold to its holder for its own price.
            stored = await self.database["member_subscriptions"].find_one({"_id": contract}, {"membershipId": 1})
            assert stored is not None  # it was sold
            await self._both(
                what,
                lambda: books.renew_at_desk(held, held.plan.price, at),
                lambda: self._sell(person, stored["membershipId"], held.plan.price, at, renew=True),
            )
        elif what == "freeze":
            days = chance.choice((7, 10, 14, 31, 60))
            freeze = freezing.freeze(self.units, self.stores, actor, contract, days=days, key=key, now=at)
            await self._both(what, lambda: books.freeze(held, days, at), lambda: freeze)
        elif what == "thaw":
            thaw = freezing.thaw(self.units, self.stores, actor, contract, now=at)
            await self._both(what, lambda: books.thaw(held, at), lambda: thaw)
        elif what in ("leave now", "leave later"):
            when = CancelAt.NOW if what == "leave now" else CancelAt.PERIOD_END
            leave = leaving.cancel(
                *(self.units, self.stores, self.bank, self.owner, contract),
                at=when,
                reason=None,
                key=key,
                now=at,
            )
            told = books.leave_now if when is CancelAt.NOW else lambda one, _: books.leave_with_period(one)
            await self._both(what, lambda: told(held, at), lambda: leave)
        elif what == "refund":
            await self._refunds(person, held, at)
        else:
            await self._switches(person, held, at)
        return None

    async def _refunds(self, person: Person, held: Membership, at: datetime) -> None:
        paper = held.papers[max(held.papers)]
        if paper.payment is None:
            return
        amount = (paper.total * person.chance.randrange(1, 60) / 100).quantize(Decimal("0.01"))
        [row] = await self.stores.postgres.fetch(
            "SELECT transaction_id FROM finance.invoices WHERE user_id = $1 AND period_start = $2 AND created_at = $3",
            *(person.key, paper.period, paper.made_at),
        )
        await self._both(
            "refund",
            lambda: person.place.books.refund(paper.payment, amount, at),  # type: ignore[arg-type]
            lambda: refunding.refund(
                *(self.units, self.stores, self.bank, self.owner),
                payment=row["transaction_id"],
                amount=amount,
                reason="kind",
                key=uuid4().hex,
                now=at,
            ),
        )

    async def _switches(self, person: Person, held: Membership, at: datetime) -> None:
        books, place = person.place.books, person.place
        names = [name for name in place.plans if name != held.plan.name]
        id_, plan = place.plans[person.chance.choice(names)]
        due = plan.price - books.unused(held, books.day(at), withdrawing=False)
        made: list[Membership] = []
        contract = place.ids[id(held)]
        switched = await self._both(
            "switch",
            lambda: made.append(books.switch(held, plan, at)),
            lambda: switching.switch(
                *(self.units, self.stores, self.bank, self.owner, contract, id_),
                method=PaymentMethod.CASH,
                expected_due=due,
                key=uuid4().hex,
                now=at,
            ),
        )
        if made:
            place.ids[id(made[0])] = switched

    async def _pays(self, person: Person, held: Membership, at: datetime) -> None:
        paper = next(paper for paper in held.papers.values() if paper.paid_on is None)
        [row] = await self.stores.postgres.fetch(
            "SELECT invoice_id FROM finance.invoices WHERE user_id = $1 AND status = 'open' AND period_start = $2",
            *(person.key, paper.period),
        )
        await self._both(
            "pay a debt",
            lambda: person.place.books.pay_debt(paper, at),
            lambda: invoicing.pay(
                *(self.units, self.stores, self.owner),
                invoice=UUID(str(row["invoice_id"])),
                method=PaymentMethod.CASH,
                giver=None,
                key=uuid4().hex,
                now=at,
            ),
        )
        # What the change feed does within a second: MongoDB's contract follows.
        pairs = [(str(person.place.id), person.key)]
        await mirror.repair(
            self.stores.mongo, await mirror.discrepancies(self.stores.postgres, self.stores.mongo, pairs)
        )

    async def _both(self, what: str, model: Callable[[], Any], real: Callable[[], Awaitable[Any]]) -> Any:
        """Do it by the model and in NexFit; either both refuse or neither."""
        refused = False
        try:
            model()
        except Refused:
            refused = True
        try:
            answer = await real()
        except Refusal as error:
            if not refused:
                raise AssertionError(f"{what} was refused: {error}") from error
            self.count[f"{what}, refused"] += 1
            return None
        if refused:
            raise AssertionError(f"{what} was to be refused")
        self.count[what] += 1
        return answer
