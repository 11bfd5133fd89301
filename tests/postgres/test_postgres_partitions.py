"""Partitions exist ahead of time, whatever the session's time zone, and nothing stays in a default partition."""

from datetime import UTC, date, datetime

import asyncpg
import pytest
from ledger_rows import insert, new_id, open_account, pay

from nexfit.operations import partitions
from nexfit.operations.partitions import PARTITIONED, PartitionReport

TABLES = [one.table for one in PARTITIONED]


async def test_the_migrations_cover_five_years_and_leave_the_defaults_empty(connection: asyncpg.Connection) -> None:
    await connection.execute("SET timezone = 'Pacific/Kiritimati'")
    assert await partitions.report(connection) == [PartitionReport(table, date(2029, 1, 1), 0) for table in TABLES]
    assert await partitions.ensure_ahead(connection, date(2026, 11, 22)) == []


async def test_a_row_lies_in_the_partition_of_its_month_in_utc(connection: asyncpg.Connection) -> None:
    facility = await open_account(connection)
    for created, partition in (
        (datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC), "finance.transactions_2026_03"),
        (datetime(2026, 4, 1, tzinfo=UTC), "finance.transactions_2026_04"),
    ):
        payment = await pay(connection, facility, new_id(), created_at=created)
        found = await connection.fetchval(
            "SELECT tableoid::regclass::text FROM finance.transactions WHERE transaction_id = $1", payment
        )
        assert found == partition


@pytest.mark.parametrize("zone", ["UTC", "Europe/Istanbul", "America/Los_Angeles"])
async def test_missing_ones_are_made_with_bounds_at_midnight_utc(connection: asyncpg.Connection, zone: str) -> None:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"SET LOCAL timezone = '{zone}'")
        made = await partitions.ensure_ahead(connection, date(2028, 2, 29))
        assert made == [
            "transactions_2029_01",
            "transactions_2029_02",
            "audit_logs_2029_01",
            "audit_logs_2029_02",
            "analytics_daily_2029",
            "analytics_daily_2030",
        ]
        until = [report.covered_until for report in await partitions.report(connection)]
        assert until == [date(2029, 3, 1), date(2029, 3, 1), date(2031, 1, 1)]
        assert await partitions.ensure_ahead(connection, date(2028, 2, 29)) == []
        await connection.execute("SET LOCAL timezone = 'UTC'")
        bounds = await connection.fetchval(
            "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = 'finance.transactions_2029_02'::regclass"
        )
        assert bounds == "FOR VALUES FROM ('2029-02-01 00:00:00+00') TO ('2029-03-01 00:00:00+00')"
        facility = await open_account(connection)
        await pay(connection, facility, new_id(), created_at=datetime(2029, 2, 28, 23, tzinfo=UTC))
        # A made partition is like its elders: indexed, guarded, closed to direct writing.
        shape = """
          SELECT (SELECT count(*) FROM pg_index WHERE indrelid = t),
            (SELECT array_agg(tgname ORDER BY tgname) FROM pg_trigger WHERE tgrelid = t AND NOT tgisinternal),
            (SELECT array_agg(contype::text ORDER BY contype) FROM pg_constraint WHERE conrelid = t)
          FROM (SELECT $1::text::regclass) AS one (t)"""
        elder = await connection.fetchrow(shape, "finance.transactions_2026_02")
        assert await connection.fetchrow(shape, "finance.transactions_2029_02") == elder
    finally:
        await transaction.rollback()


async def test_what_the_default_caught_is_reported_and_moves_into_its_partition(connection: asyncpg.Connection) -> None:
    transaction = connection.transaction()
    await transaction.start()
    try:
        facility = await open_account(connection)
        far, farther = datetime(2031, 5, 6, tzinfo=UTC), datetime(2031, 6, 7, tzinfo=UTC)
        payments = [await pay(connection, facility, new_id(), created_at=at, status="pending") for at in (far, farther)]
        entry = {"entity_type": "x", "entity_id": "1", "action": "y", "created_at": far}
        await insert(connection, "finance.audit_logs", entry, "audit_id")
        await insert(
            connection,
            "finance.analytics_daily",
            {"business_id": facility, "date": date(2031, 5, 6), "currency": "TRY"},
            "date",
        )
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")  # as if these rows had been committed before
        assert [report.stray_rows for report in await partitions.report(connection)] == [2, 1, 1]
        made = await partitions.ensure_ahead(connection, date(2031, 5, 1))
        assert "transactions_2031_05" in made
        assert [report.stray_rows for report in await partitions.report(connection)] == [0, 0, 0]
        homes = await connection.fetch(
            "SELECT tableoid::regclass::text FROM finance.transactions WHERE facility_id = $1 ORDER BY created_at",
            facility,
        )
        assert [row[0] for row in homes] == ["finance.transactions_2031_05", "finance.transactions_2031_06"]
        # Still known by their keys, and as changeable as before.
        await connection.execute(
            "UPDATE finance.transactions SET status = 'succeeded' WHERE transaction_id = ANY ($1)", payments
        )
        kept = await connection.fetchval(
            "SELECT count(*) FROM finance.transaction_keys WHERE transaction_id = ANY ($1)", payments
        )
        assert kept == 2
        with pytest.raises(asyncpg.RestrictViolationError):
            async with connection.transaction():
                await connection.execute("DELETE FROM finance.transactions_default")
    finally:
        await transaction.rollback()


async def test_a_partition_is_a_month_or_a_year(connection: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await connection.fetchval("SELECT platform.ensure_partition('finance.transactions', 'week', '2031-01-01')")
