"""Recording measurements, their pictures, and goals."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity import payloads
from nexfit.api.inputs import given, values_of
from nexfit.api.relay import IDEMPOTENCY_KEY, object_id
from nexfit.api.training import photos
from nexfit.api.training.body import BodyGoal, measure_of
from nexfit.api.training.measurements import Measurement
from nexfit.api.units import UnitSystem
from nexfit.domains.identity.validation import checked
from nexfit.domains.training import body, measurements
from nexfit.domains.training.body import FIGURES, MeasurementDraft
from nexfit.domains.training.body_documents import BodyMeasurements, BodyMetric
from nexfit.domains.training.photos import MOST_PHOTOS
from nexfit.stores.signed_files import MOST_UPLOADED, SignedFiles

_LENGTH = "At most 400 cm."


@strawberry.input(description="A picture that was uploaded.")
class PhotoInput:
    """Part of a measurement."""

    key: str = strawberry.field(description="From `requestPhotoUpload`.")
    position: str | None = given("From which side, such as front.")


@strawberry.input(description="What was measured, in the units of the input.")
class MeasurementParts:
    """What two inputs have in common."""

    date: datetime | None = given("When; default now.")
    weight: float | None = given("More than 0, at most 700 kg.")
    body_fat_percentage: float | None = given("Percent.")
    muscle_mass: float | None = given("More than 0, at most 700 kg.")
    chest_circumference: float | None = given(_LENGTH)
    waist_circumference: float | None = given(_LENGTH)
    hip_circumference: float | None = given(_LENGTH)
    arm_circumference: float | None = given(_LENGTH)
    thigh_circumference: float | None = given(_LENGTH)
    notes: str | None = given("Remarks. Kept encrypted, as the figures are.")
    photos: list[PhotoInput] | None = given(f"Pictures, at most {MOST_PHOTOS}.")
    units: UnitSystem = strawberry.field(default=UnitSystem.METRIC, description="Kilograms and centimetres, or not.")
    confirmed: bool = strawberry.field(
        default=False, description="Whether the person has looked again at what is far from earlier figures."
    )


@strawberry.input(description="A new measurement.")
class RecordMeasurementInput(MeasurementParts):
    """Input of `recordMeasurement`."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@strawberry.input(description="What changes of a measurement; what is left out stays, null forgets.")
class UpdateMeasurementInput(MeasurementParts):
    """Input of `updateMeasurement`."""

    measurement: strawberry.ID = strawberry.field(description="The measurement, one of the viewer's own.")


@strawberry.input(description="A measurement to delete.")
class DeleteMeasurementInput:
    """Input of `deleteMeasurement`."""

    measurement: strawberry.ID = strawberry.field(description="The measurement, one of the viewer's own.")


@strawberry.input(description="What to work towards.")
class SetBodyGoalInput:
    """Input of `setBodyGoal`."""

    metric: BodyMetric = strawberry.field(description="Which figure; one goal for each.")
    target: float | None = strawberry.field(default=None, description="The value; null gives the goal up.")
    by: date | None = strawberry.field(default=None, description="Until when.")
    units: UnitSystem = strawberry.field(default=UnitSystem.METRIC, description="Kilograms and centimetres, or not.")


@strawberry.enum(description="A kind of picture.")
class PhotoType(StrEnum):
    """By the ending of its file."""

    JPEG = "jpg"
    PNG = "png"
    WEBP = "webp"


@strawberry.input(description="A picture to upload.")
class RequestPhotoUploadInput:
    """Input of `requestPhotoUpload`."""

    type: PhotoType = strawberry.field(description="Its kind.")


