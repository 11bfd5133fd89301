"""What another program writes into PostgreSQL reaches cached views and MongoDB's copies within a second."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from bson import ObjectId
from redis.asyncio import Redis

import nexfit
from nexfit.domains import tags
from nexfit.domains.finance import overview
from nexfit.hybrid import postgres_feed
from nexfit.hybrid.joined_views import JoinedViews, View
from nexfit.hybrid.postgres_feed import RowChange, mark_now, prune, read_on
from nexfit.hybrid.versions import GENERATION, UNFED
from nexfit.settings import Settings
from nexfit.stores.connections import Stores

from .conftest import Database, until
from .members import Member, fact, pay, somebody

SOON = 20.0
"""Seconds a change may take where the machine has much else to do; `bench feeds` measures what it does take."""

ZONE = "Europe/Istanbul"
FOREVER = View("feeds_test", 1, lifetime=300)


@asynccontextmanager
async def another(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """One more connection of another program."""
    connection = await asyncpg.connect(settings.postgres.url.get_secret_value())
    try:
        yield connection
    finally:
        await connection.close()


async def _revenue(stores: Stores, facility: str) -> Decimal:
    """This year's revenue, through the cache, as the API asks for it."""
    today = datetime.now(ZoneInfo(ZONE)).date()
    found = await overview.revenue(
        stores.postgres,
        JoinedViews(stores.redis),
        {facility: ZONE},
        date(today.year, 1, 1),
        today,
        overview.Period.MONTH,
    )
    return sum((period["total"] for period in found[facility]), Decimal(0))


@pytest.mark.usefixtures("followed")
async def test_figures_hear_of_a_payment(stores: Stores, mongo: Database, postgres: asyncpg.Connection) -> None:
    member = await somebody(mongo, status="active")
    before = await _revenue(stores, member.pair[0])
    await pay(postgres, member.pair, "12.50")

    async def is_there() -> bool:
        return await _revenue(stores, member.pair[0]) == before + Decimal("12.50")

    await until(is_there, SOON)
    calls: list[str] = []
    fetch = stores.postgres.fetch

    async def counted(sql: str, *arguments: object) -> Any:
        calls.append(sql)
        return await fetch(sql, *arguments)

    stores.postgres.fetch = counted  # type: ignore[method-assign]
    try:
        # Fed, a figure is trusted for longer than anybody looks away; a machine that stood still may need another try.
        for _ in range(4):
            assert await is_there()
            calls.clear()
            await asyncio.sleep(UNFED + 1)
            assert await is_there()
            if not calls:
                break
    finally:
        del stores.postgres.fetch  # type: ignore[method-assign]
    assert calls == []


@pytest.mark.usefixtures("followed")
async def test_a_view_of_documents_hears_of_a_script(stores: Stores, mongo: Database) -> None:
    member = await somebody(mongo, status="active")
    views = JoinedViews(stores.redis)

    async def name() -> Any:
        async def load(_: Sequence[str]) -> dict[str, Any]:
            person = await mongo.users.find_one({"_id": member.user})
            return {"a": person["lastName"]}

        return (await views.get(FOREVER, ["a"], load, tags=lambda _: [f"user:{member.user}"]))[0]

    assert await name() != "Yepyeni"
    await mongo.users.update_one({"_id": member.user}, {"$set": {"lastName": "Yepyeni"}})

    async def is_new() -> bool:
        return await name() == "Yepyeni"

    await until(is_new, SOON)


Contract = Callable[[], Awaitable[dict[str, Any]]]


def _contract(mongo: Database, member: Member) -> Contract:
    async def read() -> dict[str, Any]:
        found: dict[str, Any] = await mongo.member_subscriptions.find_one({"_id": member.contract["_id"]})
        return found

    return read


