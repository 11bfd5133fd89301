"""The reconciler finds each kind of disagreement, repairs what has an owner, and takes no change on its way for one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from bson import ObjectId

from nexfit.domains.memberships import mirror
from nexfit.embedded import EmbeddedServers
from nexfit.operations.reconcile import reconcile
from nexfit.operations.reconcile.metrics import DRIFT
from nexfit.operations.reconcile.references import REFERENCES
from nexfit.settings import Settings
from nexfit.stores.connections import Stores

from .conftest import REDIS_DATABASE, Database, following, now, seeded, until
from .members import Member, fact, pay, somebody, told_by_rows, told_by_stores, visit


@pytest.fixture(scope="module")
async def settings(servers: EmbeddedServers) -> AsyncIterator[Settings]:
    """Settings of fresh stores."""
    async with seeded(servers.urls, REDIS_DATABASE + 1) as made:
        yield made


async def test_fresh_demo_data_agrees(stores: Stores) -> None:
    seen: list[tuple[str, int]] = []
    report = await reconcile(stores, repair=False, settle=0, on_progress=lambda *step: seen.append(step))
    assert report.drift == {}
    assert report.found == report.left == report.rebuilt == 0
    assert all(count > 0 for count in report.checked.values())
    assert [name for name, _ in dict(seen).items()] == [*report.checked]
    assert dict(seen) == report.checked


async def _facts_differ(mongo: Database, postgres: asyncpg.Connection) -> None:
    member = await somebody(mongo, status="active")
    await postgres.execute(
        "UPDATE platform.member_facts SET status = 'expired', name_folded = 'nobody' WHERE user_id = $1", member.pair[1]
    )


async def _facts_missing(mongo: Database, postgres: asyncpg.Connection) -> None:
    member = await somebody(mongo, status="active")
    # Nobody's money was moved, so only the contract speaks for the row.
    contract = member.contract | {
        "_id": ObjectId(),
        "facilityId": (await mongo.facilities.find_one({"_id": {"$ne": member.facility}}))["_id"],
        "subscriptionId": "00000000-0000-7000-8000-00000000000a",
        "paymentHistory": [],
    }
    await mongo.member_subscriptions.insert_one(contract)
    await _as_subscription(postgres, member, contract)


async def _as_subscription(postgres: asyncpg.Connection, model: Member, contract: dict[str, object]) -> None:
    """Sell the contract in PostgreSQL, too: like the model's."""
    await postgres.execute(
        "INSERT INTO finance.subscriptions SELECT (jsonb_populate_record(s, jsonb_build_object("
        "'subscription_id', $2::uuid, 'facility_id', $3::text, 'business_id', $3::text))).*"
        " FROM finance.subscriptions s WHERE subscription_id = $1",
        UUID(model.contract["subscriptionId"]),
        UUID(str(contract["subscriptionId"])),
        str(contract["facilityId"]),
    )


async def _facts_surplus(mongo: Database, postgres: asyncpg.Connection) -> None:
    facility, owner = await mongo.facilities.find_one(), await mongo.users.find_one({"role": "gym_owner"})
    await postgres.execute(
        "INSERT INTO platform.member_facts (facility_id, user_id, status) VALUES ($1, $2, 'active')",
        *(str(facility["_id"]), str(owner["_id"])),
    )


async def _money_differs(mongo: Database, postgres: asyncpg.Connection) -> None:
    member = await somebody(mongo, status="past_due")
    await postgres.execute(
        "UPDATE platform.member_facts SET balance = balance + 1, last_payment_at = NULL WHERE user_id = $1",
        member.pair[1],
    )


async def _money_missing(mongo: Database, postgres: asyncpg.Connection) -> None:
    member = await somebody(mongo, status="active")
    elsewhere = str((await mongo.facilities.find_one({"_id": {"$ne": member.facility}}))["_id"])
    await pay(postgres, (elsewhere, member.pair[1]))
    await postgres.execute(
        "DELETE FROM platform.member_facts WHERE facility_id = $1 AND user_id = $2", elsewhere, member.pair[1]
    )


