"""Pictures of a facility: sent to an address of their own, then shown in the order the owner gives them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.facilities.mutations import FacilityPayload, payload_of
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity.payloads import USER_ERRORS
from nexfit.api.inputs import given, values_of
from nexfit.api.relay import object_id
from nexfit.api.training.body_mutations import PhotoType
from nexfit.domains.errors import NotFound
from nexfit.domains.facilities import editing
from nexfit.domains.facilities.documents import MOST_IMAGES
from nexfit.domains.facilities.inputs import Pictures
from nexfit.domains.identity.validation import MAX_LINE, checked
from nexfit.stores.signed_files import MOST_UPLOADED, SignedFiles


@strawberry.input(description="A picture that is to be sent.")
class RequestFacilityPictureUploadInput:
    """Input of `requestFacilityPictureUpload`."""

    facility: strawberry.ID = strawberry.field(description="Whose picture it is.")
    type: PhotoType = strawberry.field(description="Its kind.")


@strawberry.input(description="A picture that was sent, and what it shows.")
class FacilityPictureInput:
    """Part of `SetFacilityPicturesInput`."""

    key: str = strawberry.field(description="From `requestFacilityPictureUpload`.")
    alt: str | None = given(f"What it shows, for who cannot see it; 1 to {MAX_LINE} characters.")


@strawberry.input(description="The pictures a facility shows.")
class SetFacilityPicturesInput:
    """Input of `setFacilityPictures`."""

    facility: strawberry.ID = strawberry.field(description="The facility.")
    pictures: list[FacilityPictureInput] = strawberry.field(
        description=f"All of them in their order, at most {MOST_IMAGES}; one that is left out is deleted."
    )


@strawberry.type(description="Where to send a picture.")
class FacilityPictureUploadPayload:
    """Payload of `requestFacilityPictureUpload`."""

    key: str | None = column(description="Names the picture in `setFacilityPictures`.")
    address: str | None = column(
        description=f"Send it there with PUT, once, at most {MOST_UPLOADED // 1_000_000} MB; the address ends after "
        "some minutes."
    )
    user_errors: list[UserError] = column(description=USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacilityPictureUploadArgs(Args):
    """Arguments of `requestFacilityPictureUpload`."""

    input: Annotated[RequestFacilityPictureUploadInput, strawberry.argument(description="The picture.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFacilityPicturesArgs(Args):
    """Arguments of `setFacilityPictures`."""

    input: Annotated[SetFacilityPicturesInput, strawberry.argument(description="The pictures.")]


async def _request(args: RequestFacilityPictureUploadArgs, context: Context) -> Mapping[str, Any]:
    facility = object_id(args.input.facility, "Facility", "facility")
    await editing.check_may_change(context.stores.mongo, context.actor, facility)
    key = f"facilities/{facility}/{secrets.token_hex(16)}.{args.input.type.value}"
    return {"key": key, "address": SignedFiles.of(context.services.settings).upload_address(key, context.now)}


async def _set(args: SetFacilityPicturesArgs, context: Context) -> Mapping[str, Any]:
    facility = object_id(args.input.facility, "Facility", "facility")
    await editing.check_may_change(context.stores.mongo, context.actor, facility)
    shown = checked(Pictures, pictures=values_of(args.input.pictures))
    files = SignedFiles.of(context.services.settings)
    for place, one in enumerate(shown.pictures):
        is_its = one.key.startswith(f"facilities/{facility}/")
        if not is_its or await asyncio.to_thread(files.read, one.key, 0) is None:
            raise NotFound("There is no such file.", path=("pictures", str(place), "key"))
    gone = await editing.set_pictures(context.services.units, context.actor, facility, shown, now=context.now)
    await asyncio.to_thread(files.remove, gone)
    return await payload_of(facility, args, context)


@strawberry.type
class PictureMutations:
    """Root fields of this area."""

    request_facility_picture_upload: FacilityPictureUploadPayload = batch(
        answering(_request),
        args=RequestFacilityPictureUploadArgs,
        description="An address to send a picture of a facility to; rights as for `updateFacility`.",
    )
    set_facility_pictures: FacilityPayload = batch(
        answering(_set),
        args=SetFacilityPicturesArgs,
        description="Show these pictures that were sent, in this order; rights as for `updateFacility`. Repeating it "
        "changes nothing.",
    )
