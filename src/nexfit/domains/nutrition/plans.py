"""Nutrition plans in MongoDB: what to eat, written for oneself, for a client, or as a template.

What a portion contains and what a plan adds up to is computed from the foods whenever it is read: it is stored nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar

from bson import ObjectId
from pydantic import Field, StringConstraints

from nexfit.domains.errors import BadInput, Forbidden, NotFound
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.documents import Role
from nexfit.domains.identity.profiles import BioText
from nexfit.domains.identity.validation import Input, LineText
from nexfit.domains.nutrition import figures, foods
from nexfit.domains.nutrition.foods import WordText
from nexfit.hybrid import documents_paging
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.paging import Key, Page, PageRequest, instant, object_id
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.documents import Id
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "nutrition_plans"
ORDER = "nutrition_plans:UPDATED_AT:DESC"
KEYS = (Key("updatedAt", instant, descending=True), Key("_id", object_id, descending=True))
FOOD_COLUMNS = ("name", "nutrients", "servings")
"""Columns of a food that a portion of it is computed from."""

PUBLISHERS = frozenset({Role.COACH, Role.GYM_COACH, Role.STUDIO_COACH, Role.GYM_OWNER, Role.STUDIO_OWNER})

Target = Annotated[float, Field(ge=0, le=20_000, allow_inf_nan=False)]


class PortionDraft(Input):
    """So much of a food, in grams, a usual portion, or a serving of the food's own."""

    food_id: Id
    quantity: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]
    unit: WordText = "g"


class MealDraft(Input):
    """A meal, at a local time."""

    name: LineText
    time: Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] | None = None
    foods: Annotated[list[PortionDraft], Field(max_length=100)] = Field(default_factory=list)
    notes: BioText | None = None


class PlanDraft(Input):
    """What is said of a plan: targets of a day in kcal and g. What is not given stays, None forgets."""

    name: LineText = ""
    description: BioText | None = None
    is_template: bool = False
    is_public: bool = False
    calories: Target | None = None
    protein: Target | None = None
    carbs: Target | None = None
    fat: Target | None = None
    meals_per_day: Annotated[int, Field(ge=1, le=24)] | None = None
    tags: Annotated[list[WordText], Field(max_length=50)] | None = None
    meals: Annotated[list[MealDraft], Field(max_length=50)] = Field(default_factory=list)


class PlanSaved(Event):
    """Somebody wrote or changed a nutrition plan."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "nutrition_plan"

    plan_id: str
    for_user_id: str | None = None

    @property
    def aggregate_id(self) -> str:
        """The plan."""
        return self.plan_id


def public() -> dict[str, Any]:
    """The condition of plans that everybody finds."""
    return {"isTemplate": True, "isPublic": True}


def visible(viewer: ObjectId | None) -> dict[str, Any]:
    """The condition of what somebody may find without anybody's consent."""
    if viewer is None:
        return public()
    return {"$or": [public(), {"createdBy": viewer}, {"forUserId": viewer}]}


def target_of(plan: Mapping[str, Any]) -> dict[str, float]:
    """The daily targets that a plan has, by the names of the figures."""
    metadata = plan.get("metadata") or {}
    macros = metadata.get("macros") or {}
    found = {
        "calories": metadata.get("calorieTarget"),
        **{name: macros.get(name) for name in ("protein", "carbs", "fat")},
    }
    return {name: value for name, value in found.items() if value is not None}


def portion(stored: Mapping[str, Any], food: Mapping[str, Any] | None) -> Document:
    """A stored portion with its grams and what it contains by its food as that is now; nothing where it is gone."""
    grams = None if food is None else figures.grams_of(stored["quantity"], stored["unit"], food)
    contents = {} if food is None or grams is None else figures.nutrients_in(grams, food)
    return {**{name: stored[name] for name in ("foodId", "quantity", "unit")}, "grams": grams, **contents}


# --- reading


async def page(
    mongo: Mongo, viewer: ObjectId | None, *, mine: bool, request: PageRequest, columns: Iterable[str]
) -> Page:
    """One page of public templates, or of what the viewer wrote, the latest first."""
    conditions = {"createdBy": viewer} if mine else public()
    return await documents_paging.page(mongo, COLLECTION, conditions, KEYS, request, {*columns, *_SCOPE})


async def pages_of(
    mongo: Mongo, people: Sequence[ObjectId], request: PageRequest, columns: Iterable[str]
) -> list[Page]:
    """A page of the plans written for each person, the latest first, in one command."""
    return await documents_paging.pages_by_parent(
        mongo, COLLECTION, "forUserId", people, {}, KEYS, request, {*columns, *_SCOPE}
    )