async def _contract_status(mongo: Database, postgres: asyncpg.Connection) -> None:
    member = await somebody(mongo, status="active")
    await mongo.member_subscriptions.update_one({"_id": member.contract["_id"]}, {"$set": {"status": "frozen"}})
    await postgres.execute("UPDATE platform.member_facts SET status = 'frozen' WHERE user_id = $1", member.pair[1])


async def _contract_differs(mongo: Database, postgres: asyncpg.Connection) -> None:
    member = await somebody(mongo, status="active")
    await mongo.member_subscriptions.update_one(
        {"_id": member.contract["_id"]},
        {"$inc": {"paymentHistory.0.amount": 1}, "$set": {"endDate": datetime(2099, 1, 1, tzinfo=UTC)}},
    )


async def _contract_missing(mongo: Database, postgres: asyncpg.Connection) -> None:
    member = await somebody(mongo, status="expired")
    await mongo.member_subscriptions.delete_one({"_id": member.contract["_id"]})
    await postgres.execute(
        "UPDATE platform.member_facts SET status = 'none', plan_id = NULL, joined_at = NULL WHERE user_id = $1",
        member.pair[1],
    )


async def _contract_orphaned(mongo: Database, postgres: asyncpg.Connection) -> None:
    member = await somebody(mongo, status="cancelled")
    orphan = member.contract | {"_id": ObjectId(), "subscriptionId": "00000000-0000-7000-8000-00000000000b"}
    await mongo.member_subscriptions.insert_one(orphan)


async def _name_wrong(mongo: Database, postgres: asyncpg.Connection) -> None:
    found = await mongo.class_occurrences.find_one({"instructor": {"$exists": True}})
    await mongo.class_occurrences.update_one({"_id": found["_id"]}, {"$set": {"instructor.name": "Somebody Else"}})


async def _counters_wrong(mongo: Database, postgres: asyncpg.Connection) -> None:
    date = await mongo.class_occurrences.find_one({"seatsTaken": {"$gt": 0}, "status": "scheduled"})
    wrong = {"seatsTaken": -1, "waitlisted": 2}
    await mongo.class_occurrences.update_one({"_id": date["_id"]}, {"$inc": wrong})


SEEDED = {
    "facts.differ": _facts_differ,
    "facts.missing": _facts_missing,
    "facts.surplus": _facts_surplus,
    "money.differs": _money_differs,
    "money.missing": _money_missing,
    "contracts.status": _contract_status,
    "contracts.differ": _contract_differs,
    "contracts.missing": _contract_missing,
    "contracts.orphaned": _contract_orphaned,
    "names.instructor": _name_wrong,
    "counters.seats": _counters_wrong,
}


@pytest.mark.parametrize("kind", SEEDED)
async def test_each_kind_of_drift_is_found_and_repaired(
    stores: Stores, mongo: Database, postgres: asyncpg.Connection, kind: str
) -> None:
    await SEEDED[kind](mongo, postgres)
    seen = await reconcile(stores, repair=False, settle=0)
    assert kind in seen.drift
    assert (seen.drift[kind].found, seen.drift[kind].repaired, len(seen.drift[kind].examples)) == (1, 0, 1)
    again = await reconcile(stores, repair=False, settle=0)
    assert again.drift == seen.drift  # looking changes nothing
    assert DRIFT.labels(kind)._value.get() == 1
    repaired = await reconcile(stores, repair=True, settle=0)
    assert repaired.drift[kind].repaired == 1
    assert repaired.left == 0
    after = await reconcile(stores, repair=False, settle=0)
    assert after.drift == {}
    assert [sample for metric in DRIFT.collect() for sample in metric.samples] == []
    assert await told_by_rows(postgres) == await told_by_stores(mongo, postgres, now())


async def test_seats_that_were_given_twice_are_told_and_left_to_people(stores: Stores, mongo: Database) -> None:
    date = await mongo.class_occurrences.find_one({"seatsTaken": {"$gt": 1}, "status": "scheduled"})
    one = {"_id": date["_id"]}
    await mongo.class_occurrences.update_one(one, {"$set": {"capacity": 1, "seatsTaken": 1}})
    found = await reconcile(stores, repair=True, settle=0)
    assert {kind: (drift.found, drift.repaired) for kind, drift in found.drift.items()} == {"counters.oversold": (1, 0)}
    await mongo.class_occurrences.update_one(one, {"$set": {"capacity": date["capacity"]}})
    repaired = await reconcile(stores, repair=True, settle=0)
    assert (repaired.drift["counters.seats"].repaired, repaired.left) == (1, 0)
    assert (await mongo.class_occurrences.find_one(one))["seatsTaken"] == date["seatsTaken"]


