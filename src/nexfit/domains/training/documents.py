"""Exercises, templates, programs, finished workouts and body measurements, in MongoDB. Units: kg, cm, m, s, kcal."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from nexfit.domains.text import fold
from nexfit.stores.documents import (
    Amount,
    Count,
    Currency,
    Embedded,
    Encrypted,
    GeoPoint,
    Id,
    Instant,
    Line,
    MeanRating,
    Percent,
    Quantity,
    Rating,
    StoredDocument,
    Text,
    Url,
    Word,
    check_money,
    derived,
)


class Difficulty(StrEnum):
    """How hard an exercise, a template or a program is."""

    BEGINNER = "beginner"
    INTERMEDIATE = "intermediate"
    ADVANCED = "advanced"
    EXPERT = "expert"


class Force(StrEnum):
    """Direction of effort."""

    PUSH = "push"
    PULL = "pull"
    STATIC = "static"


class Mechanic(StrEnum):
    """One joint or several."""

    COMPOUND = "compound"
    ISOLATION = "isolation"


class ReviewSummary(Embedded):
    """Mean and number of the reviews, recomputed in the transaction that changes one."""

    average_rating: MeanRating = 0
    count: Count = 0


class ExerciseMedia(Embedded):
    """Video and pictures."""

    video_url: Url | None = None
    image_urls: list[Url] = Field(default_factory=list, max_length=50)
    thumbnail_url: Url | None = None


class ExerciseMetadata(Embedded):
    """What an exercise trains and needs. ``body_areas`` is all of them, primary and secondary; duration in seconds."""

    body_areas: list[Word] = Field(default_factory=list, max_length=50)
    primary_body_areas: list[Word] = Field(default_factory=list, max_length=50)
    secondary_body_areas: list[Word] = Field(default_factory=list, max_length=50)
    type: Word | None = None
    equipment: list[Word] = Field(default_factory=list, max_length=50)
    difficulty_level: Difficulty | None = None
    force: Force | None = None
    mechanic: Mechanic | None = None
    calories: Quantity | None = None
    duration: Quantity | None = None
    tags: list[Word] = Field(default_factory=list, max_length=50)


class Exercise(StoredDocument):
    """A movement. ``source`` and ``source_id`` name the imported record it came from."""

    name: Line
    name_folded: str = derived()
    description: Text | None = None
    instructions: list[Text] = Field(default_factory=list, max_length=100)
    media: ExerciseMedia = ExerciseMedia()
    metadata: ExerciseMetadata = ExerciseMetadata()
    created_by: Id | None = None
    is_public: bool
    alternate_exercises: list[Id] = Field(default_factory=list, max_length=50)
    source: Word | None = None
    source_id: Line | None = None

    @model_validator(mode="after")
    def _derive(self) -> Self:
        self.name_folded = fold(self.name)
        return self

    class Settings(StoredDocument.Settings):
        name = "exercises"


class PlannedSet(Embedded):
    """One set: repetitions, weight in kg, duration and rest in s, distance in m."""

    reps: Count | None = None
    weight: Quantity | None = None
    duration: Quantity | None = None
    distance: Quantity | None = None
    rest_time: Quantity | None = None


class TemplateExercise(Embedded):
    """An exercise at its place in a template."""

    exercise_id: Id
    order: Count
    default_sets: list[PlannedSet] = Field(default_factory=list, max_length=100)
    notes: Text | None = None


class TemplateMetadata(Embedded):
    """Aim of a template; duration in minutes."""

    target_goal: Line | None = None
    difficulty: Difficulty | None = None
    estimated_duration: Quantity | None = None
    estimated_calories: Quantity | None = None
    target_body_areas: list[Word] = Field(default_factory=list, max_length=50)
    tags: list[Word] = Field(default_factory=list, max_length=50)


class WorkoutTemplate(StoredDocument):
    """A workout to repeat."""

    name: Line
    name_folded: str = derived()
    description: Text | None = None
    image_url: Url | None = None
    created_by: Id
    is_public: bool
    metadata: TemplateMetadata = TemplateMetadata()
    exercises: list[TemplateExercise] = Field(default_factory=list, max_length=200)
    created_at: Instant
    updated_at: Instant
    reviews: ReviewSummary = ReviewSummary()

    @model_validator(mode="after")
    def _derive(self) -> Self:
        self.name_folded = fold(self.name)
        return self

    class Settings(StoredDocument.Settings):
        name = "workout_templates"


class ProgramMetadata(Embedded):
    """Aim of a program; duration in days."""

    target_goal: Line | None = None
    difficulty: Difficulty | None = None
    duration: Annotated[int, Field(ge=1, le=3650)] | None = None
    tags: list[Word] = Field(default_factory=list, max_length=50)


class ProgramDay(Embedded):
    """One day of a program, counted from 1: a workout or a rest."""

    day: Annotated[int, Field(ge=1, le=3650)]
    workout_template_id: Id | None = None
    is_rest_day: bool = False
    notes: Text | None = None


class ProgramPricing(Embedded):
    """What a program costs."""

    price: Amount
    currency: Currency
    discount_price: Amount | None = None
    is_discounted: bool = False

    @model_validator(mode="after")
    def _money(self) -> Self:
        check_money(self.price, self.currency)
        check_money(self.discount_price, self.currency)
        return self


class WorkoutProgram(StoredDocument):
    """Several workouts over days."""

    name: Line
    name_folded: str = derived()
    description: Text | None = None
    image_url: Url | None = None
    created_by: Id
    is_public: bool
    metadata: ProgramMetadata = ProgramMetadata()
    schedule: list[ProgramDay] = Field(default_factory=list, max_length=3650)
    pricing: ProgramPricing | None = None
    created_at: Instant
    updated_at: Instant
    reviews: ReviewSummary = ReviewSummary()

    @model_validator(mode="after")
    def _derive(self) -> Self:
        self.name_folded = fold(self.name)
        return self

    class Settings(StoredDocument.Settings):
        name = "workout_programs"


class LoggedSet(PlannedSet):
    """A set as done; ``rpe`` is the rate of perceived exertion, 0 to 10."""

    completed: bool = True
    is_warm_up: bool = False
    rpe: Annotated[float, Field(ge=0, le=10)] | None = None


class LoggedExercise(Embedded):
    """An exercise as done."""

    exercise_id: Id
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


class WorkoutLog(StoredDocument):
    """A finished workout; duration in s. ``source`` and ``source_id`` make sending or importing it again harmless."""

    stored_checks = ({"$lte": ["$startTime", {"$ifNull": ["$endTime", "$startTime"]}]},)

    user_id: Id
    workout_template_id: Id | None = None
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
    notes: Text | None = None
    source: Word | None = None
    source_id: Line | None = None

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.end_time is not None and self.end_time < self.start_time:
            raise ValueError("endTime is before startTime")
        return self

    class Settings(StoredDocument.Settings):
        name = "workout_logs"


BodyMass = Annotated[float, Field(gt=0, le=700)]
Circumference = Annotated[float, Field(gt=0, le=400)]


class BodyMeasurements(Embedded):
    """Weight and muscle mass in kg, fat in percent, circumferences in cm."""

    weight: BodyMass | None = None
    body_fat_percentage: Percent | None = None
    muscle_mass: BodyMass | None = None
    chest_circumference: Circumference | None = None
    waist_circumference: Circumference | None = None
    hip_circumference: Circumference | None = None
    arm_circumference: Circumference | None = None
    thigh_circumference: Circumference | None = None


class ProgressPhoto(Embedded):
    """A picture of the body; ``url`` is the private file's key."""

    url: Url
    position: Word | None = None
    date: Instant


class Measurement(StoredDocument):
    """What a user measured at one moment. The figures (``BodyMeasurements``) and the notes are kept encrypted."""

    user_id: Id
    date: Instant
    measurements: Encrypted
    photos: list[ProgressPhoto] = Field(default_factory=list, max_length=20)
    notes: Encrypted | None = None

    class Settings(StoredDocument.Settings):
        name = "measurements"