@strawberry.type(description="The measurement as it is now, or why not.")
class MeasurementPayload:
    """Payload of `recordMeasurement` and `updateMeasurement`."""

    measurement: Measurement | None = column(description="The measurement; null when nothing was done.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@strawberry.type(description="What was deleted, or why nothing was.")
class DeleteMeasurementPayload:
    """Payload of `deleteMeasurement`."""

    deleted_id: strawberry.ID | None = column(description="Its id; null when nothing was deleted.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@strawberry.type(description="The goal as it is now, or why not.")
class BodyGoalPayload:
    """Payload of `setBodyGoal`."""

    goal: BodyGoal | None = column(description="The goal; null when there is none.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@strawberry.type(description="Where to send a picture.")
class PhotoUploadPayload:
    """Payload of `requestPhotoUpload`."""

    key: str | None = column(description="Names the picture in `photos` of a measurement or a workout.")
    address: str | None = column(
        description=f"Send it there with PUT, once, at most {MOST_UPLOADED // 1_000_000} MB; the address ends after "
        "some minutes."
    )
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordMeasurementArgs(Args):
    """Arguments of `recordMeasurement`."""

    input: Annotated[RecordMeasurementInput, strawberry.argument(description="The measurement.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateMeasurementArgs(Args):
    """Arguments of `updateMeasurement`."""

    input: Annotated[UpdateMeasurementInput, strawberry.argument(description="What changes.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteMeasurementArgs(Args):
    """Arguments of `deleteMeasurement`."""

    input: Annotated[DeleteMeasurementInput, strawberry.argument(description="Which measurement.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBodyGoalArgs(Args):
    """Arguments of `setBodyGoal`."""

    input: Annotated[SetBodyGoalInput, strawberry.argument(description="The goal.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPhotoUploadArgs(Args):
    """Arguments of `requestPhotoUpload`."""

    input: Annotated[RequestPhotoUploadInput, strawberry.argument(description="The picture.")]


def _draft(values: dict[str, Any]) -> tuple[MeasurementDraft, bool]:
    """What was measured, in stored units, and whether it was confirmed. Raises InvalidInput."""
    units, confirmed = values.pop("units"), values.pop("confirmed")
    for name, alias in _STORED.items():
        measure = measure_of(alias)
        if measure is not None and values.get(name) is not None:
            values[name] = measure.stored(values[name], units)
    return checked(MeasurementDraft, **values), confirmed


_STORED = {name: str(field.alias) for name, field in BodyMeasurements.model_fields.items()}
assert set(_STORED.values()) == set(FIGURES)  # noqa: S101  # the same model


async def _shown(id_: Any, args: Args, context: Context) -> Mapping[str, Any]:
    asked = args.selection.at("measurement")
    found = await measurements.by_ids(context.stores.mongo, [id_], asked.columns) if asked else {}
    return {"measurement": found.get(id_)}


async def _record(args: RecordMeasurementArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    key = values.pop("idempotency_key")
    draft, confirmed = _draft(values)
    stores = context.stores
    id_ = await body.record(
        context.services.units,
        stores.mongo,
        stores.keys,
        context.actor,
        draft,
        confirmed=confirmed,
        key=key,
        now=context.now,
    )
    return await _shown(id_, args, context)


async def _update(args: UpdateMeasurementArgs, context: Context) -> Mapping[str, Any]:
    values = values_of(args.input)
    id_ = object_id(values.pop("measurement"), "Measurement", "measurement")
    draft, confirmed = _draft(values)
    units, keys = context.services.units, context.stores.keys
    await body.update(units, keys, context.actor, id_, draft, confirmed=confirmed, now=context.now)
    return await _shown(id_, args, context)


async def _delete(args: DeleteMeasurementArgs, context: Context) -> Mapping[str, Any]:
    id_ = object_id(args.input.measurement, "Measurement", "measurement")
    await photos.remove(await body.delete(context.services.units, context.actor, id_), context)
    return {"deletedId": args.input.measurement}


async def _goal(args: SetBodyGoalArgs, context: Context) -> Mapping[str, Any]:
    asked, stores, viewer = args.input, context.stores, context.actor.require()
    measure = measure_of(str(asked.metric))
    target = asked.target if measure is None else measure.stored(asked.target, asked.units)
    await body.set_goal(
        context.services.units, stores.keys, context.actor, asked.metric, target, asked.by, now=context.now
    )
    goals = (await body.goals_of(stores.mongo, stores.keys, [viewer]))[viewer]
    return {"goal": next((goal for goal in goals if goal["metric"] == asked.metric), None)}


async def _request_upload(args: RequestPhotoUploadArgs, context: Context) -> Mapping[str, Any]:
    key = f"photos/{context.actor.require()}/{secrets.token_hex(16)}.{args.input.type.value}"
    return {"key": key, "address": SignedFiles.of(context.services.settings).upload_address(key, context.now)}


@strawberry.type
class BodyMutations:
    """Root fields of this area."""

    record_measurement: MeasurementPayload = batch(
        answering(_record),
        args=RecordMeasurementArgs,
        description="Keep a measurement. What is far from earlier figures is refused until it is confirmed.",
    )
    update_measurement: MeasurementPayload = batch(
        answering(_update), args=UpdateMeasurementArgs, description="Change a measurement of one's own."
    )
    delete_measurement: DeleteMeasurementPayload = batch(
        answering(_delete),
        args=DeleteMeasurementArgs,
        description="Delete a measurement of one's own with its pictures.",
    )
    set_body_goal: BodyGoalPayload = batch(
        answering(_goal), args=SetBodyGoalArgs, description="Work towards a figure, or give that up."
    )
    request_photo_upload: PhotoUploadPayload = batch(
        answering(_request_upload),
        args=RequestPhotoUploadArgs,
        description="An address to send a private picture to, for a measurement or a workout of one's own.",
    )
