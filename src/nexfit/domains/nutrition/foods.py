"""Foods in MongoDB: verified ones are everybody's to find, others their maker's; making, changing, verifying them.

`draft -> submitted -> verified | rejected`; `rejected -> submitted`. A verified food is changed by operators alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar

from bson import ObjectId
from pydantic import Field, StringConstraints
from pydantic.alias_generators import to_camel

from nexfit.domains.errors import BadInput, ErrorCode, NotFound, Refusal
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.profiles import BioText, WebAddress
from nexfit.domains.identity.validation import Input, LineText
from nexfit.domains.nutrition import figures
from nexfit.domains.nutrition.documents import Verification
from nexfit.domains.text import fold
from nexfit.domains.vocabulary import search
from nexfit.domains.vocabulary.documents import Kind
from nexfit.domains.vocabulary.words import found_by, split
from nexfit.hybrid import documents_paging
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.paging import Key, Page, PageRequest, object_id, text
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "foods"
BY_NAME = (Key("nameFolded", text), Key("_id", object_id))
COMPARED = 500
"""Foods of a category that are looked at for substitutes."""

Amount = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
"""Grams in 100 g."""

WordText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=r"^[^\x00-\x1f]+$")
]


class ServingDraft(Input):
    """A usual portion under a name of its own."""

    name: WordText
    grams: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]


class FoodDraft(Input):
    """What is said of a food: amounts in 100 g (kcal, g; sodium in mg). What is not given stays, None forgets."""

    name: LineText = ""
    description: BioText | None = None
    image: WebAddress | None = None
    category: WordText | None = None
    calories: Annotated[float, Field(ge=0, le=900, allow_inf_nan=False)] | None = None
    protein: Amount | None = None
    carbs: Amount | None = None
    fat: Amount | None = None
    fiber: Amount | None = None
    sugar: Amount | None = None
    sodium: Annotated[float, Field(ge=0, le=40_000, allow_inf_nan=False)] | None = None
    servings: Annotated[list[ServingDraft], Field(max_length=20)] | None = None
    tags: Annotated[list[WordText], Field(max_length=50)] | None = None


class FoodSaved(Event):
    """Somebody made, changed or submitted a food, or it was verified or rejected."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "food"

    food_id: str
    verification: str

    @property
    def aggregate_id(self) -> str:
        """The food."""
        return self.food_id


class NotThisFood(Refusal):
    """The food's verification does not allow this."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self, *, state: str) -> None:
        super().__init__("That is not possible for a food that is {state}.", path=("food",), state=state)


@dataclass(frozen=True, slots=True)
class FoodFilter:
    """What a food must match; absent parts match every one."""

    text: str | None = None
    category: str | None = None
    verified: bool | None = None
    mine: bool = False


def visible(viewer: ObjectId | None) -> dict[str, Any]:
    """The condition of what somebody may find: what is verified, and their own."""
    if viewer is None:
        return {"isVerified": True}
    return {"$or": [{"isVerified": True}, {"createdBy": viewer}]}


def searched(food: Mapping[str, Any]) -> Document:
    """The stored fields that search reads."""
    return {"words": found_by([food["name"], *(food.get("tags") or ())]), "nameWords": len(split(food["name"]))}


def state_of(food: Mapping[str, Any]) -> Verification:
    """Where a food stands; those from before this was kept are drafts unless they are verified."""
    if food["isVerified"]:
        return Verification.VERIFIED
    return Verification(food.get("verification") or Verification.DRAFT)


async def page(
    mongo: Mongo, viewer: ObjectId | None, wanted: FoodFilter, request: PageRequest, columns: Iterable[str]
) -> Page:
    """One page of the foods somebody may find: by name, and found by a text the closest first."""
    conditions: dict[str, Any] = {"createdBy": viewer} if wanted.mine else visible(viewer)
    if wanted.category is not None:
        conditions["category"] = wanted.category
    if wanted.verified is not None:
        conditions = {"$and": [conditions, {"isVerified": wanted.verified}]}
    if not wanted.text or not split(wanted.text):
        return await documents_paging.page(mongo, COLLECTION, conditions, BY_NAME, request, columns)
    found = await search.condition(mongo, Kind.FOODS, viewer, wanted.text)
    if found is None:
        return Page(rows=[], keys=search.KEYS, has_next=False, has_previous=False, total=0)
    both = {"$and": [found, conditions]}
    return await documents_paging.page(mongo, COLLECTION, both, search.KEYS, request, columns)


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Foods by id, whoever made them, in one command: for what names them and may be read."""
    wanted = list(set(ids))
    rows = await mongo.find(COLLECTION, {"_id": {"$in": wanted}}, columns) if wanted else []
    return {row["_id"]: row for row in rows}


