"""Measurements of bodies, in MongoDB. Units: kg, cm and percent."""

from typing import Annotated

from pydantic import Field

from nexfit.stores.documents import Embedded, Encrypted, Id, Instant, Percent, StoredDocument, Url, Word

BodyMass = Annotated[float, Field(gt=0, le=700)]
Circumference = Annotated[float, Field(gt=0, le=400)]


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
