"""Keys of private pictures: who they belong to, and which of them nothing names any more."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from bson import ObjectId
from pydantic import StringConstraints

from nexfit.domains.training.measurements import COLLECTION as MEASUREMENTS
from nexfit.domains.training.workouts import COLLECTION as LOGS
from nexfit.hybrid.unit_of_work import MongoWork

MOST_PHOTOS = 20
PhotoKey = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^photos/[0-9a-f]{24}/[0-9a-f]{32}\.(jpg|png|webp)$")
]


def is_of(person: ObjectId, key: str) -> bool:
    """Whether the address that the key came with was given to the person."""
    return key.startswith(f"photos/{person}/")


async def unnamed(work: MongoWork, person: ObjectId, keys: Collection[str]) -> set[str]:
    """Of the person's keys those that none of their workouts and measurements names, as the unit leaves them.

    Looks through what is theirs by the index of its person; asked only when pictures go.
    """
    if not keys:
        return set()
    asked = list(keys)
    logs = await work.mongo.find(LOGS, {"userId": person, "photos": {"$in": asked}}, ("photos",))
    measured = await work.mongo.find(MEASUREMENTS, {"userId": person, "photos.url": {"$in": asked}}, ("photos.url",))
    named = {key for row in logs for key in row["photos"]}
    return {*keys} - named - {photo["url"] for row in measured for photo in row["photos"]}
