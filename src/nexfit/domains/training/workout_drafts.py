"""What is said of a workout, checked, and as it is stored. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

import orjson
from bson import ObjectId
from pydantic import Field, StringConstraints
from pydantic.alias_generators import to_camel

from nexfit.domains.errors import BadInput, Refusal
from nexfit.domains.identity.profiles import BioText
from nexfit.domains.identity.validation import Input, LineText
from nexfit.domains.training.documents import Exertion, RepsInReserve, SetKind, SupersetGroup, Tempo
from nexfit.domains.training.photos import MOST_PHOTOS, PhotoKey
from nexfit.stores.documents import Id, Instant, Latitude, Longitude, Rating
from nexfit.stores.mongo import Document

APP = "app"
"""The source of workouts that apps send under ids of their own."""

MOST_SETS = 1_000
LONGEST = timedelta(days=2)
AHEAD = timedelta(days=1)
"""How far a client's clock may go ahead."""

ClientId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z._:-]+$")]
Weight = Annotated[float, Field(ge=0, le=2_000, allow_inf_nan=False)]
Reps = Annotated[int, Field(ge=0, le=10_000)]
Metres = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=200_000, allow_inf_nan=False)]
Beats = Annotated[float, Field(ge=0, le=300, allow_inf_nan=False)]


class SetDraft(Input):
    """A set: kg, s, m."""

    kind: SetKind = SetKind.WORKING
    reps: Reps | None = None
    weight: Weight | None = None
    duration: Seconds | None = None
    distance: Metres | None = None
    rest_time: Seconds | None = None
    completed: bool = True
    rpe: Exertion | None = None
    rir: RepsInReserve | None = None
    tempo: Tempo | None = None


class LoggedExerciseDraft(Input):
    """An exercise as done."""

    exercise_id: Id
    superset: SupersetGroup | None = None
    sets: Annotated[list[SetDraft], Field(max_length=200)] = Field(default_factory=list)
    notes: BioText | None = None


class FeedbackDraft(Input):
    """How it felt."""

    rating: Rating | None = None
    difficulty: Annotated[int, Field(ge=1, le=10)] | None = None
    notes: BioText | None = None


class HeartRateDraft(Input):
    """Beats per minute."""

    average: Beats | None = None
    max: Beats | None = None
    min: Beats | None = None


class PlaceDraft(Input):
    """Where it was."""

    latitude: Latitude
    longitude: Longitude


class ResultDraft(Input):
    """What is known once a workout is over."""

    end_time: Instant | None = None
    duration: Seconds | None = None
    calories_burned: Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)] | None = None
    feedback: FeedbackDraft | None = None
    heart_rate: HeartRateDraft | None = None
    notes: BioText | None = None


class WorkoutDraft(ResultDraft):
    """A whole workout as an app has it."""

    client_id: ClientId
    revision: Annotated[int, Field(ge=1, le=2_000_000_000)] = 1
    edited_at: Instant
    deleted: bool = False
    name: LineText | None = None
    workout_template_id: Id | None = None
    template_version: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    start_time: Instant
    exercises: Annotated[list[LoggedExerciseDraft], Field(max_length=200)] = Field(default_factory=list)
    place: PlaceDraft | None = None
    photos: Annotated[list[PhotoKey], Field(max_length=MOST_PHOTOS)] | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """What decides between two versions of a workout, whichever arrives first."""

    revision: int
    edited_at: datetime
    digest: bytes

    def wins_over(self, other: Version) -> bool:
        """The higher revision wins, then the later edit, then the higher digest: the same two give the same winner."""
        return (self.revision, self.edited_at, self.digest) > (other.revision, other.edited_at, other.digest)


