"""Making and verifying foods, writing and assigning plans, and keeping a diary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity import payloads
from nexfit.api.inputs import given, values_of
from nexfit.api.nutrition.foods import Food
from nexfit.api.nutrition.plans import DiaryEntry, NutritionPlan
from nexfit.api.relay import IDEMPOTENCY_KEY, object_id
from nexfit.domains.coaching import consents
from nexfit.domains.errors import NotFound
from nexfit.domains.identity.documents import ConsentScope
from nexfit.domains.identity.validation import checked
from nexfit.domains.nutrition import diary, foods, plans
from nexfit.domains.nutrition.diary import EntryDraft
from nexfit.domains.nutrition.foods import FoodDraft
from nexfit.domains.nutrition.plans import PlanDraft

_IN_100 = "Grams in 100 g."
_UNIT = "g, kg, oz, lb, ml, l, serving (the usual portion), or a serving of the food's own."


@strawberry.input(description="A usual portion under a name of its own.")
class FoodServingInput:
    """Part of a food."""

    name: str = strawberry.field(description="Such as slice, 1 to 80 characters.")
    grams: float = strawberry.field(description="How much it is.")


@strawberry.input(description="What may be said of a food.")
class FoodParts:
    """What two inputs have in common."""

    description: str | None = given("What it is.")
    image: str | None = given("An http or https address of a picture.")
    category: str | None = given("Kind, 1 to 80 characters.")
    calories: float | None = given("Kilocalories in 100 g, at most 900.")
    protein: float | None = given(_IN_100)
    carbs: float | None = given(_IN_100)
    fat: float | None = given(_IN_100)
    fiber: float | None = given(_IN_100)
    sugar: float | None = given(_IN_100)
    sodium: float | None = given("Milligrams in 100 g.")
    servings: list[FoodServingInput] | None = given("Usual portions, at most 20.")
    tags: list[str] | None = given("Words it is found by besides its name, at most 50.")


@strawberry.input(description="A new food; calories, protein, carbs and fat have to be given.")
class CreateFoodInput(FoodParts):
    """Input of `createFood`."""

    name: str = strawberry.field(description="Name, 1 to 300 characters.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@strawberry.input(description="What changes of a food; what is left out stays, null forgets.")
class UpdateFoodInput(FoodParts):
    """Input of `updateFood`."""

    food: strawberry.ID = strawberry.field(description="The food, one of the viewer's own that is not verified.")
    name: str | None = given("Name, 1 to 300 characters; cannot be null.")


@strawberry.input(description="A food to be verified.")
class SubmitFoodInput:
    """Input of `submitFood`."""

    food: strawberry.ID = strawberry.field(description="The food, one of the viewer's own.")


@strawberry.input(description="So much of a food.")
class FoodPortionInput:
    """Part of a meal."""

    food: strawberry.ID = strawberry.field(description="The food; verified or the viewer's own.")
    quantity: float = strawberry.field(description="How many of the unit; more than 0.")
    unit: str = strawberry.field(default="g", description=_UNIT)


@strawberry.input(description="A meal of a plan.")
class PlannedMealInput:
    """Part of a plan."""

    name: str = strawberry.field(description="Name, 1 to 300 characters.")
    time: str | None = given("HH:MM on the eater's clock.")
    portions: list[FoodPortionInput] = strawberry.field(default_factory=list, description="What is eaten, at most 100.")
    notes: str | None = given("Remarks.")


@strawberry.input(description="What may be said of a plan.")
class NutritionPlanParts:
    """What two inputs have in common."""

    description: str | None = given("What it is.")
    is_template: bool | None = given("Whether it is to be copied; then it is for nobody in particular.")
    is_public: bool | None = given("Whether everybody finds it: a template of a coach or an owner.")
    calories: float | None = given("Kilocalories of a day to aim at.")
    protein: float | None = given("Grams of a day to aim at.")
    carbs: float | None = given("Grams of a day to aim at.")
    fat: float | None = given("Grams of a day to aim at.")
    meals_per_day: int | None = given("How many meals, 1 to 24.")
    tags: list[str] | None = given("Words for it, at most 50.")
    meals: list[PlannedMealInput] | None = given("The day's meals, in order; at most 50.")


@strawberry.input(description="A new plan.")
class CreateNutritionPlanInput(NutritionPlanParts):
    """Input of `createNutritionPlan`."""

    name: str = strawberry.field(description="Name, 1 to 300 characters.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    user: strawberry.ID | None = given(
        "For whom: an active client who lets the viewer see nutrition, or the viewer. Nobody for a template."
    )


@strawberry.input(description="What changes of a plan; what is left out stays, null forgets.")
class UpdateNutritionPlanInput(NutritionPlanParts):
    """Input of `updateNutritionPlan`."""

    plan: strawberry.ID = strawberry.field(description="The plan, one that the viewer wrote.")
    name: str | None = given("Name, 1 to 300 characters; cannot be null.")


@strawberry.input(description="Which template for whom.")
class AssignNutritionPlanInput:
    """Input of `assignNutritionPlan`."""

    template: strawberry.ID = strawberry.field(description="A template that the viewer finds.")
    user: strawberry.ID | None = given("An active client who lets the viewer see nutrition; default the viewer.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@strawberry.input(description="A portion that was eaten.")
class LogFoodInput:
    """Input of `logFood`."""

    food: strawberry.ID = strawberry.field(description="The food; verified or the viewer's own.")
    quantity: float = strawberry.field(description="How many of the unit; more than 0.")
    day: date = strawberry.field(description="On which day, by the eater's calendar.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    unit: str = strawberry.field(default="g", description=_UNIT)
    meal: str | None = given("Which meal, 1 to 80 characters.")


@strawberry.input(description="An entry to delete.")
class DeleteDiaryEntryInput:
    """Input of `deleteDiaryEntry`."""

    entry: strawberry.ID = strawberry.field(description="An entry of the viewer's diary.")


@strawberry.type(description="The food as it is now, or why not.")
class FoodPayload:
    """Payload of the mutations of a food."""

    food: Food | None = column(description="The food; null when nothing was done.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@strawberry.type(description="The plan as it is now, or why not.")
class NutritionPlanPayload:
    """Payload of the mutations of a plan."""

    plan: NutritionPlan | None = column(description="The plan; null when nothing was done.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@strawberry.type(description="The entry, or why not.")
class DiaryEntryPayload:
    """Payload of `logFood`."""

    entry: DiaryEntry | None = column(description="The entry; null when nothing was done.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@strawberry.type(description="What was deleted, or why nothing was.")
class DeleteDiaryEntryPayload:
    """Payload of `deleteDiaryEntry`."""

    deleted_id: strawberry.ID | None = column(description="Its id; null when nothing was deleted.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateFoodArgs(Args):
    """Arguments of `createFood`."""

    input: Annotated[CreateFoodInput, strawberry.argument(description="The food.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateFoodArgs(Args):
    """Arguments of `updateFood`."""

    input: Annotated[UpdateFoodInput, strawberry.argument(description="What changes.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitFoodArgs(Args):
    """Arguments of `submitFood`."""

    input: Annotated[SubmitFoodInput, strawberry.argument(description="Which food.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateNutritionPlanArgs(Args):
    """Arguments of `createNutritionPlan`."""

    input: Annotated[CreateNutritionPlanInput, strawberry.argument(description="The plan.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateNutritionPlanArgs(Args):
    """Arguments of `updateNutritionPlan`."""

    input: Annotated[UpdateNutritionPlanInput, strawberry.argument(description="What changes.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignNutritionPlanArgs(Args):
    """Arguments of `assignNutritionPlan`."""

    input: Annotated[AssignNutritionPlanInput, strawberry.argument(description="Which template for whom.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFoodArgs(Args):
    """Arguments of `logFood`."""

    input: Annotated[LogFoodInput, strawberry.argument(description="The portion.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDiaryEntryArgs(Args):
    """Arguments of `deleteDiaryEntry`."""

    input: Annotated[DeleteDiaryEntryInput, strawberry.argument(description="Which entry.")]


async def _food(id_: ObjectId, args: Args, context: Context) -> Mapping[str, Any]:
    asked = args.selection.at("food")
    found = await foods.by_ids(context.stores.mongo, [id_], asked.columns) if asked else {}
    return {"food": found.get(id_)}


async def _create_food(args: CreateFoodArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    key, units, mongo = values.pop("idempotency_key"), context.services.units, context.stores.mongo
    draft = checked(FoodDraft, **values)
    return await _food(await foods.create(units, mongo, context.actor, draft, key=key, now=context.now), args, context)


async def _update_food(args: UpdateFoodArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    id_ = object_id(values.pop("food"), "Food", "food")
    draft = checked(FoodDraft, **values)
    await foods.update(context.services.units, context.actor, id_, draft, now=context.now)
    return await _food(id_, args, context)


async def _submit_food(args: SubmitFoodArgs, context: Context) -> Mapping[str, Any]:
    id_ = object_id(args.input.food, "Food", "food")
    await foods.submit(context.services.units, context.actor, id_, now=context.now)
    return await _food(id_, args, context)


async def _person(given_id: str | None, context: Context) -> ObjectId:
    """The viewer, or an active client who lets the viewer see nutrition. Raises NotFound."""
    viewer = context.actor.require()
    user = viewer if given_id is None else object_id(given_id, "User", "user")
    if user != viewer and not await consents.open_to(context.stores.mongo, viewer, (ConsentScope.NUTRITION,), [user]):
        raise NotFound("There is no such {name}.", path=("user",), name="client")
    return user


def _plan_draft(values: dict[str, Any]) -> PlanDraft:
    for meal in values.get("meals") or ():
        meal["foods"] = [
            {"food_id": object_id(one.pop("food"), "Food", "meals"), **one} for one in meal.pop("portions", ())
        ]
    return checked(PlanDraft, **values)


async def _plan(id_: ObjectId, args: Args, context: Context) -> Mapping[str, Any]:
    asked = args.selection.at("plan")
    found = await plans.by_ids(context.stores.mongo, [id_], asked.columns) if asked else {}
    return {"plan": found.get(id_)}


async def _create_plan(args: CreateNutritionPlanArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    key, given_user = values.pop("idempotency_key"), values.pop("user", None)
    user = None if given_user is None else await _person(given_user, context)
    units, mongo, draft = context.services.units, context.stores.mongo, _plan_draft(values)
    id_ = await plans.create(units, mongo, context.actor, draft, user=user, key=key, now=context.now)
    return await _plan(id_, args, context)


async def _update_plan(args: UpdateNutritionPlanArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    id_ = object_id(values.pop("plan"), "NutritionPlan", "plan")
    await plans.update(context.services.units, context.actor, id_, _plan_draft(values), now=context.now)
    return await _plan(id_, args, context)


async def _assign(args: AssignNutritionPlanArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    template = object_id(values["template"], "NutritionPlan", "template")
    user = await _person(values.get("user"), context)
    units, mongo, key = context.services.units, context.stores.mongo, values["idempotency_key"]
    id_ = await plans.assign(units, mongo, context.actor, template, user, key=key, now=context.now)
    return await _plan(id_, args, context)


async def _log(args: LogFoodArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    key, units, mongo = values.pop("idempotency_key"), context.services.units, context.stores.mongo
    draft = checked(EntryDraft, food_id=object_id(values.pop("food"), "Food", "food"), **values)
    id_ = await diary.log(units, mongo, context.actor, draft, key=key, now=context.now)
    return {"entry": await diary.by_id(mongo, id_) if args.selection.at("entry") else None}


async def _delete(args: DeleteDiaryEntryArgs, context: Context) -> Mapping[str, Any]:
    entry = object_id(args.input.entry, "DiaryEntry", "entry")
    await diary.take_back(context.services.units, context.actor, entry)
    return {"deletedId": args.input.entry}


@strawberry.type
class NutritionMutations:
    """Root fields of this area."""

    create_food: FoodPayload = batch(
        answering(_create_food), args=CreateFoodArgs, description="Make a food of one's own, for oneself at first."
    )
    update_food: FoodPayload = batch(
        answering(_update_food),
        args=UpdateFoodArgs,
        description="Change a food of one's own that is not verified; it is a draft then.",
    )
    submit_food: FoodPayload = batch(
        answering(_submit_food),
        args=SubmitFoodArgs,
        description="Ask for a food of one's own to be verified, so that everybody finds it.",
    )
    create_nutrition_plan: NutritionPlanPayload = batch(
        answering(_create_plan), args=CreateNutritionPlanArgs, description="Write a plan or a template."
    )
    update_nutrition_plan: NutritionPlanPayload = batch(
        answering(_update_plan), args=UpdateNutritionPlanArgs, description="Change a plan that one wrote."
    )
    assign_nutrition_plan: NutritionPlanPayload = batch(
        answering(_assign), args=AssignNutritionPlanArgs, description="Make a plan for somebody of a template."
    )
    log_food: DiaryEntryPayload = batch(
        answering(_log), args=LogFoodArgs, description="Write down a portion that was eaten."
    )
    delete_diary_entry: DeleteDiaryEntryPayload = batch(
        answering(_delete), args=DeleteDiaryEntryArgs, description="Take an entry out of one's diary."
    )
