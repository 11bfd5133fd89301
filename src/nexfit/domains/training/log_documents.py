"""Workouts as they were done, in MongoDB. Units: kg, m, s, kcal."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from nexfit.domains.training.documents import Exertion, RepsInReserve, SetFigures, SetKind, SupersetGroup, Tempo
from nexfit.stores.documents import (
    Count,
    Embedded,
    GeoPoint,
    Id,
    Instant,
    Line,
    Quantity,
    Rating,
    StoredDocument,
    Text,
    Url,
    Word,
)

Volume = Annotated[float, Field(ge=0, le=100_000_000_000, allow_inf_nan=False)]
"""A sum of products such as kg times repetitions."""


class LoggedSet(SetFigures):
    """A set as done. A warm-up set is one whose ``kind`` says so, or without a kind ``is_warm_up``."""

    kind: SetKind | None = None
    completed: bool = True
    is_warm_up: bool = False
    rpe: Exertion | None = None
    rir: RepsInReserve | None = None
    tempo: Tempo | None = None


class LoggedExercise(Embedded):
    """An exercise as done."""

    exercise_id: Id
    superset: SupersetGroup | None = None
    sets: list[LoggedSet] = Field(default_factory=list, max_length=200)
    notes: Text | None = None


class Feedback(Embedded):
    """How the workout felt; difficulty from 1 to 10."""

    rating: Rating | None = None
    difficulty: Annotated[int, Field(ge=1, le=10)] | None = None
    notes: Text | None = None


HeartBeats = Annotated[float, Field(ge=0, le=300)]


class HeartRate(Embedded):
    """Beats per minute."""

    average: HeartBeats | None = None
    max: HeartBeats | None = None
    min: HeartBeats | None = None


class Biometrics(Embedded):
    """What a wearable measured."""

    heart_rate: HeartRate | None = None


class AreaFigures(Embedded):
    """What a workout did for one part of the body: working sets, and kg moved."""

    area: Word
    sets: Count
    volume: Volume


class ExerciseBest(Embedded):
    """The best of an exercise in a workout: its heaviest set, and the one with the highest estimated maximum."""

    exercise_id: Id
    sets: Count
    volume: Volume
    weight: Quantity | None = None
    weight_reps: Count | None = None
    e1rm: Volume | None = Field(default=None, alias="e1rm")
    e1rm_weight: Quantity | None = Field(default=None, alias="e1rmWeight")
    e1rm_reps: Count | None = Field(default=None, alias="e1rmReps")


class WorkoutFigures(Embedded):
    """Figures of a workout as ``nexfit.domains.training.figures`` defines them; metres and kg."""

    sets: Count
    reps: Count
    volume: Volume
    distance: Volume
    areas: list[AreaFigures] = Field(default_factory=list, max_length=500)
    bests: list[ExerciseBest] = Field(default_factory=list, max_length=200)


class WorkoutLog(StoredDocument):
    """A workout, under way until it has an end; duration in s.

    ``source`` and ``source_id`` make sending or importing it again harmless: an app's own id has the source "app". Of
    two versions the one with the higher ``revision`` stays, then the one edited later, then the one with the higher
    ``digest``. What was deleted stays as an empty log with ``deleted_at``, so that a late version does not return.
    ``gone_photos`` are keys of pictures that a version left out, whose files are deleted: a version that names them may
    still come, and is kept as it would have been before.
    """

    stored_checks = ({"$lte": ["$startTime", {"$ifNull": ["$endTime", "$startTime"]}]},)

    user_id: Id
    workout_template_id: Id | None = None
    template_version: Count | None = None
    name: Line | None = None
    start_time: Instant
    end_time: Instant | None = None
    duration: Quantity | None = None
    calories_burned: Quantity | None = None
    exercises: list[LoggedExercise] = Field(default_factory=list, max_length=200)
    feedback: Feedback | None = None
    biometrics: Biometrics | None = None
    location: GeoPoint | None = None
    photos: list[Url] = Field(default_factory=list, max_length=20)
    gone_photos: list[Url] = Field(default_factory=list, max_length=200)
    notes: Text | None = None
    source: Word | None = None
    source_id: Line | None = None
    revision: Count | None = None
    edited_at: Instant | None = None
    digest: Annotated[bytes, Field(min_length=32, max_length=32)] | None = None
    figures: WorkoutFigures | None = None
    created_at: Instant | None = None
    updated_at: Instant | None = None
    deleted_at: Instant | None = None

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.end_time is not None and self.end_time < self.start_time:
            raise ValueError("endTime is before startTime")
        return self

    class Settings(StoredDocument.Settings):
        name = "workout_logs"
