"""`platform.member_facts` tells exactly what the ledger says, whoever writes at the same time and however it ends."""

import asyncio
import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from ledger_rows import NOON, Bill, insert, issue, new_id, open_account, pay, settle

Connect = Any  # the fixture of conftest.py

NOTHING = (Decimal(0), 0, None, None)

# One statement each, over many members of several facilities.
SETTLE_SOME = """
UPDATE finance.invoices SET status = 'paid', payment_date = '2026-04-20' WHERE invoice_id IN (
  SELECT invoice_id FROM finance.invoices WHERE facility_id = ANY ($1) AND status = 'open'
  ORDER BY invoice_id LIMIT $2 FOR UPDATE)
"""
PAY_CROWD = """
INSERT INTO finance.transactions
  (business_id, facility_id, user_id, amount, currency, payment_method, transaction_type, status, created_at)
SELECT f, f, u, 10, 'TRY', 'cash', 'manual_payment', 'succeeded', $3::timestamptz
FROM unnest($1::text[]) f, unnest($2::text[]) u
"""


async def _facts(connection: asyncpg.Connection, facilities: Sequence[str]) -> dict[tuple[str, str], tuple[Any, ...]]:
    rows = await connection.fetch(
        "SELECT facility_id, user_id, balance, open_invoices, oldest_open_due, last_payment_at"
        " FROM platform.member_facts WHERE facility_id = ANY ($1)",
        list(facilities),
    )
    return {(row[0], row[1]): tuple(row)[2:] for row in rows}


async def _truth(connection: asyncpg.Connection, facilities: Sequence[str]) -> dict[tuple[str, str], tuple[Any, ...]]:
    """The same facts, added up here from the plain rows."""
    debts: dict[tuple[str, str], list[tuple[Decimal, date]]] = {}
    issued = "SELECT * FROM finance.invoices WHERE facility_id = ANY ($1)"
    for row in await connection.fetch(issued, list(facilities)):
        if row["status"] == "open":
            debts.setdefault((row["facility_id"], row["user_id"]), []).append((row["total_amount"], row["due_date"]))
    payments: dict[tuple[str, str], datetime] = {}
    for row in await connection.fetch(
        "SELECT * FROM finance.transactions WHERE facility_id = ANY ($1)", list(facilities)
    ):
        if row["status"] == "succeeded" and row["transaction_type"] in ("charge", "manual_payment"):
            key = (row["facility_id"], row["user_id"])
            payments[key] = max(payments.get(key, row["created_at"]), row["created_at"])
    found: dict[tuple[str, str], tuple[Any, ...]] = {}
    for key in debts.keys() | payments.keys():
        owed = debts.get(key, [])
        total = sum((amount for amount, _ in owed), Decimal(0))
        found[key] = (total, len(owed), min((due for _, due in owed), default=None), payments.get(key))
    return found


async def _assert_facts_are_true(connection: asyncpg.Connection, facilities: Sequence[str]) -> int:
    facts, truth = await _facts(connection, facilities), await _truth(connection, facilities)
    assert {key: fact for key, fact in facts.items() if fact != NOTHING} == truth
    return len(truth)


async def test_debt_follows_invoices_through_their_life(connection: asyncpg.Connection) -> None:
    facility, user = await open_account(connection), new_id()
    key = (facility, user)
    first, second = await issue(
        connection, facility, [Bill(user, "120", date(2026, 3, 20)), Bill(user, "80.50", date(2026, 3, 15))]
    )
    assert (await _facts(connection, [facility]))[key] == (Decimal("200.50"), 2, date(2026, 3, 15), None)
    await settle(connection, [second])
    assert (await _facts(connection, [facility]))[key] == (Decimal(120), 1, date(2026, 3, 20), None)
    await connection.execute("UPDATE finance.invoices SET status = 'uncollectible' WHERE invoice_id = $1", first)
    assert (await _facts(connection, [facility]))[key] == NOTHING
    row = await connection.fetchrow(
        "SELECT status, currency, name_folded FROM platform.member_facts WHERE user_id = $1", user
    )
    assert tuple(row) == ("none", "TRY", "")