@pytest.mark.usefixtures("followed")
async def test_a_subscription_changed_at_psql_changes_its_contract_and_the_facts(
    mongo: Database, postgres: asyncpg.Connection
) -> None:
    member = await somebody(mongo, status="active", autoRenew=True)
    read = _contract(mongo, member)
    id_ = UUID(member.contract["subscriptionId"])
    await postgres.execute(
        "UPDATE finance.subscriptions SET status = 'cancelled', auto_renew = false,"
        " cancelled_at = '2026-01-02 03:04:05.6789+00', current_period_end = current_period_end + 3"
        " WHERE subscription_id = $1",
        id_,
    )

    async def is_cancelled() -> bool:
        contract, row = await read(), await fact(postgres, member.pair)
        return contract["status"] == "cancelled" and row is not None and row["status"] == "cancelled"

    await until(is_cancelled, SOON)
    contract = await read()
    assert contract["autoRenew"] is False
    assert contract["cancelledAt"] == datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    assert contract["endDate"] == member.contract["endDate"] + timedelta(days=3)
    assert contract["paymentHistory"] == member.contract["paymentHistory"]
    await postgres.execute(
        "UPDATE finance.subscriptions SET status = 'active', cancelled_at = NULL WHERE subscription_id = $1", id_
    )

    async def is_active() -> bool:
        return (await read())["status"] == "active"

    await until(is_active, SOON)
    assert "cancelledAt" not in await read()


@pytest.mark.usefixtures("followed")
async def test_a_paid_invoice_and_a_settled_payment_reach_the_contract(
    mongo: Database, postgres: asyncpg.Connection
) -> None:
    member = await somebody(mongo, status="past_due")
    read = _contract(mongo, member)
    invoice = await postgres.fetchrow(
        "SELECT * FROM finance.invoices WHERE subscription_id = $1 AND status = 'open'",
        UUID(member.contract["subscriptionId"]),
    )
    payment = await pay(postgres, member.pair, str(invoice["total_amount"]), status="pending")
    await postgres.execute("UPDATE finance.transactions SET status = 'succeeded' WHERE transaction_id = $1", payment)
    await postgres.execute(
        "UPDATE finance.invoices SET status = 'paid', payment_date = current_date, transaction_id = $2"
        " WHERE invoice_id = $1",
        *(invoice["invoice_id"], payment),
    )

    async def is_repeated() -> bool:
        history = (await read())["paymentHistory"]
        return any(one["transactionId"] == str(payment) and one["status"] == "succeeded" for one in history)

    await until(is_repeated, SOON)
    history = (await read())["paymentHistory"]
    assert [one["date"] for one in history] == sorted(one["date"] for one in history)
    assert len(history) == len(member.contract["paymentHistory"]) + 1
    assert history[-1]["amount"].to_decimal() == invoice["total_amount"]


@pytest.mark.usefixtures("followed")
async def test_a_subscription_without_a_contract_gets_one_where_everybody_is_known(
    mongo: Database, postgres: asyncpg.Connection
) -> None:
    member = await somebody(mongo, status="cancelled")
    known, unknown = uuid4(), uuid4()
    for id_, user in ((known, member.pair[1]), (unknown, str(ObjectId()))):
        await postgres.execute(
            "INSERT INTO finance.subscriptions SELECT (jsonb_populate_record(s, jsonb_build_object("
            "'subscription_id', $2::uuid, 'user_id', $3::text, 'status', 'incomplete'))).*"
            " FROM finance.subscriptions s WHERE subscription_id = $1",
            *(UUID(member.contract["subscriptionId"]), id_, user),
        )

    async def is_there() -> bool:
        return await mongo.member_subscriptions.count_documents({"subscriptionId": str(known)}) == 1

    await until(is_there, SOON)
    await asyncio.sleep(0.3)
    assert await mongo.member_subscriptions.count_documents({"subscriptionId": str(unknown)}) == 0
    await postgres.execute("DELETE FROM finance.subscriptions WHERE subscription_id = ANY ($1)", [known, unknown])
    await mongo.member_subscriptions.delete_one({"subscriptionId": str(known)})


async def _seen(stores: Stores, since: postgres_feed.Mark) -> tuple[set[tuple[str, str]], postgres_feed.Mark]:
    found = await read_on(stores.postgres, since)
    assert found.changes is not None
    return {(one.relation, str(one.user_id)) for one in found.changes}, found.mark


