"""People on their way through programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column, derived
from nexfit.api.identity import payloads
from nexfit.api.identity.types import User, user_field
from nexfit.api.inputs import given, values_of
from nexfit.api.relay import Node, id_reader, object_id
from nexfit.api.training.library import WorkoutProgram, WorkoutTemplate, WorkoutTemplateVersion
from nexfit.api.training.named import program_field, template_field, version_field
from nexfit.api.training.progress import Adherence
from nexfit.api.training.workouts import WorkoutLog
from nexfit.domains.coaching import consents
from nexfit.domains.errors import NotFound
from nexfit.domains.identity.documents import ConsentScope
from nexfit.domains.training import enrolments, figures, workouts
from nexfit.domains.training.enrolment_documents import DayState, EnrolmentStatus
from nexfit.engine.fields import Record

strawberry.enum(DayState, name="ProgramDayState", description="What became of a program's day.")


async def _logs(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    ids = [parent["workoutLogId"] for parent in parents if parent.get("workoutLogId")]
    found = await workouts.by_ids(context.stores.mongo, ids, args.selection.columns) if ids else {}
    return [found.get(parent["workoutLogId"]) if parent.get("workoutLogId") else None for parent in parents]


@strawberry.type(description="A day of somebody's program, as the program was when they began.")
class EnrolmentDay:
    """Embedded in an enrolment."""

    day: int = column(description="From 1.")
    date: date = column(description="When it is due.")
    is_rest_day: bool = column(description="Whether it is a rest.", read=bool)
    state: DayState = column(description="What became of it.")
    settled_at: datetime | None = column(description="When it was done or skipped.")
    workout: WorkoutTemplate | None = template_field("workoutTemplateId", "What is done that day, as it is now.")
    plan: WorkoutTemplateVersion | None = version_field("What is done that day, as it was when the person began.")
    log: WorkoutLog | None = batch(_logs, needs=("workoutLogId",), description="The workout in which it was done.")
    notes: str | None = column(description="Remarks.")


def _days(record: Record, _args: object, _context: object) -> list[Record]:
    first = record["startDate"].date()
    return [{**one, "date": first + timedelta(days=one["day"] - 1)} for one in record.get("days") or ()]


def _adherence(record: Record, _args: object, context: Context) -> Record:
    done, due = figures.program_days([record], record["startDate"].date(), context.now.date())
    return {"done": done, "due": due}


@strawberry.type(description="Somebody's way through a program, for the person, and a coach with the scope workouts.")
class ProgramEnrolment(Node):
    """From MongoDB's `program_enrolments`."""

    id: strawberry.ID = column("_id", read=id_reader("ProgramEnrolment"), description="The global id.")
    name: str | None = column(description="The program's name when the person began.")
    program: WorkoutProgram | None = program_field("programId", "The program, as it is now.")
    program_version: int | None = column(description="The version the person goes through.")
    status: EnrolmentStatus | None = column(description="Where it stands.")
    start_date: date | None = column(description="When its first day is due.")
    pointer: int | None = column(description="The day whose turn it is; one more than the last when it is completed.")
    days: list[EnrolmentDay] | None = derived(_days, needs=("days", "startDate"), description="Its days, in order.")
    adherence: Adherence | None = derived(
        _adherence,
        needs=("days.day", "days.isRestDay", "days.state", "startDate", "endedAt"),
        description="Of the days due until today, by UTC.",
    )
    restarts: int | None = column(description="How often it was begun anew.")
    user: User | None = user_field("userId", description="Whose.")
    assigned_by: User | None = user_field("assignedBy", description="The coach who began it for the person.")
    created_at: datetime | None = column(description="When it was begun first.")
    updated_at: datetime | None = column(description="When it went on last.")
    ended_at: datetime | None = column(description="When it was completed or left.")


@strawberry.input(description="Which program to begin.")
class EnrolInProgramInput:
    """Input of `enrolInProgram`."""

    program: strawberry.ID = strawberry.field(description="A program that the viewer finds.")
    start_date: date | None = given("When its first day is due; default today, by UTC.")
    user: strawberry.ID | None = given(
        "For whom, by a coach with the scope workouts of an active client; default the viewer."
    )


@strawberry.input(description="A day of a program that was done.")
class CompleteProgramDayInput:
    """Input of `completeProgramDay`."""

    enrolment: strawberry.ID = strawberry.field(description="The viewer's way through a program.")
    day: int = strawberry.field(description="The day whose turn it is.")
    workout: strawberry.ID | None = given("The workout of the viewer's in which it was done.")


@strawberry.input(description="A day of a program that was skipped.")
class SkipProgramDayInput:
    """Input of `skipProgramDay`."""

    enrolment: strawberry.ID = strawberry.field(description="The viewer's way through a program.")
    day: int = strawberry.field(description="The day whose turn it is.")


