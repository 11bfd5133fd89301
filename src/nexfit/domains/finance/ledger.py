"""Reading transactions, subscriptions and invoices from PostgreSQL's `finance`, newest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from nexfit.hybrid.paging import Key, Page, PageRequest, day, instant, uuid
from nexfit.hybrid.rows_paging import Conditions, RowList, pages_by_parent
from nexfit.stores.postgres import Postgres, Row
from nexfit.stores.sql import load_sql


@dataclass(frozen=True, slots=True)
class LedgerList:
    """A table of the ledger and its unique column."""

    table: str
    id: str

    @property
    def order(self) -> str:
        """The name of the list and its one order."""
        return f"{self.table}:CREATED_AT:DESC"

    def rows(self, parent: str) -> RowList:
        """The table as a list under a parent column, newest first."""
        return RowList(
            self.table, parent, (Key("created_at", instant, descending=True), Key(self.id, uuid, descending=True))
        )


TRANSACTIONS = LedgerList("finance.transactions", "transaction_id")
SUBSCRIPTIONS = LedgerList("finance.subscriptions", "subscription_id")
INVOICES = LedgerList("finance.invoices", "invoice_id")
PURCHASES = LedgerList("finance.purchases", "purchase_id")

SALES_ORDER = "finance.purchases:AUTHOR:CREATED_AT:DESC"

_SCOPE = ("facility_id", "user_id")
"""Columns every read carries, because the right to see a row depends on them."""


async def pages_of_users(
    postgres: Postgres, rows: LedgerList, users: Sequence[str], request: PageRequest, columns: Iterable[str]
) -> list[Page]:
    """A page per user, in one statement; drafts of invoices are the facility's own business and left out."""
    conditions = Conditions()
    if rows is INVOICES:
        conditions.add("t.status <> 'draft'")
    return await pages_by_parent(
        postgres, rows.rows("user_id"), users, request, {*columns, *_SCOPE, rows.id}, conditions
    )


async def pages_of_facilities(
    postgres: Postgres,
    rows: LedgerList,
    facilities: Sequence[str],
    request: PageRequest,
    columns: Iterable[str],
    conditions: Conditions | None = None,
) -> list[Page]:
    """A page per facility, in one statement."""
    return await pages_by_parent(
        postgres, rows.rows("facility_id"), facilities, request, {*columns, *_SCOPE, rows.id}, conditions
    )


async def sales_of_author(postgres: Postgres, author: str, request: PageRequest, columns: Iterable[str]) -> Page:
    """A page of what the programs of an author sold or were about to sell, in one statement."""
    asked = {*columns, *_SCOPE, "author_id", PURCHASES.id}
    return (await pages_by_parent(postgres, PURCHASES.rows("author_id"), [author], request, asked))[0]


OVERDUE_ORDER = "finance.invoices:DUE_DATE:ASC"
_OVERDUE = RowList("finance.invoices", "facility_id", (Key("due_date", day), Key("invoice_id", uuid)))


async def overdue_pages(
    postgres: Postgres, todays: Mapping[str, date], request: PageRequest, columns: Iterable[str]
) -> dict[str, Page]:
    """A page per facility, given with its local today, of invoices that are past their due date; in one statement."""
    conditions = Conditions()
    conditions.add("t.status = 'open'")
    conditions.add(
        "t.due_date < (SELECT d.today FROM unnest({}::text[], {}::date[]) AS d (id, today) WHERE d.id = t.facility_id)",
        list(todays),
        list(todays.values()),
    )
    pages = await pages_by_parent(
        postgres, _OVERDUE, list(todays), request, {*columns, *_SCOPE, INVOICES.id}, conditions
    )
    return dict(zip(todays, pages, strict=True))