async def test_a_draft_is_no_debt_until_it_is_issued(connection: asyncpg.Connection) -> None:
    facility, user = await open_account(connection), new_id()
    amounts = {"net_amount": Decimal(90), "tax_amount": Decimal(10), "total_amount": Decimal(100)}
    scope = {"business_id": facility, "facility_id": facility, "user_id": user, "currency": "TRY"}
    draft = {"status": "draft", "due_date": date(2026, 3, 15)}
    invoice = await insert(connection, "finance.invoices", amounts | scope | draft, "invoice_id")
    assert await _facts(connection, [facility]) == {}
    await connection.execute(
        "UPDATE finance.invoices SET status = 'open', issued_on = '2026-03-01', invoice_sequence = 1"
        " WHERE invoice_id = $1",
        invoice,
    )
    assert (await _facts(connection, [facility]))[facility, user] == (Decimal(100), 1, date(2026, 3, 15), None)


async def test_last_payment_is_the_latest_that_succeeded_in_whatever_order_they_arrive(
    connection: asyncpg.Connection,
) -> None:
    facility, user = await open_account(connection), new_id()
    key = (facility, user)
    early, late, later = NOON - timedelta(days=40), NOON, NOON + timedelta(days=3)
    await pay(connection, facility, user, created_at=late)
    await pay(connection, facility, user, created_at=early)
    assert (await _facts(connection, [facility]))[key] == (Decimal(0), 0, None, late)
    pending = await pay(connection, facility, user, created_at=later, status="pending")
    await pay(connection, facility, user, created_at=later, status="failed")
    original = await pay(connection, facility, user, created_at=early)
    await pay(connection, facility, user, transaction_type="refund", original_transaction_id=original, created_at=later)
    assert (await _facts(connection, [facility]))[key][3] == late
    await connection.execute("UPDATE finance.transactions SET status = 'succeeded' WHERE transaction_id = $1", pending)
    assert (await _facts(connection, [facility]))[key][3] == later


async def test_what_mongo_projected_stays_when_money_moves(connection: asyncpg.Connection) -> None:
    facility, user = await open_account(connection), new_id()
    projected = {
        "facility_id": facility,
        "user_id": user,
        "name_folded": "ayse yilmaz",
        "status": "active",
        "birthday": 229,
    }
    await insert(connection, "platform.member_facts", projected, "user_id")
    await issue(connection, facility, [Bill(user)])
    await pay(connection, facility, user)
    row = await connection.fetchrow("SELECT * FROM platform.member_facts WHERE user_id = $1", user)
    assert projected.items() <= dict(row).items()
    assert (row["balance"], row["currency"], row["last_payment_at"]) == (Decimal(120), "TRY", NOON)


async def test_a_rolled_back_or_refused_statement_leaves_the_facts_alone(connection: asyncpg.Connection) -> None:
    facility, user = await open_account(connection), new_id()
    await issue(connection, facility, [Bill(user)])
    before = await _facts(connection, [facility])
    for _ in range(2):
        transaction = connection.transaction()
        await transaction.start()
        await issue(connection, facility, [Bill(user), Bill(new_id())])
        await pay(connection, facility, user)
        await transaction.rollback()
    with pytest.raises(asyncpg.CheckViolationError):
        await issue(connection, facility, [Bill(user), Bill(user, "-1")])
    assert await _facts(connection, [facility]) == before
    assert await _assert_facts_are_true(connection, [facility]) == 1