@strawberry.input(description="A program to begin anew.")
class RestartProgramInput:
    """Input of `restartProgram`."""

    enrolment: strawberry.ID = strawberry.field(description="The viewer's way through a program.")
    start_date: date | None = given("When its first day is due; default today, by UTC.")


@strawberry.input(description="A program to leave.")
class EndProgramInput:
    """Input of `endProgram`."""

    enrolment: strawberry.ID = strawberry.field(description="The viewer's way through a program.")


@strawberry.type(description="The way through the program as it is now, or why not.")
class EnrolmentPayload:
    """Payload of the mutations of an enrolment."""

    enrolment: ProgramEnrolment | None = column(description="The enrolment; null when nothing was done.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolInProgramArgs(Args):
    """Arguments of `enrolInProgram`."""

    input: Annotated[EnrolInProgramInput, strawberry.argument(description="Which program.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteProgramDayArgs(Args):
    """Arguments of `completeProgramDay`."""

    input: Annotated[CompleteProgramDayInput, strawberry.argument(description="Which day.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipProgramDayArgs(Args):
    """Arguments of `skipProgramDay`."""

    input: Annotated[SkipProgramDayInput, strawberry.argument(description="Which day.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartProgramArgs(Args):
    """Arguments of `restartProgram`."""

    input: Annotated[RestartProgramInput, strawberry.argument(description="Which program.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndProgramArgs(Args):
    """Arguments of `endProgram`."""

    input: Annotated[EndProgramInput, strawberry.argument(description="Which program.")]


async def _payload(id_: ObjectId, args: Args, context: Context) -> Mapping[str, Any]:
    asked = args.selection.at("enrolment")
    found = await enrolments.by_ids(context.stores.mongo, [id_], asked.columns) if asked else {}
    return {"enrolment": found.get(id_)}


def _enrolment(given_id: str) -> ObjectId:
    return object_id(given_id, "ProgramEnrolment", "enrolment")


async def _enrol(args: EnrolInProgramArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    viewer = context.actor.require()
    program = object_id(values["program"], "WorkoutProgram", "program")
    user = viewer if values.get("user") is None else object_id(values["user"], "User", "user")
    if user != viewer and not await consents.open_to(context.stores.mongo, viewer, (ConsentScope.WORKOUTS,), [user]):
        raise NotFound("There is no such {name}.", path=("user",), name="client")
    start = values.get("start_date") or context.now.date()
    id_ = await enrolments.enrol(
        context.services.units, context.actor, program, user=user, start=start, now=context.now
    )
    return await _payload(id_, args, context)


async def _complete(args: CompleteProgramDayArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    id_ = _enrolment(values["enrolment"])
    log = values.get("workout") and object_id(values["workout"], "WorkoutLog", "workout")
    units, actor = context.services.units, context.actor
    await enrolments.settle(units, actor, id_, values["day"], DayState.DONE, log=log, now=context.now)
    return await _payload(id_, args, context)


async def _skip(args: SkipProgramDayArgs, context: Context) -> Mapping[str, Any]:
    id_ = _enrolment(args.input.enrolment)
    units, actor = context.services.units, context.actor
    await enrolments.settle(units, actor, id_, args.input.day, DayState.SKIPPED, log=None, now=context.now)
    return await _payload(id_, args, context)


async def _restart(args: RestartProgramArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    id_, start = _enrolment(values["enrolment"]), values.get("start_date") or context.now.date()
    await enrolments.restart(context.services.units, context.actor, id_, start=start, now=context.now)
    return await _payload(id_, args, context)


async def _end(args: EndProgramArgs, context: Context) -> Mapping[str, Any]:
    id_ = _enrolment(args.input.enrolment)
    await enrolments.end(context.services.units, context.actor, id_, now=context.now)
    return await _payload(id_, args, context)


@strawberry.type
class EnrolmentMutations:
    """Root fields of this area."""

    enrol_in_program: EnrolmentPayload = batch(
        answering(_enrol),
        args=EnrolInProgramArgs,
        description="Begin a program as it is now. Begun already, that way through it is the answer.",
    )
    complete_program_day: EnrolmentPayload = batch(
        answering(_complete),
        args=CompleteProgramDayArgs,
        description="The day whose turn it is was done; with the last one the program is completed. Repeating it "
        "changes nothing.",
    )
    skip_program_day: EnrolmentPayload = batch(
        answering(_skip),
        args=SkipProgramDayArgs,
        description="Leave the day out whose turn it is. Repeating it changes nothing.",
    )
    restart_program: EnrolmentPayload = batch(
        answering(_restart), args=RestartProgramArgs, description="Begin a program anew from its first day."
    )
    end_program: EnrolmentPayload = batch(
        answering(_end), args=EndProgramArgs, description="Leave a program. Repeating it changes nothing."
    )
