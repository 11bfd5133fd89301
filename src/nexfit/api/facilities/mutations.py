"""Opening and changing facilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.facilities.inputs import CreateFacilityInput, SetFacilityHoursInput, UpdateFacilityInput
from nexfit.api.facilities.types import Facility
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity.payloads import USER_ERRORS
from nexfit.api.inputs import values_of
from nexfit.api.relay import object_id
from nexfit.domains.facilities import directory, editing
from nexfit.domains.facilities.inputs import FacilityChange, HoursChange, NewFacility
from nexfit.domains.identity.validation import checked
from nexfit.domains.memberships.platform_plans import Platform
from nexfit.hybrid.unit_of_work import MongoWork


@strawberry.type(description="The facility as it is now, or why nothing changed.")
class FacilityPayload:
    """Payload of the mutations of one facility."""

    facility: Facility | None = column(description="The facility; null when nothing was done.")
    user_errors: list[UserError] = column(description=USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateFacilityArgs(Args):
    """Arguments of `createFacility`."""

    input: Annotated[CreateFacilityInput, strawberry.argument(description="The facility.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateFacilityArgs(Args):
    """Arguments of `updateFacility`."""

    input: Annotated[UpdateFacilityInput, strawberry.argument(description="What changes.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFacilityHoursArgs(Args):
    """Arguments of `setFacilityHours`."""

    input: Annotated[SetFacilityHoursInput, strawberry.argument(description="When it is open.")]


async def payload_of(id_: ObjectId, args: Args, context: Context) -> Mapping[str, Any]:
    """The facility as it is after the commit, as far as it was asked for."""
    asked = args.selection.at("facility")
    found = await directory.by_ids(context.stores.mongo, [id_], asked.columns) if asked else {}
    return {"facility": found.get(id_)}


async def _create(args: CreateFacilityArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    key = values.pop("idempotency_key")
    services = context.services
    new = checked(NewFacility, **values)
    platform, postgres = Platform.of(services.settings.platform), context.stores.postgres

    async def check(work: MongoWork, owner: ObjectId) -> None:
        if platform is not None:
            await platform.check_room(postgres, work, owner, context.now)

    id_ = await editing.create(
        services.units, context.stores.mongo, context.actor, new, key=key, now=context.now, check=check
    )
    return await payload_of(id_, args, context)


async def _update(args: UpdateFacilityArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    id_ = object_id(values.pop("facility"), "Facility", "facility")
    change = checked(FacilityChange, **values)
    await editing.update(context.services.units, context.actor, id_, change, now=context.now)
    return await payload_of(id_, args, context)


async def _set_hours(args: SetFacilityHoursArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    id_ = object_id(values.pop("facility"), "Facility", "facility")
    change = checked(HoursChange, **values)
    await editing.set_hours(context.services.units, context.actor, id_, change, now=context.now)
    return await payload_of(id_, args, context)


@strawberry.type
class FacilityMutations:
    """Root fields of this area."""

    create_facility: FacilityPayload = batch(
        answering(_create),
        args=CreateFacilityArgs,
        description="Open a facility, which the viewer then owns; without the role of an owner of its kind FORBIDDEN, "
        "and MEMBERSHIP_REQUIRED where the platform sells plans and one more facility takes one.",
    )
    update_facility: FacilityPayload = batch(
        answering(_update),
        args=UpdateFacilityArgs,
        description="Change a facility, all that is given or nothing; by its owner and staff with facility_write, "
        "others are told FORBIDDEN. Repeating it changes nothing.",
    )
    set_facility_hours: FacilityPayload = batch(
        answering(_set_hours),
        args=SetFacilityHoursArgs,
        description="Set a facility's openings, holidays and other special days; rights as for `updateFacility`.",
    )
