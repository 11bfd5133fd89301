"""Planning classes and changing their dates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.classes.types import Class, ClassOccurrence
from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity.payloads import USER_ERRORS
from nexfit.api.inputs import given, values_of
from nexfit.api.relay import IDEMPOTENCY_KEY, object_id
from nexfit.domains.classes import changing, planning, timetable
from nexfit.domains.classes.documents import ClassDifficulty, Frequency
from nexfit.domains.classes.inputs import (
    FIRST_DAY,
    LAST_DAY,
    MOST_DATES,
    MOST_INTERVAL,
    MOST_MINUTES,
    MOST_SEATS,
    MOST_SKIPPED,
    MOST_TAGS,
    MOST_WAITING,
    ClassText,
    DateChange,
    FollowingChange,
    NewClass,
)
from nexfit.domains.identity.profiles import MAX_ADDRESS, MAX_BIO
from nexfit.domains.identity.validation import MAX_LINE, MAX_NAME, checked

_LINE = f"1 to {MAX_LINE} characters."
_WORD = f"1 to {MAX_NAME} characters."
_DAY = f"On the facility's calendar, {FIRST_DAY} to {LAST_DAY}."
_CLOCK = "HH:MM on the facility's wall clock; it stays so when clocks change."
_MINUTES = f"Minutes, 1 to {MOST_MINUTES}."
_SEATS = f"Seats of a date, 1 to {MOST_SEATS}, no more than the room has."
_WAITING = f"People who may wait for a seat, 0 to {MOST_WAITING}."
_ROOM = f"One of the facility's rooms, if it has named any. {_WORD}"
_INSTRUCTOR = "A `User`: the owner or somebody of the staff."
_DESCRIPTION = f"What happens in it, 1 to {MAX_BIO} characters."
_IMAGE = f"An http or https address of at most {MAX_ADDRESS} characters."
_POLICY = "How it is booked otherwise than its facility says."
_TAGS = f"Free words, at most {MOST_TAGS}, each of {_WORD}"


@strawberry.input(description="How a class repeats on the facility's wall clock.")
class RecurrenceInput:
    """Part of `CreateClassInput` and `ChangeFollowingDatesInput`."""

    frequency: Frequency = strawberry.field(description="The unit of repetition.")
    interval: int = strawberry.field(default=1, description=f"Every how many units, 1 to {MOST_INTERVAL}.")
    weekdays: list[int] | None = given(
        "For a weekly class, 0 (Sunday) to 6; the first date is on one of them. Default: the first date's."
    )
    ends_on_date: date | None = given(f"The last day; not together with `maxOccurrences`. {_DAY}")
    max_occurrences: int | None = given(f"How many dates, skipped ones among them, 1 to {MOST_DATES}.")
    exceptions: list[date] | None = given(f"Days on which it does not take place, at most {MOST_SKIPPED}.")


@strawberry.input(description="How a class is booked otherwise than its facility says; what is left out is as there.")
class ClassPolicyInput:
    """Part of `CreateClassInput` and `UpdateClassInput`."""

    opens_days_before: int | None = given("Booking opens so many days before a date, 1 to 365.")
    cancel_minutes_before: int | None = given("Leaving is free until so many minutes before the start, 0 to 10080.")
    freeze_minutes_before: int | None = given("A seat freed later than this promotes nobody; 0 to 1440 minutes.")
    late_cancel_uses_quota: bool | None = given("Whether leaving late uses up the week's quota.")
    no_show_uses_quota: bool | None = given("Whether not coming uses up the week's quota.")


@strawberry.input(description="A new class.")
class CreateClassInput:
    """Input of `createClass`."""

    facility: strawberry.ID = strawberry.field(description="Where it is held.")
    name: str = strawberry.field(description=_LINE)
    first_date: date = strawberry.field(description=f"Not in the past. {_DAY}")
    start_time: str = strawberry.field(description=_CLOCK)
    duration: int = strawberry.field(description=_MINUTES)
    capacity: int = strawberry.field(description=_SEATS)
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    waitlist_limit: int | None = given(f"{_WAITING} Default: what the facility's policy says.")
    room: str | None = given(_ROOM)
    instructor: strawberry.ID | None = given(f"Who teaches it. {_INSTRUCTOR}")
    recurrence: RecurrenceInput | None = given("How it repeats; without it there is one date.")
    description: str | None = given(_DESCRIPTION)
    category: str | None = given(f"Kind, such as yoga. {_WORD}")
    difficulty: ClassDifficulty | None = given("Whom it suits.")
    image: str | None = given(_IMAGE)
    tags: list[str] | None = given(_TAGS)
    booking_policy: ClassPolicyInput | None = given(_POLICY)


@strawberry.input(description="What a class says of itself; what is left out stays, null forgets.")
class UpdateClassInput:
    """Input of `updateClass`."""

    class_: strawberry.ID = strawberry.field(name="class", description="Which one.")
    name: str | None = given(f"{_LINE} Cannot be null.")
    description: str | None = given(_DESCRIPTION)
    category: str | None = given(f"Kind, such as yoga. {_WORD}")
    difficulty: ClassDifficulty | None = given("Whom it suits.")
    image: str | None = given(_IMAGE)
    tags: list[str] | None = given(f"{_TAGS} Cannot be null.")
    booking_policy: ClassPolicyInput | None = given(
        f"{_POLICY} It takes the place of the former one, also for dates that have not begun; null for none."
    )


@strawberry.input(description="What changes of one date; what is left out stays.")
class ChangeClassDateInput:
    """Input of `changeClassDate`."""

    occurrence: strawberry.ID = strawberry.field(description="The date; it has not begun.")
    date: date | None = given(f"Another day; refused once somebody has booked. {_DAY}")
    start_time: str | None = given(f"Another time; refused once somebody has booked. {_CLOCK}")
    duration: int | None = given(f"Another length; refused once somebody has booked. {_MINUTES}")
    capacity: int | None = given(f"{_SEATS} Not below the seats that are taken; new seats go to who waits.")
    waitlist_limit: int | None = given(_WAITING)
    room: str | None = given(f"{_ROOM} Null for none.")
    instructor: strawberry.ID | None = given(f"Who teaches this date instead. {_INSTRUCTOR} Null for nobody.")


@strawberry.input(description="What changes of a date and all that follow; what is left out stays.")
class ChangeFollowingDatesInput:
    """Input of `changeFollowingDates`."""

    occurrence: strawberry.ID = strawberry.field(description="The first date that changes; it has not begun.")
    date: date | None = given(f"The new first day. {_DAY}")
    start_time: str | None = given(_CLOCK)
    duration: int | None = given(_MINUTES)
    capacity: int | None = given(_SEATS)
    waitlist_limit: int | None = given(_WAITING)
    room: str | None = given(f"{_ROOM} Null for none.")
    instructor: strawberry.ID | None = given(f"{_INSTRUCTOR} Null for nobody.")
    recurrence: RecurrenceInput | None = given(
        "Another repetition; with FREQUENCY `ONCE` or an end it says when the class ends."
    )


@strawberry.type(description="The class as it is now, or why nothing changed.")
class ClassPayload:
    """Payload of `createClass` and `updateClass`."""

    class_: Class | None = column("class", name="class", description="The class; null when nothing was done.")
    user_errors: list[UserError] = column(description=USER_ERRORS)


@strawberry.type(description="The date as it is now, or why nothing changed.")
class ChangeClassDatePayload:
    """Payload of `changeClassDate`."""

    occurrence: ClassOccurrence | None = column(description="The date; null when nothing was done.")
    user_errors: list[UserError] = column(description=USER_ERRORS)


@strawberry.type(description="The class as it is now, with the dates that stay as they were, or why nothing changed.")
class ChangeFollowingDatesPayload:
    """Payload of `changeFollowingDates`."""

    class_: Class | None = column("class", name="class", description="The class; null when nothing was done.")
    kept_dates: list[ClassOccurrence] | None = column(
        description="Dates that somebody booked or that were called off: they stay, each to be changed by itself."
    )
    user_errors: list[UserError] = column(description=USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateClassArgs(Args):
    """Arguments of `createClass`."""

    input: Annotated[CreateClassInput, strawberry.argument(description="The class.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateClassArgs(Args):
    """Arguments of `updateClass`."""

    input: Annotated[UpdateClassInput, strawberry.argument(description="What changes.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeClassDateArgs(Args):
    """Arguments of `changeClassDate`."""

    input: Annotated[ChangeClassDateInput, strawberry.argument(description="What changes.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFollowingDatesArgs(Args):
    """Arguments of `changeFollowingDates`."""

    input: Annotated[ChangeFollowingDatesInput, strawberry.argument(description="What changes.")]


def _values(input_: Any) -> dict[str, Any]:
    """The given fields, with the instructor's stored id."""
    values: dict[str, Any] = values_of(input_)
    if values.get("instructor") is not None:
        values["instructor"] = object_id(values["instructor"], "User", "instructor")
    recurrence = values.get("recurrence")
    if recurrence is not None:
        values["recurrence"] = {name: value for name, value in recurrence.items() if value is not None}
    elif "recurrence" in values:
        del values["recurrence"]
    return values


