"""A person's progress: what charts show, in one question."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, column, derived
from nexfit.api.training.exercises import Exercise
from nexfit.api.training.workouts import KILOGRAMS, AreaFigures, WorkoutLog, exercises_of
from nexfit.api.units import DISTANCE, MASS, UnitsArgs, in_units
from nexfit.domains.training import figures, workouts
from nexfit.engine.fields import Record


@strawberry.type(description="What was done in a while: figures of completed sets that are no warm-ups.")
class TrainingFigures:
    """Sums over workouts."""

    workouts: int = column(description="Finished workouts.")
    sets: int = column(description="Working sets.")
    reps: int = column(description="Their repetitions.")
    volume: float = derived(
        in_units(MASS, "volume"), needs=("volume",), args=UnitsArgs, description=f"Weight x repetitions. {KILOGRAMS}"
    )
    distance: float = derived(
        in_units(DISTANCE, "distance"), needs=("distance",), args=UnitsArgs, description="Metres, or miles."
    )
    seconds: float = column(description="Time they took.")
    areas: list[AreaFigures] = column(description="By part of the body.")


@strawberry.type(description="What was done in a week.")
class TrainingWeek(TrainingFigures):
    """Of the calendar of the zone that was asked for."""

    starts: date = column(description="Its Monday.")


async def _workouts_of(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    ids = [parent["log"] for parent in parents]
    found = await workouts.by_ids(context.stores.mongo, ids, args.selection.columns)
    return [found.get(id_) for id_ in ids]


@strawberry.type(description="The best somebody did in an exercise, until the end of the range.")
class ExerciseRecord:
    """Ties belong to who came first."""

    exercise: Exercise | None = batch(exercises_of, needs=("exerciseId",), description="Which exercise.")
    value: float = derived(in_units(MASS, "value"), needs=("value",), args=UnitsArgs, description=KILOGRAMS)
    weight: float = derived(
        in_units(MASS, "weight"), needs=("weight",), args=UnitsArgs, description=f"Of the set. {KILOGRAMS}"
    )
    reps: int = column(description="Repetitions of the set.")
    at: datetime = column(description="When the workout began.")
    workout: WorkoutLog | None = batch(_workouts_of, needs=("log",), description="In which workout.")


@strawberry.type(description="Weeks in a row with a workout.")
class WeekStreak:
    """The present one goes on while this week may still get one."""

    current: int = column(description="The present one, in weeks; 0 after a week without.")
    longest: int = column(description="The longest one, in weeks.")


@strawberry.type(description="Training days that were due, and those of them that were done.")
class Adherence:
    """Derived from a person's programs."""

    done: int = column(description="Days that were done.")
    due: int = column(description="Days that were due; rests are not.")
    rate: float | None = derived(
        lambda record, _, __: figures.adherence(record["done"], record["due"]),
        needs=("done", "due"),
        description="Done / due; null where nothing was due.",
    )


@strawberry.type(description="A person's progress in a range of days.")
class Progress:
    """Computed from the figures that are stored with workouts."""

    total: TrainingFigures = column(description="All of the range.")
    weeks: list[TrainingWeek] = column(description="Every week of the range, empty ones too, without days outside.")
    records: list[ExerciseRecord] = column(
        description="The highest estimated one-repetition maximum (Epley) of each exercise, ever until `to`."
    )
    heaviest: list[ExerciseRecord] = column(description="The heaviest set of each exercise, ever until `to`.")
    adherence: Adherence = column(description="Of training days of programs due in the range, until today.")
    streak: WeekStreak = column(description="Weeks in a row with a workout, ever until `to`.")
