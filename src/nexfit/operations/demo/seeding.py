"""Loads the demo into both stores: everything of PostgreSQL in one transaction, MongoDB in batches beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from typing import Protocol

from bson import ObjectId

from nexfit.domains.analytics.keeping import rebuild as rebuild_figures
from nexfit.domains.facilities import listing
from nexfit.domains.identity import coach_listing
from nexfit.domains.text import fold
from nexfit.domains.vocabulary.documents import Kind
from nexfit.operations.demo import businesses, logins, people, timetables, training
from nexfit.operations.demo import catalogue as catalogues
from nexfit.operations.demo.attendance import Attendance
from nexfit.operations.demo.businesses import Branch, Businesses, Row
from nexfit.operations.demo.calendar import Calendar, add_months, local_today
from nexfit.operations.demo.catalogue import Catalogue
from nexfit.operations.demo.chance import Chance
from nexfit.operations.demo.coaching import LEDGER_COLUMNS, PACKAGE_COLUMNS, Coaches, Coaching
from nexfit.operations.demo.content.places import CURRENCY, TIMEZONE
from nexfit.operations.demo.contracts import Contract, Histories
from nexfit.operations.demo.ledger import (
    ACCOUNT_COLUMNS,
    AUDIT_COLUMNS,
    CREDIT_NOTE_COLUMNS,
    INVOICE_COLUMNS,
    LINE_COLUMNS,
    PROGRAM_PURCHASE_COLUMNS,
    PURCHASE_COLUMNS,
    REFUND_COLUMNS,
    SUBSCRIPTION_COLUMNS,
    TRANSACTION_COLUMNS,
    Documents,
    mirrors,
    program_purchases,
    purchases,
    subscriptions,
    transactions,
)
from nexfit.operations.demo.load import HOUR, BulkConnection, Progress, Tally, bulk_transaction, copy, insert
from nexfit.operations.demo.people import Person
from nexfit.operations.demo.reviews import Reviews
from nexfit.operations.member_facts import rebuild_member_facts
from nexfit.operations.vocabulary import entries
from nexfit.stores.field_encryption import KeyRing
from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres import Postgres

FIRST_MEMBER_NUMBER = 100

MEMBERS = 300
"""Members at scale 1."""

ROWS_PER_MEMBER = 33
"""About how many rows a member makes at a large scale; the progress of a branch is measured against it."""

SECOND_HOME = {"besiktas": ("kadikoy", 5), "nefes": ("karsiyaka", 8)}
"""Facility to the facility whose members also join it, and one in how many percent of them."""

_ANALYZED = "ANALYZE finance.transactions, finance.transaction_keys, finance.subscriptions, finance.invoices, \
finance.invoice_lines, finance.analytics_daily, platform.member_facts"


class NotEmpty(Exception):
    """The stores hold data already, and a demo is never mixed with it: start over with `--reset`."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"{found} is not empty: demo data is only loaded into empty stores. "
            "`--reset` deletes everything and starts over."
        )
        self.found = found


class Stores(Protocol):
    """The stores a demo is loaded into."""

    @property
    def mongo(self) -> Mongo:
        """MongoDB."""

    @property
    def postgres(self) -> Postgres:
        """PostgreSQL."""

    @property
    def keys(self) -> KeyRing:
        """The keys of what is kept encrypted."""


@dataclass(frozen=True, slots=True)
class SeedReport:
    """What was loaded: rows by collection or `schema.table`, the day it is told on, and how long it took."""

    today: date
    members: int
    rows: Mapping[str, int]
    seconds: float


_TAG = """
INSERT INTO platform.member_tags (facility_id, user_id, tag_folded, tag, tagged_by, created_at)
  SELECT f.facility_id, f.user_id, $3, $4, o.owner_id, f.joined_at
  FROM platform.member_facts f JOIN unnest($1::text[], $2::text[]) AS o (facility_id, owner_id) USING (facility_id)
  WHERE f.joined_at IS NOT NULL AND ('x' || right(f.user_id, 7))::bit(28)::integer % 5 = $5
  RETURNING user_id
"""


async def _tag_members(stores: Stores) -> int:
    """Two tags that two fifths of the members have; how many were given."""
    found = await stores.mongo.find("facilities", {"ownerId": {"$ne": None}}, ("ownerId",))
    places = [str(facility["_id"]) for facility in found], [str(facility["ownerId"]) for facility in found]
    given = 0
    for remainder, tag in enumerate(("VIP", "Sabah")):
        given += len(await stores.postgres.fetch(_TAG, *places, fold(tag), tag, remainder))
    return given


