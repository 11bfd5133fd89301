"""Workout templates and programs as clients see them, and their lists."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, column, derived
from nexfit.api.identity.types import User, user_field
from nexfit.api.money import Money, money_field
from nexfit.api.relay import Connection, Node, PageArgs, connection, id_reader, node_selection, page_request
from nexfit.api.search import search_text
from nexfit.api.training.exercises import Exercise, words_of
from nexfit.api.training.named import program_field, template_field
from nexfit.api.training.workouts import KILOGRAMS, exercises_of
from nexfit.api.units import DISTANCE, MASS, UnitsArgs, in_units
from nexfit.domains.facilities import directory
from nexfit.domains.training import library, reviews
from nexfit.domains.training.documents import Difficulty, SetKind
from nexfit.domains.training.library import PROGRAMS, TEMPLATES, LibraryFilter
from nexfit.engine.fields import Record

if TYPE_CHECKING:
    from nexfit.api.facilities.types import Facility

SHOWN_REVIEWS = 20


def _metadata(name: str, description: str) -> Any:
    def compute(record: Record, _args: object, _context: object) -> Any:
        return (record.get("metadata") or {}).get(name)

    return derived(compute, needs=(f"metadata.{name}",), description=description)


def _version(record: Record, _args: object, _context: object) -> int:
    return library.version_of(record)


@strawberry.type(description="A set of a plan: so many repetitions or a range, at a weight or a part of the e1RM.")
class PlannedSet:
    """Embedded in a template."""

    kind: SetKind | None = column(description="What it is for; null for an ordinary set.")
    reps: int | None = column(description="Repetitions.")
    reps_min: int | None = column(description="Repetitions at least.")
    reps_max: int | None = column(description="Repetitions at most.")
    weight: float | None = derived(in_units(MASS, "weight"), needs=("weight",), args=UnitsArgs, description=KILOGRAMS)
    percent_of_max: float | None = column(description="Weight in percent of the person's estimated maximum (e1RM).")
    duration: float | None = column(description="Seconds.")
    distance: float | None = derived(
        in_units(DISTANCE, "distance"), needs=("distance",), args=UnitsArgs, description="Metres, or miles."
    )
    rest_time: float | None = column(description="Seconds of rest behind it.")
    rpe: float | None = column(description="Exertion to aim at, 0 to 10.")
    rir: int | None = column(description="Repetitions to leave in reserve.")
    tempo: str | None = column(description="Seconds down, at the bottom, up and at the top, such as 31X0.")


@strawberry.type(description="An exercise at its place in a template.")
class TemplateExercise:
    """Embedded in a template."""

    exercise: Exercise | None = batch(exercises_of, needs=("exerciseId",), description="Which exercise.")
    order: int = column(description="Its place, from 1.")
    superset: int | None = column(description="Exercises with the same number are done in turns.")
    default_sets: list[PlannedSet] | None = column(description="Its sets, in order.")
    notes: str | None = column(description="Remarks.")


@strawberry.type(description="Mean and number of reviews.")
class ReviewSummary:
    """Derived from the reviews in the commit that changes one."""

    average_rating: float = column(
        read=lambda mean: round(mean, 2), description="Mean of the ratings, 1 to 5; 0 without any."
    )
    count: int = column(description="How many there are.")


@strawberry.type(description="What somebody says of a template or a program.")
class Review:
    """From MongoDB's `reviews`."""

    rating: int = column(description="1 to 5.")
    text: str | None = column(description="In their words.")
    author: User | None = user_field("authorId", description="Who.")
    created_at: datetime = column(description="When.")
    updated_at: datetime = column(description="When it was changed last.")


