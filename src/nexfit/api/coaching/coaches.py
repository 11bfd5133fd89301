"""Coaches as everybody finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from babel.numbers import is_currency
from bson import ObjectId

from nexfit.api.coaching.free_times import FreeTimesArgs, check_times, free_times_of_coaches
from nexfit.api.coaching.hours import FreeTime
from nexfit.api.coaching.reviews import CoachReview, reviews_of_coaches
from nexfit.api.context import Context
from nexfit.api.facilities.near import NearInput
from nexfit.api.fields import Args, batch, column, derived
from nexfit.api.identity.role_profiles import CoachProfile, coach_profiles_of_people
from nexfit.api.money import Money, money
from nexfit.api.order import OrderDirection
from nexfit.api.relay import (
    Connection,
    Node,
    PageArgs,
    connection,
    id_reader,
    local_id,
    node_selection,
    page_request,
)
from nexfit.api.search import search_text
from nexfit.domains.coaching import directory
from nexfit.domains.coaching.availability import MOST_DAYS
from nexfit.domains.coaching.directory import CURRENCY, DISTANCE, PRICE, CoachFilter, CoachOrder, PriceRange
from nexfit.domains.coaching.scheduling import LONGEST, SHORTEST
from nexfit.domains.errors import BadInput
from nexfit.domains.facilities import directory as facilities
from nexfit.engine.fields import Record

if TYPE_CHECKING:
    from nexfit.api.facilities.types import Facility

strawberry.enum(CoachOrder, description="How coaches are ordered.")

MOST_ASKED = 20


def _listing(name: str, missing: Any = None) -> Any:
    def compute(record: Record, _args: object, _context: object) -> Any:
        return (record.get("coachListing") or {}).get(name, missing)

    return compute


def _rating(record: Record, _args: object, _context: object) -> float | None:
    listing = record.get("coachListing") or {}
    return round(listing["rating"], 2) if listing.get("reviews") else None


def _hourly_rate(record: Record, _args: object, _context: object) -> Any:
    terms = (record.get("roleSpecificData") or {}).get("coach") or {}
    return money(terms["hourlyRate"], terms["currency"]) if "hourlyRate" in terms else None


def _distance(record: Record, _args: object, _context: object) -> float | None:
    metres = record.get(DISTANCE)
    return None if metres is None else metres / 1000


async def _facilities_of_coaches(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The facilities where each coach works, in one command."""
    named = [(parent.get("coachListing") or {}).get("facilityIds") or () for parent in parents]
    wanted = {id_ for ids in named for id_ in ids}
    found = await facilities.by_ids(context.stores.mongo, wanted, args.selection.columns) if wanted else {}
    return [[found[id_] for id_ in ids if id_ in found] for ids in named]


@strawberry.type(description="A person as a coach, whom everybody may find.")
class Coach(Node):
    """From MongoDB's `users`, of those with a role of a coach and an account that is not asleep."""

    id: strawberry.ID = column("_id", read=id_reader("Coach"), description="The global id.")
    first_name: str = column(description="Given name.")
    last_name: str = column(description="Family name.")
    profile_image: str | None = column(description="Address of the picture.")
    profiles: list[CoachProfile] = batch(
        coach_profiles_of_people, needs=("_id",), description="What the coach says, in each of the roles of coaches."
    )
    specializations: list[str] = derived(
        _listing("specializations", ()),
        needs=("coachListing.specializations",),
        description="What the coach is good at, of all roles, as a search compares it: without case and marks.",
    )
    languages: list[str] = derived(
        _listing("languages", ()),
        needs=("coachListing.languages",),
        description="Languages the coach trains in, as ISO 639 codes.",
    )
    hourly_rate: Money | None = derived(_hourly_rate, needs=(PRICE, CURRENCY), description="Price of an hour.")
    rating: float | None = derived(
        _rating,
        needs=("coachListing.rating", "coachListing.reviews"),
        description="Mean of the reviews, 1 to 5; null without any.",
    )
    review_count: int = derived(
        _listing("reviews", 0), needs=("coachListing.reviews",), description="How many reviews that is the mean of."
    )
    distance: float | None = derived(
        _distance,
        needs=(DISTANCE,),
        description="Kilometres from the point of `filter.near` to the nearest place the coach works at; null in other "
        "lists.",
    )
    facilities: list[Annotated[Facility, strawberry.lazy("nexfit.api.facilities.types")]] = batch(
        _facilities_of_coaches, needs=("coachListing.facilityIds",), description="Where the coach works."
    )
    reviews: Connection[CoachReview] = batch(
        reviews_of_coaches, needs=("_id",), args=PageArgs, description="What clients say, the newest first."
    )
    free_times: list[FreeTime] = batch(
        free_times_of_coaches,
        needs=("_id",),
        args=FreeTimesArgs,
        description="The coach's hours without sessions and classes.",
    )


