"""Loads the ledger: what facilities and members paid, owe and are billed for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import Args
from nexfit.api.relay import PageArgs, connection, node_selection, page_request
from nexfit.domains.errors import BadInput
from nexfit.domains.facilities.hours import local_today
from nexfit.domains.finance import ledger
from nexfit.domains.finance.words import InvoiceStatus, SubscriptionState, TransactionStatus
from nexfit.engine.fields import Record
from nexfit.hybrid.rows_paging import Conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionsArgs(PageArgs):
    """Which transactions of a facility."""

    status: Annotated[TransactionStatus | None, strawberry.argument(description="Only in this state.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionsArgs(PageArgs):
    """Which subscriptions of a facility."""

    status: Annotated[SubscriptionState | None, strawberry.argument(description="Only in this state.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoicesArgs(PageArgs):
    """Which invoices of a facility."""

    status: Annotated[InvoiceStatus | None, strawberry.argument(description="Only in this state.")] = None


def _of_facilities(rows: ledger.LedgerList) -> Any:
    async def load(parents: Sequence[Record], args: Any, context: Context) -> Sequence[Any]:
        request = page_request(args, rows.order)
        conditions = Conditions()
        if args.status is not None:
            conditions.add("t.status = {}", str(args.status))
        pages = await ledger.pages_of_facilities(
            context.stores.postgres,
            rows,
            [str(parent["_id"]) for parent in parents],
            request,
            node_selection(args.selection).columns,
            conditions,
        )
        return [connection(page, rows.order, args.selection) for page in pages]

    return load


transactions_of_facilities = _of_facilities(ledger.TRANSACTIONS)
subscriptions_of_facilities = _of_facilities(ledger.SUBSCRIPTIONS)
invoices_of_facilities = _of_facilities(ledger.INVOICES)


async def overdue_invoices_of_facilities(parents: Sequence[Record], args: PageArgs, context: Context) -> Sequence[Any]:
    """A connection of each facility's overdue invoices, the longest overdue first."""
    request = page_request(args, ledger.OVERDUE_ORDER)
    pages = await ledger.overdue_pages(
        context.stores.postgres,
        {str(parent["_id"]): local_today(parent["timezone"], context.now) for parent in parents},
        request,
        node_selection(args.selection).columns,
    )
    return [connection(pages[str(parent["_id"])], ledger.OVERDUE_ORDER, args.selection) for parent in parents]


MOST_DAYS = 730


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiringArgs(PageArgs):
    """How far ahead."""

    days: Annotated[int, strawberry.argument(description=f"From today on, 0 to {MOST_DAYS}.")] = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class LapsedArgs(PageArgs):
    """How far back."""

    days: Annotated[int, strawberry.argument(description=f"Up to today, 0 to {MOST_DAYS}.")] = 90


def _days_from_today(parents: Sequence[Record], days: int, sign: int, context: Context) -> dict[str, date]:
    if not 0 <= days <= MOST_DAYS:
        raise BadInput(
            "{name} must be between {least} and {most}.", path=("days",), name="days", least=0, most=MOST_DAYS
        )
    moved = timedelta(days=sign * days)
    return {str(parent["_id"]): local_today(parent["timezone"], context.now) + moved for parent in parents}


async def expiring_of_facilities(parents: Sequence[Record], args: ExpiringArgs, context: Context) -> Sequence[Any]:
    """A connection of what is about to end at each facility, the next first."""
    request, columns = page_request(args, ledger.EXPIRING_ORDER), node_selection(args.selection).columns
    until = _days_from_today(parents, args.days, 1, context)
    pages = await ledger.expiring_pages(context.stores.postgres, until, request, columns)
    return [connection(pages[str(parent["_id"])], ledger.EXPIRING_ORDER, args.selection) for parent in parents]


async def lapsed_of_facilities(parents: Sequence[Record], args: LapsedArgs, context: Context) -> Sequence[Any]:
    """A connection of what has ended at each facility, the latest first."""
    request, columns = page_request(args, ledger.LAPSED_ORDER), node_selection(args.selection).columns
    since = _days_from_today(parents, args.days, -1, context)
    pages = await ledger.lapsed_pages(context.stores.postgres, since, request, columns)
    return [connection(pages[str(parent["_id"])], ledger.LAPSED_ORDER, args.selection) for parent in parents]


def _by_reference(rows: ledger.LedgerList, column: str) -> Callable[..., Awaitable[Sequence[Any]]]:
    async def load(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
        ids = [parent[column] for parent in parents]
        found = await ledger.by_ids(context.stores.postgres, rows, (id_ for id_ in ids if id_), args.selection.columns)
        return [found.get(id_) for id_ in ids]

    return load


originals_of_transactions = _by_reference(ledger.TRANSACTIONS, "original_transaction_id")
transactions_of_invoices = _by_reference(ledger.TRANSACTIONS, "transaction_id")
subscriptions_of_invoices = _by_reference(ledger.SUBSCRIPTIONS, "subscription_id")


async def lines_of_invoices(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The lines of each invoice, in order."""
    ids = [parent["invoice_id"] for parent in parents]
    found = await ledger.invoice_lines(context.stores.postgres, ids, args.selection.columns)
    return [found.get(id_, []) for id_ in ids]


async def credit_notes_of_invoices(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """The credit notes of each invoice, in order."""
    ids = [parent["invoice_id"] for parent in parents]
    found = await ledger.credit_notes(context.stores.postgres, ids)
    return [found.get(id_, []) for id_ in ids]
