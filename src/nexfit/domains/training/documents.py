"""Exercises, templates and programs, in MongoDB. Units: kg, m, s, kcal."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from nexfit.domains.text import fold
from nexfit.stores.documents import (
    Amount,
    Count,
    Currency,
    Embedded,
    Id,
    Instant,
    Line,
    MeanRating,
    Quantity,
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


class Language(StrEnum):
    """A language that texts are written in."""

    EN = "en"
    TR = "tr"
    PL = "pl"


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


class ExerciseTranslation(Embedded):
    """An exercise's texts in another language than its own."""

    language: Language
    name: Line
    description: Text | None = None
    instructions: list[Text] = Field(default_factory=list, max_length=100)


class Exercise(StoredDocument):
    """A movement; its own texts are in ``language``.

    ``words`` are what search finds it by, ``name_words`` how many of them its name has. ``source`` and ``source_id``
    name the imported record it came from, ``author`` and ``license`` whose it is and on which terms.
    """

    name: Line
    name_folded: str = derived()
    description: Text | None = None
    instructions: list[Text] = Field(default_factory=list, max_length=100)
    language: Language | None = None
    translations: list[ExerciseTranslation] = Field(default_factory=list, max_length=len(Language))
    words: list[Word] = Field(default_factory=list, max_length=100)
    name_words: Count | None = None
    media: ExerciseMedia = ExerciseMedia()
    metadata: ExerciseMetadata = ExerciseMetadata()
    created_by: Id | None = None
    is_public: bool
    alternate_exercises: list[Id] = Field(default_factory=list, max_length=50)
    source: Word | None = None
    source_id: Line | None = None
    author: Line | None = None
    license: Line | None = None
    created_at: Instant | None = None
    updated_at: Instant | None = None

    @model_validator(mode="after")
    def _derive(self) -> Self:
        self.name_folded = fold(self.name)
        return self

    class Settings(StoredDocument.Settings):
        name = "exercises"


class SetKind(StrEnum):
    """What a set is for. A warm-up counts for nothing; the others are working sets."""

    WARM_UP = "warm_up"
    WORKING = "working"
    DROP = "drop"
    FAILURE = "failure"


Exertion = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
"""Rate of perceived exertion."""

RepsInReserve = Annotated[int, Field(ge=0, le=20)]
Tempo = Annotated[str, Field(pattern=r"^[0-9X]{4}\z", min_length=4, max_length=4)]
"""Seconds down, at the bottom, up and at the top; X is as fast as possible."""

SupersetGroup = Annotated[int, Field(ge=1, le=100)]
"""Exercises of one workout with the same number are done in turns."""


class SetFigures(Embedded):
    """One set: repetitions, weight in kg, duration and rest in s, distance in m."""

    reps: Count | None = None
    weight: Quantity | None = None
    duration: Quantity | None = None
    distance: Quantity | None = None
    rest_time: Quantity | None = None


class PlannedSet(SetFigures):
    """One set of a plan: so many repetitions or a range, at a weight or a percentage of the estimated maximum."""

    kind: SetKind | None = None
    reps_min: Count | None = None
    reps_max: Count | None = None
    percent_of_max: Annotated[float, Field(ge=0, le=200, allow_inf_nan=False)] | None = None
    rpe: Exertion | None = None
    rir: RepsInReserve | None = None
    tempo: Tempo | None = None


class TemplateExercise(Embedded):
    """An exercise at its place in a template."""

    exercise_id: Id
    order: Count
    superset: SupersetGroup | None = None
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
    """A workout to repeat. ``version`` counts changes of what is to be done; without one it is in its first.

    With ``archived_at`` nobody finds it to begin it; workouts and programs that name it go on.
    """

    name: Line
    name_folded: str = derived()
    description: Text | None = None
    image_url: Url | None = None
    created_by: Id
    is_public: bool
    metadata: TemplateMetadata = TemplateMetadata()
    exercises: list[TemplateExercise] = Field(default_factory=list, max_length=200)
    version: Count | None = None
    forked_from: Id | None = None
    created_at: Instant
    updated_at: Instant
    archived_at: Instant | None = None
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
    """What a program costs, and the facility that sells it; without one nobody does."""

    price: Amount
    currency: Currency
    discount_price: Amount | None = None
    is_discounted: bool = False
    facility_id: Id | None = None

    @model_validator(mode="after")
    def _money(self) -> Self:
        check_money(self.price, self.currency)
        check_money(self.discount_price, self.currency)
        return self


class WorkoutProgram(StoredDocument):
    """Several workouts over days. With ``archived_at`` nobody begins or buys it; who began it goes on."""

    name: Line
    name_folded: str = derived()
    description: Text | None = None
    image_url: Url | None = None
    created_by: Id
    is_public: bool
    metadata: ProgramMetadata = ProgramMetadata()
    schedule: list[ProgramDay] = Field(default_factory=list, max_length=3650)
    pricing: ProgramPricing | None = None
    version: Count | None = None
    forked_from: Id | None = None
    created_at: Instant
    updated_at: Instant
    archived_at: Instant | None = None
    reviews: ReviewSummary = ReviewSummary()

    @model_validator(mode="after")
    def _derive(self) -> Self:
        self.name_folded = fold(self.name)
        return self

    class Settings(StoredDocument.Settings):
        name = "workout_programs"
