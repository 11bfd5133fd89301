"""Inviting, changing and removing the people who work at a facility."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.errors import answering
from nexfit.api.facilities.mutations import FacilityPayload, payload_of
from nexfit.api.fields import Args, batch
from nexfit.api.identity.payloads import device
from nexfit.api.inputs import given, values_of
from nexfit.api.relay import object_id
from nexfit.domains.facilities import staffing
from nexfit.domains.facilities.documents import StaffPermission, StaffRole
from nexfit.domains.facilities.inputs import Invitation, StaffChange
from nexfit.domains.identity.validation import checked

_FACILITY = "The facility."
_PERMISSIONS = "What they may do; only what the viewer may do there, too. The role alone permits nothing."


@strawberry.input(description="Who is invited to work at a facility.")
class InviteStaffInput:
    """Input of `inviteStaff`."""

    facility: strawberry.ID = strawberry.field(description=_FACILITY)
    email: str = strawberry.field(description="Where the link goes; who accepts signs in with this address.")
    role: StaffRole = strawberry.field(description="What they will do.")
    permissions: list[StaffPermission] = strawberry.field(default_factory=list, description=_PERMISSIONS)


@strawberry.input(description="Which invitation is taken back.")
class WithdrawStaffInvitationInput:
    """Input of `withdrawStaffInvitation`."""

    facility: strawberry.ID = strawberry.field(description=_FACILITY)
    email: str = strawberry.field(description="The address it went to.")


@strawberry.input(description="Which invitation is accepted.")
class AcceptStaffInvitationInput:
    """Input of `acceptStaffInvitation`."""

    token: str = strawberry.field(description="Of the link in the mail.")


@strawberry.input(description="What changes of somebody who works at a facility; what is left out stays.")
class ChangeStaffInput:
    """Input of `changeStaff`."""

    facility: strawberry.ID = strawberry.field(description=_FACILITY)
    user: strawberry.ID = strawberry.field(description="Who.")
    role: StaffRole | None = given("What they do; cannot be null.")
    permissions: list[StaffPermission] | None = given(f"{_PERMISSIONS} Cannot be null.")


@strawberry.input(description="Who does not work at a facility any more.")
class RemoveStaffInput:
    """Input of `removeStaff`."""

    facility: strawberry.ID = strawberry.field(description=_FACILITY)
    user: strawberry.ID = strawberry.field(description="Who; the viewer, to leave.")


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteStaffArgs(Args):
    """Arguments of `inviteStaff`."""

    input: Annotated[InviteStaffInput, strawberry.argument(description="Who is invited.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawStaffInvitationArgs(Args):
    """Arguments of `withdrawStaffInvitation`."""

    input: Annotated[WithdrawStaffInvitationInput, strawberry.argument(description="Which invitation.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptStaffInvitationArgs(Args):
    """Arguments of `acceptStaffInvitation`."""

    input: Annotated[AcceptStaffInvitationInput, strawberry.argument(description="Which invitation.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeStaffArgs(Args):
    """Arguments of `changeStaff`."""

    input: Annotated[ChangeStaffInput, strawberry.argument(description="What changes.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveStaffArgs(Args):
    """Arguments of `removeStaff`."""

    input: Annotated[RemoveStaffInput, strawberry.argument(description="Who goes.")]


async def _invite(args: InviteStaffArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    id_ = object_id(values.pop("facility"), "Facility", "facility")
    invitation = checked(Invitation, **values)
    accounts = context.services.accounts
    await staffing.invite(accounts, context.actor, id_, invitation, device=device(context), now=context.now)
    return await payload_of(id_, args, context)


async def _withdraw(args: WithdrawStaffInvitationArgs, context: Context) -> Mapping[str, Any]:
    id_ = object_id(args.input.facility, "Facility", "facility")
    await staffing.withdraw(context.services.accounts, context.actor, id_, args.input.email, now=context.now)
    return await payload_of(id_, args, context)


async def _accept(args: AcceptStaffInvitationArgs, context: Context) -> Mapping[str, Any]:
    accounts, token = context.services.accounts, args.input.token
    id_ = await staffing.join(accounts, context.actor, token, device=device(context), now=context.now)
    return await payload_of(id_, args, context)


async def _change(args: ChangeStaffArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    id_ = object_id(values.pop("facility"), "Facility", "facility")
    user = object_id(values.pop("user"), "User", "user")
    change = checked(StaffChange, **values)
    await staffing.change(context.services.accounts, context.actor, id_, user, change, now=context.now)
    return await payload_of(id_, args, context)


async def _remove(args: RemoveStaffArgs, context: Context) -> Mapping[str, Any]:
    id_ = object_id(args.input.facility, "Facility", "facility")
    user = object_id(args.input.user, "User", "user")
    await staffing.remove(context.services.accounts, context.actor, id_, user, now=context.now)
    return await payload_of(id_, args, context)


@strawberry.type
class StaffMutations:
    """Root fields of this area."""

    invite_staff: FacilityPayload = batch(
        answering(_invite),
        args=InviteStaffArgs,
        description="Send somebody a link by which they join, good for a week; by the owner and staff with "
        "staff_write. A new one takes the place of an earlier one to the same address.",
    )
    withdraw_staff_invitation: FacilityPayload = batch(
        answering(_withdraw), args=WithdrawStaffInvitationArgs, description="Take an invitation back."
    )
    accept_staff_invitation: FacilityPayload = batch(
        answering(_accept),
        args=AcceptStaffInvitationArgs,
        description="Join the staff, by the link and as the person it went to; its sender must still have such rights.",
    )
    change_staff: FacilityPayload = batch(
        answering(_change),
        args=ChangeStaffArgs,
        description="Change somebody's role or permissions, with effect on the next request in every process. Staff "
        "reach only those who have no permission that they lack themselves.",
    )
    remove_staff: FacilityPayload = batch(
        answering(_remove),
        args=RemoveStaffArgs,
        description="End somebody's work at a facility, with effect on the next request; live streams end within a "
        "second. Everybody may leave, but a facility keeps its owner.",
    )
