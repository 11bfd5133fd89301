"""Logging workouts: one at a time, in batches from apps that were offline, and from another app's export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, cast

import strawberry
from bson import ObjectId

from nexfit.api.bounds import MOST
from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering, user_error
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity import payloads
from nexfit.api.inputs import given, values_of
from nexfit.api.relay import object_id
from nexfit.api.training import photos
from nexfit.api.training.loaders import zone_of
from nexfit.api.training.workouts import WorkoutLog
from nexfit.api.units import DISTANCE, MASS, UnitSystem
from nexfit.domains.errors import BadInput, Refusal
from nexfit.domains.identity.validation import InvalidInput, checked
from nexfit.domains.training import workout_import, workout_saving, workouts
from nexfit.domains.training.documents import SetKind
from nexfit.domains.training.photos import MOST_PHOTOS
from nexfit.domains.training.workout_drafts import Entry, ResultDraft, WorkoutDraft, entry_of
from nexfit.domains.training.workout_saving import Outcome, Saved

MOST_LOGS = 50

strawberry.enum(Outcome, name="SaveOutcome", description="What became of a version that was sent.")


@strawberry.input(description="A set as it was done.")
class LoggedSetInput:
    """Part of a workout."""

    kind: SetKind = strawberry.field(default=SetKind.WORKING, description="What it was for.")
    reps: int | None = given("Repetitions, at most 10,000.")
    weight: float | None = given("In the units of the input; at most 2,000 kg.")
    duration: float | None = given("Seconds.")
    distance: float | None = given("In the units of the input.")
    rest_time: float | None = given("Seconds of rest behind it.")
    completed: bool = strawberry.field(default=True, description="Whether it was done.")
    rpe: float | None = given("Perceived exertion, 0 to 10.")
    rir: int | None = given("Repetitions left in reserve, 0 to 20.")
    tempo: str | None = given("Seconds down, at the bottom, up and at the top, such as 31X0.")


@strawberry.input(description="An exercise as it was done.")
class LoggedExerciseInput:
    """Part of a workout."""

    exercise: strawberry.ID = strawberry.field(description="Which; public or the viewer's own.")
    superset: int | None = given("Exercises with the same number, 1 to 100, were done in turns.")
    sets: list[LoggedSetInput] = strawberry.field(default_factory=list, description="Its sets, in order; at most 200.")
    notes: str | None = given("Remarks.")


@strawberry.input(description="How a workout felt.")
class WorkoutFeedbackInput:
    """Part of a workout."""

    rating: int | None = given("1 to 5.")
    difficulty: int | None = given("1 to 10.")
    notes: str | None = given("Remarks.")


@strawberry.input(description="Heart beats per minute, 0 to 300.")
class HeartRateInput:
    """Part of a workout."""

    average: float | None = given("Mean.")
    max: float | None = given("Highest.")
    min: float | None = given("Lowest.")


@strawberry.input(description="Where a workout was.")
class WorkoutPlaceInput:
    """Part of a workout."""

    latitude: float = strawberry.field(description="Degrees north.")
    longitude: float = strawberry.field(description="Degrees east.")


@strawberry.input(description="What is known once a workout is over.")
class WorkoutResultInput:
    """What two inputs have in common."""

    end_time: datetime | None = given("When it ended.")
    duration: float | None = given("Seconds it took, less pauses; default from start to end.")
    calories_burned: float | None = given("Kilocalories.")
    feedback: WorkoutFeedbackInput | None = given("How it felt.")
    heart_rate: HeartRateInput | None = given("What a wearable measured.")
    notes: str | None = given("Remarks.")


@strawberry.input(description="A whole workout as an app has it.")
class WorkoutLogInput(WorkoutResultInput):
    """Part of `SaveWorkoutLogsInput`."""

    client_id: str = strawberry.field(
        description="The app's own id of the workout, 1 to 64 of the characters 0-9 A-Z a-z . _ : -, such as a UUID."
    )
    revision: int = strawberry.field(
        description="1 for a new one; for an edit one more than the revision that was edited. The highest is kept."
    )
    edited_at: datetime = strawberry.field(
        description="When it was edited, by the device's clock: of two versions with one revision the later is kept."
    )
    start_time: datetime = strawberry.field(description="When it began.")
    deleted: bool = strawberry.field(
        default=False, description="Delete it: nothing of it is kept but that it was deleted."
    )
    name: str | None = given("What the person calls it.")
    template: strawberry.ID | None = given("The template it was done by, one that the viewer finds or goes through.")
    template_version: int | None = given("Its version; default the present one.")
    exercises: list[LoggedExerciseInput] = strawberry.field(
        default_factory=list, description="What was done, in order; at most 200, with 1,000 sets."
    )
    place: WorkoutPlaceInput | None = given("Where it was.")
    photos: list[str] | None = given(
        f"Keys from `requestPhotoUpload` of pictures that were sent, at most {MOST_PHOTOS}; one that is left out is "
        "deleted."
    )


@strawberry.input(description="Workouts of the viewer's, new and edited.")
class SaveWorkoutLogsInput:
    """Input of `saveWorkoutLogs`."""

    logs: list[WorkoutLogInput] = strawberry.field(description=f"At most {MOST_LOGS}, each by itself.")
    units: UnitSystem = strawberry.field(default=UnitSystem.METRIC, description="Units of weights and distances.")


@strawberry.input(description="A workout that begins.")
class StartWorkoutInput:
    """Input of `startWorkout`."""

    client_id: str = strawberry.field(description="The app's own id of the workout, as in `saveWorkoutLogs`.")
    name: str | None = given("What the person calls it.")
    template: strawberry.ID | None = given("The template it is done by, one that the viewer finds or goes through.")
    start_time: datetime | None = given("When it began; default now.")
    exercises: list[LoggedExerciseInput] = strawberry.field(default_factory=list, description="What is to be done.")
    units: UnitSystem = strawberry.field(default=UnitSystem.METRIC, description="Units of weights and distances.")


@strawberry.input(description="How a workout ended; without an end it ended now.")
class FinishWorkoutInput(WorkoutResultInput):
    """Input of `finishWorkout`."""

    workout: strawberry.ID = strawberry.field(description="The workout, under way and the viewer's own.")


@strawberry.enum(description="A unit of weight.")
class WeightUnit(StrEnum):
    """Kilograms or pounds."""

    KG = "kg"
    LB = "lb"


@strawberry.enum(description="A unit of distance.")
class DistanceUnit(StrEnum):
    """Kilometres or miles."""

    KM = "km"
    MI = "mi"


@strawberry.input(description="The export of the Strong app.")
class ImportWorkoutsInput:
    """Input of `importWorkouts`."""

    csv: str = strawberry.field(
        description=f"The text of the exported file, at most {workout_import.MOST_CHARACTERS:,} characters.",
        metadata={MOST: workout_import.MOST_CHARACTERS},
    )
    timezone: str = strawberry.field(description="IANA zone of its times, such as Europe/Istanbul.")
    weight_unit: WeightUnit = strawberry.field(default=WeightUnit.KG, description="Unit of its weights.")
    distance_unit: DistanceUnit = strawberry.field(default=DistanceUnit.KM, description="Unit of its distances.")


@strawberry.type(description="What became of one version, and the workout as it is kept.")
class SavedWorkout:
    """Part of `SaveWorkoutLogsPayload`."""

    client_id: str = column(description="The app's own id.")
    outcome: Outcome = column(description="Which version won.")
    workout: WorkoutLog | None = column(description="As it is kept; null when it was refused or is deleted.")
    user_errors: list[UserError] = column(description="Why it was refused, if it was.")


@strawberry.type(description="What became of each workout, in the order they were sent.")
class SaveWorkoutLogsPayload:
    """Payload of `saveWorkoutLogs`."""

    results: list[SavedWorkout] = column(description="One for each; what was refused does not hinder the others.")
    user_errors: list[UserError] = column(description="Why nothing was done, if nothing was.")


@strawberry.type(description="The workout as it is now, or why not.")
class WorkoutPayload:
    """Payload of `startWorkout` and `finishWorkout`."""

    workout: WorkoutLog | None = column(description="The workout; null when nothing was done.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@strawberry.type(description="A row of a file that is no set of a workout.")
class SkippedRow:
    """Part of `ImportWorkoutsPayload`."""

    row: int = column(description="Counted from 1 below the header.")
    reason: str = column(description="Why it was left out, in English.")


@strawberry.type(description="How many workouts were imported, and what was left out.")
class ImportWorkoutsPayload:
    """Payload of `importWorkouts`."""

    created: int = column(description="Workouts that were new.")
    updated: int = column(description="Workouts that the file tells otherwise now.")
    unchanged: int = column(description="Workouts that were imported before.")
    kept: int = column(description="Workouts that were edited here since, and stay as they are.")
    created_exercises: int = column(description="Exercises that nobody knew by name: they are the viewer's own.")
    skipped: list[SkippedRow] = column(description="Rows that are no sets.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveWorkoutLogsArgs(Args):
    """Arguments of `saveWorkoutLogs`."""

    input: Annotated[SaveWorkoutLogsInput, strawberry.argument(description="The workouts.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class StartWorkoutArgs(Args):
    """Arguments of `startWorkout`."""

    input: Annotated[StartWorkoutInput, strawberry.argument(description="The workout.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishWorkoutArgs(Args):
    """Arguments of `finishWorkout`."""

    input: Annotated[FinishWorkoutInput, strawberry.argument(description="The workout and its end.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportWorkoutsArgs(Args):
    """Arguments of `importWorkouts`."""

    input: Annotated[ImportWorkoutsInput, strawberry.argument(description="The file.")]


def _metric(values: dict[str, Any], units: UnitSystem) -> dict[str, Any]:
    """A workout's values with ids and stored units in place of what was given. Raises NotFound."""
    template = values.pop("template", None)
    if template is not None:
        values["workout_template_id"] = object_id(template, "WorkoutTemplate", "template")
    for exercise in values.get("exercises") or ():
        exercise["exercise_id"] = object_id(exercise.pop("exercise"), "Exercise", "exercise")
        for one in exercise.get("sets") or ():
            one["weight"] = MASS.stored(one.get("weight"), units)
            one["distance"] = DISTANCE.stored(one.get("distance"), units)
    return values