def _reviews_of(collection: str) -> Callable[..., Awaitable[Sequence[Any]]]:
    async def load(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
        ids = [parent["_id"] for parent in parents]
        return await reviews.newest(context.stores.mongo, collection, ids, SHOWN_REVIEWS, args.selection.columns)

    return load


@strawberry.type(description="A workout to repeat. Public ones are everybody's to find, others their maker's.")
class WorkoutTemplate(Node):
    """From MongoDB's `workout_templates`."""

    id: strawberry.ID = column("_id", read=id_reader("WorkoutTemplate"), description="The global id.")
    name: str = column(description="Name.")
    description: str | None = column(description="What it is.")
    image_url: str | None = column(description="Address of a picture.")
    version: int = derived(_version, needs=("version",), description="Counts changes of what is to be done.")
    is_public: bool = column(description="Whether everybody may find it.")
    creator: User | None = user_field("createdBy", description="Who made it.")
    forked_from: Annotated[WorkoutTemplate, strawberry.lazy("nexfit.api.training.library")] | None = template_field(
        "forkedFrom", "What it was copied from."
    )
    target_goal: str | None = _metadata("targetGoal", "What it is for.")
    difficulty: Difficulty | None = _metadata("difficulty", "How hard it is.")
    estimated_duration: float | None = _metadata("estimatedDuration", "Minutes it takes, about.")
    estimated_calories: float | None = _metadata("estimatedCalories", "Kilocalories it takes, about.")
    target_body_areas: list[str] | None = _metadata("targetBodyAreas", "What it trains.")
    tags: list[str] | None = _metadata("tags", "Words for it.")
    exercises: list[TemplateExercise] | None = column(description="What is to be done, in order.")
    review_summary: ReviewSummary | None = column("reviews", description="What people think of it, in figures.")
    reviews: list[Review] = batch(
        _reviews_of(TEMPLATES), needs=("_id",), description=f"The newest reviews, at most {SHOWN_REVIEWS}."
    )
    created_at: datetime = column(description="When it was made.")
    updated_at: datetime = column(description="When it was changed last.")
    archived_at: datetime | None = column(description="When its maker archived it; null for what is found.")


@strawberry.type(description="A template as it was in a version.")
class WorkoutTemplateVersion:
    """From MongoDB's `workout_template_versions`."""

    version: int = column(description="Which version.")
    name: str = column(description="Its name then.")
    description: str | None = column(description="What it was then.")
    exercises: list[TemplateExercise] | None = column(description="What was to be done, in order.")


@strawberry.type(description="A day of a program.")
class ProgramDay:
    """Embedded in a program."""

    day: int = column(description="From 1.")
    is_rest_day: bool = column(description="Whether it is a rest.", read=bool)
    workout: WorkoutTemplate | None = template_field("workoutTemplateId", "What is done that day; null on a rest.")
    notes: str | None = column(description="Remarks.")


async def _sellers(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    ids = [parent.get("facilityId") for parent in parents]
    found = await directory.by_ids(context.stores.mongo, [id_ for id_ in ids if id_], args.selection.columns)
    return [found.get(id_) if id_ else None for id_ in ids]


@strawberry.type(description="What a program costs.")
class ProgramPricing:
    """Embedded in a program."""

    price: Money = money_field("price", description="Tax included.")
    discount_price: Money | None = money_field("discountPrice", description="What is paid instead, for now.")
    facility: Annotated[Facility, strawberry.lazy("nexfit.api.facilities.types")] | None = batch(
        _sellers, needs=("facilityId",), description="Who sells it; null while nobody does."
    )


@strawberry.type(description="Workouts over days. Public ones are everybody's to find, others their maker's.")
class WorkoutProgram(Node):
    """From MongoDB's `workout_programs`."""

    id: strawberry.ID = column("_id", read=id_reader("WorkoutProgram"), description="The global id.")
    name: str = column(description="Name.")
    description: str | None = column(description="What it is.")
    image_url: str | None = column(description="Address of a picture.")
    version: int = derived(_version, needs=("version",), description="Counts changes of what is to be done.")
    is_public: bool = column(description="Whether everybody may find it.")
    creator: User | None = user_field("createdBy", description="Who made it.")
    forked_from: Annotated[WorkoutProgram, strawberry.lazy("nexfit.api.training.library")] | None = program_field(
        "forkedFrom", "What it was copied from."
    )
    target_goal: str | None = _metadata("targetGoal", "What it is for.")
    difficulty: Difficulty | None = _metadata("difficulty", "How hard it is.")
    duration: int | None = _metadata("duration", "Days it takes.")
    tags: list[str] | None = _metadata("tags", "Words for it.")
    pricing: ProgramPricing | None = column(
        description="What it costs; null for what is free. `purchaseProgram` buys it."
    )
    schedule: list[ProgramDay] | None = column(description="Its days, in order.")
    review_summary: ReviewSummary | None = column("reviews", description="What people think of it, in figures.")
    reviews: list[Review] = batch(
        _reviews_of(PROGRAMS), needs=("_id",), description=f"The newest reviews, at most {SHOWN_REVIEWS}."
    )
    created_at: datetime = column(description="When it was made.")
    updated_at: datetime = column(description="When it was changed last.")
    archived_at: datetime | None = column(description="When its maker archived it; null for what is found.")


@strawberry.input(description="Which programs; absent parts match every one.")
class ProgramsFilter:
    """Of what the viewer may find."""

    name: str | None = strawberry.field(default=None, description="Beginning with this, without case or marks.")
    goal: str | None = strawberry.field(default=None, description="For this goal.")
    difficulty: Difficulty | None = strawberry.field(default=None, description="This hard.")
    tags: list[str] | None = strawberry.field(default=None, description="With one of these tags, at most 20.")
    mine: bool = strawberry.field(default=False, description="Only those the viewer made.")
    archived: bool = strawberry.field(
        default=False, description="Only those the viewer made and archived, which are in no other list."
    )


@strawberry.input(description="Which templates; absent parts match every one.")
class TemplatesFilter(ProgramsFilter):
    """Of what the viewer may find."""

    body_areas: list[str] | None = strawberry.field(default=None, description="Training one of these, at most 20.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplatesArgs(PageArgs):
    """Which templates."""

    filter: Annotated[TemplatesFilter | None, strawberry.argument(description="Which templates.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramsArgs(PageArgs):
    """Which programs."""

    filter: Annotated[ProgramsFilter | None, strawberry.argument(description="Which programs.")] = None


def _listed(collection: str) -> Callable[..., Awaitable[Sequence[Any]]]:
    order = f"{collection}:NAME"

    async def load(parents: Sequence[Record], args: Any, context: Context) -> Sequence[Any]:
        asked = args.filter or TemplatesFilter()
        page = await library.page(
            context.stores.mongo,
            collection,
            context.actor.require() if asked.mine or asked.archived else context.actor.user_id,
            LibraryFilter(
                name=search_text(asked.name, "filter", "name"),
                goal=search_text(asked.goal, "filter", "goal"),
                difficulty=asked.difficulty,
                body_areas=words_of(getattr(asked, "body_areas", None), "filter", "bodyAreas"),
                tags=words_of(asked.tags, "filter", "tags"),
                mine=asked.mine,
                archived=asked.archived,
            ),
            page_request(args, order),
            node_selection(args.selection).columns,
        )
        return [connection(page, order, args.selection)] * len(parents)

    return load


@strawberry.type
class LibraryQueries:
    """Root fields of this area."""

    workout_templates: Connection[WorkoutTemplate] = batch(
        _listed(TEMPLATES), args=TemplatesArgs, description="Public templates and the viewer's own, by name."
    )
    workout_programs: Connection[WorkoutProgram] = batch(
        _listed(PROGRAMS), args=ProgramsArgs, description="Public programs and the viewer's own, by name."
    )