@dataclass(frozen=True, slots=True)
class Entry:
    """A version of a workout to be kept: whose id it has, and everything it holds."""

    source: str
    source_id: str
    version: Version
    content: Mapping[str, Any]
    deleted: bool = False
    only_new: bool = False
    """Whatever is kept already stays."""

    @property
    def exercises(self) -> set[ObjectId]:
        """The exercises it names."""
        return {one["exerciseId"] for one in self.content.get("exercises") or ()}

    @property
    def photos(self) -> list[str]:
        """The keys of its pictures."""
        return list(self.content.get("photos") or ())

    @property
    def template(self) -> ObjectId | None:
        """The template it was done by."""
        return self.content.get("workoutTemplateId")


def entry_of(draft: WorkoutDraft, now: datetime) -> Entry:
    """The version an app sends. Raises BadInput for what cannot be together."""
    _check(draft, now)
    content = {"startTime": draft.start_time} if draft.deleted else content_of(draft)
    return Entry(
        APP,
        draft.client_id,
        Version(draft.revision, draft.edited_at, digest_of(content, deleted=draft.deleted)),
        content,
        draft.deleted,
    )


def _check(draft: WorkoutDraft, now: datetime) -> None:
    refused: Refusal | None = None
    if draft.edited_at > now + AHEAD:
        refused = BadInput("{name} lies in the future.", path=("editedAt",), name="editedAt")
    elif draft.start_time > now + AHEAD:
        refused = BadInput("{name} lies in the future.", path=("startTime",), name="startTime")
    elif sum(len(one.sets) for one in draft.exercises) > MOST_SETS:
        refused = BadInput("{name} may have at most {most} entries.", path=("exercises",), name="sets", most=MOST_SETS)
    if refused is not None:
        raise refused
    if draft.end_time is not None:
        check_end(draft.start_time, draft.end_time)


def check_end(start: datetime, end: datetime) -> None:
    """Raises BadInput for a workout that ends before it begins, or takes days."""
    if not start <= end <= start + LONGEST:
        raise BadInput("A workout ends after its start, within two days.", path=("endTime",))


def content_of(draft: WorkoutDraft) -> Document:
    """The stored fields of a workout."""
    content: Document = {
        "startTime": draft.start_time,
        "name": draft.name,
        "workoutTemplateId": draft.workout_template_id,
        "templateVersion": draft.template_version if draft.workout_template_id is not None else None,
        "exercises": [_exercise(one) for one in draft.exercises],
        "location": draft.place and {"type": "Point", "coordinates": [draft.place.longitude, draft.place.latitude]},
        "photos": draft.photos or None,
        **result_of(draft, draft.start_time),
    }
    return {name: value for name, value in content.items() if value is not None}


def result_of(draft: ResultDraft, start: datetime) -> Document:
    """The stored fields of how a workout ended; its duration is the time from start to end unless it is given."""
    took = draft.duration
    if took is None and draft.end_time is not None:
        took = (draft.end_time - start).total_seconds()
    values = {
        "endTime": draft.end_time,
        "duration": took,
        "caloriesBurned": draft.calories_burned,
        "feedback": _plain(draft.feedback),
        "biometrics": draft.heart_rate and {"heartRate": _plain(draft.heart_rate)},
        "notes": draft.notes,
    }
    return {name: value for name, value in values.items() if value is not None}


def _exercise(draft: LoggedExerciseDraft) -> Document:
    sets = [
        {**(_plain(one) or {}), "kind": str(one.kind), "isWarmUp": one.kind is SetKind.WARM_UP} for one in draft.sets
    ]
    values = {"exerciseId": draft.exercise_id, "superset": draft.superset, "sets": sets, "notes": draft.notes}
    return {name: value for name, value in values.items() if value is not None}


def _plain(draft: Input | None) -> Document | None:
    if draft is None:
        return None
    return {to_camel(name): value for name, value in draft.model_dump(exclude_none=True).items()}


def digest_of(content: Mapping[str, Any], *, deleted: bool = False) -> bytes:
    """SHA-256 of everything a workout holds."""
    told = orjson.dumps([deleted, content], option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z, default=str)
    return hashlib.sha256(told).digest()