async def test_bulk_copies_are_counted_like_single_rows(connection: asyncpg.Connection) -> None:
    facilities = [await open_account(connection) for _ in range(2)]
    users = [new_id() for _ in range(300)]
    dice = random.Random(5)  # noqa: S311 - a seed, to fail the same way twice
    invoices, payments, sequences = [], [], dict.fromkeys(facilities, 0)
    for _ in range(4000):
        facility, user = dice.choice(facilities), dice.choice(users)
        sequences[facility] += 1
        status = dice.choice(["open", "paid", "void"])
        total = Decimal(dice.randrange(1, 100000)) / 100
        due = date(2026, 1, 1) + timedelta(days=dice.randrange(60))
        paid_on = due if status == "paid" else None
        invoices.append(
            (
                facility,
                facility,
                user,
                total,
                0,
                total,
                "TRY",
                status,
                date(2026, 1, 1),
                due,
                paid_on,
                sequences[facility],
            )
        )
        created = NOON - timedelta(hours=dice.randrange(9000))
        outcome = dice.choice(["succeeded", "failed", "pending"])
        payments.append((facility, facility, user, total, "TRY", "card", "charge", outcome, created))
    names = "business_id facility_id user_id net_amount tax_amount total_amount currency status issued_on due_date"
    await connection.copy_records_to_table(
        "invoices",
        schema_name="finance",
        columns=[*names.split(), "payment_date", "invoice_sequence"],
        records=invoices,
    )
    names = "business_id facility_id user_id amount currency payment_method transaction_type status created_at"
    await connection.copy_records_to_table(
        "transactions", schema_name="finance", columns=names.split(), records=payments
    )
    assert await _assert_facts_are_true(connection, facilities) > 500


async def test_twenty_writers_at_once_lose_nothing_and_never_deadlock(connect: Connect) -> None:
    connections = [await connect() for _ in range(20)]
    facilities = [await open_account(connections[0]) for _ in range(2)]
    users = [new_id() for _ in range(6)]
    deadlocks = 0

    async def write(connection: asyncpg.Connection, seed: int) -> None:
        nonlocal deadlocks
        dice = random.Random(seed)  # noqa: S311 - as above
        for step in range(25):
            facility = dice.choice(facilities)
            crowd = [dice.choice(users) for _ in range(dice.randrange(1, 7))]
            transaction = connection.transaction()
            await transaction.start()
            try:
                match dice.randrange(3):
                    case 0:
                        due = date(2026, 3, 1) + timedelta(days=dice.randrange(40))
                        bills = [Bill(user, str(dice.randrange(1, 99)), due) for user in crowd]
                        await issue(connection, facility, bills)
                    case 1:
                        await connection.execute(SETTLE_SOME, facilities, dice.randrange(1, 9))
                    case 2:
                        created = NOON + timedelta(minutes=dice.randrange(10000))
                        await connection.execute(PAY_CROWD, dice.sample(facilities, 2), crowd, created)
                if (seed + step) % 5 == 0:
                    await transaction.rollback()
                else:
                    await transaction.commit()
            except asyncpg.DeadlockDetectedError:
                deadlocks += 1
                await transaction.rollback()

    await asyncio.gather(*(write(connection, seed) for seed, connection in enumerate(connections)))
    assert deadlocks == 0
    assert await _assert_facts_are_true(connections[0], facilities) == 12


async def test_of_two_writers_for_one_member_the_second_counts_what_the_first_did(connect: Connect) -> None:
    first, second = await connect(), await connect()
    facility, user = await open_account(first), new_id()
    one, other, _ = await issue(first, facility, [Bill(user, "100"), Bill(user, "20"), Bill(user, "3")])
    async with first.transaction():
        await settle(first, [one])
        waiting = asyncio.create_task(settle(second, [other]))
        await asyncio.sleep(0.2)
        assert not waiting.done()
    await waiting
    assert (await _facts(first, [facility]))[facility, user] == (Decimal(3), 1, date(2026, 3, 15), None)


