"""Finding facilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.caching import Cached, records_in
from nexfit.api.context import Context
from nexfit.api.facilities.near import NearInput
from nexfit.api.facilities.types import Facility
from nexfit.api.fields import Args, batch
from nexfit.api.order import OrderDirection
from nexfit.api.relay import Connection, PageArgs, connection, local_id, node_selection, page_request
from nexfit.api.search import search_text
from nexfit.domains.errors import BadInput
from nexfit.domains.facilities import directory
from nexfit.domains.facilities.directory import FacilityFilter, FacilityOrder
from nexfit.domains.facilities.documents import FacilityType
from nexfit.engine.fields import Record

MOST_ASKED = 20

strawberry.enum(FacilityOrder, description="How facilities are ordered.")


@strawberry.input(description="Which facilities; absent parts match every one.")
class FacilitiesFilter:
    """Public search."""

    type: FacilityType | None = strawberry.field(default=None, description="Of this kind.")
    city: str | None = strawberry.field(default=None, description="In this city, without case or marks.")
    name: str | None = strawberry.field(default=None, description="Beginning with this, without case or marks.")
    text: str | None = strawberry.field(
        default=None, description="Words that words of the name or the city begin with, without case or marks."
    )
    amenities: list[str] | None = strawberry.field(
        default=None, description=f"Has all of these, without case or marks; at most {MOST_ASKED}."
    )
    near: NearInput | None = strawberry.field(default=None, description="Lies there; each then has its `distance`.")
    open_now: bool | None = strawberry.field(
        default=None, description="Whether it is open now; without hours it is not."
    )


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


def _amenities(given: Sequence[str]) -> tuple[str, ...]:
    if len(given) > MOST_ASKED:
        raise BadInput(
            "{name} may have at most {most} entries.", path=("filter", "amenities"), name="amenities", most=MOST_ASKED
        )
    return tuple(found for one in given if (found := search_text(one, "filter", "amenities")))


async def _facilities(parents: Sequence[Record], args: FacilitiesArgs, context: Context) -> Sequence[Any]:
    given = args.filter or FacilitiesFilter()
    order, descending = FacilityOrder.NAME, False
    if args.order_by is not None:
        order, descending = args.order_by.field, args.order_by.direction is OrderDirection.DESC
    near = given.near.checked("filter", "near") if given.near is not None else None
    if order is FacilityOrder.DISTANCE and near is None:
        raise BadInput("The order by distance needs {name}.", path=("filter", "near"), name="filter.near")
    if given.open_now is not None or order in (FacilityOrder.PRICE, FacilityOrder.RATING):
        context.touched = None  # no tag says when a door opens or somebody writes a review: such answers are not kept
    name = f"facilities:{order}:{'DESC' if descending else 'ASC'}"
    if order is FacilityOrder.DISTANCE and near is not None:
        name += f":{near.latitude},{near.longitude}"
    page = await directory.page(
        context.stores.mongo,
        context.views,
        FacilityFilter(
            given.type,
            search_text(given.city, "filter", "city"),
            search_text(given.name, "filter", "name"),
            search_text(given.text, "filter", "text"),
            _amenities(given.amenities or ()),
            near,
            given.open_now,
        ),
        order,
        page_request(args, name),
        node_selection(args.selection).columns,
        descending=descending,
        now=context.now,
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
        description="Facilities: near a point, open now, with amenities, by words; ordered by name, distance, price "
        "or rating, in any mixture.",
        cache=Cached(60, tags=_tags_of_list),
    )