async def test_references_that_lead_nowhere_are_told_and_left_to_people(
    stores: Stores, mongo: Database, postgres: asyncpg.Connection
) -> None:
    facility = str((await mongo.facilities.find_one())["_id"])
    stranger = str(ObjectId())
    await pay(postgres, (facility, stranger))
    plan = await mongo.memberships.find_one()
    await mongo.memberships.delete_one({"_id": plan["_id"]})
    found = await reconcile(stores, repair=True, settle=0)
    kinds = {"references.finance.transactions.user_id", "references.platform.member_facts.user_id"}
    held = {
        f"references.finance.{table}.plan_id"
        for table in ("subscriptions", "purchases")
        if await postgres.fetchval(f"SELECT EXISTS (SELECT FROM finance.{table} WHERE plan_id = $1)", str(plan["_id"]))
    }
    assert "references.finance.subscriptions.plan_id" in held
    assert {*found.drift} == kinds | held
    assert found.left == found.found == len(kinds | held)
    (example,) = found.drift["references.finance.transactions.user_id"].examples
    assert stranger in example
    assert "users has no such document; 1 rows name it" in example
    await mongo.memberships.insert_one(plan)
    assert {*(await reconcile(stores, repair=True, settle=0)).drift} == kinds
    await mongo.users.insert_one(
        await mongo.users.find_one({"role": "coach"})
        | {"_id": ObjectId(stranger), "email": "x@demo.nexfit.app", "emailNormalized": "x@demo.nexfit.app"}
    )
    assert {*(await reconcile(stores, repair=True, settle=0)).drift} == {"facts.differ"}  # the name


NO_REFERENCES = {
    *("finance.audit_logs.facility_id", "finance.audit_logs.user_id", "finance.outbox.facility_id"),
    *("finance.idempotency_keys.actor_id", "platform.changes.facility_id", "platform.changes.user_id"),
    *("platform.changes.plan_id", "platform.member_facts.plan_id"),
    *("finance.till_counts.counted_by", "shop.guest_sessions.claimed_by"),
    *("platform.member_notes.author_id", "platform.member_tags.tagged_by"),
    *("platform.notices.user_id", "platform.notices.facility_id", "platform.notices.occurrence_id"),
    "finance.purchases.enrolment_id",  # a program that was given back has none any more
    # Derived by triggers from rows that are compared.
    *("finance.document_counters.business_id", "finance.transaction_keys.business_id"),
    *("finance.audit_logs.chain", "finance.audit_chains.chain"),
    "finance.package_balances.package_id",
    # What refers to packages are rows of PostgreSQL themselves.
    *("finance.coaching_packages.package_id", "finance.package_credit_ledger.package_id"),
}
"""Ids that tell of the past, or are compared as facts."""


async def test_every_column_of_ids_is_compared_or_said_not_to_be(postgres: asyncpg.Connection) -> None:
    rows = await postgres.fetch(
        "SELECT a.attrelid::regclass::text || '.' || a.attname AS name"
        " FROM pg_attribute a JOIN pg_class r ON r.oid = a.attrelid JOIN pg_namespace n ON n.oid = r.relnamespace"
        " WHERE a.atttypid = 'varchar'::regtype AND a.atttypmod = 24 + 4 AND r.relkind IN ('r', 'p')"
        "  AND NOT r.relispartition AND n.nspname IN ('finance', 'platform', 'shop')"
        "  AND NOT EXISTS (SELECT FROM pg_constraint c"
        "    WHERE c.conrelid = r.oid AND c.contype = 'f' AND a.attnum = ANY (c.conkey))"
    )
    compared = {f"{one.table}.{one.column}" for one in REFERENCES}
    assert {row["name"] for row in rows} == compared | NO_REFERENCES
    assert compared & NO_REFERENCES == set()


