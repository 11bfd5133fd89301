"""Nutrition plans and the diary of what was eaten, as clients see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, column, derived
from nexfit.api.identity.types import User, user_field
from nexfit.api.nutrition.foods import Food, Nutrients, foods_named
from nexfit.api.relay import Connection, Node, PageArgs, connection, id_reader, node_selection, page_request
from nexfit.domains.nutrition import figures, plans
from nexfit.engine.fields import Record


@strawberry.type(description="So much of a food, and what it contains by the food as it is now.")
class FoodPortion:
    """Embedded in a meal."""

    food: Food | None = batch(foods_named, needs=("foodId",), description="Which food.")
    quantity: float = column(description="How many of the unit.")
    unit: str = column(description="Such as g, serving, or a serving of the food's own.")
    grams: float | None = column(description="How much that is.")
    contains: Nutrients = column(description="What it contains.")


@strawberry.type(description="A meal of a plan.")
class PlannedMeal:
    """Embedded in a plan."""

    name: str = column(description="Name.")
    time: str | None = column(description="HH:MM on the eater's clock.")
    notes: str | None = column(description="Remarks.")
    portions: list[FoodPortion] = column(description="What is eaten.")
    totals: Nutrients = column(description="What it adds up to.")


@strawberry.type(description="What a day should add up to; what has no target is null.")
class MacroTarget:
    """Embedded in a plan."""

    calories: float | None = column(description="Kilocalories.")
    protein: float | None = column(description="Grams.")
    carbs: float | None = column(description="Grams.")
    fat: float | None = column(description="Grams.")


@strawberry.type(description="Total less target; null where there is no target.")
class MacroError:
    """Of a plan, or of a day."""

    calories: float | None = column(description="Kilocalories.")
    protein: float | None = column(description="Grams.")
    carbs: float | None = column(description="Grams.")
    fat: float | None = column(description="Grams.")
    worst: float | None = column(description="The largest of them, as a part of its target.")


@strawberry.type(description="The meals of a plan, computed from the foods as they are now.")
class PlanContents:
    """Never stored."""

    meals: list[PlannedMeal] = column(description="The day's meals, in order.")
    totals: Nutrients = column(description="What the day adds up to.")
    error: MacroError = column(description="Totals less targets.")


def _target(record: Record, _args: object, _context: object) -> Record:
    return plans.target_of(record)


def _metadata(name: str) -> Any:
    return lambda record, _args, _context: (record.get("metadata") or {}).get(name)


async def _contents(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """The contents of each plan, with the foods of all of them in one command."""
    known = await plans.foods_in(context.stores.mongo, parents)
    return [_contents_of(parent, known) for parent in parents]


def _contents_of(plan: Record, known: Mapping[Any, Record]) -> Record:
    meals = []
    for meal in plan.get("meals") or ():
        portions = [plans.portion(one, known.get(one["foodId"])) for one in meal.get("foods") or ()]
        shown = [{**one, "contains": one} for one in portions]
        meals.append({**meal, "portions": shown, "totals": figures.total(portions)})
    totals = figures.total(meal["totals"] for meal in meals)
    return {"meals": meals, "totals": totals, "error": figures.macro_error(totals, plans.target_of(plan))}


@strawberry.type(description="What to eat on a day: written for somebody, or a template.")
class NutritionPlan(Node):
    """From MongoDB's `nutrition_plans`."""

    id: strawberry.ID = column("_id", read=id_reader("NutritionPlan"), description="The global id.")
    name: str = column(description="Name.")
    description: str | None = column(description="What it is.")
    is_template: bool = column(description="Whether it is to be copied.")
    is_public: bool = column(description="Whether everybody finds it.")
    target: MacroTarget = derived(
        _target, needs=("metadata.calorieTarget", "metadata.macros"), description="What a day should add up to."
    )
    meals_per_day: int | None = derived(
        _metadata("mealsPerDay"), needs=("metadata.mealsPerDay",), description="How many meals."
    )
    tags: list[str] | None = derived(_metadata("tags"), needs=("metadata.tags",), description="Words for it.")
    contents: PlanContents = batch(
        _contents,
        needs=("meals", "metadata.calorieTarget", "metadata.macros"),
        description="Its meals, and what they add up to against the target.",
    )
    creator: User | None = user_field("createdBy", description="Who wrote it.")
    for_user: User | None = user_field("forUserId", description="For whom; null for a template.")
    created_at: datetime = column(description="When it was written.")
    updated_at: datetime = column(description="When it was changed last.")


def _contains(record: Record, _args: object, _context: object) -> Record:
    return record.get("nutrients") or {}


@strawberry.type(description="A portion that was eaten, and what it contained by the food as it was then.")
class DiaryEntry:
    """From MongoDB's `food_diary`."""

    id: strawberry.ID = column("_id", read=id_reader("DiaryEntry"), description="The global id.")
    meal: str | None = column(description="Which meal.")
    food: Food | None = batch(foods_named, needs=("foodId",), description="Which food.")
    quantity: float = column(description="How many of the unit.")
    unit: str = column(description="Unit of the quantity.")
    grams: float = column(description="How much that is.")
    contains: Nutrients = derived(_contains, needs=("nutrients",), description="What it contained.")
    created_at: datetime = column(description="When it was written down.")


@strawberry.type(description="What somebody ate on a day, against the plan they follow.")
class DiaryDay:
    """Derived from the day's entries."""

    day: date = column(description="Which day.")
    entries: list[DiaryEntry] = column(description="What was eaten, in the order it was written down.")
    totals: Nutrients = column(description="What it adds up to.")
    plan: str | None = column(description="Name of the plan that is followed: the one written for the person last.")
    target: MacroTarget | None = column(description="The targets of that plan.")
    error: MacroError | None = column(description="Totals less targets.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlansArgs(PageArgs):
    """Which plans."""

    mine: Annotated[bool, strawberry.argument(description="Those that the viewer wrote, instead.")] = False


async def _plans(parents: Sequence[Record], args: PlansArgs, context: Context) -> Sequence[Any]:
    order = f"{plans.ORDER}:{args.mine}"
    page = await plans.page(
        context.stores.mongo,
        context.actor.require() if args.mine else context.actor.user_id,
        mine=args.mine,
        request=page_request(args, order),
        columns=node_selection(args.selection).columns,
    )
    return [connection(page, order, args.selection)] * len(parents)


@strawberry.type
class PlanQueries:
    """Root fields of this area."""

    nutrition_plans: Connection[NutritionPlan] = batch(
        _plans, args=PlansArgs, description="Public templates, the latest first."
    )