def _entry(log: WorkoutLogInput, units: UnitSystem, now: datetime) -> Entry | list[Refusal]:
    """The version an app sends, or what is wrong with it."""
    try:
        return entry_of(checked(WorkoutDraft, **_metric(values_of(log), units)), now)
    except InvalidInput as invalid:
        return list(invalid.refusals)
    except Refusal as refusal:
        return [refusal]


async def _save(args: SaveWorkoutLogsArgs, context: Context) -> Mapping[str, Any]:
    context.actor.require()
    asked = args.input
    if len(asked.logs) > MOST_LOGS:
        raise BadInput("{name} may have at most {most} entries.", path=("logs",), name="logs", most=MOST_LOGS)
    read = [_entry(log, asked.units, context.now) for log in asked.logs]
    entries = [entry for entry in read if isinstance(entry, Entry)]
    sent = await photos.uploaded({key for entry in entries for key in entry.photos}, context)
    kept = await workout_saving.save(context.services.units, context.actor, entries, now=context.now, uploaded=sent)
    await photos.remove({key for one in kept for key in one.gone}, context)
    saved = iter(kept)
    results = [next(saved) if isinstance(entry, Entry) else Saved(Outcome.REFUSED, refusal=entry[0]) for entry in read]
    wanted = args.selection.at("results", "workout")
    ids = [one.id for one in results if one.id is not None]
    found = await workouts.by_ids(context.stores.mongo, ids, wanted.columns) if wanted and ids else {}
    return {
        "results": [
            {
                "clientId": log.client_id,
                "outcome": one.outcome,
                "workout": found.get(one.id) if one.id is not None else None,
                "userErrors": [user_error(refusal) for refusal in _refusals(entry, one)],
            }
            for log, entry, one in zip(asked.logs, read, results, strict=True)
        ]
    }


