"""Opening a facility and changing what it says of itself, in MongoDB: change, event and audit entry in one commit.

A change that changes nothing writes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Any

from bson import ObjectId
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from nexfit.domains.errors import Forbidden, NotFound, Refusal
from nexfit.domains.facilities.documents import FacilityType, StaffPermission
from nexfit.domains.facilities.errors import ZoneInUse
from nexfit.domains.facilities.events import FacilityChanged, FacilityCreated
from nexfit.domains.facilities.inputs import (
    AddressChange,
    FacilityChange,
    HoursChange,
    NewFacility,
    Pictures,
    check_hours,
)
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import RIGHTS_COLUMNS, Actor, may
from nexfit.domains.identity.documents import Role
from nexfit.domains.text import fold
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "facilities"
OWNER_OF = {FacilityType.GYM: Role.GYM_OWNER, FacilityType.STUDIO: Role.STUDIO_OWNER}
"""The role that opens facilities of a kind."""

_PARTS = ("address", "contact", "media", "booking_policy")
_IN_ZONE = ("classes", "class_occurrences", "visits", "member_subscriptions")
"""What lies on a facility's calendar: collections with a facilityId."""


async def create(
    units: UnitsOfWork,
    mongo: Mongo,
    actor: Actor,
    new: NewFacility,
    *,
    key: str,
    now: datetime,
    check: Callable[[MongoWork, ObjectId], Awaitable[None]] | None = None,
) -> ObjectId:
    """Open a facility for the viewer, who becomes its owner; its id. `check` may refuse it within the unit.

    The same `key` and input give the first one again. Raises Unauthenticated, Forbidden without the owner's role of
    that kind, IdempotencyConflict, what `check` raises; then nothing was written.
    """
    owner = actor.require()

    async def body(work: MongoWork) -> str:
        person = await work.mongo.find_one("users", {"_id": owner, "isActive": True}, ("role",))
        if person is None or OWNER_OF[new.type] not in person["role"]:
            raise _cannot_change()
        if check is not None:
            await check(work, owner)
        facility = ObjectId()
        document = _nested({path: value for path, value in _stored(new).items() if value is not None})
        document = {"address": {}, "contact": {}, "media": {}, **document}
        made = {"_id": facility, **document, "ownerId": owner, "staff": [], "createdAt": now, "updatedAt": now}
        await work.mongo.insert(COLLECTION, made)
        work.emit(FacilityCreated(facility_id=str(facility), name=new.name))
        work.audit(_audit("facility.created", facility, owner, None, {"name": new.name, "type": str(new.type)}))
        return str(facility)

    asked = new.model_dump(mode="json", exclude_unset=True)
    return ObjectId(await once(mongo, units.mongo("create_facility"), owner, "createFacility", key, asked, body))


async def update(
    units: UnitsOfWork, actor: Actor, facility: ObjectId, change: FacilityChange, *, now: datetime
) -> None:
    """Change what is given of a facility. Raises Unauthenticated, NotFound, Forbidden without `facility_write`, and
    ZoneInUse for another time zone where something lies on the facility's calendar; then nothing was written."""
    actor.require()
    values = _stored(change)

    async def body(work: MongoWork) -> None:
        stored = await permitted_facility(
            work, actor, facility, StaffPermission.FACILITY_WRITE, {path.partition(".")[0] for path in values}
        )
        if values.get("timezone", stored.get("timezone")) != stored.get("timezone"):
            await _check_zone_free(work, facility)
        await _write(work, actor, stored, values, "facility.updated", now)

    await units.mongo("update_facility").run(body)


async def set_hours(
    units: UnitsOfWork, actor: Actor, facility: ObjectId, change: HoursChange, *, now: datetime
) -> None:
    """Replace the weekly openings, the special days, or both. Raises Unauthenticated, NotFound, Forbidden without
    `facility_write`, BadInput for openings that overlap; then nothing was written."""
    actor.require()
    check_hours(change)
    values: dict[str, Any] = {}
    if change.hours is not None:
        values["operatingHours"] = [{**_plain(one), "isClosed": False} for one in change.hours]
    if change.special_days is not None:
        values["specialDays"] = sorted((_plain(one) for one in change.special_days), key=lambda one: one["date"])

    async def body(work: MongoWork) -> None:
        stored = await permitted_facility(work, actor, facility, StaffPermission.FACILITY_WRITE, values)
        await _write(work, actor, stored, values, "facility.hours_set", now)

    await units.mongo("set_facility_hours").run(body)


