"""Tags and notes of a member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import strawberry

from nexfit.api.access import PERMITTED
from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.memberships.members import Member
from nexfit.api.memberships.visits import member_of
from nexfit.api.relay import IDEMPOTENCY_KEY, local_id
from nexfit.domains.errors import NotFound
from nexfit.domains.memberships import members, remarks
from nexfit.engine.selection import Selection


@strawberry.type(description="The member as it is now, or why nothing was done.")
class MemberPayload:
    """Payload of the mutations of one member."""

    member: Member | None = column(description="The member; null when nothing was done.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.input(description="Which tags a member gets and loses.")
class TagMemberInput:
    """Input of `tagMember`."""

    member: strawberry.ID = strawberry.field(description="The member.")
    add: list[str] = strawberry.field(
        default_factory=list,
        description=f"Tags of at most {remarks.LONGEST_TAG} characters; a member has at most {remarks.MOST_TAGS}.",
    )
    remove: list[str] = strawberry.field(default_factory=list, description="Tags to take away.")


@strawberry.input(description="What is noted about whom.")
class AddMemberNoteInput:
    """Input of `addMemberNote`."""

    member: strawberry.ID = strawberry.field(description="The member.")
    text: str = strawberry.field(description=f"1 to {remarks.LONGEST_NOTE} characters.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@strawberry.input(description="Which note is taken away.")
class RemoveMemberNoteInput:
    """Input of `removeMemberNote`."""

    note: strawberry.ID = strawberry.field(description="The note.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TagMemberArgs(Args):
    """Arguments of `tagMember`."""

    input: Annotated[TagMemberInput, strawberry.argument(description="Which tags.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMemberNoteArgs(Args):
    """Arguments of `addMemberNote`."""

    input: Annotated[AddMemberNoteInput, strawberry.argument(description="What is noted about whom.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveMemberNoteArgs(Args):
    """Arguments of `removeMemberNote`."""

    input: Annotated[RemoveMemberNoteInput, strawberry.argument(description="Which note.")]


async def _shown(pair: tuple[str, str], selection: Selection, context: Context) -> Mapping[str, Any]:
    below = selection.at("member")
    found = await members.by_ids(context.stores.postgres, [pair], below.columns) if below else {}
    row = found.get(pair)
    return {"member": row and {**row, PERMITTED: "members_read"}}


async def _tag(args: TagMemberArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    facility, member = member_of(asked.member)
    await remarks.tag(
        context.services.units,
        context.stores,
        context.actor,
        facility=facility,
        member=member,
        add=asked.add,
        remove=asked.remove,
    )
    return await _shown((str(facility), str(member)), args.selection, context)


async def _add_note(args: AddMemberNoteArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    facility, member = member_of(asked.member)
    await remarks.add_note(
        context.services.units,
        context.stores,
        context.actor,
        facility=facility,
        member=member,
        text=asked.text.strip(),
        key=asked.idempotency_key,
    )
    return await _shown((str(facility), str(member)), args.selection, context)


async def _remove_note(args: RemoveMemberNoteArgs, context: Context) -> Mapping[str, Any]:
    try:
        note = UUID(local_id(args.input.note, "MemberNote"))
    except (ValueError, TypeError):
        raise NotFound("There is no such note.", path=("note",)) from None
    pair = await remarks.remove_note(context.services.units, context.stores, context.actor, note=note)
    return await _shown(pair, args.selection, context)


@strawberry.type
class RemarkMutations:
    """Root fields of this area."""

    tag_member: MemberPayload = batch(
        answering(_tag),
        args=TagMemberArgs,
        description="Give a member tags and take others away, by staff with members_write. Repeating it changes "
        "nothing.",
    )
    add_member_note: MemberPayload = batch(
        answering(_add_note), args=AddMemberNoteArgs, description="Note something, by staff with members_write."
    )
    remove_member_note: MemberPayload = batch(
        answering(_remove_note),
        args=RemoveMemberNoteArgs,
        description="Take a note away: by its author or the owner.",
    )
