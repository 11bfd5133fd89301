"""What a coach writes down of a client: notes and goals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.coaching.inviting import GOALS, CoachingPayload, goals_of, relation_id, shown
from nexfit.api.context import Context
from nexfit.api.errors import answering
from nexfit.api.fields import Args, batch
from nexfit.api.relay import object_id, short_text
from nexfit.domains.coaching import notes
from nexfit.domains.errors import BadInput, NotFound

MOST_NOTE = 10_000
TEXT = f"1 to {MOST_NOTE} characters."
NOTE = "The `Note` of that relation."


@strawberry.input(description="A remark.")
class AddCoachNoteInput:
    """Input of `addCoachNote`."""

    relation: strawberry.ID = strawberry.field(description="The `CoachClient` it is about.")
    text: str = strawberry.field(description=TEXT)
    private: bool = strawberry.field(default=False, description="Whether the coach alone reads it.")


@strawberry.input(description="Which remark, and its new words.")
class ChangeCoachNoteInput:
    """Input of `changeCoachNote`."""

    relation: strawberry.ID = strawberry.field(description="The `CoachClient` it is about.")
    note: strawberry.ID = strawberry.field(description=NOTE)
    text: str = strawberry.field(description=TEXT)


@strawberry.input(description="Which remark.")
class RemoveCoachNoteInput:
    """Input of `removeCoachNote`."""

    relation: strawberry.ID = strawberry.field(description="The `CoachClient` it is about.")
    note: strawberry.ID = strawberry.field(description=NOTE)


@strawberry.input(description="What a client is to work for.")
class SetCoachingGoalsInput:
    """Input of `setCoachingGoals`."""

    relation: strawberry.ID = strawberry.field(description="The `CoachClient`.")
    goals: list[str] = strawberry.field(description=GOALS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddCoachNoteArgs(Args):
    """Arguments of `addCoachNote`."""

    input: Annotated[AddCoachNoteInput, strawberry.argument(description="The remark.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeCoachNoteArgs(Args):
    """Arguments of `changeCoachNote`."""

    input: Annotated[ChangeCoachNoteInput, strawberry.argument(description="Which remark, and its new words.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveCoachNoteArgs(Args):
    """Arguments of `removeCoachNote`."""

    input: Annotated[RemoveCoachNoteInput, strawberry.argument(description="Which remark.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCoachingGoalsArgs(Args):
    """Arguments of `setCoachingGoals`."""

    input: Annotated[SetCoachingGoalsInput, strawberry.argument(description="The goals.")]


def _text(given: str) -> str:
    text = short_text(given, MOST_NOTE, "text")
    if text is None:
        raise BadInput("A note says something.", path=("text",))
    return text


def _note_id(given: str) -> ObjectId:
    try:
        return object_id(given, "Note", "note")
    except NotFound:
        raise NotFound("There is no such note.", path=("note",)) from None


async def _add(args: AddCoachNoteArgs, context: Context) -> Mapping[str, Any]:
    id_, text, private = relation_id(args.input.relation), _text(args.input.text), args.input.private
    await notes.add_note(context.services.units, context.actor, id_, text, private=private, now=context.now)
    return await shown(id_, args, context)


async def _change(args: ChangeCoachNoteArgs, context: Context) -> Mapping[str, Any]:
    id_, note, text = relation_id(args.input.relation), _note_id(args.input.note), _text(args.input.text)
    await notes.change_note(context.services.units, context.actor, id_, note, text, now=context.now)
    return await shown(id_, args, context)


async def _remove(args: RemoveCoachNoteArgs, context: Context) -> Mapping[str, Any]:
    id_, note = relation_id(args.input.relation), _note_id(args.input.note)
    await notes.remove_note(context.services.units, context.actor, id_, note, now=context.now)
    return await shown(id_, args, context)


async def _goals(args: SetCoachingGoalsArgs, context: Context) -> Mapping[str, Any]:
    id_, goals = relation_id(args.input.relation), goals_of(args.input.goals)
    await notes.set_goals(context.services.units, context.actor, id_, goals, now=context.now)
    return await shown(id_, args, context)


@strawberry.type
class CoachNoteMutations:
    """Root fields of this area."""

    add_coach_note: CoachingPayload = batch(
        answering(_add),
        args=AddCoachNoteArgs,
        description="As a coach, note something about a client, for both to read or for yourself alone.",
    )
    change_coach_note: CoachingPayload = batch(
        answering(_change),
        args=ChangeCoachNoteArgs,
        description="Put other words for a note of your own. It stays the same note, and says when it was changed.",
    )
    remove_coach_note: CoachingPayload = batch(
        answering(_remove),
        args=RemoveCoachNoteArgs,
        description="Take a note of your own away. Repeating it changes nothing.",
    )
    set_coaching_goals: CoachingPayload = batch(
        answering(_goals),
        args=SetCoachingGoalsArgs,
        description="As a coach, say what a client is to work for, in place of what was said before.",
    )
