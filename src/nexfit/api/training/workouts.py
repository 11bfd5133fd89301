"""Workouts as clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, column, derived
from nexfit.api.identity.types import User, user_field
from nexfit.api.relay import Node, id_reader
from nexfit.api.training import photos
from nexfit.api.training.exercises import Exercise
from nexfit.api.training.named import template_field, version_field
from nexfit.api.units import DISTANCE, MASS, UnitsArgs, in_units
from nexfit.domains.training import exercises, figures
from nexfit.domains.training.documents import SetKind
from nexfit.domains.training.workout_drafts import APP
from nexfit.engine.fields import Record

if TYPE_CHECKING:
    from nexfit.api.training.library import WorkoutTemplate, WorkoutTemplateVersion

strawberry.enum(SetKind, description="What a set is for; a warm-up counts for nothing.")

KILOGRAMS = "Kilograms, or pounds."


def _kind(record: Record, _args: object, _context: object) -> str:
    return str(record.get("kind") or (SetKind.WARM_UP if record.get("isWarmUp") else SetKind.WORKING))


def _estimate(record: Record, args: UnitsArgs, _context: object) -> float | None:
    found = figures.e1rm(record.get("weight"), record.get("reps"))
    return MASS.shown(None if found is None else round(found, 3), args.units)


@strawberry.type(description="A set as it was done.")
class LoggedSet:
    """Embedded in a workout."""

    kind: SetKind = derived(_kind, needs=("kind", "isWarmUp"), description="What it was for.")
    reps: int | None = column(description="Repetitions.")
    weight: float | None = derived(in_units(MASS, "weight"), needs=("weight",), args=UnitsArgs, description=KILOGRAMS)
    duration: float | None = column(description="Seconds.")
    distance: float | None = derived(
        in_units(DISTANCE, "distance"), needs=("distance",), args=UnitsArgs, description="Metres, or miles."
    )
    rest_time: float | None = column(description="Seconds of rest behind it.")
    completed: bool = column(description="Whether it was done.", read=bool)
    rpe: float | None = column(description="Perceived exertion, 0 to 10.")
    rir: int | None = column(description="Repetitions that were left in reserve.")
    tempo: str | None = column(description="Seconds down, at the bottom, up and at the top, such as 31X0.")
    e1rm: float | None = derived(
        _estimate,
        needs=("weight", "reps"),
        args=UnitsArgs,
        description=f"Maximum for one repetition by Epley's formula, weight x (1 + reps / 30). {KILOGRAMS}",
    )


async def exercises_of(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The exercise that each parent names, whoever made it: who may read the one may read the other."""
    ids = [parent["exerciseId"] for parent in parents]
    found = await exercises.by_ids(context.stores.mongo, ids, args.selection.columns)
    return [found.get(id_) for id_ in ids]


@strawberry.type(description="An exercise as it was done in a workout.")
class LoggedExercise:
    """Embedded in a workout."""

    exercise: Exercise | None = batch(exercises_of, needs=("exerciseId",), description="Which exercise.")
    superset: int | None = column(description="Exercises with the same number were done in turns.")
    sets: list[LoggedSet] | None = column(description="Its sets, in order.")
    notes: str | None = column(description="Remarks.")


@strawberry.type(description="How a workout felt.")
class WorkoutFeedback:
    """Embedded in a workout."""

    rating: int | None = column(description="1 to 5.")
    difficulty: int | None = column(description="1 to 10.")
    notes: str | None = column(description="Remarks.")


@strawberry.type(description="Heart beats per minute.")
class HeartRate:
    """Embedded in a workout."""

    average: float | None = column(description="Mean.")
    max: float | None = column(description="Highest.")
    min: float | None = column(description="Lowest.")


@strawberry.type(description="Where a workout was.")
class WorkoutPlace:
    """Embedded in a workout."""

    latitude: float = column(description="Degrees north.")
    longitude: float = column(description="Degrees east.")


@strawberry.type(description="What was done for one part of the body: working sets, and the volume of all of them.")
class AreaFigures:
    """A set counts whole for each part that its exercise trains most."""

    area: str = column(description="The part of the body; `other` where the exercise names none.")
    sets: int = column(description="Working sets.")
    volume: float = derived(
        in_units(MASS, "volume"), needs=("volume",), args=UnitsArgs, description=f"Weight x repetitions. {KILOGRAMS}"
    )


