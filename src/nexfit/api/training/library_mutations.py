"""Making, changing, copying and reviewing templates and programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity import payloads
from nexfit.api.inputs import given, values_of
from nexfit.api.relay import IDEMPOTENCY_KEY, object_id, parse_global_id
from nexfit.api.training.library import Review, WorkoutProgram, WorkoutTemplate
from nexfit.api.units import DISTANCE, MASS, UnitSystem
from nexfit.domains.errors import NotFound
from nexfit.domains.identity.validation import checked
from nexfit.domains.training import archiving, library, library_editing, reviews
from nexfit.domains.training.documents import Difficulty, SetKind
from nexfit.domains.training.library import PROGRAMS, TEMPLATES
from nexfit.domains.training.library_editing import MOST_DAYS, ProgramDraft, TemplateDraft
from nexfit.domains.training.reviews import ReviewDraft

_WORDS = "At most 50 words of 1 to 80 characters, kept in small letters."
_TYPES = {"WorkoutTemplate": TEMPLATES, "WorkoutProgram": PROGRAMS}


@strawberry.input(description="A set of a plan: `reps` or a range of them, `weight` or `percentOfMax`.")
class PlannedSetInput:
    """Part of a template."""

    kind: SetKind = strawberry.field(default=SetKind.WORKING, description="What it is for.")
    reps: int | None = given("Repetitions, at most 10,000.")
    reps_min: int | None = given("Repetitions at least.")
    reps_max: int | None = given("Repetitions at most.")
    weight: float | None = given("In the units of the input; at most 2,000 kg.")
    percent_of_max: float | None = given("Weight in percent of the person's estimated maximum (e1RM), 0 to 200.")
    duration: float | None = given("Seconds.")
    distance: float | None = given("In the units of the input.")
    rest_time: float | None = given("Seconds of rest behind it.")
    rpe: float | None = given("Exertion to aim at, 0 to 10.")
    rir: int | None = given("Repetitions to leave in reserve, 0 to 20.")
    tempo: str | None = given("Seconds down, at the bottom, up and at the top, such as 31X0.")


@strawberry.input(description="An exercise of a template, at its place in the list.")
class TemplateExerciseInput:
    """Part of a template."""

    exercise: strawberry.ID = strawberry.field(description="Which; public or the viewer's own.")
    superset: int | None = given("Exercises with the same number, 1 to 100, are done in turns.")
    default_sets: list[PlannedSetInput] = strawberry.field(
        default_factory=list, description="Its sets, in order; at most 100."
    )
    notes: str | None = given("Remarks.")


@strawberry.input(description="What may be said of a template or a program.")
class LibraryParts:
    """What four inputs have in common."""

    description: str | None = given("What it is.")
    image_url: str | None = given("An http or https address of a picture.")
    is_public: bool | None = given(
        "Whether everybody finds it; for coaches and owners, and only where all that it names is public."
    )
    target_goal: str | None = given("What it is for.")
    difficulty: Difficulty | None = given("How hard it is.")
    tags: list[str] | None = given(f"Words for it. {_WORDS}")


@strawberry.input(description="What may be said of a template.")
class TemplateParts(LibraryParts):
    """What two inputs have in common."""

    estimated_duration: float | None = given("Minutes it takes, about; at most a day.")
    estimated_calories: float | None = given("Kilocalories it takes, about.")
    target_body_areas: list[str] | None = given(f"What it trains. {_WORDS}")
    exercises: list[TemplateExerciseInput] | None = given("What is to be done, in order; at most 200.")
    units: UnitSystem = strawberry.field(default=UnitSystem.METRIC, description="Units of weights and distances.")


@strawberry.input(description="A new template.")
class CreateWorkoutTemplateInput(TemplateParts):
    """Input of `createWorkoutTemplate`."""

    name: str = strawberry.field(description="Name, 1 to 300 characters.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@strawberry.input(description="What changes of a template; what is left out stays, null forgets.")
class UpdateWorkoutTemplateInput(TemplateParts):
    """Input of `updateWorkoutTemplate`."""

    template: strawberry.ID = strawberry.field(description="The template, one of the viewer's own.")
    name: str | None = given("Name, 1 to 300 characters; cannot be null.")


@strawberry.input(description="A day of a program: without a workout it is a rest.")
class ProgramDayInput:
    """Part of a program."""

    workout: strawberry.ID | None = given("What is done that day, a `WorkoutTemplate`.")
    notes: str | None = given("Remarks.")


@strawberry.input(description="What may be said of a program.")
class ProgramParts(LibraryParts):
    """What two inputs have in common."""

    schedule: list[ProgramDayInput] | None = given(f"Its days, in order; at most {MOST_DAYS}.")


@strawberry.input(description="A new program.")
class CreateWorkoutProgramInput(ProgramParts):
    """Input of `createWorkoutProgram`."""

    name: str = strawberry.field(description="Name, 1 to 300 characters.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@strawberry.input(description="What changes of a program; what is left out stays, null forgets.")
class UpdateWorkoutProgramInput(ProgramParts):
    """Input of `updateWorkoutProgram`."""

    program: strawberry.ID = strawberry.field(description="The program, one of the viewer's own.")
    name: str | None = given("Name, 1 to 300 characters; cannot be null.")


@strawberry.input(description="What to copy.")
class CopyInput:
    """Input of `copyWorkoutTemplate` and `copyWorkoutProgram`."""

    original: strawberry.ID = strawberry.field(description="The template or program.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@strawberry.input(description="A template to archive.")
class ArchiveWorkoutTemplateInput:
    """Input of `archiveWorkoutTemplate`."""

    template: strawberry.ID = strawberry.field(description="The template, one of the viewer's own.")
    archived: bool = strawberry.field(default=True, description="False takes it back.")


@strawberry.input(description="A program to archive.")
class ArchiveWorkoutProgramInput:
    """Input of `archiveWorkoutProgram`."""

    program: strawberry.ID = strawberry.field(description="The program, one of the viewer's own.")
    archived: bool = strawberry.field(default=True, description="False takes it back.")


@strawberry.input(description="What somebody thinks of a template or a program.")
class SaveReviewInput:
    """Input of `saveReview`."""

    subject: strawberry.ID = strawberry.field(description="A `WorkoutTemplate` or a `WorkoutProgram`.")
    rating: int = strawberry.field(description="1 to 5.")
    text: str | None = given("In their words, at most 10,000 characters.")


@strawberry.type(description="The template as it is now, or why not.")
class WorkoutTemplatePayload:
    """Payload of the mutations of a template."""

    template: WorkoutTemplate | None = column(description="The template; null when nothing was done.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@strawberry.type(description="The program as it is now, or why not.")
class WorkoutProgramPayload:
    """Payload of the mutations of a program."""

    program: WorkoutProgram | None = column(description="The program; null when nothing was done.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@strawberry.type(description="The review as it is now, or why not.")
class ReviewPayload:
    """Payload of `saveReview`."""

    review: Review | None = column(description="The review; null when nothing was done.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateWorkoutTemplateArgs(Args):
    """Arguments of `createWorkoutTemplate`."""

    input: Annotated[CreateWorkoutTemplateInput, strawberry.argument(description="The template.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateWorkoutTemplateArgs(Args):
    """Arguments of `updateWorkoutTemplate`."""

    input: Annotated[UpdateWorkoutTemplateInput, strawberry.argument(description="What changes.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateWorkoutProgramArgs(Args):
    """Arguments of `createWorkoutProgram`."""

    input: Annotated[CreateWorkoutProgramInput, strawberry.argument(description="The program.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateWorkoutProgramArgs(Args):
    """Arguments of `updateWorkoutProgram`."""

    input: Annotated[UpdateWorkoutProgramInput, strawberry.argument(description="What changes.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyArgs(Args):
    """Arguments of `copyWorkoutTemplate` and `copyWorkoutProgram`."""

    input: Annotated[CopyInput, strawberry.argument(description="What to copy.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveWorkoutTemplateArgs(Args):
    """Arguments of `archiveWorkoutTemplate`."""

    input: Annotated[ArchiveWorkoutTemplateInput, strawberry.argument(description="The template.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveWorkoutProgramArgs(Args):
    """Arguments of `archiveWorkoutProgram`."""

    input: Annotated[ArchiveWorkoutProgramInput, strawberry.argument(description="The program.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveReviewArgs(Args):
    """Arguments of `saveReview`."""

    input: Annotated[SaveReviewInput, strawberry.argument(description="The review.")]


def _template_draft(values: dict[str, Any]) -> TemplateDraft:
    units = values.pop("units", UnitSystem.METRIC)
    for exercise in values.get("exercises") or ():
        exercise["exercise_id"] = object_id(exercise.pop("exercise"), "Exercise", "exercises")
        for one in exercise.get("default_sets") or ():
            one["weight"] = MASS.stored(one.get("weight"), units)
            one["distance"] = DISTANCE.stored(one.get("distance"), units)
    return checked(TemplateDraft, **values)


def _program_draft(values: dict[str, Any]) -> ProgramDraft:
    for day in values.get("schedule") or ():
        template = day.pop("workout", None)
        if template is not None:
            day["workout_template_id"] = object_id(template, "WorkoutTemplate", "schedule")
    return checked(ProgramDraft, **values)


@dataclass(frozen=True, slots=True)
class _Kind:
    """How the mutations of one of the two collections read their inputs and name their result."""

    collection: str
    type_name: str
    name: str
    draft: Callable[[dict[str, Any]], TemplateDraft | ProgramDraft]

    def create(self) -> Any:
        """The load of its creation."""

        async def run(args: Any, context: Context) -> Mapping[str, Any]:
            values = values_of(args.input)
            key = values.pop("idempotency_key")
            units, mongo = context.services.units, context.stores.mongo
            id_ = await library_editing.create(
                units, mongo, context.actor, self.collection, self.draft(values), key=key, now=context.now
            )
            return await self._payload(id_, args, context)

        return answering(run)

    def update(self) -> Any:
        """The load of its change."""

        async def run(args: Any, context: Context) -> Mapping[str, Any]:
            values = values_of(args.input)
            id_ = object_id(values.pop(self.name), self.type_name, self.name)
            await library_editing.update(
                context.services.units, context.actor, self.collection, id_, self.draft(values), now=context.now
            )
            return await self._payload(id_, args, context)

        return answering(run)

    def copy(self) -> Any:
        """The load of its copy."""

        async def run(args: CopyArgs, context: Context) -> Mapping[str, Any]:
            original = object_id(args.input.original, self.type_name, "original")
            key, units, mongo = args.input.idempotency_key, context.services.units, context.stores.mongo
            id_ = await library_editing.copy(
                units, mongo, context.actor, self.collection, original, key=key, now=context.now
            )
            return await self._payload(id_, args, context)

        return answering(run)

    def archive(self) -> Any:
        """The load of its archiving."""

        async def run(args: Any, context: Context) -> Mapping[str, Any]:
            id_ = object_id(getattr(args.input, self.name), self.type_name, self.name)
            units, archived = context.services.units, args.input.archived
            await archiving.archive(units, context.actor, self.collection, id_, archived=archived, now=context.now)
            return await self._payload(id_, args, context)

        return answering(run)

    async def _payload(self, id_: ObjectId, args: Any, context: Context) -> Mapping[str, Any]:
        asked = args.selection.at(self.name)
        found = await library.by_ids(context.stores.mongo, self.collection, [id_], asked.columns) if asked else {}
        return {self.name: found.get(id_)}


_TEMPLATE = _Kind(TEMPLATES, "WorkoutTemplate", "template", _template_draft)
_PROGRAM = _Kind(PROGRAMS, "WorkoutProgram", "program", _program_draft)


async def _review(args: SaveReviewArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    subject = parse_global_id(values.pop("subject"))
    if subject is None or subject[0] not in _TYPES or not ObjectId.is_valid(subject[1]):
        raise NotFound("There is no such {name}.", path=("subject",), name="subject")
    collection, draft = _TYPES[subject[0]], checked(ReviewDraft, **values)
    id_ = await reviews.save(
        context.services.units, context.actor, collection, ObjectId(subject[1]), draft, now=context.now
    )
    asked = args.selection.at("review")
    return {"review": await reviews.by_id(context.stores.mongo, id_, asked.columns) if asked else None}


@strawberry.type
class LibraryMutations:
    """Root fields of this area."""

    create_workout_template: WorkoutTemplatePayload = batch(
        _TEMPLATE.create(), args=CreateWorkoutTemplateArgs, description="Make a template of one's own."
    )
    update_workout_template: WorkoutTemplatePayload = batch(
        _TEMPLATE.update(),
        args=UpdateWorkoutTemplateArgs,
        description="Change a template of one's own. What is to be done then has another version; workouts that were "
        "done and programs that were begun keep theirs.",
    )
    copy_workout_template: WorkoutTemplatePayload = batch(
        _TEMPLATE.copy(), args=CopyArgs, description="Copy a template into a private one of one's own."
    )
    archive_workout_template: WorkoutTemplatePayload = batch(
        _TEMPLATE.archive(),
        args=ArchiveWorkoutTemplateArgs,
        description="Let nobody find or copy a template of one's own any more; what names it goes on. Repeating it "
        "changes nothing.",
    )
    create_workout_program: WorkoutProgramPayload = batch(
        _PROGRAM.create(), args=CreateWorkoutProgramArgs, description="Make a program of one's own."
    )
    update_workout_program: WorkoutProgramPayload = batch(
        _PROGRAM.update(),
        args=UpdateWorkoutProgramArgs,
        description="Change a program of one's own; who began it before goes on as it was then.",
    )
    copy_workout_program: WorkoutProgramPayload = batch(
        _PROGRAM.copy(), args=CopyArgs, description="Copy a program into a private one of one's own."
    )
    archive_workout_program: WorkoutProgramPayload = batch(
        _PROGRAM.archive(),
        args=ArchiveWorkoutProgramArgs,
        description="Let nobody find, copy, begin or buy a program of one's own any more; who began it goes on. "
        "Repeating it changes nothing.",
    )
    save_review: ReviewPayload = batch(
        answering(_review),
        args=SaveReviewArgs,
        description="Review a template or a program in place of one's earlier review; not one's own work.",
    )
