"""Loads people, and what belongs to the person who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from bson import ObjectId

from nexfit.api.access import PERMITTED
from nexfit.api.context import Context
from nexfit.api.fields import Args
from nexfit.api.relay import PageArgs, connection, node_selection, page_request
from nexfit.domains.classes import bookings
from nexfit.domains.facilities import directory
from nexfit.domains.finance import ledger
from nexfit.domains.identity import people, second_factor
from nexfit.domains.memberships import contracts
from nexfit.engine.fields import Record
from nexfit.hybrid.ids import object_id
from nexfit.hybrid.paging import Page, PageRequest


def value_at(record: Any, path: str) -> Any:
    """The value at a dotted path of a record, None where a part is missing."""
    for part in path.split("."):
        if record is None:
            return None
        record = record.get(part)
    return record


async def users_at(parents: Sequence[Record], path: str, args: Args, context: Context) -> Sequence[Any]:
    """The person each parent names at a path, in one command."""
    named = [value_at(parent, path) for parent in parents] if "." in path else [parent.get(path) for parent in parents]
    ids = [object_id(id_) if isinstance(id_, str) and id_ else id_ or None for id_ in named]
    found = await people.by_ids(context.stores.mongo, (id_ for id_ in ids if id_), args.selection.columns)
    return [_inheriting(parent, found.get(id_)) if id_ else None for parent, id_ in zip(parents, ids, strict=True)]


def _inheriting(parent: Record, user: dict[str, Any] | None) -> dict[str, Any] | None:
    """A person reached through something the viewer was permitted to read is seen with that permission."""
    permitted = parent.get(PERMITTED)
    return {**user, PERMITTED: permitted} if user and permitted else user


_PageOf = Callable[[Context, ObjectId, PageRequest, frozenset[str]], Awaitable[Page]]


async def _own_page(parents: Sequence[Record], args: PageArgs, context: Context, order: str, page_of: _PageOf) -> Any:
    """A connection of what is the viewer's, who is every parent."""
    request = page_request(args, order)
    page = await page_of(context, context.actor.require(), request, node_selection(args.selection).columns)
    return [connection(page, order, args.selection)] * len(parents)


async def facilities_of_viewer(parents: Sequence[Record], args: PageArgs, context: Context) -> Sequence[Any]:
    """Facilities the viewer owns or works at."""

    async def page_of(context: Context, _: ObjectId, request: PageRequest, columns: frozenset[str]) -> Page:
        keys = directory.keys_of(directory.FacilityOrder.NAME, descending=False)
        return await directory.page_of_staff(context.stores.mongo, context.actor, keys, request, columns)

    result: Sequence[Any] = await _own_page(parents, args, context, "own_facilities:NAME:ASC", page_of)
    return result


async def member_subscriptions_of_viewer(parents: Sequence[Record], args: PageArgs, context: Context) -> Sequence[Any]:
    """Memberships the viewer holds or held."""

    async def page_of(context: Context, user: ObjectId, request: PageRequest, columns: frozenset[str]) -> Page:
        return (await contracts.pages_of(context.stores.mongo, "userId", [user], request, columns))[0]

    result: Sequence[Any] = await _own_page(parents, args, context, contracts.ORDER, page_of)
    return result


def _ledger_of_viewer(rows: ledger.LedgerList) -> Callable[..., Awaitable[Sequence[Any]]]:
    async def page_of(context: Context, user: ObjectId, request: PageRequest, columns: frozenset[str]) -> Page:
        return (await ledger.pages_of_users(context.stores.postgres, rows, [str(user)], request, columns))[0]

    async def load(parents: Sequence[Record], args: PageArgs, context: Context) -> Sequence[Any]:
        result: Sequence[Any] = await _own_page(parents, args, context, rows.order, page_of)
        return result

    return load


subscriptions_of_viewer = _ledger_of_viewer(ledger.SUBSCRIPTIONS)
invoices_of_viewer = _ledger_of_viewer(ledger.INVOICES)
transactions_of_viewer = _ledger_of_viewer(ledger.TRANSACTIONS)


async def program_sales_of_viewer(parents: Sequence[Record], args: PageArgs, context: Context) -> Sequence[Any]:
    """What programs of the viewer's sold."""

    async def page_of(context: Context, user: ObjectId, request: PageRequest, columns: frozenset[str]) -> Page:
        return await ledger.sales_of_author(context.stores.postgres, str(user), request, columns)

    result: Sequence[Any] = await _own_page(parents, args, context, ledger.SALES_ORDER, page_of)
    return result


async def class_bookings_of_viewer(parents: Sequence[Record], args: PageArgs, context: Context) -> Sequence[Any]:
    """The viewer's places on dates of classes."""

    async def page_of(context: Context, user: ObjectId, request: PageRequest, columns: frozenset[str]) -> Page:
        return await bookings.page_of_member(context.stores.mongo, user, request, columns)

    result: Sequence[Any] = await _own_page(parents, args, context, bookings.ORDER_OF_MEMBER, page_of)
    return result


async def second_factors_of_people(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """Whether each person signs in with a second factor, in one command."""
    enabled = await second_factor.enabled_for(context.stores.mongo, [parent["_id"] for parent in parents])
    return [parent["_id"] in enabled for parent in parents]