async def _class(id_: ObjectId, args: Args, context: Context) -> dict[str, Any]:
    asked = args.selection.at("class")
    mongo = context.stores.mongo
    found = await timetable.by_ids(mongo, timetable.CLASSES, [id_], asked.columns) if asked else {}
    return {"class": found.get(id_)}


async def _create(args: CreateClassArgs, context: Context) -> Mapping[str, Any]:
    values = _values(args.input)
    facility, key = object_id(values.pop("facility"), "Facility", "facility"), values.pop("idempotency_key")
    new = checked(NewClass, **{name: value for name, value in values.items() if value is not None})
    desk = context.services.classes
    id_ = await planning.create(desk, context.actor, facility, new, key=key, now=context.now)
    return await _class(id_, args, context)


async def _update(args: UpdateClassArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    id_ = object_id(values.pop("class_"), "Class", "class")
    text = checked(ClassText, **values)
    await planning.update_text(context.services.classes, context.actor, id_, text, now=context.now)
    return await _class(id_, args, context)


async def _change_date(args: ChangeClassDateArgs, context: Context) -> Mapping[str, Any]:
    values = _values(args.input)
    id_ = object_id(values.pop("occurrence"), "ClassOccurrence", "occurrence")
    change = checked(DateChange, **values)
    await changing.change_date(context.services.classes, context.actor, id_, change, now=context.now)
    asked = args.selection.at("occurrence")
    mongo = context.stores.mongo
    found = await timetable.by_ids(mongo, timetable.OCCURRENCES, [id_], asked.columns) if asked else {}
    return {"occurrence": found.get(id_)}


async def _change_following(args: ChangeFollowingDatesArgs, context: Context) -> Mapping[str, Any]:
    values = _values(args.input)
    id_ = object_id(values.pop("occurrence"), "ClassOccurrence", "occurrence")
    change = checked(FollowingChange, **values)
    class_, kept = await changing.change_following(
        context.services.classes, context.actor, id_, change, now=context.now
    )
    asked = args.selection.at("keptDates")
    mongo = context.stores.mongo
    found = await timetable.by_ids(mongo, timetable.OCCURRENCES, kept, asked.columns) if asked and kept else {}
    shown = [found[one] for one in kept if one in found]
    return {**await _class(class_, args, context), "keptDates": shown}


@strawberry.type
class PlanningMutations:
    """Root fields of this area."""

    create_class: ClassPayload = batch(
        answering(_create),
        args=CreateClassArgs,
        description="Plan a class and make its dates, by staff with classes_write. A room or an instructor that is "
        "taken on any date of the next 400 days is refused as SCHEDULE_CLASH, also when two plan at once.",
    )
    update_class: ClassPayload = batch(
        answering(_update), args=UpdateClassArgs, description="Change what a class says of itself; no date changes."
    )
    change_class_date: ChangeClassDatePayload = batch(
        answering(_change_date),
        args=ChangeClassDateArgs,
        description="Change one date that has not begun: substitute the instructor, change room, seats or, until "
        "somebody books, the time.",
    )
    change_following_dates: ChangeFollowingDatesPayload = batch(
        answering(_change_following),
        args=ChangeFollowingDatesArgs,
        description="Change a date and all that follow. What has begun, what anybody ever booked and what was called "
        "off stays as it is.",
    )
