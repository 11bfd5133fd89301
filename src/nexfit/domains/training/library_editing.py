"""Making, changing and copying templates and programs. A template's earlier versions stay: workouts point to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar

from bson import ObjectId
from pydantic import Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from nexfit.domains.errors import BadInput, Forbidden, NotFound
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.profiles import BioText, WebAddress
from nexfit.domains.identity.validation import Input, LineText
from nexfit.domains.text import fold
from nexfit.domains.training import enrolments
from nexfit.domains.training.documents import Difficulty, Exertion, RepsInReserve, SetKind, SupersetGroup, Tempo
from nexfit.domains.training.exercise_editing import Words, require_publisher
from nexfit.domains.training.exercises import COLLECTION as EXERCISES
from nexfit.domains.training.library import PROGRAMS, TEMPLATES, VERSIONS, findable, version_of
from nexfit.domains.training.workout_drafts import Metres, Reps, Seconds, Weight
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.documents import Id, Quantity
from nexfit.stores.mongo import Document, Mongo

MOST_DAYS = 365
Minutes = Annotated[float, Field(ge=0, le=1_440, allow_inf_nan=False)]


class PlannedSetDraft(Input):
    """A set of a plan: so many repetitions or a range of them, at a weight (kg) or a percentage of the e1RM."""

    kind: SetKind = SetKind.WORKING
    reps: Reps | None = None
    reps_min: Reps | None = None
    reps_max: Reps | None = None
    weight: Weight | None = None
    percent_of_max: Annotated[float, Field(ge=0, le=200, allow_inf_nan=False)] | None = None
    duration: Seconds | None = None
    distance: Metres | None = None
    rest_time: Seconds | None = None
    rpe: Exertion | None = None
    rir: RepsInReserve | None = None
    tempo: Tempo | None = None

    @model_validator(mode="after")
    def _one_way(self) -> PlannedSetDraft:
        ranged = self.reps_min is not None or self.reps_max is not None
        if (self.reps is not None and ranged) or (self.weight is not None and self.percent_of_max is not None):
            raise PydanticCustomError("two_ways", "one way only")
        if self.reps_min is not None and self.reps_max is not None and self.reps_max < self.reps_min:
            raise PydanticCustomError("backwards", "a range goes up")
        return self


class TemplateExerciseDraft(Input):
    """An exercise of a template; its place in the list is its place in the workout."""

    exercise_id: Id
    superset: SupersetGroup | None = None
    default_sets: Annotated[list[PlannedSetDraft], Field(max_length=100)] = Field(default_factory=list)
    notes: BioText | None = None


class LibraryDraft(Input):
    """What templates and programs have in common. What is not given stays, None forgets."""

    name: LineText = ""
    description: BioText | None = None
    image_url: WebAddress | None = None
    is_public: bool = False
    target_goal: LineText | None = None
    difficulty: Difficulty | None = None
    tags: Words | None = None


class TemplateDraft(LibraryDraft):
    """A template; duration in minutes, energy in kcal."""

    estimated_duration: Minutes | None = None
    estimated_calories: Quantity | None = None
    target_body_areas: Words | None = None
    exercises: Annotated[list[TemplateExerciseDraft], Field(max_length=200)] = Field(default_factory=list)


class ProgramDayDraft(Input):
    """One day: a workout, or a rest."""

    workout_template_id: Id | None = None
    notes: BioText | None = None


class ProgramDraft(LibraryDraft):
    """A program: its days in order, from the first on."""

    schedule: Annotated[list[ProgramDayDraft], Field(max_length=MOST_DAYS)] = Field(default_factory=list)


class LibraryChanged(Event):
    """Somebody made or changed a template or a program; `collection` says which of them."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "library"

    collection: str
    entry_id: str
    version: int

    @property
    def aggregate_id(self) -> str:
        """The template or program."""
        return self.entry_id


_METADATA = (
    *("target_goal", "difficulty", "tags", "estimated_duration", "estimated_calories", "target_body_areas"),
    "duration",
)
_COLUMNS = (
    *("name", "nameFolded", "description", "imageUrl", "createdBy", "isPublic", "metadata", "createdAt", "updatedAt"),
    *("reviews", "version", "forkedFrom", "exercises", "schedule", "pricing", "archivedAt"),
)
_SNAPSHOT = ("name", "description", "exercises")
"""What a version of a template keeps."""

NAMES = {TEMPLATES: "template", PROGRAMS: "program"}