async def test_many_of_a_kind_are_counted_and_five_shown(
    stores: Stores, mongo: Database, postgres: asyncpg.Connection
) -> None:
    await postgres.execute("UPDATE platform.member_facts SET plan_id = NULL WHERE plan_id IS NOT NULL")
    rows = await postgres.fetchval("SELECT count(*) FROM platform.member_facts WHERE status <> 'none'")
    report = await reconcile(stores, repair=True, settle=0)
    assert report.drift["facts.differ"].found == report.drift["facts.differ"].repaired == rows > 20
    assert len(report.drift["facts.differ"].examples) == 5
    names = {person["lastName"] async for person in mongo.users.find({}, {"lastName": 1})}
    assert not any(name in example for name in names for example in report.drift["facts.differ"].examples)


async def test_a_commit_in_doubt_is_no_drift(stores: Stores, mongo: Database, postgres: asyncpg.Connection) -> None:
    member = await somebody(mongo, status="cancelled")
    contract = member.contract | {
        "_id": ObjectId(),
        "subscriptionId": "00000000-0000-7000-8000-00000000000c",
        "status": "cancelled",
        "paymentHistory": [],
        "facilityId": (await mongo.facilities.find_one({"_id": {"$ne": member.facility}}))["_id"],
        "updatedAt": now(),
    }
    changed = await somebody(mongo, status="active")
    await postgres.execute("BEGIN")
    await _as_subscription(postgres, member, contract)
    await postgres.execute(
        "UPDATE finance.subscriptions SET status = 'frozen' WHERE subscription_id = $1",
        UUID(changed.contract["subscriptionId"]),
    )
    await postgres.execute("PREPARE TRANSACTION 'nexfit:in-doubt'")
    await mongo.member_subscriptions.insert_one(contract)
    await mongo.member_subscriptions.update_one({"_id": changed.contract["_id"]}, {"$set": {"status": "frozen"}})
    report = await reconcile(stores, repair=True, settle=0)
    assert {*report.drift} <= {"facts.missing", "facts.differ"}
    await postgres.execute("COMMIT PREPARED 'nexfit:in-doubt'")
    assert (await reconcile(stores, repair=True, settle=0)).drift == {}
    assert await mongo.member_subscriptions.count_documents({"_id": contract["_id"], "status": "cancelled"}) == 1
    assert (await mongo.member_subscriptions.find_one({"_id": changed.contract["_id"]}))["status"] == "frozen"


async def test_a_commit_that_ends_while_it_is_looked_at_is_no_drift(
    stores: Stores, mongo: Database, postgres: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await somebody(mongo, status="active")
    await postgres.execute("BEGIN")
    await postgres.execute(
        "UPDATE finance.subscriptions SET status = 'frozen' WHERE subscription_id = $1",
        UUID(member.contract["subscriptionId"]),
    )
    await postgres.execute("PREPARE TRANSACTION 'nexfit:ends'")
    await mongo.member_subscriptions.update_one({"_id": member.contract["_id"]}, {"$set": {"status": "frozen"}})
    fetch, ended = stores.postgres.fetch, False

    async def ends_behind_the_subscriptions(sql: str, *arguments: object) -> list[asyncpg.Record]:
        nonlocal ended
        found = await fetch(sql, *arguments)
        if "current_period_end" in sql and not ended:
            ended = True
            await postgres.execute("COMMIT PREPARED 'nexfit:ends'")
        return found

    monkeypatch.setattr(stores.postgres, "fetch", ends_behind_the_subscriptions)
    assert await mirror.discrepancies(stores.postgres, stores.mongo, [member.pair]) == []
    assert ended
    assert await mirror.discrepancies(stores.postgres, stores.mongo, [member.pair]) == []


@asynccontextmanager
async def _writers(settings: Settings, mongo: Database) -> AsyncIterator[list[str]]:
    """Four programs that write into both stores while the block runs; answers what they have done."""
    done: list[str] = []
    living = {"status": {"$in": ["active", "frozen", "past_due"]}}
    contracts = [contract async for contract in mongo.member_subscriptions.find(living)]

    async def write(number: int) -> None:
        chance = random.Random(number)  # noqa: S311
        connection = await asyncpg.connect(settings.postgres.url.get_secret_value())
        try:
            while True:
                contract = chance.choice(contracts)
                member = Member(contract["facilityId"], contract["userId"], contract)
                what = chance.choice(("visit", "unvisit", "pay", "status", "name"))
                match what:
                    case "visit":
                        await visit(mongo, member, now() - timedelta(seconds=chance.randrange(3600)))
                    case "unvisit":
                        await mongo.visits.find_one_and_delete({"userId": member.user}, sort=[("at", -1)])
                    case "pay":
                        await pay(connection, member.pair)
                    case "status":
                        await connection.execute(
                            "UPDATE finance.subscriptions SET status = $2 WHERE subscription_id = $1",
                            *(UUID(contract["subscriptionId"]), chance.choice(("active", "frozen", "past_due"))),
                        )
                    case "name":
                        name = f"name{chance.randrange(1000)}"
                        await mongo.users.update_one(
                            {"_id": member.user}, {"$set": {"lastName": name, "nameFolded": f"a {name}"}}
                        )
                done.append(what)
                await asyncio.sleep(0.02)
        finally:
            await connection.close()

    writers = [asyncio.create_task(write(number)) for number in range(4)]
    try:
        yield done
    finally:
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)