async def set_pictures(
    units: UnitsOfWork, actor: Actor, facility: ObjectId, shown: Pictures, *, now: datetime
) -> list[str]:
    """Replace the pictures that were sent; the keys of those that are shown no more. Raises Unauthenticated, NotFound,
    Forbidden without `facility_write`; then nothing was written."""
    values = {"media.pictures": _plain(shown.pictures) or None}

    async def body(work: MongoWork) -> list[str]:
        stored = await permitted_facility(work, actor, facility, StaffPermission.FACILITY_WRITE, ("media.pictures",))
        await _write(work, actor, stored, values, "facility.pictures_set", now)
        kept = {one.key for one in shown.pictures}
        return [one["key"] for one in stored.get("media", {}).get("pictures", ()) if one["key"] not in kept]

    return await units.mongo("set_facility_pictures").run(body)


async def check_may_change(mongo: Mongo, actor: Actor, facility: ObjectId) -> None:
    """Raises Unauthenticated, NotFound, Forbidden without `facility_write`."""
    actor.require()
    found = await mongo.find(COLLECTION, {"_id": facility}, RIGHTS_COLUMNS, limit=1)
    if not found:
        raise NotFound("There is no such facility.", path=("facility",))
    if not may(actor, found[0], StaffPermission.FACILITY_WRITE):
        raise _cannot_change()


async def permitted_facility(
    work: MongoWork, actor: Actor, facility: ObjectId, permission: StaffPermission, columns: Iterable[str]
) -> Document:
    """A facility as the unit sees it, for who may change it. Raises NotFound, Forbidden."""
    stored = await work.mongo.find_one(COLLECTION, {"_id": facility}, {*columns, *RIGHTS_COLUMNS})
    if stored is None:
        raise NotFound("There is no such facility.", path=("facility",))
    if not may(actor, stored, permission):
        raise _cannot_change()
    return stored


def _cannot_change() -> Refusal:
    return Forbidden("You do not have the right to change this.")


async def _check_zone_free(work: MongoWork, facility: ObjectId) -> None:
    """Days that were counted in one zone cannot be told in another."""
    for collection in _IN_ZONE:
        if await work.mongo.find_one(collection, {"facilityId": facility}, ()) is not None:
            raise ZoneInUse


async def _write(
    work: MongoWork, actor: Actor, stored: Document, values: Mapping[str, Any], action: str, now: datetime
) -> None:
    """Store what differs, and tell of it."""
    before = {path: _at(stored, path) for path in values}
    changed = {path: value for path, value in values.items() if value != before[path]}
    if not changed:
        return
    kept = {path: value for path, value in changed.items() if value is not None}
    update: dict[str, Any] = {"$set": {**kept, "updatedAt": now}}
    forgotten = {path: "" for path, value in changed.items() if value is None}
    if forgotten:
        update["$unset"] = forgotten
    await work.mongo.update(COLLECTION, {"_id": stored["_id"]}, update)
    work.emit(FacilityChanged(facility_id=str(stored["_id"]), fields=sorted(changed)))
    was = {path: before[path] for path in changed}
    work.audit(_audit(action, stored["_id"], actor.require(), was, changed))


def _audit(
    action: str, facility: ObjectId, by: ObjectId, before: Mapping[str, Any] | None, after: Mapping[str, Any]
) -> Audit:
    id_ = str(facility)
    return Audit(action, "facility", id_, facility_id=id_, user_id=str(by), before=before, after=after)


def _stored(change: FacilityChange) -> dict[str, Any]:
    """What each stored path holds from now on, of what is given; None where it is forgotten."""
    values: dict[str, Any] = {}
    for name in change.model_fields_set:
        value = getattr(change, name)
        if name not in _PARTS:
            values[to_camel(name)] = _plain(value)
        elif value is None:
            values[to_camel(name)] = None if name == "booking_policy" else {}
        else:
            values |= {f"{to_camel(name)}.{path}": inner for path, inner in _part(value).items()}
    if "name" in values:
        values["nameFolded"] = fold(values["name"])
    return values


def _part(part: BaseModel) -> dict[str, Any]:
    given = {to_camel(name): _plain(getattr(part, name)) for name in part.model_fields_set}
    if isinstance(part, AddressChange):
        if "city" in given:
            given["cityFolded"] = fold(given["city"]) if given["city"] else None
        if "latitude" in given:
            place = [given.pop("longitude"), given.pop("latitude")]
            given["coordinates"] = None if None in place else {"type": "Point", "coordinates": place}
    return given


def _plain(value: Any) -> Any:
    """A value as MongoDB stores it: names in camelCase, no nulls inside."""
    match value:
        case BaseModel():
            fields = {to_camel(name): _plain(getattr(value, name)) for name in type(value).model_fields}
            return {name: inner for name, inner in fields.items() if inner is not None}
        case list():
            return [_plain(inner) for inner in value]
        case StrEnum():
            return str(value)
        case date() if not isinstance(value, datetime):
            return datetime.combine(value, time(), UTC)
        case _:
            return value


def _at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _nested(values: Mapping[str, Any]) -> Document:
    made: Document = {}
    for path, value in values.items():
        *outer, last = path.split(".")
        place = made
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return made