async def create(
    units: UnitsOfWork,
    mongo: Mongo,
    actor: Actor,
    collection: str,
    draft: TemplateDraft | ProgramDraft,
    *,
    key: str,
    now: datetime,
) -> ObjectId:
    """Make a template or program of the viewer's own; the same key and input give the first one again.

    Raises Unauthenticated, BadInput, NotFound for what it names, Forbidden, IdempotencyConflict.
    """
    viewer = actor.require()
    if not draft.name:
        raise BadInput("{name} must have at least {least} characters.", path=("name",), name="name", least=1)

    async def body(work: MongoWork) -> str:
        made = _new(viewer, now)
        await _save(work, viewer, collection, None, made, draft, now)
        return str(made["_id"])

    asked = {"collection": collection, **draft.model_dump(mode="json", exclude_unset=True)}
    unit = units.mongo(f"create_{NAMES[collection]}")
    return ObjectId(await once(mongo, unit, viewer, f"create:{collection}", key, asked, body))


async def update(
    units: UnitsOfWork,
    actor: Actor,
    collection: str,
    id_: ObjectId,
    draft: TemplateDraft | ProgramDraft,
    *,
    now: datetime,
) -> None:
    """Change a template or program of the viewer's own: another version where what is to be done changes.

    Repeating it changes nothing more. Raises Unauthenticated, NotFound, BadInput, Forbidden.
    """
    viewer = actor.require()

    async def body(work: MongoWork) -> None:
        kept = await own(work, viewer, collection, id_)
        await _save(work, viewer, collection, kept, dict(kept), draft, now)

    await units.mongo(f"update_{NAMES[collection]}").run(body)


async def copy(
    units: UnitsOfWork, mongo: Mongo, actor: Actor, collection: str, id_: ObjectId, *, key: str, now: datetime
) -> ObjectId:
    """Copy a template or program that the viewer finds into a private one of their own, which remembers from where.

    Raises Unauthenticated, NotFound, IdempotencyConflict, BadInput for an impossible key, Archived, PurchaseRequired.
    """
    viewer = actor.require()

    async def body(work: MongoWork) -> str:
        kept = await _findable(work, viewer, collection, id_)
        if "archivedAt" in kept:
            raise enrolments.Archived(path="original")
        if kept.get("pricing") and kept["createdBy"] != viewer and not await enrolments.has_begun(work, viewer, id_):
            raise enrolments.PurchaseRequired
        taken = ("name", "nameFolded", "description", "imageUrl", "metadata", "exercises", "schedule")
        made = {**_new(viewer, now), **{name: kept[name] for name in taken if name in kept}, "forkedFrom": id_}
        made["updatedAt"] = now
        await _store(work, viewer, collection, None, made, now)
        return str(made["_id"])

    unit = units.mongo(f"copy_{NAMES[collection]}")
    return ObjectId(await once(mongo, unit, viewer, f"copy:{collection}", key, {"id": str(id_)}, body))


def _new(viewer: ObjectId, now: datetime) -> Document:
    return {
        "_id": ObjectId(),
        "createdBy": viewer,
        "isPublic": False,
        "metadata": {},
        "createdAt": now,
        "version": 1,
        "reviews": {"averageRating": 0, "count": 0},
    }


async def own(work: MongoWork, viewer: ObjectId, collection: str, id_: ObjectId) -> Document:
    """A template or program that the viewer made, archived or not. Raises NotFound, Forbidden for another's."""
    kept = await _findable(work, viewer, collection, id_)
    if kept["createdBy"] != viewer:
        raise Forbidden("Only who made it may change it.", path=(NAMES[collection],))
    return kept


async def _findable(work: MongoWork, viewer: ObjectId, collection: str, id_: ObjectId) -> Document:
    kept = await work.mongo.find_one(collection, {"_id": id_, **findable(viewer)}, _COLUMNS)
    if kept is None:
        name = NAMES[collection]
        raise NotFound("There is no such {name}.", path=(name,), name=name)
    return kept


async def _save(
    work: MongoWork,
    viewer: ObjectId,
    collection: str,
    before: Document | None,
    after: Document,
    draft: TemplateDraft | ProgramDraft,
    now: datetime,
) -> None:
    given = draft.model_dump(exclude_unset=True)
    metadata = after["metadata"] = dict(after.get("metadata") or {})
    for name, value in given.items():
        if name in ("exercises", "schedule"):
            continue
        into = metadata if name in _METADATA else after
        if value is None:
            into.pop(to_camel(name), None)
        else:
            into[to_camel(name)] = str(value) if isinstance(value, Difficulty) else value
    if isinstance(draft, TemplateDraft) and "exercises" in given:
        after["exercises"] = [_exercise(one, place) for place, one in enumerate(draft.exercises, 1)]
    if isinstance(draft, ProgramDraft) and "schedule" in given:
        after["schedule"] = [_day(one, place) for place, one in enumerate(draft.schedule, 1)]
        metadata["duration"] = max(1, len(draft.schedule))
    after["nameFolded"] = fold(after["name"])
    if before is not None and {**after, "metadata": after["metadata"]} == before:
        return
    if after["isPublic"]:
        await require_publisher(work, viewer)
    await _check_named(work, viewer, collection, before, after)
    after["updatedAt"] = now
    await _store(work, viewer, collection, before, after, now)


