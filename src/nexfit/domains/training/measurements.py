"""Reading what people measured of their bodies from MongoDB's `measurements`, newest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId

from nexfit.domains.training.body_documents import BodyMeasurements
from nexfit.hybrid import documents_paging
from nexfit.hybrid.paging import Key, Page, PageRequest, instant, object_id
from nexfit.stores.field_encryption import Envelope, Keys, Place
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "measurements"
ORDER = "measurements:DATE:DESC"
KEYS = (Key("date", instant, descending=True), Key("_id", object_id, descending=True))


def encrypt_figures(keys: Keys, measurement: ObjectId, figures: BodyMeasurements) -> Envelope:
    """What `measurements` of a measurement holds; `keys` are the person's. Raises KeyNotSet, KeyDestroyed."""
    return keys.encrypt(
        Place(COLLECTION, measurement, "measurements"), figures.model_dump(by_alias=True, exclude_none=True)
    )


def figures(keys: Keys, measurement: ObjectId, kept: Mapping[str, Any]) -> dict[str, float]:
    """The figures in such an envelope, by their stored names. Raises FieldEncryptionError."""
    found: dict[str, float] = keys.decrypt(Place(COLLECTION, measurement, "measurements"), kept)
    return found


def notes(keys: Keys, measurement: ObjectId, kept: Mapping[str, Any]) -> str:
    """The text in a measurement's envelope `notes`. Raises FieldEncryptionError."""
    return str(keys.decrypt(Place(COLLECTION, measurement, "notes"), kept))


async def pages_of(
    mongo: Mongo, people: Sequence[ObjectId], request: PageRequest, columns: Iterable[str]
) -> list[Page]:
    """A page per person, in one command."""
    return await documents_paging.pages_by_parent(
        mongo, COLLECTION, "userId", people, {}, KEYS, request, {*columns, "userId"}
    )


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Measurements by id, in one command; unknown ids are absent."""
    rows = await mongo.find(COLLECTION, {"_id": {"$in": list(set(ids))}}, {*columns, "userId"})
    return {row["_id"]: row for row in rows}
