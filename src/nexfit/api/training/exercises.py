"""Exercises as clients see them, their list and their search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, column, derived
from nexfit.api.identity.types import User, user_field
from nexfit.api.relay import Connection, Node, PageArgs, connection, id_reader, node_selection, page_request
from nexfit.api.search import search_text
from nexfit.domains.errors import BadInput
from nexfit.domains.training import exercises
from nexfit.domains.training.documents import Difficulty, Force, Language, Mechanic
from nexfit.domains.training.exercises import ExerciseFilter
from nexfit.domains.vocabulary.words import split
from nexfit.engine.fields import Record

strawberry.enum(Difficulty, description="How hard an exercise, a template or a program is.")
strawberry.enum(Force, description="Direction of effort.")
strawberry.enum(Mechanic, description="One joint or several.")
strawberry.enum(Language, description="A language that texts are written in.")

MOST_FILTERED = 20
_TEXTS = ("name", "description", "instructions", "language", "translations")


def texts_in(record: Record, language: str) -> Record:
    """The texts of an exercise in a language, else its own."""
    if record.get("language") != language:
        for translation in record.get("translations") or ():
            if translation["language"] == language:
                return dict(translation)
    return record


def _text(name: str) -> Callable[[Record, object, Context], Any]:
    return lambda record, _, context: texts_in(record, context.speech.language).get(name)


def _metadata(name: str, description: str) -> Any:
    def compute(record: Record, _args: object, _context: object) -> Any:
        return (record.get("metadata") or {}).get(name)

    return derived(compute, needs=(f"metadata.{name}",), description=description)


@strawberry.type(description="An exercise's texts in another language than its own.")
class ExerciseTranslation:
    """Embedded in an exercise."""

    language: Language = column(description="Which language.")
    name: str = column(description="Name.")
    description: str | None = column(description="What it is.")
    instructions: list[str] | None = column(description="Steps, in order.")


@strawberry.type(description="An exercise's video and pictures.")
class ExerciseMedia:
    """Embedded in an exercise."""

    video_url: str | None = column(description="Address of a video.")
    image_urls: list[str] | None = column(description="Addresses of pictures; of imported exercises file names.")
    thumbnail_url: str | None = column(description="Address of a small picture.")


async def _alternates(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    ids = [id_ for parent in parents for id_ in parent.get("alternateExercises") or ()]
    viewer = context.actor.user_id
    found = await exercises.visible_by_ids(context.stores.mongo, viewer, ids, args.selection.columns)
    return [[found[id_] for id_ in parent.get("alternateExercises") or () if id_ in found] for parent in parents]


@strawberry.type(description="A movement. Its texts are in the language asked for where there is a translation.")
class Exercise(Node):
    """From MongoDB's `exercises`. Public ones are everybody's to find, others their maker's."""

    id: strawberry.ID = column("_id", read=id_reader("Exercise"), description="The global id.")
    name: str = derived(_text("name"), needs=_TEXTS, description="Name.")
    description: str | None = derived(_text("description"), needs=_TEXTS, description="What it is.")
    instructions: list[str] | None = derived(_text("instructions"), needs=_TEXTS, description="Steps, in order.")
    language: Language | None = derived(
        _text("language"), needs=_TEXTS, description="The language its texts are shown in; null where nobody said."
    )
    translations: list[ExerciseTranslation] | None = column(description="Its texts in other languages than its own.")
    media: ExerciseMedia | None = column(description="Video and pictures.")
    body_areas: list[str] | None = _metadata("bodyAreas", "All it trains.")
    primary_body_areas: list[str] | None = _metadata("primaryBodyAreas", "What it trains most.")
    secondary_body_areas: list[str] | None = _metadata("secondaryBodyAreas", "What it trains besides.")
    type: str | None = _metadata("type", "Kind, such as strength or cardio.")
    equipment: list[str] | None = _metadata("equipment", "What is needed for it.")
    difficulty: Difficulty | None = _metadata("difficultyLevel", "How hard it is.")
    force: Force | None = _metadata("force", "Direction of effort.")
    mechanic: Mechanic | None = _metadata("mechanic", "One joint or several.")
    calories: float | None = _metadata("calories", "Kilocalories its duration takes, about.")
    duration: float | None = _metadata("duration", "Seconds it usually takes.")
    tags: list[str] | None = _metadata("tags", "Words it is found by besides its names.")
    is_public: bool = column(description="Whether everybody may find it.")
    creator: User | None = user_field("createdBy", description="Who made it; null for what came with the platform.")
    alternates: list[Annotated[Exercise, strawberry.lazy("nexfit.api.training.exercises")]] = batch(
        _alternates, needs=("alternateExercises",), description="What trains the same, as far as the viewer finds it."
    )
    source: str | None = column(description="Where it was imported from.")
    author: str | None = column(description="Who wrote what was imported.")
    license: str | None = column(description="The terms of what was imported.")
    created_at: datetime | None = column(description="When it was made.")
    updated_at: datetime | None = column(description="When it was changed last.")