@strawberry.input(description="Prices of an hour.")
class PriceRangeInput:
    """Part of `CoachesFilter`."""

    currency: str = strawberry.field(description="In this currency, ISO 4217.")
    least: Decimal | None = strawberry.field(default=None, description="At least so much.")
    most: Decimal | None = strawberry.field(default=None, description="At most so much.")

    def checked(self) -> PriceRange:
        """As the domain takes it; raises BadInput."""
        path = ("filter", "price")
        if not is_currency(self.currency, locale="en"):
            raise BadInput("{name} has a value that is not possible.", path=(*path, "currency"), name="currency")
        for name, end in (("least", self.least), ("most", self.most)):
            if end is not None and not (end.is_finite() and 0 <= end <= MOST_PRICE):
                raise BadInput(
                    "{name} must be between {least} and {most}.",
                    path=(*path, name),
                    name=name,
                    least=0,
                    most=MOST_PRICE,
                )
        return PriceRange(self.currency, self.least, self.most)


MOST_PRICE = 10**9


@strawberry.input(description="A time that is free for a session.")
class FreeTimeInput:
    """Part of `CoachesFilter`."""

    since: datetime = strawberry.field(description="Not before this instant; what has passed is not free.")
    until: datetime = strawberry.field(description=f"Over at this instant, {MOST_DAYS} days later at most.")
    minutes: int = strawberry.field(default=60, description=f"So long, {SHORTEST} to {LONGEST}.")


@strawberry.input(description="Which coaches; absent parts match everybody.")
class CoachesFilter:
    """Public search."""

    text: str | None = strawberry.field(
        default=None,
        description="Words of the name, the specialisations, the certificates and the cities they work in, without "
        "case or marks, forgiving slips; the last one may be a beginning.",
    )
    specializations: list[str] | None = strawberry.field(
        default=None, description=f"Good at one of these, without case or marks; at most {MOST_ASKED}."
    )
    languages: list[str] | None = strawberry.field(
        default=None, description=f"Trains in one of these languages, ISO 639; at most {MOST_ASKED}."
    )
    facility: strawberry.ID | None = strawberry.field(default=None, description="Works at this facility.")
    near: NearInput | None = strawberry.field(
        default=None, description="Works there, at a facility or elsewhere; each then has the `distance`."
    )
    price: PriceRangeInput | None = strawberry.field(default=None, description="Costs so much an hour.")
    rating: float | None = strawberry.field(default=None, description="Is rated so well on average, 0 to 5, or better.")
    free: FreeTimeInput | None = strawberry.field(
        default=None, description="Has such a time free; costs more points than other filters."
    )


