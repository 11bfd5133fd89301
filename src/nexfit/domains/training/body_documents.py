"""Measurements of bodies, in MongoDB. Units: kg, cm and percent."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from nexfit.stores.documents import CalendarDate, Embedded, Encrypted, Id, Instant, Percent, StoredDocument, Url, Word

BodyMass = Annotated[float, Field(gt=0, le=700)]
Circumference = Annotated[float, Field(gt=0, le=400)]


class BodyMetric(StrEnum):
    """A figure of a body, by its stored name."""

    WEIGHT = "weight"
    BODY_FAT_PERCENTAGE = "bodyFatPercentage"
    MUSCLE_MASS = "muscleMass"
    CHEST_CIRCUMFERENCE = "chestCircumference"
    WAIST_CIRCUMFERENCE = "waistCircumference"
    HIP_CIRCUMFERENCE = "hipCircumference"
    ARM_CIRCUMFERENCE = "armCircumference"
    THIGH_CIRCUMFERENCE = "thighCircumference"


class BodyMeasurements(Embedded):
    """Weight and muscle mass in kg, fat in percent, circumferences in cm."""

    weight: BodyMass | None = None
    body_fat_percentage: Percent | None = None
    muscle_mass: BodyMass | None = None
    chest_circumference: Circumference | None = None
    waist_circumference: Circumference | None = None
    hip_circumference: Circumference | None = None
    arm_circumference: Circumference | None = None
    thigh_circumference: Circumference | None = None


class ProgressPhoto(Embedded):
    """A picture of the body; ``url`` is the private file's key."""

    url: Url
    position: Word | None = None
    date: Instant


class Measurement(StoredDocument):
    """What a user measured at one moment. The figures (``BodyMeasurements``) and the notes are kept encrypted."""

    user_id: Id
    date: Instant
    measurements: Encrypted
    photos: list[ProgressPhoto] = Field(default_factory=list, max_length=20)
    notes: Encrypted | None = None

    class Settings(StoredDocument.Settings):
        name = "measurements"


class BodyGoal(StoredDocument):
    """The value of a figure that somebody works towards: a number in its stored unit, kept encrypted."""

    user_id: Id
    metric: BodyMetric
    target: Encrypted
    by: CalendarDate | None = None
    created_at: Instant
    updated_at: Instant

    class Settings(StoredDocument.Settings):
        name = "body_goals"
