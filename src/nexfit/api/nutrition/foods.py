"""Foods as clients see them, their list, their search, and what may stand in for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, column, derived
from nexfit.api.identity.types import User, user_field
from nexfit.api.relay import Connection, Node, PageArgs, connection, id_reader, local_id, node_selection, page_request
from nexfit.api.search import search_text
from nexfit.domains.errors import BadInput
from nexfit.domains.nutrition import figures, foods
from nexfit.domains.nutrition.documents import Verification
from nexfit.domains.nutrition.foods import FoodFilter
from nexfit.domains.vocabulary.words import split
from nexfit.engine.fields import Record

strawberry.enum(Verification, description="Whether a food was looked at by somebody who knows.")

MOST_SUBSTITUTES = 10


@strawberry.type(description="What so much of food contains; what is not known is null.")
class Nutrients:
    """Of 100 g of a food, or of a portion, a meal or a day."""

    calories: float | None = column(description="Kilocalories.")
    protein: float | None = column(description="Grams.")
    carbs: float | None = column(description="Grams.")
    fat: float | None = column(description="Grams.")
    fiber: float | None = column(description="Grams.")
    sugar: float | None = column(description="Grams.")
    sodium: float | None = column(description="Milligrams.")


@strawberry.type(description="A usual portion under a name of its own.")
class FoodServing:
    """Embedded in a food."""

    name: str = column(description="Such as `slice`; a unit of portions of the food.")
    grams: float = column(description="How much it is.")


def _serving(name: str) -> Any:
    return lambda record, _args, _context: (record.get("nutrients") or {}).get(name)


def _state(record: Record, _args: object, _context: object) -> Verification:
    return foods.state_of(record)


@strawberry.type(description="A food. Verified ones are everybody's to find, others their maker's.")
class Food(Node):
    """From MongoDB's `foods`."""

    id: strawberry.ID = column("_id", read=id_reader("Food"), description="The global id.")
    name: str = column(description="Name.")
    description: str | None = column(description="What it is.")
    image: str | None = column(description="Address of a picture.")
    category: str | None = column(description="Kind.")
    nutrients: Nutrients = column(description="In 100 g.")
    serving_size: float | None = derived(
        _serving("servingSize"), needs=("nutrients.servingSize",), description="The usual portion, in its unit."
    )
    serving_unit: str | None = derived(
        _serving("servingUnit"), needs=("nutrients.servingUnit",), description="Unit of the usual portion."
    )
    servings: list[FoodServing] | None = column(description="Other portions.")
    is_verified: bool = column(description="Whether everybody finds it.")
    verification: Verification = derived(
        _state, needs=("isVerified", "verification"), description="Where its verification stands."
    )
    source: str | None = column(description="Where it was imported from.")
    creator: User | None = user_field("createdBy", description="Who made it; null for what was imported.")
    tags: list[str] | None = column(description="Words it is found by besides its name.")
    created_at: datetime | None = column(description="When it was made.")
    updated_at: datetime | None = column(description="When it was changed last.")


async def foods_named(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The food each parent names, whoever made it: who may read the one may read the other."""
    found = await foods.by_ids(context.stores.mongo, [parent["foodId"] for parent in parents], args.selection.columns)
    return [found.get(parent["foodId"]) for parent in parents]


@strawberry.type(description="A food that may stand in for another one.")
class FoodSubstitute:
    """Of the same category."""

    food: Food = column(description="The food.")
    grams: float = column(description="How much of it has the same energy.")
    difference: float = column(
        description="How much its protein, carbohydrates and fat differ, in grams of 100 kcal; 0 is the same."
    )


@strawberry.input(description="Which foods; absent parts match every one.")
class FoodsFilter:
    """Search of what the viewer may find."""

    text: str | None = strawberry.field(
        default=None,
        description="Having all these words in the name or a tag, without case or marks. The last one may be a "
        "beginning; a word that nothing has is taken for the nearest ones.",
    )
    category: str | None = strawberry.field(default=None, description="Of this kind.")
    verified: bool | None = strawberry.field(default=None, description="Whether it is verified.")
    mine: bool = strawberry.field(default=False, description="Only those the viewer made.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoodsArgs(PageArgs):
    """Which foods."""

    filter: Annotated[FoodsFilter | None, strawberry.argument(description="Which foods.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoodSubstitutesArgs(Args):
    """For what."""

    food: Annotated[strawberry.ID, strawberry.argument(description="The food.")]
    grams: Annotated[float, strawberry.argument(description="How much of it, up to 100,000.")] = 100


async def _foods(parents: Sequence[Record], args: FoodsArgs, context: Context) -> Sequence[Any]:
    asked = args.filter or FoodsFilter()
    text = search_text(asked.text, "filter", "text")
    order = "foods:WORDS" if text and split(text) else "foods:NAME"
    page = await foods.page(
        context.stores.mongo,
        context.actor.require() if asked.mine else context.actor.user_id,
        FoodFilter(text, search_text(asked.category, "filter", "category"), asked.verified, asked.mine),
        page_request(args, order),
        node_selection(args.selection).columns,
    )
    return [connection(page, order, args.selection)] * len(parents)


async def _substitutes(parents: Sequence[Record], args: FoodSubstitutesArgs, context: Context) -> Sequence[Any]:
    if not 0 < args.grams <= 100_000:
        raise BadInput(
            "{name} must be between {least} and {most}.", path=("grams",), name="grams", least=0, most=100_000
        )
    id_, mongo = local_id(args.food, "Food"), context.stores.mongo
    if id_ is None or not ObjectId.is_valid(id_):
        return [[]] * len(parents)
    known = await foods.visible_by_ids(mongo, context.actor.user_id, [ObjectId(id_)], ("category", "nutrients"))
    food = known.get(ObjectId(id_))
    if food is None:
        return [[]] * len(parents)
    found = await foods.substitutes(mongo, food, MOST_SUBSTITUTES, args.selection.at("food").columns)
    shown = [
        {
            "food": one,
            "grams": figures.same_energy(args.grams, food, one),
            "difference": round(figures.likeness(food, one), 3),
        }
        for one in found
    ]
    return [shown] * len(parents)


@strawberry.type
class FoodQueries:
    """Root fields of this area."""

    foods: Connection[Food] = batch(
        _foods,
        args=FoodsArgs,
        description="Verified foods and the viewer's own: by name, and found by a text the closest first.",
    )
    food_substitutes: list[FoodSubstitute] = batch(
        _substitutes,
        args=FoodSubstitutesArgs,
        description=f"Verified foods of the same category with the most alike macros, at most {MOST_SUBSTITUTES}.",
    )
