"""Making and changing exercises of one's own. Coaches and owners may publish them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar

from bson import ObjectId
from pydantic import Field, StringConstraints, field_validator
from pydantic.alias_generators import to_camel

from nexfit.domains.errors import BadInput, Forbidden, NotFound
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.documents import Role
from nexfit.domains.identity.profiles import BioText, WebAddress
from nexfit.domains.identity.validation import Input, LineText
from nexfit.domains.text import fold
from nexfit.domains.training.documents import Difficulty, Force, Language, Mechanic
from nexfit.domains.training.exercises import COLLECTION, searched, visible
from nexfit.domains.vocabulary import search
from nexfit.domains.vocabulary.documents import Kind
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.documents import Id, Quantity
from nexfit.stores.mongo import Document, Mongo

MOST_STEPS = 100
MOST_WORDS = 50
MOST_PICTURES = 50

WordText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=80, pattern=r"^[^\x00-\x1f]+$"),
]
"""A word of no fixed list, such as a body area or a tool: kept in small letters."""

Words = Annotated[list[WordText], Field(max_length=MOST_WORDS)]
Steps = Annotated[list[BioText], Field(max_length=MOST_STEPS)]

PUBLISHERS = frozenset({Role.COACH, Role.GYM_COACH, Role.STUDIO_COACH, Role.GYM_OWNER, Role.STUDIO_OWNER})
"""Roles whose people may show what they made to everybody."""

_MEDIA = ("video_url", "image_urls", "thumbnail_url")
_METADATA = (
    *("body_areas", "primary_body_areas", "secondary_body_areas", "type", "equipment", "difficulty_level"),
    *("force", "mechanic", "calories", "duration", "tags"),
)


class TranslationDraft(Input):
    """An exercise's texts in another language."""

    language: Language
    name: LineText
    description: BioText | None = None
    instructions: Steps = Field(default_factory=list)


class ExerciseDraft(Input):
    """What is said of an exercise: what is not given stays, None forgets. Duration in seconds, calories in kcal."""

    name: LineText = ""
    language: Language | None = None
    description: BioText | None = None
    instructions: Steps | None = None
    translations: Annotated[list[TranslationDraft], Field(max_length=len(Language))] | None = None
    video_url: WebAddress | None = None
    image_urls: Annotated[list[WebAddress], Field(max_length=MOST_PICTURES)] | None = None
    thumbnail_url: WebAddress | None = None
    primary_body_areas: Words | None = None
    secondary_body_areas: Words | None = None
    type: WordText | None = None
    equipment: Words | None = None
    difficulty_level: Difficulty | None = None
    force: Force | None = None
    mechanic: Mechanic | None = None
    calories: Quantity | None = None
    duration: Quantity | None = None
    tags: Words | None = None
    alternate_exercises: Annotated[list[Id], Field(max_length=MOST_WORDS)] | None = None
    is_public: bool = False

    @field_validator("translations")
    @classmethod
    def _one_each(cls, given: list[TranslationDraft] | None) -> list[TranslationDraft] | None:
        if given is not None and len({one.language for one in given}) != len(given):
            raise ValueError("a language comes twice")
        return given


