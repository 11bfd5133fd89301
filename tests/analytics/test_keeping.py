"""Daily figures kept while things happen equal those rebuilt from both stores, and an independent recomputation."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import orjson
import pytest
from bson import ObjectId

from nexfit.domains.analytics import charts, keeping
from nexfit.domains.analytics.figures import Happened
from nexfit.domains.analytics.keeping import rebuild, refresh
from nexfit.domains.analytics.reading import happened
from nexfit.embedded import EmbeddedServers
from nexfit.hybrid.feed_positions import transaction
from nexfit.operations import daily_figures
from nexfit.stores.change_stream import DocumentChange
from nexfit.stores.connections import Stores, open_stores
from nexfit.stores.errors import StoreError
from nexfit.stores.postgres_transactions import Isolation, PostgresTransaction
from nexfit.stores.sql import load_sql
from tests.databases import migrated

ROW = """SELECT date, new_members, active_members, total_revenue::text AS revenue, currency, class_attendance,
    subscription_renewals, subscription_cancellations, metrics::text AS metrics
  FROM finance.analytics_daily WHERE business_id = $1 ORDER BY date"""
NOW = datetime(2026, 11, 10, 9, 0, tzinfo=UTC)

SURE = ["succeeded"]
NOT_ALWAYS = [*SURE * 5, "failed"]

finance = load_sql("nexfit.domains.finance")


@dataclass(slots=True)
class Life:
    """A facility to which things happen, by plain writes into the stores; what the change feed would tell is told."""

    stores: Stores
    database: Any
    facility: ObjectId
    zone: ZoneInfo
    chance: random.Random
    people: list[str] = field(default_factory=list)
    payments: list[tuple[Any, str, Decimal, datetime]] = field(default_factory=list)
    subscriptions: list[Any] = field(default_factory=list)
    invoices: int = 0

    @property
    def key(self) -> str:
        return str(self.facility)

    async def open(self, created: datetime) -> None:
        await self.database.facilities.insert_one(
            {
                "_id": self.facility,
                "name": "Test",
                "nameFolded": "test",
                "type": "gym",
                "timezone": self.zone.key,
                "address": {},
                "createdAt": created,
                "updatedAt": created,
            }
        )
        await self.stores.postgres.fetch(
            "INSERT INTO finance.facility_accounts (facility_id, business_id, currency) VALUES ($1, $1, 'TRY')",
            self.key,
        )

    def moment(self, until: datetime) -> datetime:
        """Any minute of the last fortnight, often near a midnight."""
        if self.chance.random() < 0.4:
            day = (until - timedelta(days=self.chance.randrange(1, 14))).date()
            near = datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)
            return near + timedelta(minutes=self.chance.randrange(-3, 3))
        return until - timedelta(minutes=self.chance.randrange(14 * 1440))

    async def pays(self, at: datetime) -> None:
        id_, user, amount = uuid4(), str(ObjectId()), Decimal(self.chance.randrange(1, 90_000)) / 100
        await self.move(id_, user, amount, "manual_payment", at, None)
        self.payments.append((id_, user, amount, at))

    async def gets_back(self, at: datetime) -> None:
        if self.payments:
            payment, user, amount, _ = self.payments.pop(self.chance.randrange(len(self.payments)))
            await self.move(uuid4(), user, amount, self.chance.choice(["refund", "chargeback"]), at, payment)

    async def move(
        self, id_: Any, user: str, amount: Decimal, kind: str, at: datetime, original: Any, statuses: Any = NOT_ALWAYS
    ) -> None:
        await self.stores.postgres.fetch(
            """INSERT INTO finance.transactions (transaction_id, business_id, facility_id, user_id, amount, currency,
                 payment_method, transaction_type, status, original_transaction_id, created_at)
               VALUES ($1, $2, $2, $3, $4, 'TRY', 'cash', $5, $6, $7, $8)""",
            *(id_, self.key, user, amount, kind, self.chance.choice(statuses), original, at),
        )

    async def joins(self, at: datetime) -> None:
        """A new person, or one who was here before, gets a membership from that day on."""
        new = not self.people or self.chance.random() < 0.7
        user = str(ObjectId()) if new else self.chance.choice(self.people)
        start = at.astimezone(self.zone).date()
        status = self.chance.choice(["active"] * 6 + ["incomplete"])
        [row] = await self.stores.postgres.fetch(
            """INSERT INTO finance.subscriptions (business_id, facility_id, user_id, plan_id, status, start_date,
                 current_period_start, current_period_end, billing_cycle, amount, currency, payment_method, created_at)
               VALUES ($1, $1, $2, $3, $4, $5, $5, $6, 'month', 100, 'TRY', 'cash', $7) RETURNING subscription_id""",
            *(self.key, user, str(ObjectId()), status, start, start + timedelta(days=self.chance.randrange(1, 20)), at),
        )
        self.people.append(user)
        self.subscriptions.append(row["subscription_id"])

    async def changes(self, at: datetime) -> None:
        """A membership is prolonged and paid, shortened, cancelled, or paid for at last."""
        if not self.subscriptions:
            return
        of = self.chance.choice(self.subscriptions)
        what = self.chance.randrange(4)
        if what == 0:
            self.invoices += 1
            day = at.astimezone(self.zone).date()
            await self.stores.postgres.fetch(
                """UPDATE finance.subscriptions SET current_period_start = current_period_end,
                     current_period_end = current_period_end + 7 WHERE subscription_id = $1""",
                of,
            )
            await self.stores.postgres.fetch(
                """INSERT INTO finance.invoices (subscription_id, period_start, user_id, business_id, facility_id,
                     net_amount, tax_amount, total_amount, currency, status, issued_on, due_date, payment_date,
                     invoice_sequence)
                   SELECT subscription_id, current_period_start, user_id, business_id, facility_id, 10, 2, 12, 'TRY',
                     'paid', $2::date, $2::date, $2::date, $3
                   FROM finance.subscriptions WHERE subscription_id = $1""",
                *(of, day, self.invoices),
            )
        elif what == 1:
            await self.stores.postgres.fetch(
                """UPDATE finance.subscriptions SET current_period_end = greatest(current_period_start + 1,
                     current_period_end - 3) WHERE subscription_id = $1""",
                of,
            )
        elif what == 2:
            await self.stores.postgres.fetch(
                "UPDATE finance.subscriptions SET status = 'cancelled', cancelled_at = $2 WHERE subscription_id = $1",
                *(of, at),
            )
        else:
            await self.stores.postgres.fetch(
                """UPDATE finance.subscriptions SET status = 'active'
                   WHERE subscription_id = $1 AND status = 'incomplete'""",
                of,
            )

    async def documents(self, at: datetime) -> None:
        """A visit, a date of a class, a booking, or a change of the latter: and the feed tells of it."""
        kind = self.chance.choice(["visits", "class_bookings", "class_occurrences", "later"])
        database, id_ = self.database, ObjectId()
        changes: list[DocumentChange] = []

        def change(collection: str, operation: str, of: Any, before: Any, after: Any) -> None:
            changes.append(DocumentChange(collection, operation, of, before, after, frozenset(), at))

        if kind == "visits":
            visit = {"_id": id_, "facilityId": self.facility, "userId": ObjectId(), "at": at, "source": "front_desk"}
            await database.visits.insert_one(visit)
            change("visits", "insert", id_, None, visit)
        elif kind == "class_occurrences":
            offered = {
                "_id": id_, "classId": ObjectId(), "facilityId": self.facility, "originalStart": at, "startsAt": at,
                "endsAt": at + timedelta(hours=1), "timezone": self.zone.key, "capacity": self.chance.randrange(5, 20),
                "seatsTaken": 0, "waitlisted": 0, "status": "scheduled", "createdAt": at, "updatedAt": at,
            }  # fmt: skip
            await database.class_occurrences.insert_one(offered)
            change("class_occurrences", "insert", id_, None, offered)
        elif kind == "class_bookings":
            booking = {
                "_id": id_, "classId": ObjectId(), "occurrenceId": ObjectId(), "facilityId": self.facility,
                "userId": ObjectId(), "date": at, "status": "booked", "bookedAt": at,
            }  # fmt: skip
            await database.class_bookings.insert_one(booking)
            change("class_bookings", "insert", id_, None, booking)
        else:
            booking = await database.class_bookings.find_one({"facilityId": self.facility, "status": "booked"})
            if booking is not None:
                to = self.chance.choice(["attended", "no_show", "late_cancelled", "cancelled"])
                moved = self.moment(NOW)
                await database.class_bookings.update_one(
                    {"_id": booking["_id"]}, {"$set": {"status": to, "date": moved}}
                )
                change("class_bookings", "update", booking["_id"], booking, {**booking, "date": moved})
            date_ = await database.class_occurrences.find_one({"facilityId": self.facility})
            if date_ is not None:
                await database.class_occurrences.update_one({"_id": date_["_id"]}, {"$inc": {"capacity": 1}})
                change("class_occurrences", "update", date_["_id"], None, None)
        async with transaction(self.stores.postgres) as work:
            await daily_figures.mark(work, await daily_figures.marks_of(self.stores.mongo, changes))

    async def step(self, until: datetime) -> None:
        action = self.chance.choice(
            [self.pays, self.gets_back, self.joins, self.changes, self.documents, self.documents]
        )
        await action(self.moment(until))

    async def rows(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.stores.postgres.fetch(ROW, self.key)]

    async def recomputed(self, first: date, last: date) -> dict[date, tuple[Any, ...]]:
        """Every day by plain loops over whole tables: nothing of the code under test."""
        money: defaultdict[date, Decimal] = defaultdict(Decimal)
        count: defaultdict[date, Counter[str]] = defaultdict(Counter)

        def day_of(at: datetime) -> date:
            return at.astimezone(self.zone).date()

        async def table(name: str) -> list[Any]:
            return await self.stores.postgres.fetch(f"SELECT * FROM finance.{name} WHERE facility_id = $1", self.key)

        for row in await table("transactions"):
            if row["status"] == "succeeded":
                back = row["transaction_type"] in ("refund", "chargeback")
                money[day_of(row["created_at"])] += -row["amount"] if back else row["amount"]
        subscriptions = {row["subscription_id"]: row for row in await table("subscriptions")}
        paid_for = [row for row in subscriptions.values() if not row["status"].startswith("incomplete")]
        since: dict[str, datetime] = {}
        for row in paid_for:
            since[row["user_id"]] = min(since.get(row["user_id"], row["created_at"]), row["created_at"])
            if row["cancelled_at"]:
                count[day_of(row["cancelled_at"])]["cancelled"] += 1
        for at in since.values():
            count[day_of(at)]["new"] += 1
        for row in await table("invoices"):
            if row["status"] == "paid" and row["period_start"] > subscriptions[row["subscription_id"]]["start_date"]:
                count[row["payment_date"]]["renewed"] += 1
        for visit in await self.database.visits.find({"facilityId": self.facility}).to_list():
            count[day_of(visit["at"])]["visits"] += 1
        for booking in await self.database.class_bookings.find({"facilityId": self.facility}).to_list():
            count[day_of(booking["date"])][f"booking {booking['status']}"] += 1
        for offered in await self.database.class_occurrences.find({"facilityId": self.facility}).to_list():
            count[day_of(offered["startsAt"])]["capacity"] += offered["capacity"]
        found = {}
        for n in range((last - first).days + 1):
            day = first + timedelta(days=n)
            active = {
                row["user_id"]
                for row in paid_for
                if row["start_date"] <= day < row["current_period_end"]
                and (row["cancelled_at"] is None or day <= day_of(row["cancelled_at"]))
            }
            of = count[day]
            found[day] = (
                f"{money[day]:.2f}", of["new"], len(active), of["booking attended"], of["renewed"], of["cancelled"],
                of["visits"], of["capacity"], of["booking no_show"],
            )  # fmt: skip
        return found


@pytest.fixture(scope="module")
async def stores(servers: EmbeddedServers) -> AsyncIterator[Stores]:
    async with migrated(servers.urls) as settings, open_stores(settings) as opened:
        yield opened


async def began(stores: Stores, zone: str) -> Life:
    """A facility of its own, which began two months ago and has had nothing to do with money yet."""
    life = Life(stores, stores.mongo.database, ObjectId(), ZoneInfo(zone), random.Random(zone))  # noqa: S311
    await life.open(NOW - timedelta(days=60))
    return life


@pytest.fixture(params=["Europe/Istanbul", "Europe/Berlin", "America/St_Johns"])
async def life(request: pytest.FixtureRequest, stores: Stores) -> Life:
    return await began(stores, request.param)


def shown(rows: list[dict[str, Any]]) -> dict[date, tuple[Any, ...]]:
    found = {}
    for row in rows:
        metrics = orjson.loads(row["metrics"])
        found[row["date"]] = (
            row["revenue"], row["new_members"], row["active_members"], row["class_attendance"],
            row["subscription_renewals"], row["subscription_cancellations"], metrics["visits"], metrics["capacity"],
            metrics["noShows"],
        )  # fmt: skip
    return found


async def test_kept_equals_rebuilt_equals_recomputed_over_weeks_with_a_clock_change(life: Life) -> None:
    # From the end of October, when Berlin's and St John's clocks are set back, to the tenth of November.
    for step in range(12):
        now = NOW - timedelta(days=11 - step)
        for number in range(14):
            await life.step(now)
            if number % 5 == step % 5:  # some are marked, some were computed
                await agreed(life)
        await refresh(life.stores.mongo, life.stores.postgres, now=now)
        await agreed(life)
        assert await refresh(life.stores.mongo, life.stores.postgres, now=now) == 0
    kept = await life.rows()
    days = [row["date"] for row in kept]
    assert days == [days[0] + timedelta(days=n) for n in range(len(days))]
    assert days[-1] == NOW.astimezone(life.zone).date()
    assert shown(kept) == await life.recomputed(days[0], days[-1])
    assert sum(row["new_members"] for row in kept) > 5
    assert await rebuild(life.stores.mongo, life.stores.postgres, now=NOW, facilities=[life.facility]) == 0
    assert await life.rows() == kept
    # A rebuild repairs what somebody spoilt, and drops days of which nothing speaks.
    await life.stores.postgres.fetch(
        "UPDATE finance.analytics_daily SET total_revenue = 1, metrics = '{}' WHERE business_id = $1 AND date < $2",
        *(life.key, days[3]),
    )
    await life.stores.postgres.fetch(
        "INSERT INTO finance.analytics_daily (business_id, date, currency) VALUES ($1, '2025-01-01', 'TRY')", life.key
    )
    await agreed(life)  # days without their counts are nobody's figures
    assert await rebuild(life.stores.mongo, life.stores.postgres, now=NOW, facilities=[life.facility]) == 4
    assert await life.rows() == kept


async def agreed(life: Life) -> None:
    """Revenue is the same whether stored days are read or all movements are added up, in one snapshot."""
    zone, first, last = life.zone.key, date(2026, 10, 1), date(2026, 11, 12)
    work = await PostgresTransaction.begin(life.stores.postgres, Isolation.REPEATABLE_READ)
    try:
        for unit, begins in (("day", first), ("week", first), ("month", first), ("month", date(2026, 11, 3))):
            asked = ([life.key], [zone], begins, last, unit)
            stored = [tuple(row) for row in await work.fetch(finance.revenue, *asked)]
            assert stored == [tuple(row) for row in await work.fetch(finance.revenue_by_period, *asked)]
            assert stored
    finally:
        await work.rollback()
        await work.close()


async def test_revenue_is_taken_from_stored_days_that_no_mark_speaks_of(stores: Stores) -> None:
    life = await began(stores, "Europe/Istanbul")
    for day in (2, 3, 4):
        await life.move(uuid4(), str(ObjectId()), Decimal(10), "manual_payment", NOW - timedelta(days=day), None, SURE)
    await refresh(stores.mongo, stores.postgres, now=NOW)

    async def revenue() -> list[Decimal]:
        days = (NOW.date() - timedelta(days=5), NOW.date() - timedelta(days=1))
        rows = await stores.postgres.fetch(finance.revenue, [life.key], [life.zone.key], *days, "day")
        return [row["total"] for row in rows]

    assert await revenue() == [0, 10, 10, 10, 0]
    spoilt = "UPDATE finance.analytics_daily SET total_revenue = total_revenue + 1 WHERE business_id = $1"
    await stores.postgres.fetch(spoilt, life.key)
    assert await revenue() == [1, 11, 11, 11, 1]  # which shows where it comes from
    await life.move(uuid4(), str(ObjectId()), Decimal(7), "manual_payment", NOW - timedelta(days=3), None, SURE)
    assert await revenue() == [1, 10, 17, 10, 0]  # a mark speaks for the days beside it, too, and what follows is open
    await refresh(stores.mongo, stores.postgres, now=NOW)
    assert await revenue() == [1, 10, 17, 10, 1]


async def test_readers_beside_payments_and_computations_agree(stores: Stores) -> None:
    life = await began(stores, "Europe/Berlin")
    await life.pays(NOW - timedelta(days=1))
    await refresh(stores.mongo, stores.postgres, now=NOW)
    done = asyncio.Event()
    reads = 0

    async def pay() -> None:
        while reads < 12:
            await life.pays(life.moment(NOW))
            await life.gets_back(life.moment(NOW))

    async def compute() -> None:
        while not done.is_set():
            await refresh(stores.mongo, stores.postgres, now=NOW)

    async def read() -> None:
        nonlocal reads
        while not done.is_set():
            await agreed(life)
            reads += 1

    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(compute()), group.create_task(read())]
        await asyncio.gather(pay(), pay())
        done.set()
        await asyncio.gather(*beside)
    await refresh(stores.mongo, stores.postgres, now=NOW)
    await agreed(life)


async def test_a_computation_that_was_held_up_does_not_undo_a_later_one(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = await began(stores, "Europe/Berlin")
    await life.move(uuid4(), str(ObjectId()), Decimal(10), "manual_payment", NOW, None, SURE)
    await refresh(stores.mongo, stores.postgres, now=NOW)
    has_read, go_on = asyncio.Event(), asyncio.Event()

    async def held_up(*asked: Any) -> AsyncIterator[Happened]:
        async for event in happened(*asked):
            yield event
        has_read.set()
        await go_on.wait()

    monkeypatch.setattr(keeping, "happened", held_up)
    first = asyncio.create_task(rebuild(stores.mongo, stores.postgres, now=NOW, facilities=[life.facility]))
    await has_read.wait()
    monkeypatch.undo()
    await life.move(uuid4(), str(ObjectId()), Decimal(7), "manual_payment", NOW, None, SURE)

    async def follow() -> None:
        while True:
            try:
                await refresh(stores.mongo, stores.postgres, now=NOW)
            except StoreError:  # it does not wait for ever
                continue
            return

    second = asyncio.create_task(follow())
    await asyncio.wait([second], timeout=0.3)  # it takes its turn behind the first one
    assert not second.done()
    go_on.set()
    await asyncio.gather(first, second)
    assert (await life.rows())[-1]["revenue"] == "17.00"
    await agreed(life)


async def test_nothing_is_marked_by_what_was_not_committed(life: Life) -> None:
    await refresh(life.stores.mongo, life.stores.postgres, now=NOW)
    before = await life.rows()

    async def fails() -> None:
        async with transaction(life.stores.postgres) as work:
            await work.execute(
                """INSERT INTO finance.transactions (business_id, facility_id, user_id, amount, currency,
                     payment_method, transaction_type, status)
                   VALUES ($1, $1, $1, 5, 'TRY', 'cash', 'manual_payment', 'succeeded')""",
                life.key,
            )
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    marks = await life.stores.postgres.fetch("SELECT FROM finance.analytics_marks WHERE facility_id = $1", life.key)
    assert marks == []
    assert await refresh(life.stores.mongo, life.stores.postgres, now=NOW) == 0
    assert await life.rows() == before


async def test_charts_say_what_the_days_say(life: Life) -> None:
    for _ in range(120):
        await life.step(NOW)
    await refresh(life.stores.mongo, life.stores.postgres, now=NOW)
    rows = await life.rows()
    first, last = rows[0]["date"], rows[-1]["date"]
    for by, begin in (
        ("day", lambda day: day),
        ("week", lambda day: day - timedelta(days=day.weekday())),
        ("month", lambda day: day.replace(day=1)),
    ):
        found = (await charts.figures(life.stores.postgres, [life.key], first, last, by))[life.key]
        expected: dict[date, list[dict[str, Any]]] = {}
        for row in rows:
            expected.setdefault(begin(row["date"]), []).append(row)
        assert [period["period"] for period in found] == list(expected)
        for period in found:
            days = expected[period["period"]]
            assert period["revenue"] == sum(Decimal(day["revenue"]) for day in days)
            assert period["new_members"] == sum(day["new_members"] for day in days)
            assert period["active_members"] == days[-1]["active_members"]
            place = rows.index(days[0])
            before = rows[place - 1]["active_members"] if place else None
            gone = sum(day["subscription_cancellations"] for day in days)
            assert period["churn"] == (round(Decimal(gone) / before, 4) if before else None)


async def test_cohorts_count_who_stayed(stores: Stores) -> None:
    life = await began(stores, "Europe/Istanbul")
    for start, ends in (
        ("2026-08-03", "2026-09-03"),
        ("2026-08-31", "2026-09-30"),
        ("2026-08-10", "2026-12-01"),
        ("2026-10-05", "2026-11-10"),
    ):
        await life.stores.postgres.fetch(
            """INSERT INTO finance.subscriptions (business_id, facility_id, user_id, plan_id, status, start_date,
                 current_period_start, current_period_end, billing_cycle, amount, currency, payment_method, created_at)
               VALUES ($1, $1, $2, $3, 'expired', $4, $4, $5, 'month', 1, 'TRY', 'cash', $6)""",
            *(life.key, str(ObjectId()), str(ObjectId()), date.fromisoformat(start), date.fromisoformat(ends)),
            datetime.fromisoformat(f"{start}T00:00:00+03:00"),
        )
    zones, todays = {life.key: "Europe/Istanbul"}, {life.key: date(2026, 11, 10)}
    found = await charts.cohorts(life.stores.postgres, zones, todays, date(2026, 8, 15), date(2026, 11, 1))
    assert [(str(one["cohort"]), one["members"], one["kept"]) for one in found[life.key]] == [
        ("2026-08-01", 3, [3, 1, 1, 1]),
        ("2026-10-01", 1, [1, 0]),
    ]
    assert [str(one) for one in found[life.key][0]["retention"]] == ["1.0000", "0.3333", "0.3333", "0.3333"]