def _refusals(entry: Entry | list[Refusal], saved: Saved) -> Sequence[Refusal]:
    if isinstance(entry, list):
        return entry
    return [saved.refusal] if saved.refusal is not None else []


async def _one(id_: ObjectId | None, args: Args, context: Context) -> Mapping[str, Any]:
    asked = args.selection.at("workout")
    found = await workouts.by_ids(context.stores.mongo, [cast("ObjectId", id_)], asked.columns) if asked else {}
    return {"workout": found.get(cast("ObjectId", id_))}


async def _start(args: StartWorkoutArgs, context: Context) -> Mapping[str, Any]:
    context.actor.require()
    values = values_of(args.input)
    units = values.pop("units")
    begun = {"start_time": context.now, **values, "edited_at": context.now}
    entry = entry_of(checked(WorkoutDraft, **_metric(begun, units)), context.now)
    [saved] = await workout_saving.save(
        context.services.units, context.actor, [replace(entry, only_new=True)], now=context.now
    )
    if saved.refusal is not None:
        raise saved.refusal
    return await _one(saved.id, args, context)


async def _finish(args: FinishWorkoutArgs, context: Context) -> Mapping[str, Any]:
    context.actor.require()
    values = values_of(args.input)
    id_ = object_id(values.pop("workout"), "WorkoutLog", "workout")
    draft = checked(ResultDraft, **values)
    await workout_saving.finish(context.services.units, context.actor, id_, draft, now=context.now)
    return await _one(id_, args, context)