async def visible_by_ids(
    mongo: Mongo, viewer: ObjectId | None, ids: Iterable[ObjectId], columns: Iterable[str]
) -> dict[ObjectId, Document]:
    """Of the foods with these ids those that somebody may find, in one command."""
    rows = await mongo.find(COLLECTION, {"_id": {"$in": list(set(ids))}, **visible(viewer)}, columns)
    return {row["_id"]: row for row in rows}


async def substitutes(mongo: Mongo, food: Mapping[str, Any], most: int, columns: Iterable[str]) -> list[Document]:
    """Verified foods of the food's category that are most like it in macros for the same energy; one command."""
    if food.get("category") is None:
        return []
    query = {"category": food["category"], "isVerified": True, "_id": {"$ne": food["_id"]}}
    found = await mongo.find(
        COLLECTION, query, {*columns, "nutrients"}, sort=[("nameFolded", 1), ("_id", 1)], limit=COMPARED
    )
    usable = [one for one in found if one["nutrients"]["calories"]]
    return sorted(usable, key=lambda one: figures.likeness(food, one))[:most]


async def create(
    units: UnitsOfWork, mongo: Mongo, actor: Actor, draft: FoodDraft, *, key: str, now: datetime
) -> ObjectId:
    """Make a food of the viewer's own, a draft; the same key and input give the first one again.

    Raises Unauthenticated, BadInput, IdempotencyConflict.
    """
    viewer = actor.require()
    if not draft.name:
        raise BadInput("{name} must have at least {least} characters.", path=("name",), name="name", least=1)

    async def body(work: MongoWork) -> str:
        made: Document = {"_id": ObjectId(), "createdBy": viewer, "isVerified": False, "createdAt": now}
        await _save(work, viewer, None, made | {"verification": str(Verification.DRAFT), "tags": []}, draft, now)
        return str(made["_id"])

    asked = draft.model_dump(mode="json", exclude_unset=True)
    return ObjectId(await once(mongo, units.mongo("create_food"), viewer, "createFood", key, asked, body))


async def update(units: UnitsOfWork, actor: Actor, food: ObjectId, draft: FoodDraft, *, now: datetime) -> None:
    """Change a food of the viewer's own that is not verified; one that was submitted is a draft again.

    Raises Unauthenticated, NotFound, BadInput, NotThisFood.
    """
    viewer = actor.require()

    async def body(work: MongoWork) -> None:
        kept = await _own(work, viewer, food)
        if kept["isVerified"]:
            raise NotThisFood(state=str(Verification.VERIFIED))
        await _save(work, viewer, kept, {**kept, "verification": str(Verification.DRAFT)}, draft, now)

    await units.mongo("update_food").run(body)


async def submit(units: UnitsOfWork, actor: Actor, food: ObjectId, *, now: datetime) -> None:
    """Ask for a food of the viewer's own to be verified. Repeating it changes nothing. Raises NotFound, NotThisFood."""
    viewer = actor.require()

    async def body(work: MongoWork) -> None:
        kept = await _own(work, viewer, food)
        state = state_of(kept)
        if state is Verification.SUBMITTED:
            return
        if state is Verification.VERIFIED:
            raise NotThisFood(state=str(state))
        await _move(work, food, Verification.SUBMITTED, str(viewer), now)

    await units.mongo("submit_food").run(body)