@pytest.mark.parametrize("prepared", [False, True], ids=["open", "prepared"])
async def test_what_commits_late_is_neither_skipped_nor_waited_for(
    settings: Settings, stores: Stores, mongo: Database, postgres: asyncpg.Connection, prepared: bool
) -> None:
    early, late, next_one = [(await somebody(mongo)).pair for _ in range(3)]
    mark = await mark_now(stores.postgres)
    async with another(settings) as other:
        await other.execute("BEGIN")
        await pay(other, late)
        if prepared:
            await other.execute("PREPARE TRANSACTION 'late'")
        await pay(postgres, early)
        seen, mark = await _seen(stores, mark)
        assert seen == {("finance.transactions", early[1])}
        assert await _seen(stores, mark) == (set(), mark)
        await pay(postgres, next_one)
        seen, mark = await _seen(stores, mark)
        assert seen == {("finance.transactions", next_one[1])}
        await prune(stores.postgres, [mark])
        await other.execute("COMMIT PREPARED 'late'" if prepared else "COMMIT")
    seen, mark = await _seen(stores, mark)
    assert seen == {("finance.transactions", late[1])}
    assert (await _seen(stores, mark))[0] == set()


async def test_nothing_is_lost_or_told_twice_among_many_writers(
    settings: Settings, stores: Stores, mongo: Database
) -> None:
    members = [member.pair async for member in _members(mongo, 8)]
    mark = await mark_now(stores.postgres)
    written: set[str] = set()
    done = asyncio.Event()

    async def write(number: int) -> None:
        async with another(settings) as connection:
            for round_ in range(25):
                plan = f"{number:012x}{round_:012x}"
                await connection.execute("BEGIN")
                await connection.execute(
                    "INSERT INTO platform.changes (relation, facility_id, plan_id) VALUES ('test', $1, $2)",
                    *(members[number][0], plan),
                )
                await asyncio.sleep(0.001 * (number * 7 % 5))
                if round_ % 5 == 4:
                    await connection.execute("ROLLBACK")
                    continue
                written.add(plan)
                if round_ % 5 == 3:
                    await connection.execute(f"PREPARE TRANSACTION '{plan}'")
                    await asyncio.sleep(0.01)
                    await connection.execute(f"COMMIT PREPARED '{plan}'")
                else:
                    await connection.execute("COMMIT")

    told: list[str] = []

    async def read() -> None:
        nonlocal mark
        while True:
            was_done = done.is_set()
            found = await read_on(stores.postgres, mark)
            assert found.changes is not None
            assert found.rows == len(found.changes)
            told.extend(str(one.plan_id) for one in found.changes if one.relation == "test")
            mark = found.mark
            await prune(stores.postgres, [mark])
            if was_done:
                return

    reading = asyncio.create_task(read())
    await asyncio.gather(*map(write, range(8)))
    done.set()
    await reading
    assert sorted(told) == sorted(written)
    left = await stores.postgres.fetch("SELECT count(*) AS rows FROM platform.changes")
    assert left[0]["rows"] == 0


async def _members(mongo: Database, count: int) -> AsyncIterator[Member]:
    for _ in range(count):
        yield await somebody(mongo)


