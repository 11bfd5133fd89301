"""Rows of `finance` for the tests: valid unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)

_ISSUE = """
INSERT INTO finance.invoices (business_id, facility_id, user_id, net_amount, tax_amount, total_amount, currency, status,
  issued_on, due_date, invoice_sequence)
SELECT $1::text, $1::text, t.user_id, t.net, 0, t.net, $2, 'open',
  $3, t.due, finance.next_document_sequence($1::text, 'invoice', $4) + t.n::integer - 1
FROM unnest($5::text[], $6::numeric[], $7::date[]) WITH ORDINALITY AS t (user_id, net, due, n)
RETURNING invoice_id
"""


def object_id(number: int) -> str:
    """A 24-digit id; the same for the same number."""
    return f"{number:024x}"


def new_id() -> str:
    """A 24-digit id nobody else has."""
    return uuid4().hex[:24]


async def open_account(connection: asyncpg.Connection, currency: str = "TRY") -> str:
    """A new facility that is its own business; answers its id."""
    facility = new_id()
    await connection.execute(
        "INSERT INTO finance.facility_accounts (facility_id, business_id, currency) VALUES ($1, $1, $2)",
        facility,
        currency,
    )
    return facility


async def insert(connection: asyncpg.Connection, table: str, row: dict[str, Any], returning: str) -> Any:
    """Insert one row of named columns; answers the column asked for."""
    columns = ", ".join(row)
    places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
    return await connection.fetchval(
        f"INSERT INTO {table} ({columns}) VALUES ({places}) RETURNING {returning}", *row.values()
    )


async def pay(connection: asyncpg.Connection, facility: str, user: str, amount: str = "100", **changes: Any) -> UUID:
    """A transaction, by default a card charge of today that succeeded; answers its id."""
    row = {
        "business_id": facility,
        "facility_id": facility,
        "user_id": user,
        "amount": Decimal(amount),
        "currency": "TRY",
        "payment_method": "card",
        "transaction_type": "charge",
        "status": "succeeded",
        "created_at": NOON,
    }
    found: UUID = await insert(connection, "finance.transactions", row | changes, "transaction_id")
    return found


async def subscribe(connection: asyncpg.Connection, facility: str, user: str, plan: str, **changes: Any) -> UUID:
    """A monthly subscription, by default active; answers its id."""
    row = {
        "business_id": facility,
        "facility_id": facility,
        "user_id": user,
        "plan_id": plan,
        "status": "active",
        "start_date": date(2026, 3, 1),
        "current_period_start": date(2026, 3, 1),
        "current_period_end": date(2026, 4, 1),
        "billing_cycle": "month",
        "amount": Decimal("120"),
        "currency": "TRY",
        "payment_method": "card",
    }
    found: UUID = await insert(connection, "finance.subscriptions", row | changes, "subscription_id")
    return found


@dataclass(frozen=True)
class Bill:
    """What an invoice asks a member for, without tax."""

    user: str
    total: str = "120"
    due: date = date(2026, 3, 15)


async def issue(
    connection: asyncpg.Connection, facility: str, bills: Sequence[Bill], currency: str = "TRY"
) -> list[UUID]:
    """Issue open invoices, numbered in order, in one statement; answers their ids in that order."""
    rows = await connection.fetch(
        _ISSUE,
        facility,
        currency,
        date(2026, 3, 1),
        2026,
        [bill.user for bill in bills],
        [Decimal(bill.total) for bill in bills],
        [bill.due for bill in bills],
    )
    return [row["invoice_id"] for row in rows]


async def settle(connection: asyncpg.Connection, invoices: Sequence[UUID], payment: UUID | None = None) -> None:
    """Mark invoices as paid."""
    await connection.execute(
        "UPDATE finance.invoices SET status = 'paid', payment_date = '2026-03-11', transaction_id = $2"
        " WHERE invoice_id = ANY ($1)",
        list(invoices),
        payment,
    )