async def test_a_prepared_transaction_is_waited_for_then_counted(connect: Connect) -> None:
    coordinator, writer = await connect(), await connect()
    facility, user = await open_account(coordinator), new_id()
    gid = f"nexfit-test:{uuid4()}"
    await coordinator.execute("BEGIN")
    await issue(coordinator, facility, [Bill(user, "120")])
    await pay(coordinator, facility, user)
    assert await coordinator.execute(f"PREPARE TRANSACTION '{gid}'") == "PREPARE TRANSACTION"

    assert await _facts(writer, [facility]) == {}
    await writer.execute("SET lock_timeout = '200ms'")
    with pytest.raises(asyncpg.LockNotAvailableError):
        await pay(writer, facility, user)
    await writer.execute("SET lock_timeout = 0")
    waiting = asyncio.create_task(issue(writer, facility, [Bill(user, "30")]))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await coordinator.execute(f"COMMIT PREPARED '{gid}'")
    await waiting
    assert (await _facts(writer, [facility]))[facility, user] == (Decimal(150), 2, date(2026, 3, 15), NOON)
    assert await _assert_facts_are_true(writer, [facility]) == 1


async def test_a_prepared_transaction_that_is_rolled_back_never_was(connect: Connect) -> None:
    coordinator, writer = await connect(), await connect()
    facility, user = await open_account(coordinator), new_id()
    gid = f"nexfit-test:{uuid4()}"
    await coordinator.execute("BEGIN")
    await issue(coordinator, facility, [Bill(user, "120")])
    await coordinator.execute(f"PREPARE TRANSACTION '{gid}'")
    waiting = asyncio.create_task(issue(writer, facility, [Bill(user, "30")]))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await coordinator.execute(f"ROLLBACK PREPARED '{gid}'")
    (invoice,) = await waiting
    assert (await _facts(writer, [facility]))[facility, user] == (Decimal(30), 1, date(2026, 3, 15), None)
    number = await writer.fetchval("SELECT invoice_number FROM finance.invoices WHERE invoice_id = $1", invoice)
    assert number == "2026-000001"


async def test_under_repeatable_read_the_second_writer_is_told_to_retry(connect: Connect) -> None:
    first, second = await connect(), await connect()
    facility, user = await open_account(first), new_id()
    paid, _ = await issue(first, facility, [Bill(user, "120"), Bill(user, "30")])
    async with second.transaction(isolation="repeatable_read"):
        await second.fetchval("SELECT 1 FROM platform.member_facts LIMIT 1")  # the snapshot is taken here
        await settle(first, [paid])
        with pytest.raises(asyncpg.SerializationError):
            async with second.transaction():
                await second.execute(
                    "UPDATE finance.invoices SET status = 'void' WHERE user_id = $1 AND total_amount = 30", user
                )
    assert await _assert_facts_are_true(first, [facility]) == 1


async def test_a_hundred_parallel_refunds_of_ten_on_one_hundred_give_ten(connect: Connect) -> None:
    connections = [await connect() for _ in range(20)]
    facility, user = await open_account(connections[0]), new_id()
    payment = await pay(connections[0], facility, user, "100")
    row = {
        "original_transaction_id": payment,
        "business_id": facility,
        "facility_id": facility,
        "user_id": user,
        "amount": Decimal(10),
        "currency": "TRY",
        "status": "pending",
    }

    async def refund(connection: asyncpg.Connection) -> int:
        done = 0
        for _ in range(5):
            try:
                await insert(connection, "finance.refunds", row, "refund_id")
            except asyncpg.IntegrityConstraintViolationError:
                continue
            done += 1
        return done

    assert sum(await asyncio.gather(*(refund(connection) for connection in connections))) == 10


async def test_one_credit_and_fifty_parallel_requests_give_one_reservation(connect: Connect) -> None:
    connections = [await connect() for _ in range(10)]
    package = {"package_id": new_id(), "coach_id": new_id(), "client_id": new_id(), "credits": 1}
    await insert(connections[0], "finance.package_credit_ledger", package | {"entry_type": "grant"}, "entry_id")

    async def reserve(connection: asyncpg.Connection) -> int:
        done = 0
        for _ in range(5):
            entry = package | {"entry_type": "reserve", "session_id": new_id()}
            try:
                await insert(connection, "finance.package_credit_ledger", entry, "entry_id")
            except asyncpg.CheckViolationError:
                continue
            done += 1
        return done

    assert sum(await asyncio.gather(*(reserve(connection) for connection in connections))) == 1
