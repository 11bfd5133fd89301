"""Making and changing exercises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity import payloads
from nexfit.api.inputs import given, values_of
from nexfit.api.relay import IDEMPOTENCY_KEY, object_id
from nexfit.api.training.exercises import Exercise
from nexfit.domains.identity.validation import checked
from nexfit.domains.training import exercise_editing, exercises
from nexfit.domains.training.documents import Difficulty, Force, Language, Mechanic
from nexfit.domains.training.exercise_editing import MOST_PICTURES, MOST_STEPS, MOST_WORDS, ExerciseDraft

_WORDS = f"At most {MOST_WORDS} words of 1 to 80 characters, kept in small letters."
_STEPS = f"Steps, in order; at most {MOST_STEPS}."


@strawberry.input(description="An exercise's texts in another language.")
class ExerciseTranslationInput:
    """Part of the inputs of an exercise."""

    language: Language = strawberry.field(description="Which language; each once.")
    name: str = strawberry.field(description="Name, 1 to 300 characters.")
    description: str | None = given("What it is.")
    instructions: list[str] = strawberry.field(default_factory=list, description=_STEPS)


@strawberry.input(description="What may be said of an exercise.")
class ExerciseParts:
    """What both inputs have in common."""

    language: Language | None = given("The language of name, description and instructions.")
    description: str | None = given("What it is.")
    instructions: list[str] | None = given(_STEPS)
    translations: list[ExerciseTranslationInput] | None = given("All its texts in other languages.")
    video_url: str | None = given("An http or https address.")
    image_urls: list[str] | None = given(f"At most {MOST_PICTURES} http or https addresses.")
    thumbnail_url: str | None = given("An http or https address.")
    primary_body_areas: list[str] | None = given(f"What it trains most. {_WORDS}")
    secondary_body_areas: list[str] | None = given(f"What it trains besides. {_WORDS}")
    type: str | None = given("Kind, such as strength or cardio; kept in small letters.")
    equipment: list[str] | None = given(f"What is needed for it. {_WORDS}")
    difficulty: Difficulty | None = given("How hard it is.")
    force: Force | None = given("Direction of effort.")
    mechanic: Mechanic | None = given("One joint or several.")
    calories: float | None = given("Kilocalories its duration takes, about; 0 or more.")
    duration: float | None = given("Seconds it usually takes; 0 or more.")
    tags: list[str] | None = given(f"Words it is found by besides its names. {_WORDS}")
    alternates: list[strawberry.ID] | None = given(f"Exercises that train the same, at most {MOST_WORDS}.")
    is_public: bool | None = given("Whether everybody finds it; for coaches and owners. A new one is private.")


@strawberry.input(description="A new exercise.")
class CreateExerciseInput(ExerciseParts):
    """Input of `createExercise`."""

    name: str = strawberry.field(description="Name, 1 to 300 characters.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@strawberry.input(description="What changes of an exercise; what is left out stays, null forgets.")
class UpdateExerciseInput(ExerciseParts):
    """Input of `updateExercise`."""

    exercise: strawberry.ID = strawberry.field(description="The exercise, one of the viewer's own.")
    name: str | None = given("Name, 1 to 300 characters; cannot be null.")


@strawberry.type(description="The exercise as it is now, or why not.")
class ExercisePayload:
    """Payload of `createExercise` and `updateExercise`."""

    exercise: Exercise | None = column(description="The exercise; null when nothing was done.")
    similar: list[Exercise] = column(
        description="Others that the viewer finds by the same name, at most 5: perhaps it is one of them."
    )
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateExerciseArgs(Args):
    """Arguments of `createExercise`."""

    input: Annotated[CreateExerciseInput, strawberry.argument(description="The exercise.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateExerciseArgs(Args):
    """Arguments of `updateExercise`."""

    input: Annotated[UpdateExerciseInput, strawberry.argument(description="What changes.")]


def _draft(values: dict[str, Any]) -> ExerciseDraft:
    if "difficulty" in values:
        values["difficulty_level"] = values.pop("difficulty")
    if "alternates" in values:
        ids: Sequence[str] | None = values.pop("alternates")
        values["alternate_exercises"] = ids and [object_id(id_, "Exercise", "alternates") for id_ in ids]
    return checked(ExerciseDraft, **values)


async def _payload(id_: ObjectId, args: Args, context: Context) -> Mapping[str, Any]:
    mongo, viewer = context.stores.mongo, context.actor.require()
    asked, alike = args.selection.at("exercise"), args.selection.at("similar")
    found = await exercises.by_ids(mongo, [id_], asked.columns | {"name"})
    similar = await exercises.similar(mongo, viewer, found[id_]["name"], id_, alike.columns) if alike else []
    return {"exercise": found.get(id_), "similar": similar}


async def _create(args: CreateExerciseArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    key = values.pop("idempotency_key")
    services = context.services
    id_ = await exercise_editing.create(
        services.units, services.stores.mongo, context.actor, _draft(values), key=key, now=context.now
    )
    return await _payload(id_, args, context)


async def _update(args: UpdateExerciseArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    context.actor.require()
    id_ = object_id(values.pop("exercise"), "Exercise", "exercise")
    await exercise_editing.update(context.services.units, context.actor, id_, _draft(values), now=context.now)
    return await _payload(id_, args, context)


_NONE = {"similar": ()}


@strawberry.type
class ExerciseMutations:
    """Root fields of this area."""

    create_exercise: ExercisePayload = batch(
        answering(_create, _NONE),
        args=CreateExerciseArgs,
        description="Make an exercise of one's own; the answer names others that may be the same.",
    )
    update_exercise: ExercisePayload = batch(
        answering(_update, _NONE),
        args=UpdateExerciseArgs,
        description="Change an exercise of one's own, all that is given or nothing.",
    )