class ExerciseSaved(Event):
    """Somebody made or changed an exercise."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "exercise"

    exercise_id: str

    @property
    def aggregate_id(self) -> str:
        """The exercise."""
        return self.exercise_id


async def create(
    units: UnitsOfWork, mongo: Mongo, actor: Actor, draft: ExerciseDraft, *, key: str, now: datetime
) -> ObjectId:
    """Make an exercise of the viewer's own; the same key and input give the first one again.

    Raises Unauthenticated, BadInput, Forbidden where somebody may not publish, NotFound for an unknown alternate,
    IdempotencyConflict; then nothing was written.
    """
    viewer = actor.require()
    if not draft.name:
        raise BadInput("{name} must have at least {least} characters.", path=("name",), name="name", least=1)

    async def body(work: MongoWork) -> str:
        made: Document = {"_id": ObjectId(), "createdBy": viewer, "isPublic": False, "createdAt": now}
        await _save(work, viewer, made, draft, now)
        return str(made["_id"])

    asked = draft.model_dump(mode="json", exclude_unset=True)
    return ObjectId(await once(mongo, units.mongo("create_exercise"), viewer, "createExercise", key, asked, body))


async def update(units: UnitsOfWork, actor: Actor, exercise: ObjectId, draft: ExerciseDraft, *, now: datetime) -> None:
    """Change an exercise of the viewer's own. Repeating it changes nothing more.

    Raises Unauthenticated, NotFound, BadInput, and Forbidden for somebody else's or where one may not publish.
    """
    viewer = actor.require()

    async def body(work: MongoWork) -> None:
        kept = await work.mongo.find_one(COLLECTION, {"_id": exercise, **visible(viewer)}, _EVERYTHING)
        if kept is None:
            raise NotFound("There is no such {name}.", path=("exercise",), name="exercise")
        if kept.get("createdBy") != viewer:
            raise Forbidden("Only who made it may change it.", path=("exercise",))
        await _save(work, viewer, kept, draft, now)

    await units.mongo("update_exercise").run(body)


_EVERYTHING = (
    *("name", "nameFolded", "description", "instructions", "language", "translations", "media", "metadata"),
    *("createdBy", "isPublic", "alternateExercises", "words", "nameWords", "createdAt", "updatedAt"),
)


async def require_publisher(work: MongoWork, viewer: ObjectId) -> None:
    """Raises Forbidden for who may not show things to everybody."""
    user = await work.mongo.find_one("users", {"_id": viewer, "isActive": True}, ("role",))
    if user is None or PUBLISHERS.isdisjoint(user["role"]):
        raise Forbidden("Only coaches and owners may publish.", path=("isPublic",))


async def _save(work: MongoWork, viewer: ObjectId, kept: Document, draft: ExerciseDraft, now: datetime) -> None:
    """Bring the exercise to what the draft says, and teach the vocabulary its words."""
    given = draft.model_dump(exclude_unset=True, mode="python")
    if given.get("is_public"):
        await require_publisher(work, viewer)
    await _check_alternates(work, viewer, kept, given.get("alternate_exercises") or ())
    after = _applied(kept, given)
    if {**after, "updatedAt": None} == {**kept, "updatedAt": None}:
        return
    after["updatedAt"] = now
    gone = {name: "" for name in kept if name not in after}
    change: dict[str, Any] = {"$set": {name: value for name, value in after.items() if name != "_id"}}
    await work.mongo.update(
        COLLECTION, {"_id": kept["_id"]}, {**change, "$unset": gone} if gone else change, upsert="name" not in kept
    )
    await search.learn(work.mongo, Kind.EXERCISES, None if after["isPublic"] else viewer, after["words"])
    work.emit(ExerciseSaved(exercise_id=str(kept["_id"])))
    work.audit(
        Audit(
            "exercise.saved",
            "exercise",
            str(kept["_id"]),
            user_id=str(viewer),
            after={"fields": sorted(to_camel(name) for name in given), "isPublic": after["isPublic"]},
        )
    )


async def _check_alternates(work: MongoWork, viewer: ObjectId, kept: Document, alternates: Iterable[ObjectId]) -> None:
    wanted = set(alternates)
    if not wanted:
        return
    if kept["_id"] in wanted:
        raise BadInput("An exercise is no alternate of itself.", path=("alternateExercises",))
    found = await work.mongo.find(COLLECTION, {"_id": {"$in": list(wanted)}, **visible(viewer)}, ())
    if len(found) < len(wanted):
        raise NotFound("There is no such {name}.", path=("alternateExercises",), name="exercise")


def _applied(kept: Document, given: Mapping[str, Any]) -> Document:
    after = dict(kept)
    parts = {"media": dict(kept.get("media") or {}), "metadata": dict(kept.get("metadata") or {})}
    for name, value in given.items():
        part = parts["media"] if name in _MEDIA else parts["metadata"] if name in _METADATA else after
        stored = _stored(value)
        if stored is None:
            part.pop(to_camel(name), None)
        else:
            part[to_camel(name)] = stored
    metadata = parts["metadata"]
    areas = [*(metadata.get("primaryBodyAreas") or ()), *(metadata.get("secondaryBodyAreas") or ())]
    metadata["bodyAreas"] = list(dict.fromkeys(areas))
    after |= {**parts, "nameFolded": fold(after["name"])}
    return after | searched(after)


def _stored(value: Any) -> Any:
    """A given value as it is stored: enums as their text, objects in camelCase without absent values."""
    if isinstance(value, Mapping):
        return {to_camel(name): _stored(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_stored(one) for one in value]
    return str(value) if isinstance(value, Language | Difficulty | Force | Mechanic) else value