@strawberry.input(description="How coaches are ordered.")
class CoachesOrder:
    """An order and its direction."""

    field: CoachOrder = strawberry.field(description="By what.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which way.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CoachesArgs(PageArgs):
    """Which coaches, in which order."""

    filter: Annotated[CoachesFilter | None, strawberry.argument(description="Which coaches.")] = None
    order_by: Annotated[CoachesOrder | None, strawberry.argument(description="Default: by name.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CoachArgs(Args):
    """Which coach."""

    id: Annotated[strawberry.ID, strawberry.argument(description="The global id.")]


def _several(given: Sequence[str] | None, name: str) -> tuple[str, ...]:
    if len(given or ()) > MOST_ASKED:
        raise BadInput("{name} may have at most {most} entries.", path=("filter", name), name=name, most=MOST_ASKED)
    return tuple(found for one in given or () if (found := search_text(one, "filter", name)))


def _wanted(given: CoachesFilter, now: datetime) -> CoachFilter | None:
    """As the domain takes it, None where nobody can be meant; raises BadInput."""
    facility = None
    if given.facility is not None:
        named = local_id(given.facility, "Facility")
        if named is None or not ObjectId.is_valid(named):
            return None
        facility = ObjectId(named)
    if given.rating is not None and not 0 <= given.rating <= 5:
        raise BadInput(
            "{name} must be between {least} and {most}.", path=("filter", "rating"), name="rating", least=0, most=5
        )
    free = None
    if given.free is not None:
        check_times(given.free.since, given.free.until, given.free.minutes, "filter", "free")
        if given.free.until > now + directory.MOST_AHEAD:
            raise BadInput("Ask for at most {most} days.", path=("filter", "free"), most=directory.MOST_AHEAD.days)
        free = directory.FreeTime(max(given.free.since, now), given.free.until, given.free.minutes)
    return CoachFilter(
        words=search_text(given.text, "filter", "text"),
        specializations=_several(given.specializations, "specializations"),
        languages=tuple(code.lower() for code in _several(given.languages, "languages")),
        facility=facility,
        near=given.near.checked("filter", "near") if given.near is not None else None,
        price=given.price.checked() if given.price is not None else None,
        rating=given.rating,
        free=free,
    )


async def _coaches(parents: Sequence[Record], args: CoachesArgs, context: Context) -> Sequence[Any]:
    order, descending = CoachOrder.NAME, False
    if args.order_by is not None:
        order, descending = args.order_by.field, args.order_by.direction is OrderDirection.DESC
    wanted = _wanted(args.filter or CoachesFilter(), context.now)
    name = f"coaches:{order}:{'DESC' if descending else 'ASC'}"
    if order is CoachOrder.DISTANCE:
        if args.filter is None or args.filter.near is None:
            raise BadInput("The order by distance needs {name}.", path=("filter", "near"), name="filter.near")
        name += f":{args.filter.near.latitude},{args.filter.near.longitude}"
    if order is CoachOrder.PRICE and (args.filter is None or args.filter.price is None):
        raise BadInput("The order by price needs {name}.", path=("filter", "price"), name="filter.price")
    request = page_request(args, name)
    columns = node_selection(args.selection).columns
    page = await directory.page(context.stores.mongo, wanted, order, request, columns, descending=descending)
    return [connection(page, name, args.selection)] * len(parents)


async def _coach(parents: Sequence[Record], args: CoachArgs, context: Context) -> Sequence[Any]:
    id_ = local_id(args.id, "Coach")
    if id_ is None or not ObjectId.is_valid(id_):
        return [None] * len(parents)
    found = await directory.by_ids(context.stores.mongo, [ObjectId(id_)], args.selection.columns)
    return [found.get(ObjectId(id_))] * len(parents)


@strawberry.type
class CoachQueries:
    """Root fields of this area."""

    coach: Coach | None = batch(_coach, args=CoachArgs, description="One coach; null if unknown.")
    coaches: Connection[Coach] = batch(
        _coaches,
        args=CoachesArgs,
        description="Coaches: by words, near a point, by price, rating, language, with a time free; ordered by name, "
        "distance, price or rating, in any mixture.",
    )