async def test_every_way_to_write_is_logged(
    settings: Settings, stores: Stores, mongo: Database, postgres: asyncpg.Connection
) -> None:
    one, other = (await somebody(mongo)).pair, (await somebody(mongo)).pair
    transactions, subscriptions = "finance.transactions", "finance.subscriptions"

    async def logged(mark: postgres_feed.Mark) -> set[RowChange]:
        found = await read_on(stores.postgres, mark)
        assert found.changes is not None
        return {*found.changes}

    mark = await mark_now(stores.postgres)
    columns = (
        "business_id",
        "facility_id",
        "user_id",
        "amount",
        "currency",
        "payment_method",
        "transaction_type",
        "status",
    )
    records = [
        (pair[0], *pair, 5, "TRY", "cash", "manual_payment", "pending") for pair in (one, other) for _ in range(40)
    ]
    await postgres.copy_records_to_table("transactions", schema_name="finance", records=records, columns=columns)
    both = {RowChange(transactions, *pair, None) for pair in (one, other)}
    assert await logged(mark) == both
    mark = await mark_now(stores.postgres)
    await postgres.execute(
        "UPDATE finance.transactions SET status = 'cancelled' WHERE status = 'pending' AND amount = 5"
    )
    assert await logged(mark) == both
    mark = await mark_now(stores.postgres)
    await postgres.execute("BEGIN; SAVEPOINT a")
    await pay(postgres, one)
    await postgres.execute("ROLLBACK TO a")
    await pay(postgres, other)
    await postgres.execute("COMMIT")
    assert await logged(mark) == {RowChange(transactions, *other, None)}
    mark = await mark_now(stores.postgres)
    row = await postgres.fetchrow("SELECT * FROM finance.subscriptions WHERE user_id = $1", one[1])
    moved = "UPDATE finance.subscriptions SET plan_id = $2 WHERE subscription_id = $1"
    async with postgres.transaction():
        await postgres.execute(moved, row["subscription_id"], "a" * 24)
    assert await logged(mark) == {
        RowChange(subscriptions, *one, row["plan_id"]),
        RowChange(subscriptions, *one, "a" * 24),
    }
    await postgres.execute(moved, row["subscription_id"], row["plan_id"])
    logs = await postgres.fetch(
        "SELECT DISTINCT tgrelid::regclass::text AS name FROM pg_trigger WHERE tgname = 'log_insert'"
    )
    assert {row["name"] for row in logs if "_2" not in row["name"] and "default" not in row["name"]} == {*tags.ROWS}
    for table in tags.ROWS:  # which no trigger logs
        with pytest.raises(asyncpg.RestrictViolationError):
            await postgres.execute(f"TRUNCATE {table} CASCADE")


def test_every_tag_that_something_is_kept_under_is_raised_for_strangers_changes_too() -> None:
    def shape(tag: str) -> str:
        return re.sub(r"\{[^}]*\}", "{}", tag)

    package = Path(nexfit.__file__).parent
    used = {
        shape(tag)
        for file in package.rglob("*.py")
        if file != Path(tags.__file__)
        for tag in re.findall(r'"((?:user|facility|plan|class):\{[^}"]+\}(?::[a-z]+)?)"', file.read_text())
    }
    raised = {shape(tag) for some in (*tags.DOCUMENTS.values(), *tags.ROWS.values(), tags.MEMBER_FACTS) for tag in some}
    assert {"facility:{}:money", "facility:{}:classes", "plan:{}:subscribers", "user:{}"} <= used
    assert used <= raised


async def test_many_changes_at_once_are_told_as_anything(stores: Stores, postgres: asyncpg.Connection) -> None:
    mark = await mark_now(stores.postgres)
    await postgres.execute(
        "INSERT INTO platform.changes (relation, facility_id) SELECT 'test', lpad(n::text, 24, '0')"
        " FROM generate_series(1, 20001) n"
    )
    found = await read_on(stores.postgres, mark)
    assert found.changes is None
    assert (await read_on(stores.postgres, found.mark)).changes == ()
    await prune(stores.postgres, [found.mark])


async def test_a_mark_of_another_history_is_refused(stores: Stores) -> None:
    mark = await mark_now(stores.postgres)
    with pytest.raises(postgres_feed.LogLost):
        await read_on(stores.postgres, postgres_feed.Mark(mark.snapshot, "0/00000001"))
    with pytest.raises(postgres_feed.LogLost):
        await read_on(stores.postgres, postgres_feed.Mark("9000000000:9000000000:", mark.server))


@pytest.mark.usefixtures("followed")
async def test_whoever_loses_the_session_begins_anew(cache: Redis, postgres: asyncpg.Connection) -> None:
    before = await cache.get(GENERATION)
    assert await postgres.fetchval(
        "SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'nexfit' AND query LIKE '%platform.changes%'"
    )

    async def is_another() -> bool:
        return await cache.get(GENERATION) not in (None, before)

    await until(is_another)


@pytest.mark.usefixtures("followed")
async def test_views_outlive_a_flush_and_are_never_what_they_were_before(
    stores: Stores, mongo: Database, postgres: asyncpg.Connection, cache: Redis
) -> None:
    member = await somebody(mongo, status="active")
    before = await _revenue(stores, member.pair[0])
    for number in range(1, 6):
        await cache.flushdb()
        await pay(postgres, member.pair, "1")

        async def is_there(number: int = number) -> bool:
            return await _revenue(stores, member.pair[0]) == before + number

        await until(is_there, SOON)
