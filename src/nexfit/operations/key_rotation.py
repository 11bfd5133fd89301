"""Encrypted fields brought under the active key, in batches, while everybody goes on reading and writing.

What is done is told by the documents themselves: a run that was stopped, or ran beside another one, is finished by
running it again. A value that somebody changed since it was read is left to a later look at the field.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from pymongo import UpdateOne

from nexfit.operations.mongo_schema import ALL_DOCUMENTS
from nexfit.operations.mongo_validators import collection_name, encrypted_fields
from nexfit.stores.field_encryption import PERSON, FieldEncryptionError, KeyRing, Place, rewrap
from nexfit.stores.mongo import Mongo
from nexfit.stores.person_keys import PersonKeyFiles

PERSONAL = {
    "measurements.measurements": "userId",
    "measurements.notes": "userId",
    "body_goals.target": "userId",
    **{
        f"users.roleSpecificData.client.{name}": "_id"
        for name in ("height", "weight", "dietaryRestrictions", "medicalConditions")
    },
}
"""Fields under people's own keys, and where their documents say whose they are."""

BATCH = 500
LOOKS = 5
"""How often a field is gone through for values that others changed meanwhile."""

Progress = Callable[[str, int, int], None]
"""Called with the field's name, how many of its values are done, and how many there are to do."""


class Stores(Protocol):
    """What a rotation works on."""

    @property
    def mongo(self) -> Mongo:
        """Where the fields are."""

    @property
    def keys(self) -> KeyRing:
        """Old keys and the active one."""


@dataclass(slots=True)
class FieldReport:
    """What became of one field: values renewed, and those that could not be, by their place, with the reason."""

    name: str
    renewed: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    left: int = 0
    """Values of other keys when the rotation ended, those that failed included."""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How many values of a field a key holds."""

    name: str
    key_id: str
    values: int


async def key_use(stores: Stores) -> list[KeyUse]:
    """Which keys are in use, by field. Raises StoreError."""
    found = []
    for collection, path in _fields():
        pipeline: list[dict[str, Any]] = [
            {"$match": {f"{path}.keyId": {"$exists": True}}},
            {"$group": {"_id": f"${path}.keyId", "values": {"$sum": 1}}},
            {"$sort": {"_id": 1}},
        ]
        with stores.mongo.unhurried() as database:
            rows = await (await database[collection].aggregate(pipeline)).to_list()
        found += [KeyUse(f"{collection}.{path}", row["_id"], row["values"]) for row in rows]
    return found


async def rotate(stores: Stores, *, on_progress: Progress = lambda *_: None, batch: int = BATCH) -> list[FieldReport]:
    """Renew every value that another key than the active one holds; raises KeyNotSet and StoreError.

    A value that cannot be read stays as it is and is reported.
    """
    reports = []
    for collection, path in _fields():
        report = FieldReport(f"{collection}.{path}")
        waiting = await _others(stores, collection, path)
        total = waiting
        for _ in range(LOOKS):
            if waiting == len(report.failed):
                break
            await _look(stores, collection, path, report, partial(_tell, on_progress, report, total), batch)
            waiting = await _others(stores, collection, path)
        report.left = waiting
        reports.append(report)
    people = stores.keys.people
    return reports if people is None else [*reports, await asyncio.to_thread(_rewrap, stores.keys, people, on_progress)]


def _rewrap(keys: KeyRing, people: PersonKeyFiles, on_progress: Progress) -> FieldReport:
    """People's own keys brought under the active one."""
    report = FieldReport("people's keys")
    for number, person in enumerate(people.people(), 1):
        try:
            report.renewed += rewrap(keys, person)
        except FieldEncryptionError as error:
            report.failed[str(person)] = str(error)
        if number % BATCH == 0:
            on_progress(report.name, number, number)
    report.left = len(report.failed)
    return report


async def _look(
    stores: Stores, collection: str, path: str, report: FieldReport, tell: Callable[[], None], batch: int
) -> None:
    """One way through the collection in the order of its ids."""
    after: Any = None
    while True:
        query = _of_other_keys(stores, collection, path) | ({} if after is None else {"_id": {"$gt": after}})
        with stores.mongo.unhurried() as database:
            owner = PERSONAL.get(f"{collection}.{path}", "_id")
            documents = (
                await database[collection].find(query, {path: 1, owner: 1}).sort("_id", 1).limit(batch).to_list()
            )
            if not documents:
                return
            updates = list(_updates(stores.keys, collection, path, documents, report))
            if updates:
                report.renewed += (await database[collection].bulk_write(updates, ordered=False)).modified_count
        after = documents[-1]["_id"]
        tell()


def _tell(on_progress: Progress, report: FieldReport, total: int) -> None:
    on_progress(report.name, report.renewed + len(report.failed), total)


def _updates(
    keys: KeyRing, collection: str, path: str, documents: list[dict[str, Any]], report: FieldReport
) -> Iterator[UpdateOne]:
    for document in documents:
        kept: Any = document
        for part in path.split("."):
            kept = kept[part]
        place = Place(collection, document["_id"], path)
        owner = PERSONAL.get(f"{collection}.{path}")
        try:
            renewed = (keys if owner is None else keys.of_person(document[owner])).renew(place, kept)
        except FieldEncryptionError as error:
            report.failed[str(document["_id"])] = str(error)
        else:
            # The nonce is the value's own: nobody has written another one since.
            unchanged = {"_id": document["_id"], f"{path}.nonce": kept["nonce"], f"{path}.keyId": kept["keyId"]}
            yield UpdateOne(unchanged, {"$set": {path: renewed}})


async def _others(stores: Stores, collection: str, path: str) -> int:
    with stores.mongo.unhurried() as database:
        return await database[collection].count_documents(_of_other_keys(stores, collection, path))


def _of_other_keys(stores: Stores, collection: str, path: str) -> dict[str, Any]:
    is_personal = stores.keys.people is not None and f"{collection}.{path}" in PERSONAL
    return {f"{path}.keyId": {"$exists": True, "$ne": PERSON if is_personal else stores.keys.active}}


def _fields() -> list[tuple[str, str]]:
    return [(collection_name(model), path) for model in ALL_DOCUMENTS for path in encrypted_fields(model)]
