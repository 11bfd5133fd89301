"""Tables of a facility as CSV, line by line, however many there are: a batch of rows is held at a time.

A cell that a spreadsheet would take for a formula begins with an apostrophe. Text is UTF-8 with a byte order mark,
without which Excel shows Turkish letters wrong.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from bson import ObjectId

from nexfit.domains.analytics.reading import midnight
from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres import Postgres, Row
from nexfit.stores.sql import load_sql

BATCH = 1000
"""Rows held at a time."""

MARK = "\ufeff"

_FIRST_ID = UUID(int=0)
_BEFORE = datetime(1970, 1, 1, tzinfo=UTC)
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")

sql = load_sql("nexfit.domains.analytics", "exports.sql")


class Table(StrEnum):
    """What can be exported; also a part of the export's address."""

    MEMBERS = "members"
    TRANSACTIONS = "transactions"
    INVOICES = "invoices"
    FIGURES = "figures"


@dataclass(frozen=True, slots=True)
class Export:
    """A table of a facility between two of its local days, both included; members are those of now."""

    table: Table
    facility: ObjectId
    zone: ZoneInfo
    first: date
    last: date


async def lines(mongo: Mongo, postgres: Postgres, export: Export) -> AsyncIterator[str]:
    """The file in pieces, the header first. Raises StoreError."""
    columns, read = _TABLES[export.table]
    yield MARK + _written([columns], export.zone)
    async for rows in read(mongo, postgres, export):
        yield _written(rows, export.zone)


async def _transactions(mongo: Mongo, postgres: Postgres, export: Export) -> AsyncIterator[list[Sequence[Any]]]:
    async for rows in _by_instant(postgres, export, sql.transactions, "transaction_id"):
        names = await _names(mongo, (row["user_id"] for row in rows))
        yield [
            (
                *(
                    row["created_at"],
                    str(row["transaction_id"]),
                    names.get(row["user_id"], ""),
                    row["transaction_type"],
                ),
                *(row["status"], row["payment_method"], row["amount"], row["currency"]),
                *(row["original_transaction_id"] and str(row["original_transaction_id"]), row["description"]),
            )
            for row in rows
        ]


async def _invoices(mongo: Mongo, postgres: Postgres, export: Export) -> AsyncIterator[list[Sequence[Any]]]:
    async for rows in _by_instant(postgres, export, sql.invoices, "invoice_id"):
        names = await _names(mongo, (row["user_id"] for row in rows))
        yield [
            (
                *(
                    row["invoice_number"],
                    row["status"],
                    names.get(row["user_id"], ""),
                    row["issued_on"],
                    row["due_date"],
                ),
                *(row["payment_date"], row["net_amount"], row["tax_amount"], row["total_amount"], row["credited"]),
                row["currency"],
            )
            for row in rows
        ]


async def _by_instant(postgres: Postgres, export: Export, statement: str, id_: str) -> AsyncIterator[list[Row]]:
    begins, ends = midnight(export.zone, export.first), midnight(export.zone, export.last + timedelta(days=1))
    place: tuple[datetime, UUID] = (_BEFORE, _FIRST_ID)
    while rows := await postgres.fetch(statement, str(export.facility), begins, ends, *place, BATCH):
        yield rows
        place = (rows[-1]["created_at"], rows[-1][id_])


async def _members(mongo: Mongo, postgres: Postgres, export: Export) -> AsyncIterator[list[Sequence[Any]]]:
    last = ""
    while rows := await postgres.fetch(sql.members, str(export.facility), last, BATCH):
        last = rows[-1]["user_id"]
        people = await _people(
            mongo, (row["user_id"] for row in rows), ("firstName", "lastName", "email", "phoneNumber")
        )
        plans = await mongo.find("memberships", {"_id": {"$in": _ids(row["plan_id"] for row in rows)}}, ("name",))
        plan_names = {str(plan["_id"]): plan["name"] for plan in plans}
        yield [_member(row, people.get(row["user_id"], {}), plan_names) for row in rows]


def _member(row: Row, person: dict[str, Any], plans: dict[str, str]) -> Sequence[Any]:
    return (
        *(person.get("firstName"), person.get("lastName"), person.get("email"), person.get("phoneNumber")),
        *(
            row["status"],
            plans.get(row["plan_id"] or ""),
            row["joined_at"],
            row["last_visit_at"],
            row["next_booking_at"],
        ),
        *(row["last_payment_at"], row["balance"], row["open_invoices"], row["oldest_open_due"], row["currency"]),
    )


async def _figures(_: Mongo, postgres: Postgres, export: Export) -> AsyncIterator[list[Sequence[Any]]]:
    last = export.first - timedelta(days=1)
    while rows := await postgres.fetch(sql.figures, str(export.facility), export.first, export.last, last, BATCH):
        last = rows[-1]["date"]
        yield [tuple(row.values()) for row in rows]


_Read = Callable[[Mongo, Postgres, Export], AsyncIterator[list[Sequence[Any]]]]

_TABLES: dict[Table, tuple[tuple[str, ...], _Read]] = {
    Table.MEMBERS: (
        (
            *("first_name", "last_name", "email", "phone", "status", "plan", "joined_at", "last_visit_at"),
            *("next_booking_at", "last_payment_at", "balance", "open_invoices", "oldest_open_due", "currency"),
        ),
        _members,
    ),
    Table.TRANSACTIONS: (
        (
            *("created_at", "id", "member", "type", "status", "method", "amount", "currency", "original_id"),
            "description",
        ),
        _transactions,
    ),
    Table.INVOICES: (
        (
            *("number", "status", "member", "issued_on", "due_date", "payment_date", "net", "tax", "total", "credited"),
            "currency",
        ),
        _invoices,
    ),
    Table.FIGURES: (
        (
            *("date", "new_members", "active_members", "revenue", "currency", "attendance", "renewals"),
            *("cancellations", "visits", "capacity", "seats", "no_shows"),
        ),
        _figures,
    ),
}


async def _names(mongo: Mongo, users: Iterable[str]) -> dict[str, str]:
    people = await _people(mongo, users, ("firstName", "lastName"))
    return {
        id_: f"{person.get('firstName', '')} {person.get('lastName', '')}".strip() for id_, person in people.items()
    }


async def _people(mongo: Mongo, users: Iterable[str], columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    found = await mongo.find("users", {"_id": {"$in": _ids(users)}}, columns)
    return {str(person["_id"]): person for person in found}


def _ids(values: Iterable[str | None]) -> list[ObjectId]:
    return [ObjectId(value) for value in {value for value in values if value}]


def _written(rows: Iterable[Sequence[Any]], zone: ZoneInfo) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([[cell(value, zone) for value in row] for row in rows])
    return text.getvalue()


def cell(value: Any, zone: ZoneInfo) -> str:
    """A value as a spreadsheet reads it: instants on the facility's wall clock, amounts with a point, text as text."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Decimal):
        return f"{value:f}"
    text = str(value)
    if isinstance(value, str) and _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text