async def seed(
    stores: Stores,
    *,
    scale: float = 1,
    seed: int = 7,
    today: date | None = None,
    on_progress: Progress | None = None,
) -> SeedReport:
    """Load the demo; one seed and one `today` (default: now in the demo's zone) make the same rows every time.

    `scale` multiplies the members, and the classes by its cube root; the facilities stay. Raises NotEmpty, KeyNotSet,
    and StoreError when a store fails: PostgreSQL is then unchanged, MongoDB needs `--reset`.
    """
    if not 0.1 <= scale <= 10_000:
        raise ValueError(f"scale {scale} is not between 0.1 and 10000")
    started = time.monotonic()
    _ = stores.keys.active
    await _refuse_filled(stores)
    calendar = Calendar(TIMEZONE, today or local_today(TIMEZONE))
    tally = Tally(on_progress)
    with stores.keys.people.in_bulk() if stores.keys.people else nullcontext():
        members = await _Loader(stores, Chance(seed), calendar, tally, scale).run(seed)
    tally.begin("member facts", members)
    tally.wrote("platform.member_facts", await rebuild_member_facts(stores, now=calendar.now))
    await listing.refresh_all(stores.mongo)
    await coach_listing.refresh_all(stores.mongo)
    tally.wrote("vocabulary", await stores.mongo.count("vocabulary", {"kind": str(Kind.COACHES)}))
    tally.wrote("platform.member_tags", await _tag_members(stores))
    yesterday = calendar.at(calendar.today - timedelta(days=1), 12 * 60)
    tally.wrote("finance.analytics_daily", await rebuild_figures(stores.mongo, stores.postgres, now=yesterday))
    await stores.postgres.fetch("DELETE FROM finance.analytics_marks")
    async with stores.postgres.connection() as connection:
        await connection.execute("SET statement_timeout = 0")
        await connection.execute(_ANALYZED, timeout=HOUR)
    tally.end()
    return SeedReport(calendar.today, members, MappingProxyType(tally.rows), time.monotonic() - started)


async def _refuse_filled(stores: Stores) -> None:
    for collection in ("users", "facilities", "exercises", "foods"):
        if await stores.mongo.find(collection, {}, (), limit=1):
            raise NotEmpty(f"the MongoDB collection {collection}")
    if await stores.postgres.fetch("SELECT 1 FROM finance.facility_accounts LIMIT 1"):
        raise NotEmpty("the PostgreSQL table finance.facility_accounts")


