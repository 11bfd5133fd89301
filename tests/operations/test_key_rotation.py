"""Rotating keys over real documents: stopped half-way, beside writers, and with values that cannot be read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from bson import ObjectId

from nexfit.domains.identity.protected import (
    MEDICAL_CONDITIONS,
    encrypt_medical_conditions,
    encrypt_tax_id,
    medical_conditions,
    tax_id,
    tax_id_index,
)
from nexfit.operations import key_rotation
from nexfit.operations.key_rotation import key_use, rotate
from nexfit.stores.connections import Stores
from nexfit.stores.field_encryption import KeyRing, Tampered, UnknownKey

OLD, NEW = b"o" * 32, b"n" * 32
INDEX = b"i" * 32
OLD_RING = KeyRing({"old": OLD}, "old", INDEX)
BOTH = KeyRing({"old": OLD, "new": NEW}, "new", INDEX)
NAME = f"users.{MEDICAL_CONDITIONS}"
PEOPLE = 25


def person(number: int, data: dict[str, Any]) -> dict[str, Any]:
    """A stored user as the validator wants it."""
    from datetime import UTC, datetime

    now = datetime(2026, 1, 1, tzinfo=UTC)
    address = f"p{number}@example.org"
    return {
        "email": address,
        "emailNormalized": address,
        "firstName": "A",
        "lastName": "B",
        "nameFolded": "a b",
        "role": ["client"],
        "isActive": True,
        "roleSpecificData": data,
        "createdAt": now,
        "updatedAt": now,
    }


@pytest.fixture
async def people(stores: Stores) -> AsyncIterator[list[ObjectId]]:
    """Clients with conditions and one owner with a tax id, all under the old key."""
    ids = [ObjectId() for _ in range(PEOPLE)]
    users = stores.mongo.database["users"]
    for number, id_ in enumerate(ids):
        kept = encrypt_medical_conditions(OLD_RING, id_, [f"condition {number}"])
        await users.insert_one({"_id": id_, **person(number, {"client": {"medicalConditions": kept}})})
    owner = ObjectId()
    data = {"gym_owner": encrypt_tax_id(OLD_RING, owner, "gym_owner", "12 3456-7890")}
    await users.insert_one({"_id": owner, **person(PEOPLE, data)})
    yield [*ids, owner]
    await users.delete_many({})


async def conditions(stores: Stores, keys: KeyRing, id_: ObjectId) -> list[str]:
    [user] = await stores.mongo.find("users", {"_id": id_}, (MEDICAL_CONDITIONS,))
    return medical_conditions(keys, id_, user["roleSpecificData"]["client"]["medicalConditions"])


async def test_everything_ends_under_the_active_key_and_reads_as_before(stores: Stores, people: list[ObjectId]) -> None:
    ring = replace(stores, keys=BOTH)
    seen: list[tuple[str, int, int]] = []
    reports = {report.name: report for report in await rotate(ring, on_progress=lambda *s: seen.append(s), batch=4)}
    assert (reports[NAME].renewed, reports[NAME].failed, reports[NAME].left) == (PEOPLE, {}, 0)
    assert reports["users.roleSpecificData.gym_owner.taxId"].renewed == 1
    told = [step[1:] for step in seen if step[0] == NAME]
    assert told == [(min(done, PEOPLE), PEOPLE) for done in range(4, PEOPLE + 4, 4)]
    only_new = KeyRing({"new": NEW}, "new", INDEX)
    for number, id_ in enumerate(people[:PEOPLE]):
        assert await conditions(stores, only_new, id_) == [f"condition {number}"]
    [owner] = await stores.mongo.find("users", {"_id": people[-1]}, ())
    [found] = await stores.mongo.find(
        "users", {"roleSpecificData.gym_owner.taxIdIndex": tax_id_index(only_new, "1234567890")}, ("roleSpecificData",)
    )
    assert found["_id"] == owner["_id"]  # the index did not change with the key
    kept = found["roleSpecificData"]["gym_owner"]["taxId"]
    assert tax_id(only_new, owner["_id"], "gym_owner", kept) == "12 3456-7890"
    assert {use.key_id for use in await key_use(ring)} == {"new"}
    assert sum(report.renewed for report in await rotate(ring)) == 0


async def test_a_rotation_that_died_is_finished_by_the_next(stores: Stores, people: list[ObjectId]) -> None:
    class Died(Exception):
        pass

    def die(name: str, done: int, _: int) -> None:
        if name == NAME and done >= 10:
            raise Died

    ring = replace(stores, keys=BOTH)
    with pytest.raises(Died):
        await rotate(ring, on_progress=die, batch=5)
    use = {(use.name, use.key_id): use.values for use in await key_use(ring)}
    assert use[NAME, "new"] == 10
    assert use[NAME, "old"] == PEOPLE - 10
    for number, id_ in enumerate(people[:PEOPLE]):  # both keys are read meanwhile
        assert await conditions(stores, BOTH, id_) == [f"condition {number}"]
    [report] = [report for report in await rotate(ring) if report.name == NAME]
    assert (report.renewed, report.left) == (PEOPLE - 10, 0)


async def test_a_value_written_meanwhile_is_not_overwritten(
    stores: Stores, people: list[ObjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that still has the old key as its active one writes between the rotation's read and its write."""
    made = key_rotation._updates
    changed: list[ObjectId] = []

    def and_others_write(keys: KeyRing, collection: str, path: str, documents: Any, report: Any) -> Any:
        updates = list(made(keys, collection, path, documents, report))
        if path == MEDICAL_CONDITIONS and not changed:
            changed.append(documents[0]["_id"])
            kept = encrypt_medical_conditions(OLD_RING, changed[0], ["changed meanwhile"])
            from pymongo import UpdateOne

            updates.insert(0, UpdateOne({"_id": changed[0]}, {"$set": {path: kept}}))
        return updates

    monkeypatch.setattr(key_rotation, "_updates", and_others_write)
    ring = replace(stores, keys=BOTH)
    [report] = [report for report in await rotate(ring) if report.name == NAME]
    assert report.left == 0
    assert await conditions(stores, KeyRing({"new": NEW}, "new"), changed[0]) == ["changed meanwhile"]


async def test_what_cannot_be_read_is_left_and_reported(stores: Stores, people: list[ObjectId]) -> None:
    users, (first, second, third, *_) = stores.mongo.database["users"], people
    [donor] = await stores.mongo.find("users", {"_id": first}, (MEDICAL_CONDITIONS,))
    envelope = donor["roleSpecificData"]["client"]["medicalConditions"]
    await users.update_one({"_id": second}, {"$set": {MEDICAL_CONDITIONS: envelope}})  # moved from another person
    await users.update_one({"_id": third}, {"$set": {f"{MEDICAL_CONDITIONS}.keyId": "lost"}})
    with pytest.raises(Tampered):
        await conditions(stores, BOTH, second)
    with pytest.raises(UnknownKey):
        await conditions(stores, BOTH, third)
    [report] = [report for report in await rotate(replace(stores, keys=BOTH)) if report.name == NAME]
    assert report.renewed == PEOPLE - 2
    assert report.left == 2
    assert report.failed.keys() == {str(second), str(third)}
    assert "moved here" in report.failed[str(second)]
    assert "'lost'" in report.failed[str(third)]
    assert "condition" not in str(report).replace("medicalConditions", "")
