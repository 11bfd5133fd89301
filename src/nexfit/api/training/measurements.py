"""Measurements as clients see them."""

from __future__ import annotations

from datetime import datetime

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import batch, column, derived
from nexfit.api.identity.types import User, user_field
from nexfit.api.relay import Node, id_reader
from nexfit.api.training import photos
from nexfit.api.training.body import in_system
from nexfit.api.units import UnitsArgs
from nexfit.domains.training import measurements
from nexfit.engine.fields import Record


@strawberry.type(description="Figures of a body; what was not measured is null.")
class BodyMeasurements:
    """Embedded in a measurement."""

    weight: float | None = column(description="Kilograms, or pounds.")
    body_fat_percentage: float | None = column(description="Percent.")
    muscle_mass: float | None = column(description="Kilograms, or pounds.")
    chest_circumference: float | None = column(description="Centimetres, or inches.")
    waist_circumference: float | None = column(description="Centimetres, or inches.")
    hip_circumference: float | None = column(description="Centimetres, or inches.")
    arm_circumference: float | None = column(description="Centimetres, or inches.")
    thigh_circumference: float | None = column(description="Centimetres, or inches.")


def _figures(record: Record, args: UnitsArgs, context: Context) -> dict[str, float | None]:
    kept = measurements.figures(context.stores.keys.of_person(record["userId"]), record["_id"], record["measurements"])
    return {name: in_system(name, value, args.units) for name, value in kept.items()}


def _notes(record: Record, _args: object, context: Context) -> str | None:
    kept = record.get("notes")
    return measurements.notes(context.stores.keys.of_person(record["userId"]), record["_id"], kept) if kept else None


@strawberry.type(description="A picture of a body.")
class ProgressPhoto:
    """Embedded in a measurement."""

    url: str = column(description="An address that shows it for some minutes, to whoever has it.")
    position: str | None = column(description="From which side.")
    date: datetime = column(description="When it was taken.")


@strawberry.type(description="What a person measured at one moment.")
class Measurement(Node):
    """From MongoDB's `measurements`."""

    id: strawberry.ID = column("_id", read=id_reader("Measurement"), description="The global id.")
    date: datetime = column(description="When.")
    measurements: BodyMeasurements = derived(
        _figures, needs=("measurements", "userId"), args=UnitsArgs, description="The figures."
    )
    notes: str | None = derived(_notes, needs=("notes", "userId"), description="Remarks.")
    photos: list[ProgressPhoto] | None = batch(
        photos.of_measurements,
        needs=("photos",),
        description="Pictures; for the person, and a coach with the scope photos.",
    )
    user: User | None = user_field("userId", description="Whose.")