class _Loader:
    """Walks through the businesses branch by branch, so that memory holds one branch's history at a time."""

    def __init__(self, stores: Stores, chance: Chance, calendar: Calendar, tally: Tally, scale: float) -> None:
        self._mongo = stores.mongo
        self._postgres = stores.postgres
        self._keys = stores.keys
        self._chance = chance
        self._calendar = calendar
        self._tally = tally
        self._scale = scale
        self._copies = max(1, round(scale ** (1 / 3)))
        self._people: dict[str, list[Person]] = {}

    async def run(self, seed: int) -> int:
        """Load everything but the member facts; answers the number of members."""
        made = businesses.make(self._chance, self._calendar, self._keys)
        percent = 0
        for branch in made.branches:
            percent += branch.content.members_percent
            already = self._members()
            self._people[branch.content.key] = people.make(
                self._chance,
                self._calendar,
                branch,
                # Of the running total, so that rounding never changes how many members there are.
                round(MEMBERS * self._scale * percent / 100) - already,
                FIRST_MEMBER_NUMBER + already,
                with_client=branch is made.branches[0],
            )
        reviews = self._reviews(made)
        client = self._people[made.branches[0].content.key][0].id
        catalogue = catalogues.make(
            self._chance, self._calendar, made.people, client, reviews, self._everybody(), made.branches[0].id
        )
        await self._businesses(made, client, reviews, seed)
        await self._catalogue(catalogue)
        coaches = Coaches(self._chance, self._calendar, catalogue)
        async with bulk_transaction(self._postgres) as connection:
            await self._partitions(connection)
            opened = self._calendar.at(self._calendar.opening, 600)
            accounts = [(branch.key, branch.key, CURRENCY, opened) for branch in made.branches]
            await copy(connection, "finance.facility_accounts", ACCOUNT_COLUMNS, accounts, self._tally)
            for branch in made.branches:
                await self._branch(connection, branch, catalogue, coaches)
        return self._members()

    def _members(self) -> int:
        return sum(map(len, self._people.values()))

    def _everybody(self) -> list[Person]:
        return [person for people_there in self._people.values() for person in people_there]

    def _reviews(self, made: Businesses) -> Reviews:
        """What members say about the places they go to and the coaches there."""
        reviews = Reviews()
        coaches: dict[ObjectId, list[Person]] = {}
        for branch in made.branches:
            there = self._people[branch.content.key]
            reviews.add(self._chance, self._calendar, "facility", branch.id, there, 16)
            for entry in branch.content.staff:
                if entry.role == "coach":
                    coaches.setdefault(branch.staff_ids[entry.person], []).extend(there)
        for coach, known_to in coaches.items():
            reviews.add(self._chance, self._calendar, "coach", coach, known_to, 12)
        for user in made.users:
            reviews.rate(user)
        return reviews

    async def _insert(self, collection: str, documents: Iterable[Row]) -> None:
        await insert(self._mongo, collection, documents, self._tally)

    async def _businesses(self, made: Businesses, client: ObjectId, reviews: Reviews, seed: int) -> None:
        opened = self._calendar.at(self._calendar.opening, 600)
        credentials = logins.credentials([*made.people.values(), client], seed, opened)
        self._tally.begin("businesses", len(made.users) + len(made.facilities) + len(made.memberships))
        await self._insert("users", made.users)
        await self._insert("credentials", credentials)
        await self._insert("facilities", made.facilities)
        await self._insert("memberships", made.memberships)
        await self._insert("reviews", reviews.rows)
        self._tally.end()

    async def _catalogue(self, catalogue: Catalogue) -> None:
        self._tally.begin("exercises, foods, programs", sum(map(len, catalogue.documents.values())))
        for collection, documents in catalogue.documents.items():
            await self._insert(collection, documents)
        await self._insert("vocabulary", entries(Kind.EXERCISES, catalogue.documents["exercises"]))
        await self._insert("vocabulary", entries(Kind.FOODS, catalogue.documents["foods"]))
        self._tally.end()

    async def _partitions(self, connection: BulkConnection) -> None:
        """The months and years the demo reaches into exist already, unless it is told on an unusual day."""
        month = self._calendar.opening.replace(day=1)
        while month <= add_months(self._calendar.today, 1):
            for table, unit in (("transactions", "month"), ("audit_logs", "month"), ("analytics_daily", "year")):
                await connection.execute(
                    "SELECT platform.ensure_partition($1::text::regclass, $2, $3)", f"finance.{table}", unit, month
                )
            month = add_months(month, 1)

    async def _branch(self, connection: BulkConnection, branch: Branch, catalogue: Catalogue, coaches: Coaches) -> None:
        own = self._people[branch.content.key]
        self._tally.begin(branch.content.name, ROWS_PER_MEMBER * len(own))
        histories = Histories(self._chance, self._calendar, branch)
        contracts = [contract for person in own for contract in histories.of(person, person.joined)]
        coaching = coaches.at(branch, contracts)
        contracts += self._second_homes(branch, histories)
        # Each store computes while rows for the other one are made.
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._money(connection, branch, contracts, coaching, catalogue))
                both.create_task(self._documents(branch, own, contracts, coaching, catalogue))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        self._tally.end()

    def _second_homes(self, branch: Branch, histories: Histories) -> list[Contract]:
        """Contracts of members whose home is another facility."""
        home, percent = SECOND_HOME.get(branch.content.key, ("", 0))
        random = self._chance.stream(f"second homes:{branch.content.key}")
        found: list[Contract] = []
        for person in self._people.get(home, ()):
            if not person.is_client_login and random.random() * 100 < percent:
                joined = person.joined + (self._calendar.today - person.joined) * random.random()
                if person.joined < joined < self._calendar.today:
                    found.extend(histories.of(person, joined))
        return found

    async def _money(
        self,
        connection: BulkConnection,
        branch: Branch,
        contracts: list[Contract],
        coaching: Coaching,
        catalogue: Catalogue,
    ) -> None:
        programs = catalogue.documents["workout_programs"]
        documents = Documents(self._calendar, branch, contracts)
        for table, columns, rows in (
            ("finance.subscriptions", SUBSCRIPTION_COLUMNS, subscriptions(branch, contracts)),
            ("finance.transactions", TRANSACTION_COLUMNS, transactions(branch, contracts)),
            ("finance.invoices", INVOICE_COLUMNS, documents.invoices()),
            ("finance.invoice_lines", LINE_COLUMNS, documents.lines()),
            ("finance.purchases", PURCHASE_COLUMNS, purchases(branch, contracts)),
            ("finance.purchases", PROGRAM_PURCHASE_COLUMNS, program_purchases(branch, contracts, programs)),
            ("finance.refunds", REFUND_COLUMNS, documents.refunds()),
            ("finance.credit_notes", CREDIT_NOTE_COLUMNS, documents.credit_notes()),
            ("finance.audit_logs", AUDIT_COLUMNS, [*documents.audit(), *coaching.reads]),
            ("finance.coaching_packages", PACKAGE_COLUMNS, coaching.packages),
            ("finance.package_credit_ledger", LEDGER_COLUMNS, coaching.ledger),
        ):
            await copy(connection, table, columns, rows, self._tally)

    async def _documents(
        self, branch: Branch, own: list[Person], contracts: list[Contract], coaching: Coaching, catalogue: Catalogue
    ) -> None:
        chance, calendar = self._chance, self._calendar
        await self._insert("users", people.documents(chance, calendar, self._keys, branch, own, coaching.coach_of))
        await self._insert("member_subscriptions", mirrors(branch, contracts))
        timetable = timetables.make(chance, calendar, branch, self._copies)
        attendance = Attendance(chance, calendar, branch, contracts)
        await self._insert("classes", timetable.classes)
        await self._insert("class_bookings", attendance.bookings(timetable))
        await self._insert("class_occurrences", timetables.occurrences(calendar, branch, timetable))
        await self._insert("visits", attendance.visits())
        await self._insert("coach_clients", coaching.relations)
        await self._insert("consents", coaching.consents)
        await self._insert("pt_sessions", coaching.sessions)
        await self._insert("measurements", training.measurements(chance, calendar, self._keys, own))
        await self._insert("workout_logs", training.workout_logs(chance, calendar, own, catalogue))
        await self._insert("program_enrolments", training.enrolments(chance, calendar, own, catalogue))
