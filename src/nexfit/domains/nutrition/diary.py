"""What people ate, in MongoDB's `food_diary`: one document a portion, with what it contained by its food then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, ClassVar

from bson import ObjectId
from pydantic import Field, StringConstraints

from nexfit.domains.errors import BadInput, NotFound
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor
from nexfit.domains.nutrition import figures, plans
from nexfit.domains.nutrition.plans import PortionDraft
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "food_diary"
AHEAD = timedelta(days=2)
MealName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]


class EntryDraft(PortionDraft):
    """A portion that was eaten."""

    day: date
    meal: MealName | None = None
    quantity: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]


class FoodLogged(Event):
    """Somebody wrote down, or took back, what they ate; of what nothing is told."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "food_diary"

    user_id: str

    @property
    def aggregate_id(self) -> str:
        """The person."""
        return self.user_id


async def log(
    units: UnitsOfWork, mongo: Mongo, actor: Actor, draft: EntryDraft, *, key: str, now: datetime
) -> ObjectId:
    """Write down a portion of the viewer's; the same key and input give the first entry again.

    Raises Unauthenticated, BadInput, NotFound for a food, IdempotencyConflict.
    """
    viewer = actor.require()
    if draft.day > (now + AHEAD).date():
        raise BadInput("{name} lies in the future.", path=("day",), name="day")

    async def body(work: MongoWork) -> str:
        known = await plans.food_for_portions(work, viewer, [draft.food_id])
        if not known and await plans.is_planned(work, viewer, draft.food_id):
            known = await plans.food_for_portions(work, viewer, [draft.food_id], [draft.food_id])
        portion = plans.stored_portion(draft, known, "food")
        contents = plans.portion(portion, known[draft.food_id])
        row: Document = {
            "_id": ObjectId(),
            "userId": viewer,
            "day": datetime.combine(draft.day, time(), UTC),
            **portion,
            "grams": contents["grams"],
            "nutrients": {name: contents[name] for name in figures.NUTRIENTS if name in contents},
            "createdAt": now,
        }
        if draft.meal is not None:
            row["meal"] = draft.meal
        await work.mongo.insert(COLLECTION, row)
        _tell(work, viewer, row["_id"], "food.eaten")
        return str(row["_id"])

    asked = draft.model_dump(mode="json", exclude_unset=True)
    return ObjectId(await once(mongo, units.mongo("log_food"), viewer, "logFood", key, asked, body))


async def take_back(units: UnitsOfWork, actor: Actor, entry: ObjectId) -> None:
    """Delete an entry of the viewer's diary. Raises Unauthenticated, NotFound."""
    viewer = actor.require()

    async def body(work: MongoWork) -> None:
        if not await work.mongo.delete(COLLECTION, {"_id": entry, "userId": viewer}):
            raise NotFound("There is no such {name}.", path=("entry",), name="entry")
        _tell(work, viewer, entry, "food.taken_back")

    await units.mongo("take_back_food").run(body)


def _tell(work: MongoWork, viewer: ObjectId, entry: ObjectId, action: str) -> None:
    work.emit(FoodLogged(user_id=str(viewer)))
    work.audit(Audit(action, "food_diary", str(entry), user_id=str(viewer)))


async def days_of(
    mongo: Mongo, people: Iterable[ObjectId], since: date, until: date
) -> dict[ObjectId, dict[date, list[Document]]]:
    """Each person's entries by day, in the order they were written, in one command."""
    wanted = list(set(people))
    first, last = (datetime.combine(day, time(), UTC) for day in (since, until))
    query = {"userId": {"$in": wanted}, "day": {"$gte": first, "$lte": last}}
    columns = ("userId", "day", "meal", "foodId", "quantity", "unit", "grams", "nutrients", "createdAt")
    found: dict[ObjectId, dict[date, list[Document]]] = {person: defaultdict(list) for person in wanted}
    rows = await mongo.find(COLLECTION, query, columns, sort=[("userId", 1), ("day", 1), ("_id", 1)])
    for row in rows:
        found[row["userId"]][row["day"].date()].append(row)
    return found


async def by_id(mongo: Mongo, entry: ObjectId) -> Mapping[str, Any] | None:
    """An entry."""
    columns = ("day", "meal", "foodId", "quantity", "unit", "grams", "nutrients", "createdAt")
    found = await mongo.find(COLLECTION, {"_id": entry}, columns, limit=1)
    return found[0] if found else None