EXPIRING_ORDER = "finance.subscriptions:CURRENT_PERIOD_END:ASC"
LAPSED_ORDER = "finance.subscriptions:CURRENT_PERIOD_END:DESC"
_EXPIRING = RowList(
    "finance.subscriptions", "facility_id", (Key("current_period_end", day), Key("subscription_id", uuid))
)
_LAPSED = RowList(
    "finance.subscriptions",
    "facility_id",
    (Key("current_period_end", day, descending=True), Key("subscription_id", uuid, descending=True)),
)
_ENDS = (
    "t.current_period_end {} (SELECT d.day FROM unnest({{}}::text[], {{}}::date[]) AS d (id, day)"
    " WHERE d.id = t.facility_id)"
)


async def expiring_pages(
    postgres: Postgres, until: Mapping[str, date], request: PageRequest, columns: Iterable[str]
) -> dict[str, Page]:
    """A page per facility, given with a local day, of subscriptions that end by then unless somebody renews them."""
    conditions = Conditions()
    conditions.add("t.status = 'active'")
    conditions.add("NOT t.auto_renew")
    conditions.add(_ENDS.format("<="), list(until), list(until.values()))
    asked = {*columns, *_SCOPE, SUBSCRIPTIONS.id}
    pages = await pages_by_parent(postgres, _EXPIRING, list(until), request, asked, conditions)
    return dict(zip(until, pages, strict=True))


async def lapsed_pages(
    postgres: Postgres, since: Mapping[str, date], request: PageRequest, columns: Iterable[str]
) -> dict[str, Page]:
    """A page per facility, given with a local day, of subscriptions that ended since, of who holds no other there."""
    conditions = Conditions()
    conditions.add("t.status IN ('cancelled', 'expired')")
    conditions.add(_ENDS.format(">="), list(since), list(since.values()))
    conditions.add(
        "NOT EXISTS (SELECT FROM finance.subscriptions l WHERE l.facility_id = t.facility_id AND l.user_id = t.user_id"
        " AND l.status IN ('incomplete', 'active', 'past_due', 'suspended', 'frozen'))"
    )
    asked = {*columns, *_SCOPE, SUBSCRIPTIONS.id}
    pages = await pages_by_parent(postgres, _LAPSED, list(since), request, asked, conditions)
    return dict(zip(since, pages, strict=True))


async def by_ids(postgres: Postgres, rows: LedgerList, ids: Iterable[UUID], columns: Iterable[str]) -> dict[UUID, Row]:
    """Rows by id, in one statement; unknown ids are absent."""
    wanted = list(set(ids))
    if not wanted:
        return {}
    selected = ", ".join(sorted({*columns, *_SCOPE, rows.id}))
    found = await postgres.fetch(
        f"SELECT {selected} FROM {rows.table} WHERE {rows.id} = ANY ($1::uuid[])",  # noqa: S608 - our own names
        wanted,
    )
    return {row[rows.id]: row for row in found}


async def invoice_lines(postgres: Postgres, invoices: Sequence[UUID], columns: Iterable[str]) -> dict[UUID, list[Row]]:
    """The lines of each invoice in their order, in one statement; an invoice without lines is absent."""
    selected = ", ".join(sorted({*columns, "invoice_id", "line_no"}))
    lines: dict[UUID, list[Row]] = {}
    rows = await postgres.fetch(
        f"SELECT {selected} FROM finance.invoice_lines WHERE invoice_id = ANY ($1::uuid[])"  # noqa: S608 - our own names
        " ORDER BY invoice_id, line_no",
        list(invoices),
    )
    for row in rows:
        lines.setdefault(row["invoice_id"], []).append(row)
    return lines


async def credit_notes(postgres: Postgres, invoices: Sequence[UUID]) -> dict[UUID, list[Row]]:
    """The credit notes of each invoice in the order of their issue, in one statement; absent for one without any."""
    notes: dict[UUID, list[Row]] = {}
    for row in await postgres.fetch(load_sql("nexfit.domains.finance").credit_notes_of_invoices, list(set(invoices))):
        notes.setdefault(row["invoice_id"], []).append(row)
    return notes