_ONE_OF = f"Any of these, at most {MOST_FILTERED}."


@strawberry.input(description="Which exercises; absent parts match every one.")
class ExercisesFilter:
    """Search of what the viewer may find."""

    text: str | None = strawberry.field(
        default=None,
        description="Having all these words in a name of any language or in a tag, without case or marks. The last one "
        "may be a beginning; a word that nothing has is taken for the nearest ones.",
    )
    body_areas: list[str] | None = strawberry.field(default=None, description=f"Training one of them. {_ONE_OF}")
    equipment: list[str] | None = strawberry.field(default=None, description=f"Needing one of them. {_ONE_OF}")
    difficulty: Difficulty | None = strawberry.field(default=None, description="This hard.")
    type: str | None = strawberry.field(default=None, description="Of this kind.")
    tags: list[str] | None = strawberry.field(default=None, description=f"With one of these tags. {_ONE_OF}")
    mine: bool = strawberry.field(default=False, description="Only those the viewer made.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExercisesArgs(PageArgs):
    """Which exercises."""

    filter: Annotated[ExercisesFilter | None, strawberry.argument(description="Which exercises.")] = None


def words_of(values: Sequence[str] | None, *path: str) -> Sequence[str]:
    """Words as they are stored; raises BadInput for more or longer ones than anybody looks for."""
    if values is not None and len(values) > MOST_FILTERED:
        raise BadInput("{name} may have at most {most} entries.", path=path, name=path[-1], most=MOST_FILTERED)
    return [(search_text(value, *path) or "").strip().lower() for value in values or ()]


async def _exercises(parents: Sequence[Record], args: ExercisesArgs, context: Context) -> Sequence[Any]:
    asked = args.filter or ExercisesFilter()
    text = search_text(asked.text, "filter", "text")
    order = "exercises:WORDS" if text and split(text) else "exercises:NAME"
    page = await exercises.page(
        context.stores.mongo,
        context.actor.require() if asked.mine else context.actor.user_id,
        ExerciseFilter(
            text=text,
            body_areas=words_of(asked.body_areas, "filter", "bodyAreas"),
            equipment=words_of(asked.equipment, "filter", "equipment"),
            difficulty=asked.difficulty,
            type=(search_text(asked.type, "filter", "type") or "").strip().lower() or None,
            tags=words_of(asked.tags, "filter", "tags"),
            mine=asked.mine,
        ),
        page_request(args, order),
        node_selection(args.selection).columns,
    )
    return [connection(page, order, args.selection)] * len(parents)


@strawberry.type
class ExerciseQueries:
    """Root fields of this area."""

    exercises: Connection[Exercise] = batch(
        _exercises,
        args=ExercisesArgs,
        description="Public exercises and the viewer's own: by name, and found by a text the closest first.",
    )