async def _import(args: ImportWorkoutsArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    imported = await workout_import.import_strong(
        context.services.units,
        context.stores.mongo,
        context.actor,
        asked.csv,
        zone=zone_of(asked.timezone, "timezone"),
        weight_unit=cast("Any", asked.weight_unit.value),
        distance_unit=cast("Any", asked.distance_unit.value),
        now=context.now,
    )
    return {
        **{str(outcome).lower(): count for outcome, count in imported.outcomes.items()},
        "createdExercises": imported.exercises,
        "skipped": [{"row": one.row, "reason": one.reason} for one in imported.skipped],
    }


_NOTHING = {"created": 0, "updated": 0, "unchanged": 0, "kept": 0, "createdExercises": 0, "skipped": ()}


@strawberry.type
class WorkoutMutations:
    """Root fields of this area."""

    save_workout_logs: SaveWorkoutLogsPayload = batch(
        answering(_save, {"results": ()}),
        args=SaveWorkoutLogsArgs,
        description="Keep new and edited workouts, also of an app that was offline: sent twice, late or in any order, "
        "the same versions leave the same workouts. The answer tells which version won.",
    )
    start_workout: WorkoutPayload = batch(
        answering(_start),
        args=StartWorkoutArgs,
        description="Begin a workout; its revision is 1. One that is there under the app's id stays as it is.",
    )
    finish_workout: WorkoutPayload = batch(
        answering(_finish),
        args=FinishWorkoutArgs,
        description="End a workout that is under way, and say how it was. Repeating it changes nothing.",
    )
    import_workouts: ImportWorkoutsPayload = batch(
        answering(_import, _NOTHING),
        args=ImportWorkoutsArgs,
        description="Import the export of the Strong app into the viewer's workouts; doing it again changes nothing.",
    )
