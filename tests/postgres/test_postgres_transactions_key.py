"""What `docs/decisions/0002-transactions-key.md` promises of the key table beside the partitioned ledger."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from ledger_rows import NOON, Bill, issue, new_id, open_account, pay, settle

OTHER_MONTH = NOON + timedelta(days=60)


async def test_ids_provider_references_and_idempotency_keys_are_unique_over_all_months(
    connection: asyncpg.Connection,
) -> None:
    facility, other, user = await open_account(connection), await open_account(connection), new_id()
    id_, reference, key = uuid4(), f"ch_{uuid4()}", str(uuid4())
    names = {"provider": "local", "provider_reference": reference, "idempotency_key": key, "transaction_id": id_}
    await pay(connection, facility, user, **names)
    for same, constraint in (
        ({"transaction_id": id_}, "transaction_keys_pkey"),
        ({"provider": "local", "provider_reference": reference}, "transaction_keys_provider_reference_key"),
        ({"idempotency_key": key}, "transaction_keys_idempotency_key"),
    ):
        with pytest.raises(asyncpg.UniqueViolationError) as refusal:
            await pay(connection, facility, user, **same, created_at=OTHER_MONTH)
        assert refusal.value.constraint_name == constraint
    await pay(connection, facility, user, provider="another", provider_reference=reference)
    await pay(connection, other, user, idempotency_key=key)


async def test_a_reference_that_arrives_later_is_unique_too_and_stays(connection: asyncpg.Connection) -> None:
    facility, user, reference = await open_account(connection), new_id(), f"ch_{uuid4()}"
    first = await pay(connection, facility, user, status="pending", created_at=OTHER_MONTH)
    second = await pay(connection, facility, user, status="pending")
    learn = """UPDATE finance.transactions SET provider = 'local', provider_reference = $2, status = 'unknown'
               WHERE transaction_id = $1"""
    await connection.execute(learn, first, reference)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(learn, second, reference)
    with pytest.raises(asyncpg.RestrictViolationError):
        await connection.execute(learn, first, "ch_other")


async def test_invoices_and_refunds_refer_to_transactions_that_exist(connection: asyncpg.Connection) -> None:
    facility, user = await open_account(connection), new_id()
    (invoice,) = await issue(connection, facility, [Bill(user)])
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await settle(connection, [invoice], uuid4())
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await pay(connection, facility, user, transaction_type="refund", original_transaction_id=uuid4())
    await settle(connection, [invoice], await pay(connection, facility, user))


async def test_every_transaction_has_its_key_and_every_key_its_transaction(connection: asyncpg.Connection) -> None:
    facility, user = await open_account(connection), new_id()
    original, refund = uuid4(), uuid4()
    # One load that brings a refund before the payment it gives back.
    names = "transaction_id business_id facility_id user_id amount currency payment_method transaction_type status"
    rows = [
        (id_, facility, facility, user, 5, "TRY", "card", kind, "succeeded", of, NOON - timedelta(days=days))
        for id_, kind, of, days in ((refund, "refund", original, 1), (original, "charge", None, 90))
    ]
    await connection.copy_records_to_table(
        "transactions",
        schema_name="finance",
        columns=[*names.split(), "original_transaction_id", "created_at"],
        records=rows,
    )
    differing = await connection.fetchval(
        """SELECT count(*) FROM finance.transactions t FULL JOIN finance.transaction_keys k USING (transaction_id)
           WHERE (t.created_at, t.business_id, t.provider, t.provider_reference, t.idempotency_key)
             IS DISTINCT FROM (k.created_at, k.business_id, k.provider, k.provider_reference, k.idempotency_key)"""
    )
    assert differing == 0
    kept = await connection.fetchval(
        "SELECT count(*) FROM finance.transaction_keys WHERE transaction_id = ANY ($1)", [original, refund]
    )
    assert kept == 2


async def test_writing_to_a_partition_would_skip_the_key_and_is_refused(connection: asyncpg.Connection) -> None:
    payment = await pay(connection, await open_account(connection), new_id(), status="pending")
    for statement in (
        "INSERT INTO finance.transactions_2026_03 SELECT * FROM finance.transactions LIMIT 1",
        f"UPDATE finance.transactions_2026_03 SET status = 'failed' WHERE transaction_id = '{payment}'",
        "INSERT INTO finance.transactions_default SELECT * FROM finance.transactions LIMIT 1",
    ):
        with pytest.raises(asyncpg.RestrictViolationError, match="write to the partitioned table"):
            await connection.execute(statement)


async def test_an_old_month_can_be_archived_while_invoices_keep_their_reference(
    connection: asyncpg.Connection,
) -> None:
    facility, user = await open_account(connection), new_id()
    old = datetime(2024, 2, 15, tzinfo=UTC)
    payment = await pay(connection, facility, user, created_at=old)
    (invoice,) = await issue(connection, facility, [Bill(user)])
    await settle(connection, [invoice], payment)
    try:
        await connection.execute("ALTER TABLE finance.transactions DETACH PARTITION finance.transactions_2024_02")
        assert (
            await connection.fetchval("SELECT count(*) FROM finance.transactions WHERE facility_id = $1", facility) == 0
        )
        found = await connection.fetchval(
            """SELECT k.created_at FROM finance.invoices i JOIN finance.transaction_keys k USING (transaction_id)
               WHERE i.invoice_id = $1""",
            invoice,
        )
        assert found == old
        # While it is away its id, and so its idempotency, is still taken.
        with pytest.raises(asyncpg.UniqueViolationError):
            await pay(connection, facility, user, transaction_id=payment)
    finally:
        await connection.execute(
            """ALTER TABLE finance.transactions ATTACH PARTITION finance.transactions_2024_02
               FOR VALUES FROM ('2024-02-01 00:00:00+00') TO ('2024-03-01 00:00:00+00')"""
        )
    assert await connection.fetchval("SELECT count(*) FROM finance.transactions WHERE facility_id = $1", facility) == 1


async def test_the_reference_that_was_not_chosen_would_forbid_archiving(connection: asyncpg.Connection) -> None:
    facility, user = await open_account(connection), new_id()
    payment = await pay(connection, facility, user, created_at=datetime(2024, 3, 15, tzinfo=UTC))
    await connection.execute(
        """CREATE TABLE finance.other_invoices (transaction_id uuid, created_at timestamptz,
             FOREIGN KEY (transaction_id, created_at) REFERENCES finance.transactions (transaction_id, created_at))"""
    )
    try:
        await connection.execute("INSERT INTO finance.other_invoices VALUES ($1, '2024-03-15 00:00:00+00')", payment)
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await connection.execute("ALTER TABLE finance.transactions DETACH PARTITION finance.transactions_2024_03")
    finally:
        await connection.execute("DROP TABLE finance.other_invoices")


async def test_the_source_documents_reference_is_impossible(connection: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.FeatureNotSupportedError, match="partitioning columns"):
        await connection.execute("ALTER TABLE finance.transactions ADD UNIQUE (transaction_id)")
