"""The named finance reads add up what they should, at the facility's own midnights, for many parents at once."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from ledger_rows import Bill, insert, issue, new_id, open_account, pay, settle, subscribe

from nexfit.stores.sql import load_sql

sql = load_sql("nexfit.domains.finance")


def test_every_statement_says_what_it_is_for() -> None:
    assert sql.names() == [
        *("revenue_by_period", "revenue", "outstanding", "active_subscribers", "analytics_by_day"),
        *("credit_notes_of_invoices", "invoice_paper", "credit_note_paper"),
    ]
    assert all(getattr(sql, name).startswith("-- for: ") for name in sql.names())


async def _revenue(
    connection: asyncpg.Connection, facilities: dict[str, str], first: date, last: date, unit: str
) -> dict[str, list[tuple[Any, ...]]]:
    rows = await connection.fetch(sql.revenue_by_period, list(facilities), list(facilities.values()), first, last, unit)
    found: dict[str, list[tuple[Any, ...]]] = {facility: [] for facility in facilities}
    for row in rows:
        found[row["facility_id"]].append(tuple(row)[1:])
    return found


async def test_revenue_is_cut_at_local_midnight(connection: asyncpg.Connection) -> None:
    istanbul, berlin, user = await open_account(connection), await open_account(connection, "EUR"), new_id()
    # Midnight of 1 April is 21:00 UTC in Istanbul and, since summer time began, 22:00 UTC in Berlin.
    for facility, currency, hour in ((istanbul, "TRY", 20), (berlin, "EUR", 21)):
        for minute, second, amount in ((59, 59, "1"), (60, 0, "10")):
            created = datetime(2026, 3, 31, hour + minute // 60, minute % 60, second, tzinfo=UTC)
            await pay(connection, facility, user, amount, currency=currency, created_at=created)
    zones = {istanbul: "Europe/Istanbul", berlin: "Europe/Berlin"}
    months = await _revenue(connection, zones, date(2026, 3, 1), date(2026, 4, 30), "month")
    for facility, currency in ((istanbul, "TRY"), (berlin, "EUR")):
        assert months[facility] == [
            (date(2026, 3, 1), Decimal(1), currency, 1, 0),
            (date(2026, 4, 1), Decimal(10), currency, 1, 0),
        ]
    days = await _revenue(connection, zones, date(2026, 3, 31), date(2026, 3, 31), "day")
    assert days == {
        istanbul: [(date(2026, 3, 31), Decimal(1), "TRY", 1, 0)],
        berlin: [(date(2026, 3, 31), Decimal(1), "EUR", 1, 0)],
    }


async def test_revenue_is_net_of_refunds_on_their_own_day_and_counts_only_what_succeeded(
    connection: asyncpg.Connection,
) -> None:
    facility, user = await open_account(connection), new_id()
    charge = await pay(connection, facility, user, "100.25", created_at=datetime(2026, 3, 10, 9, tzinfo=UTC))
    await pay(
        connection, facility, user, "50", transaction_type="manual_payment", payment_method="cash",
        created_at=datetime(2026, 3, 10, 10, tzinfo=UTC),
    )  # fmt: skip
    for status in ("pending", "failed", "unknown", "cancelled"):
        await pay(connection, facility, user, "7", status=status, created_at=datetime(2026, 3, 10, 11, tzinfo=UTC))
    for kind, amount in (("refund", "160"), ("chargeback", "0.25")):
        await pay(
            connection, facility, user, amount, transaction_type=kind, original_transaction_id=charge,
            created_at=datetime(2026, 3, 12, 9, tzinfo=UTC),
        )  # fmt: skip
    zones = {facility: "Europe/Istanbul"}
    days = await _revenue(connection, zones, date(2026, 3, 10), date(2026, 3, 12), "day")
    assert days[facility] == [
        (date(2026, 3, 10), Decimal("150.25"), "TRY", 2, 0),
        (date(2026, 3, 11), Decimal(0), "TRY", 0, 0),
        (date(2026, 3, 12), Decimal("-160.25"), "TRY", 0, 2),
    ]
    # Weeks begin on Monday; the first holds only the days asked for.
    weeks = await _revenue(connection, zones, date(2026, 3, 11), date(2026, 3, 20), "week")
    assert weeks[facility] == [
        (date(2026, 3, 9), Decimal("-160.25"), "TRY", 0, 2),
        (date(2026, 3, 16), Decimal(0), "TRY", 0, 0),
    ]


async def test_revenue_keeps_facilities_apart(connection: asyncpg.Connection) -> None:
    facilities = [await open_account(connection) for _ in range(3)]
    for number, facility in enumerate(facilities, start=1):
        await pay(connection, facility, new_id(), str(number), created_at=datetime(2026, 3, 10, tzinfo=UTC))
    unknown = new_id()
    asked = dict.fromkeys([facilities[2], unknown, facilities[0]], "Europe/Istanbul")
    months = await _revenue(connection, asked, date(2026, 3, 1), date(2026, 3, 31), "month")
    assert {facility: [row[1] for row in rows] for facility, rows in months.items()} == {
        facilities[2]: [Decimal(3)],
        unknown: [],
        facilities[0]: [Decimal(1)],
    }


async def test_an_unknown_unit_or_zone_is_an_error(connection: asyncpg.Connection) -> None:
    facility = await open_account(connection)
    for zone, unit in (("Europe/Istanbul", "fortnight"), ("Mars/Olympus", "month")):
        with pytest.raises(asyncpg.DataError):
            await _revenue(connection, {facility: zone}, date(2026, 3, 1), date(2026, 3, 31), unit)


async def test_outstanding_is_what_is_open_and_overdue_from_the_day_after(connection: asyncpg.Connection) -> None:
    facility, idle = await open_account(connection), await open_account(connection, "EUR")
    paid, *_ = await issue(
        connection,
        facility,
        [
            Bill(new_id(), "500"),
            Bill(new_id(), "120.50", date(2026, 3, 14)),
            Bill(new_id(), "30", date(2026, 3, 15)),
            Bill(new_id(), "1", date(2026, 4, 1)),
        ],
    )
    await settle(connection, [paid])
    rows = await connection.fetch(
        sql.outstanding, [idle, facility, facility], [date(2026, 3, 15), date(2026, 3, 15), date(2026, 3, 16)]
    )
    assert sorted(tuple(row) for row in rows) == sorted(
        [
            (idle, "EUR", 0, Decimal(0), 0, Decimal(0)),
            (facility, "TRY", 3, Decimal("151.50"), 1, Decimal("120.50")),
            (facility, "TRY", 3, Decimal("151.50"), 2, Decimal("150.50")),
        ]
    )


async def test_active_subscribers_are_those_with_access(connection: asyncpg.Connection) -> None:
    facility, plan, other, empty = await open_account(connection), new_id(), new_id(), new_id()
    for status in ("active", "active", "past_due", "suspended", "frozen", "cancelled", "expired", "incomplete"):
        await subscribe(connection, facility, new_id(), plan, status=status)
    await subscribe(connection, facility, new_id(), other)
    rows = await connection.fetch(sql.active_subscribers, [plan, other, empty])
    assert {row["plan_id"]: row["subscribers"] for row in rows} == {plan: 3, other: 1}


async def test_analytics_are_the_stored_days_in_order(connection: asyncpg.Connection) -> None:
    facility, stranger = await open_account(connection), await open_account(connection)
    for owner, day in ((facility, 3), (facility, 1), (facility, 2), (facility, 9), (stranger, 2)):
        row = {"business_id": owner, "date": date(2026, 3, day), "currency": "TRY", "new_members": day}
        await insert(connection, "finance.analytics_daily", row, "date")
    rows = await connection.fetch(sql.analytics_by_day, [facility], date(2026, 3, 1), date(2026, 3, 3))
    assert [(row["facility_id"], row["date"].day, row["new_members"]) for row in rows] == [
        (facility, 1, 1),
        (facility, 2, 2),
        (facility, 3, 3),
    ]
