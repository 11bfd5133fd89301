"""Finding facilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.caching import Cached, records_in
from nexfit.api.context import Context
from nexfit.api.facilities.types import Facility
from nexfit.api.fields import Args, batch
from nexfit.api.order import OrderDirection
from nexfit.api.relay import Connection, PageArgs, connection, local_id, node_selection, page_request
from nexfit.api.search import search_text
from nexfit.domains.facilities import directory
from nexfit.domains.facilities.directory import FacilityFilter, FacilityOrder
from nexfit.domains.facilities.documents import FacilityType
from nexfit.engine.fields import Record

strawberry.enum(FacilityOrder, description="How facilities are ordered.")


@strawberry.input(description="Which facilities; absent parts match every one.")
class FacilitiesFilter:
    """Public search."""

    type: FacilityType | None = strawberry.field(default=None, description="Of this kind.")
    city: str | None = strawberry.field(default=None, description="In this city, without case or marks.")
    name: str | None = strawberry.field(default=None, description="Beginning with this, without case or marks.")


@strawberry.input(description="How facilities are ordered.")
class FacilitiesOrder:
    """An order and its direction."""

    field: FacilityOrder = strawberry.field(description="By what.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which way.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FacilitiesArgs(PageArgs):
    """Which facilities, in which order."""

    filter: Annotated[FacilitiesFilter | None, strawberry.argument(description="Which facilities.")] = None
    order_by: Annotated[FacilitiesOrder | None, strawberry.argument(description="Default: by name.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FacilityArgs(Args):
    """Which facility."""

    id: Annotated[strawberry.ID, strawberry.argument(description="Its global id.")]


async def _facilities(parents: Sequence[Record], args: FacilitiesArgs, context: Context) -> Sequence[Any]:
    given = args.filter or FacilitiesFilter()
    order, descending = FacilityOrder.NAME, False
    if args.order_by is not None:
        order, descending = args.order_by.field, args.order_by.direction is OrderDirection.DESC
    name = f"facilities:{order}:{'DESC' if descending else 'ASC'}"
    page = await directory.page(
        context.stores.mongo,
        FacilityFilter(
            given.type,
            search_text(given.city, "filter", "city"),
            search_text(given.name, "filter", "name"),
        ),
        directory.keys_of(order, descending=descending),
        page_request(args, name),
        node_selection(args.selection).columns,
    )
    return [connection(page, name, args.selection)] * len(parents)


def _tags_of_list(_: Sequence[Record], results: Sequence[Any]) -> Iterable[str]:
    """Every facility may come into the list, or leave it."""
    return {"facilities", *(f"facility:{record['_id']}" for record in records_in(results))}


async def _facility(parents: Sequence[Record], args: FacilityArgs, context: Context) -> Sequence[Any]:
    id_ = local_id(args.id, "Facility")
    if id_ is None or not ObjectId.is_valid(id_):
        return [None] * len(parents)
    found = await directory.by_ids(context.stores.mongo, [ObjectId(id_)], args.selection.columns)
    return [found.get(ObjectId(id_))] * len(parents)


@strawberry.type
class FacilityQueries:
    """Root fields of this area."""

    facility: Facility | None = batch(
        _facility,
        args=FacilityArgs,
        description="One facility; null if unknown.",
        cache=Cached(60, shown="facility:{_id}"),
    )
    facilities: Connection[Facility] = batch(
        _facilities,
        args=FacilitiesArgs,
        description="Every facility, by name.",
        cache=Cached(60, tags=_tags_of_list),
    )