@strawberry.type(description="The best of an exercise in a workout.")
class ExerciseBest:
    """Embedded in a workout's figures."""

    exercise: Exercise | None = batch(exercises_of, needs=("exerciseId",), description="Which exercise.")
    sets: int = column(description="Working sets.")
    volume: float = derived(
        in_units(MASS, "volume"), needs=("volume",), args=UnitsArgs, description=f"Weight x repetitions. {KILOGRAMS}"
    )
    weight: float | None = derived(
        in_units(MASS, "weight"), needs=("weight",), args=UnitsArgs, description=f"Of the heaviest set. {KILOGRAMS}"
    )
    weight_reps: int | None = column(description="Repetitions of the heaviest set.")
    e1rm: float | None = derived(
        in_units(MASS, "e1rm"), needs=("e1rm",), args=UnitsArgs, description=f"The highest estimate. {KILOGRAMS}"
    )


@strawberry.type(description="Figures of a workout: of completed sets that are no warm-ups.")
class WorkoutFigures:
    """Stored with a workout."""

    sets: int = column(description="Working sets.")
    reps: int = column(description="Their repetitions.")
    volume: float = derived(
        in_units(MASS, "volume"), needs=("volume",), args=UnitsArgs, description=f"Weight x repetitions. {KILOGRAMS}"
    )
    distance: float = derived(
        in_units(DISTANCE, "distance"), needs=("distance",), args=UnitsArgs, description="Metres, or miles."
    )
    areas: list[AreaFigures] | None = column(description="By part of the body.")
    bests: list[ExerciseBest] | None = column(description="The best of each exercise.")


def _client_id(record: Record, _args: object, _context: object) -> str | None:
    return record.get("sourceId") if record.get("source") == APP else None


def _imported_from(record: Record, _args: object, _context: object) -> str | None:
    return record.get("source") if record.get("source") != APP else None


def _heart_rate(record: Record, _args: object, _context: object) -> Any:
    return (record.get("biometrics") or {}).get("heartRate")


def _place(record: Record, _args: object, _context: object) -> Any:
    point = record.get("location")
    return point and dict(zip(("longitude", "latitude"), point["coordinates"], strict=True))


@strawberry.type(description="A workout as it was done; under way until it has an end.")
class WorkoutLog(Node):
    """From MongoDB's `workout_logs`: for the person, and a coach with the scope workouts."""

    id: strawberry.ID = column("_id", read=id_reader("WorkoutLog"), description="The global id.")
    client_id: str | None = derived(
        _client_id, needs=("source", "sourceId"), description="The id that the person's app gave it."
    )
    imported_from: str | None = derived(_imported_from, needs=("source",), description="The app it was imported from.")
    revision: int | None = column(description="Counts its versions; the next one an app sends has a higher one.")
    edited_at: datetime | None = column(description="When it was edited, by the clock of who did.")
    name: str | None = column(description="What the person calls it.")
    template: Annotated[WorkoutTemplate, strawberry.lazy("nexfit.api.training.library")] | None = template_field(
        "workoutTemplateId", "The template it was done by, as it is now."
    )
    template_version: int | None = column(description="The version of the template it was done by.")
    plan: Annotated[WorkoutTemplateVersion, strawberry.lazy("nexfit.api.training.library")] | None = version_field(
        "The template it was done by, as it was then."
    )
    start_time: datetime = column(description="When it began.")
    end_time: datetime | None = column(description="When it ended; null while it is under way.")
    duration: float | None = column(description="Seconds it took.")
    calories_burned: float | None = column(description="Kilocalories.")
    exercises: list[LoggedExercise] | None = column(description="What was done, in order.")
    figures: WorkoutFigures | None = column(description="Its figures; null for workouts from before they were kept.")
    feedback: WorkoutFeedback | None = column(description="How it felt.")
    heart_rate: HeartRate | None = derived(
        _heart_rate, needs=("biometrics.heartRate",), description="What a wearable measured."
    )
    place: WorkoutPlace | None = derived(_place, needs=("location",), description="Where it was.")
    notes: str | None = column(description="Remarks.")
    photos: list[str] | None = batch(
        photos.of_workouts,
        needs=("photos",),
        description="Addresses that end; for the person, and a coach with the scope photos.",
    )
    user: User | None = user_field("userId", description="Whose.")