async def _check_named(
    work: MongoWork, viewer: ObjectId, collection: str, before: Document | None, after: Document
) -> None:
    """What it names exists for the viewer, or was named before; what is published names what is public."""
    target, field, key = (
        (EXERCISES, "exercises", "exerciseId")
        if collection == TEMPLATES
        else (TEMPLATES, "schedule", "workoutTemplateId")
    )
    named = _named(after, field, key)
    if not named:
        return
    found = {
        row["_id"]: row
        for row in await work.mongo.find(target, {"_id": {"$in": list(named)}}, ("isPublic", "createdBy", "archivedAt"))
    }
    known = _named(before or {}, field, key)
    for id_ in named:
        row = found.get(id_)
        is_found = row is not None and (row["isPublic"] or row.get("createdBy") == viewer) and "archivedAt" not in row
        if not is_found and (row is None or id_ not in known):
            raise NotFound("There is no such {name}.", path=(field,), name=target.removesuffix("s").replace("_", " "))
    if after["isPublic"] and not all(found[id_]["isPublic"] for id_ in named):
        raise BadInput("What is published can only name what is public.", path=(field,))


def _named(document: Mapping[str, Any], field: str, key: str) -> Collection[ObjectId]:
    return {one[key] for one in document.get(field) or () if key in one}


async def _store(
    work: MongoWork, viewer: ObjectId, collection: str, before: Document | None, after: Document, now: datetime
) -> None:
    """Write it, counting a version where what is to be done changed, and keep both versions of a template."""
    if before is None:
        if collection == PROGRAMS:
            after.setdefault("schedule", [])
        else:
            after.setdefault("exercises", [])
        await work.mongo.insert(collection, dict(after))
    else:
        watched = (*_SNAPSHOT, "schedule")
        if any(before.get(name) != after.get(name) for name in watched):
            after["version"] = version_of(before) + 1
        gone = {name: "" for name in before if name not in after}
        change: dict[str, Any] = {"$set": {name: value for name, value in after.items() if name != "_id"}}
        await work.mongo.update(collection, {"_id": after["_id"]}, {**change, "$unset": gone} if gone else change)
    if collection == TEMPLATES:
        await _keep_versions(work, before, after, now)
    id_ = str(after["_id"])
    work.emit(LibraryChanged(collection=collection, entry_id=id_, version=version_of(after)))
    action = f"{NAMES[collection]}.{'created' if before is None else 'changed'}"
    told = {"version": version_of(after), "isPublic": after["isPublic"]}
    work.audit(Audit(action, collection.removesuffix("s"), id_, user_id=str(viewer), after=told))


async def _keep_versions(work: MongoWork, before: Document | None, after: Document, now: datetime) -> None:
    versions: Sequence[Document] = [after] if before is None else []
    if before is not None and version_of(before) != version_of(after):
        versions = [after]
        if "version" not in before:  # from before versions were counted
            versions = [before, after]
    rows = [
        {
            "_id": ObjectId(),
            "templateId": one["_id"],
            "version": version_of(one),
            **{name: one[name] for name in _SNAPSHOT if name in one},
            "createdAt": now,
        }
        for one in versions
    ]
    await work.mongo.insert(VERSIONS, *rows)


def _exercise(draft: TemplateExerciseDraft, place: int) -> Document:
    values = {
        "exerciseId": draft.exercise_id,
        "order": place,
        "superset": draft.superset,
        "defaultSets": [
            {to_camel(name): str(value) if name == "kind" else value for name, value in _present(one)}
            for one in draft.default_sets
        ],
        "notes": draft.notes,
    }
    return {name: value for name, value in values.items() if value is not None}


def _present(draft: Input) -> list[tuple[str, Any]]:
    return list(draft.model_dump(exclude_none=True).items())


def _day(draft: ProgramDayDraft, place: int) -> Document:
    values = {
        "day": place,
        "workoutTemplateId": draft.workout_template_id,
        "isRestDay": draft.workout_template_id is None,
        "notes": draft.notes,
    }
    return {name: value for name, value in values.items() if value is not None}