async def _at_rest(mongo: Database, postgres: asyncpg.Connection) -> None:
    """The contracts become what PostgreSQL says, and the facts what the stores say, without anybody's help."""

    async def mirrored() -> bool:
        rows = await postgres.fetch("SELECT subscription_id, status FROM finance.subscriptions")
        contracts = {one["subscriptionId"]: one["status"] async for one in mongo.member_subscriptions.find()}
        return {str(row["subscription_id"]): row["status"] for row in rows} == contracts

    async def projected() -> bool:
        return await told_by_rows(postgres) == await told_by_stores(mongo, postgres, now())

    await until(mirrored)
    await until(projected)


async def test_four_writers_and_then_rest(
    settings: Settings, stores: Stores, mongo: Database, postgres: asyncpg.Connection
) -> None:
    async with following(settings):
        async with _writers(settings, mongo) as done:
            await asyncio.sleep(3)
            while_they_write = await reconcile(stores, repair=False)
        assert len(done) > 100
        assert {*done} == {"visit", "unvisit", "pay", "status", "name"}
        await _at_rest(mongo, postgres)
    assert while_they_write.drift == {}
    assert (await reconcile(stores, repair=False, settle=0)).drift == {}


async def test_a_rebuild_goes_on_among_writers_and_readers(
    settings: Settings, stores: Stores, mongo: Database, postgres: asyncpg.Connection
) -> None:
    members = await postgres.fetchval("SELECT count(*) FROM platform.member_facts WHERE status <> 'none'")
    await postgres.execute("UPDATE platform.member_facts SET name_folded = 'x', last_visit_at = NULL")
    fewest = members

    async def read() -> None:
        nonlocal fewest
        while True:
            rows = await stores.postgres.fetch(
                "SELECT count(*) AS rows FROM platform.member_facts WHERE status <> 'none'"
            )
            fewest = min(fewest, rows[0]["rows"])
            await asyncio.sleep(0.002)

    async with following(settings), _writers(settings, mongo) as done:
        reading = asyncio.create_task(read())
        reports = [await reconcile(stores, repair=False, rebuild=True, settle=0.5) for _ in range(3)]
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    assert reports[0].rebuilt >= members
    assert len(done) > 50
    assert fewest == members
    async with following(settings):
        await _at_rest(mongo, postgres)


async def test_a_rebuild_repairs_everything(stores: Stores, mongo: Database, postgres: asyncpg.Connection) -> None:
    true = await told_by_stores(mongo, postgres, now())
    member = await somebody(mongo, status="active")
    await postgres.execute("DELETE FROM platform.member_facts WHERE user_id = $1", member.pair[1])
    await postgres.execute(
        "UPDATE platform.member_facts SET name_folded = '', status = 'none', plan_id = NULL, balance = 0,"
        " open_invoices = 0, oldest_open_due = NULL, currency = NULL, last_payment_at = NULL, birthday = NULL"
    )
    report = await reconcile(stores, repair=False, rebuild=True, settle=0)
    assert report.rebuilt >= len(true)
    assert report.drift == {}
    assert await told_by_rows(postgres) == true
    assert await fact(postgres, member.pair) is not None