async def decide(units: UnitsOfWork, food: ObjectId, *, verified: bool, now: datetime) -> None:
    """Verify a submitted food, so that everybody finds it, or reject it: an operator's word.

    Repeating it changes nothing. Raises NotFound, NotThisFood.
    """
    wanted = Verification.VERIFIED if verified else Verification.REJECTED

    async def body(work: MongoWork) -> None:
        kept = await work.mongo.find_one(COLLECTION, {"_id": food}, ("isVerified", "verification", "words"))
        if kept is None:
            raise NotFound("There is no such {name}.", path=("food",), name="food")
        state = state_of(kept)
        if state is wanted:
            return
        if state is not Verification.SUBMITTED:
            raise NotThisFood(state=str(state))
        await _move(work, food, wanted, None, now)
        if verified:
            await search.learn(work.mongo, Kind.FOODS, None, kept.get("words") or ())

    await units.mongo("decide_food").run(body)


async def submitted(mongo: Mongo, limit: int) -> list[Document]:
    """Foods that wait to be verified, the oldest first."""
    columns = ("name", "category", "nutrients", "createdBy", "updatedAt")
    waiting = {"verification": str(Verification.SUBMITTED)}
    return await mongo.find(COLLECTION, waiting, columns, sort=[("updatedAt", 1), ("_id", 1)], limit=limit)


_EVERYTHING = (
    *("name", "nameFolded", "description", "image", "category", "nutrients", "servings", "tags", "words", "nameWords"),
    *("createdBy", "isVerified", "verification", "createdAt", "updatedAt"),
)


async def _own(work: MongoWork, viewer: ObjectId, food: ObjectId) -> Document:
    kept = await work.mongo.find_one(COLLECTION, {"_id": food, "createdBy": viewer}, _EVERYTHING)
    if kept is None:
        raise NotFound("There is no such {name}.", path=("food",), name="food")
    return kept


async def _save(
    work: MongoWork, viewer: ObjectId, before: Document | None, after: Document, draft: FoodDraft, now: datetime
) -> None:
    given = draft.model_dump(exclude_unset=True)
    nutrients = dict(after.get("nutrients") or {})
    for name, value in given.items():
        into = nutrients if name in figures.NUTRIENTS else after
        if value is None:
            into.pop(to_camel(name), None)
        else:
            into[to_camel(name)] = value
    for name in figures.MACROS:
        if name not in nutrients:
            raise BadInput("Give the {name} in 100 g.", path=(name,), name=name)
    if nutrients["protein"] + nutrients["carbs"] + nutrients["fat"] > 101:
        raise BadInput("In 100 g there are at most 100 g of protein, carbohydrates and fat.", path=("protein",))
    after |= {"nutrients": nutrients, "nameFolded": fold(after["name"])}
    after |= searched(after)
    if after == before:
        return
    after["updatedAt"] = now
    if before is None:
        await work.mongo.insert(COLLECTION, dict(after))
    else:
        gone = {name: "" for name in before if name not in after}
        change: dict[str, Any] = {"$set": {name: value for name, value in after.items() if name != "_id"}}
        await work.mongo.update(COLLECTION, {"_id": after["_id"]}, {**change, "$unset": gone} if gone else change)
    await search.learn(work.mongo, Kind.FOODS, viewer, after["words"])
    _tell(work, after["_id"], Verification.DRAFT, "food.saved", str(viewer))


async def _move(work: MongoWork, food: ObjectId, to: Verification, by: str | None, now: datetime) -> None:
    change = {"verification": str(to), "isVerified": to is Verification.VERIFIED, "updatedAt": now}
    await work.mongo.update(COLLECTION, {"_id": food}, {"$set": change})
    _tell(work, food, to, f"food.{to}", by)


def _tell(work: MongoWork, food: ObjectId, state: Verification, action: str, by: str | None) -> None:
    work.emit(FoodSaved(food_id=str(food), verification=str(state)))
    work.audit(Audit(action, "food", str(food), user_id=by, after={"verification": str(state)}))