_SCOPE = ("createdBy", "forUserId", "isTemplate", "isPublic")


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Plans by id, in one command; unknown ids are absent."""
    rows = await mongo.find(COLLECTION, {"_id": {"$in": list(set(ids))}}, {*columns, *_SCOPE})
    return {row["_id"]: row for row in rows}


async def foods_in(mongo: Mongo, plans: Iterable[Mapping[str, Any]]) -> dict[ObjectId, Document]:
    """The foods that plans name, in one command."""
    ids = {one["foodId"] for plan in plans for meal in plan.get("meals") or () for one in meal.get("foods") or ()}
    return await foods.by_ids(mongo, ids, FOOD_COLUMNS)


async def followed(mongo: Mongo, people: Iterable[ObjectId]) -> dict[ObjectId, Document]:
    """The plan each person follows: the one written for them that was changed last; in one command."""
    wanted = list(set(people))
    columns = ("forUserId", "metadata", "name", "updatedAt")
    rows = await mongo.find(COLLECTION, {"forUserId": {"$in": wanted}}, columns, sort=[("updatedAt", 1), ("_id", 1)])
    return {row["forUserId"]: row for row in rows}


# --- changing


async def create(
    units: UnitsOfWork,
    mongo: Mongo,
    actor: Actor,
    draft: PlanDraft,
    *,
    user: ObjectId | None,
    key: str,
    now: datetime,
) -> ObjectId:
    """Write a plan: for a person (whose coach the viewer was found to be, or the viewer), or a template.

    The same key and input give the first one again. Raises Unauthenticated, BadInput, NotFound for a food, Forbidden
    where somebody may not publish, IdempotencyConflict.
    """
    viewer = actor.require()
    if not draft.name:
        raise BadInput("{name} must have at least {least} characters.", path=("name",), name="name", least=1)

    async def body(work: MongoWork) -> str:
        made: Document = {"_id": ObjectId(), "createdBy": viewer, "isTemplate": False, "isPublic": False}
        made |= {"metadata": {}, "meals": [], "createdAt": now}
        if user is not None:
            made["forUserId"] = user
        await _save(work, viewer, None, made, draft, now)
        return str(made["_id"])

    asked = {"user": str(user), **draft.model_dump(mode="json", exclude_unset=True)}
    unit = units.mongo("create_nutrition_plan")
    return ObjectId(await once(mongo, unit, viewer, "createNutritionPlan", key, asked, body))


async def update(units: UnitsOfWork, actor: Actor, plan: ObjectId, draft: PlanDraft, *, now: datetime) -> None:
    """Change a plan that the viewer wrote. Raises Unauthenticated, NotFound, BadInput, Forbidden."""
    viewer = actor.require()

    async def body(work: MongoWork) -> None:
        kept = await work.mongo.find_one(COLLECTION, {"_id": plan, **visible(viewer)}, _EVERYTHING)
        if kept is None:
            raise NotFound("There is no such {name}.", path=("plan",), name="plan")
        if kept["createdBy"] != viewer:
            raise Forbidden("Only who made it may change it.", path=("plan",))
        await _save(work, viewer, kept, dict(kept), draft, now)

    await units.mongo("update_nutrition_plan").run(body)


async def assign(
    units: UnitsOfWork, mongo: Mongo, actor: Actor, plan: ObjectId, user: ObjectId, *, key: str, now: datetime
) -> ObjectId:
    """Copy a template that the viewer finds into a plan for a person (a client, or the viewer).

    Raises Unauthenticated, NotFound, IdempotencyConflict.
    """
    viewer = actor.require()

    async def body(work: MongoWork) -> str:
        kept = await work.mongo.find_one(COLLECTION, {"_id": plan, **visible(viewer)}, _EVERYTHING)
        if kept is None or not kept["isTemplate"]:
            raise NotFound("There is no such {name}.", path=("template",), name="template")
        taken = ("name", "description", "metadata", "meals")
        made: Document = {name: kept[name] for name in taken if name in kept}
        made |= {"_id": ObjectId(), "createdBy": viewer, "forUserId": user, "isTemplate": False, "isPublic": False}
        made |= {"createdAt": now, "updatedAt": now}
        await work.mongo.insert(COLLECTION, dict(made))
        _tell(work, viewer, made, "nutrition_plan.assigned")
        return str(made["_id"])

    asked = {"plan": str(plan), "user": str(user)}
    unit = units.mongo("assign_nutrition_plan")
    return ObjectId(await once(mongo, unit, viewer, "assignNutritionPlan", key, asked, body))


_EVERYTHING = ("name", "description", "metadata", "meals", "pricing", "createdAt", "updatedAt", *_SCOPE)


async def _save(
    work: MongoWork, viewer: ObjectId, before: Document | None, after: Document, draft: PlanDraft, now: datetime
) -> None:
    given = draft.model_dump(exclude_unset=True)
    metadata = after["metadata"] = dict(after.get("metadata") or {})
    macros = dict(metadata.get("macros") or {})
    places = {
        "name": (after, "name"),
        "description": (after, "description"),
        "is_template": (after, "isTemplate"),
        "is_public": (after, "isPublic"),
        "calories": (metadata, "calorieTarget"),
        "meals_per_day": (metadata, "mealsPerDay"),
        "tags": (metadata, "tags"),
        **{name: (macros, name) for name in ("protein", "carbs", "fat")},
    }
    for name, (into, stored) in places.items():
        if name in given and given[name] is None:
            into.pop(stored, None)
        elif name in given:
            into[stored] = given[name]
    metadata["macros"] = macros
    if after["isTemplate"] and "forUserId" in after:
        raise BadInput("A template is for nobody in particular.", path=("isTemplate",))
    if after["isPublic"]:
        if not after["isTemplate"]:
            raise BadInput("Only templates can be public.", path=("isPublic",))
        await _require_publisher(work, viewer)
    if "meals" in given:
        after["meals"] = await _meals(work, viewer, before or {}, draft)
    if after == before:
        return
    after["updatedAt"] = now
    if before is None:
        await work.mongo.insert(COLLECTION, dict(after))
    else:
        gone = {name: "" for name in before if name not in after}
        change: dict[str, Any] = {"$set": {name: value for name, value in after.items() if name != "_id"}}
        await work.mongo.update(COLLECTION, {"_id": after["_id"]}, {**change, "$unset": gone} if gone else change)
    _tell(work, viewer, after, "nutrition_plan.written" if before is None else "nutrition_plan.changed")


async def _require_publisher(work: MongoWork, viewer: ObjectId) -> None:
    user = await work.mongo.find_one("users", {"_id": viewer, "isActive": True}, ("role",))
    if user is None or PUBLISHERS.isdisjoint(user["role"]):
        raise Forbidden("Only coaches and owners may publish.", path=("isPublic",))


async def _meals(work: MongoWork, viewer: ObjectId, before: Document, draft: PlanDraft) -> list[Document]:
    """The meals as they are stored; every food exists for the viewer, or was named before, and has the unit."""
    named = {one["foodId"] for meal in before.get("meals") or () for one in meal.get("foods") or ()}
    ids = {one.food_id for meal in draft.meals for one in meal.foods}
    known = await food_for_portions(work, viewer, ids, named)
    meals = []
    for meal in draft.meals:
        row: Document = {"name": meal.name, "foods": [stored_portion(one, known, "meals") for one in meal.foods]}
        row |= {name: value for name, value in (("time", meal.time), ("notes", meal.notes)) if value is not None}
        meals.append(row)
    return meals


async def food_for_portions(
    work: MongoWork, viewer: ObjectId, ids: Iterable[ObjectId], named: Iterable[ObjectId] = ()
) -> dict[ObjectId, Document]:
    """The foods that a viewer may name, and those that were named before."""
    columns = (*FOOD_COLUMNS, "isVerified", "createdBy")
    rows = await work.mongo.find(foods.COLLECTION, {"_id": {"$in": list(set(ids))}}, columns)
    before = set(named)
    return {
        row["_id"]: row for row in rows if row["isVerified"] or row.get("createdBy") == viewer or row["_id"] in before
    }


async def is_planned(work: MongoWork, person: ObjectId, food: ObjectId) -> bool:
    """Whether a plan that was written for somebody names a food, also one that only its writer finds."""
    query = {"forUserId": person, "meals.foods.foodId": food}
    return await work.mongo.find_one(COLLECTION, query, ()) is not None


def stored_portion(draft: PortionDraft, known: Mapping[ObjectId, Document], where: str) -> Document:
    """A portion as it is stored. Raises NotFound for an unknown food, BadInput for a unit that the food has not."""
    food = known.get(draft.food_id)
    if food is None:
        raise NotFound("There is no such {name}.", path=(where,), name="food")
    if figures.grams_of(draft.quantity, draft.unit, food) is None:
        raise BadInput("{food} has no unit {unit}.", path=(where,), food=food["name"], unit=draft.unit)
    return {"foodId": draft.food_id, "quantity": draft.quantity, "unit": draft.unit}


def _tell(work: MongoWork, viewer: ObjectId, plan: Document, action: str) -> None:
    person = str(plan["forUserId"]) if "forUserId" in plan else None
    work.emit(PlanSaved(plan_id=str(plan["_id"]), for_user_id=person))
    told = {"isTemplate": plan["isTemplate"], "isPublic": plan["isPublic"]}
    work.audit(Audit(action, "nutrition_plan", str(plan["_id"]), user_id=str(viewer), after=told))
