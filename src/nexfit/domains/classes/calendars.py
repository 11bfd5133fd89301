"""Calendars that other programs follow: by an address with a secret in it, one for each person and calendar.

The address is shown once and kept as a keyed hash. A new one ends the old one; taking it back ends it at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from nexfit.domains.classes.calendar_files import Entry
from nexfit.domains.classes.documents import BookingStatus, CalendarKind, OccurrenceStatus
from nexfit.domains.classes.places import BOOKINGS, OCCURRENCES
from nexfit.domains.classes.timetable import CLASSES
from nexfit.domains.errors import BadInput, NotFound
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.accounts import Accounts
from nexfit.domains.identity.one_time import Hashes, new_token
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork
from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.mongo import Document, Mongo

FEEDS = "calendar_feeds"
BACK, AHEAD = timedelta(days=30), timedelta(days=400)
"""What a calendar shows of the past and of what is to come."""

MOST_ENTRIES = 3000

_SHOWN = {
    BookingStatus.BOOKED: "CONFIRMED",
    BookingStatus.ATTENDED: "CONFIRMED",
    BookingStatus.NO_SHOW: "CONFIRMED",
    BookingStatus.WAITLISTED: "TENTATIVE",
    BookingStatus.CANCELLED_BY_FACILITY: "CANCELLED",
}
"""Bookings a member's calendar shows, and as what; what the member gave up is gone from it."""

_DATE = ("classId", "facilityId", "originalStart", "startsAt", "endsAt", "status", "room", "instructor", "createdAt")


@dataclass(frozen=True, slots=True)
class Calendar:
    """A calendar with its entries, by the order in which they begin."""

    name: str
    timezone: str | None
    entries: list[Entry]


async def create(
    accounts: Accounts, actor: Actor, kind: CalendarKind, facility: ObjectId | None, *, now: datetime
) -> str:
    """A new secret for a calendar of the viewer's; the earlier one ends. Raises Unauthenticated, NotFound, BadInput."""
    user = actor.require()
    token = new_token()
    feed = _feed(user, kind, facility)

    async def body(work: MongoWork) -> None:
        if facility is not None and await work.mongo.find_one("facilities", {"_id": facility}, ()) is None:
            raise NotFound("There is no such facility.", path=("facility",))
        values = {"tokenHash": accounts.hashes.of_token(token), "createdAt": now}
        try:
            await work.mongo.update(FEEDS, feed, {"$set": values}, upsert=True)
        except ConstraintViolated as error:  # the very first one, made by two at once
            raise WriteConflict("mongo", str(error)) from error
        work.audit(_audit("calendar.created", user, feed))

    await accounts.units.mongo("create_calendar_feed").run(body)
    return token


async def revoke(accounts: Accounts, actor: Actor, kind: CalendarKind, facility: ObjectId | None) -> bool:
    """End the address of a calendar of the viewer's; whether there was one. Raises Unauthenticated, BadInput."""
    user = actor.require()
    feed = _feed(user, kind, facility)

    async def body(work: MongoWork) -> bool:
        ended = await work.mongo.delete(FEEDS, feed) > 0
        if ended:
            work.audit(_audit("calendar.revoked", user, feed))
        return ended

    return await accounts.units.mongo("revoke_calendar_feed").run(body)


Besides = Callable[[Mongo, ObjectId, CalendarKind, Mapping[str, Any]], Awaitable[list[Entry]]]
"""What else a person's calendar of a kind shows of a range of instants."""


async def followed(mongo: Mongo, hashes: Hashes, token: str, now: datetime, besides: Besides) -> Calendar | None:
    """The calendar behind a secret, None where there is none (any more). Raises StoreError."""
    found = await mongo.find(FEEDS, {"tokenHash": hashes.of_token(token)}, ("userId", "kind", "facilityId"), limit=1)
    if not found:
        return None
    [feed] = found
    people = await mongo.find("users", {"_id": feed["userId"], "isActive": True}, ("firstName", "lastName"), limit=1)
    if not people:
        return None
    near = {"$gte": now - BACK, "$lt": now + AHEAD}
    match feed["kind"]:
        case CalendarKind.MEMBER:
            dates, states = await _booked(mongo, feed["userId"], near)
        case CalendarKind.COACH:
            dates, states = await _dates(mongo, {"instructor.userId": feed["userId"], "startsAt": near}), {}
        case _:
            dates, states = await _dates(mongo, {"facilityId": feed["facilityId"], "startsAt": near}), {}
    classes = await _by_id(mongo, CLASSES, {one["classId"] for one in dates}, ("name", "category"))
    wanted = {one["facilityId"] for one in dates} | ({feed["facilityId"]} if "facilityId" in feed else set())
    places = await _by_id(mongo, "facilities", wanted, ("name", "timezone", "address.street", "address.city"))
    entries = [
        _entry(one, classes.get(one["classId"], {}), places.get(one["facilityId"], {}), states.get(one["_id"]))
        for one in dates
    ]
    place = places.get(feed.get("facilityId"))
    if place is not None:
        return Calendar(place["name"], place["timezone"], entries)
    entries += await besides(mongo, feed["userId"], CalendarKind(feed["kind"]), near)
    entries.sort(key=lambda entry: (entry.starts_at, entry.uid))
    [person] = people
    return Calendar(f"NexFit: {person['firstName']} {person['lastName']}", None, entries)


async def _booked(mongo: Mongo, user: ObjectId, near: Mapping[str, Any]) -> tuple[list[Document], dict[ObjectId, str]]:
    """The dates a member's bookings are about, and what to show each as."""
    bookings = await mongo.find(
        BOOKINGS,
        {"userId": user, "date": near, "status": {"$in": [str(status) for status in _SHOWN]}},
        ("occurrenceId", "status"),
        sort=[("date", -1), ("_id", -1)],
        limit=MOST_ENTRIES,
    )
    states: dict[ObjectId, str] = {}
    for one in bookings:
        state = _SHOWN[BookingStatus(one["status"])]
        # Who was called off and booked again has two bookings: the one that counts is shown.
        if states.get(one["occurrenceId"], "CANCELLED") == "CANCELLED":
            states[one["occurrenceId"]] = state
    return await _dates(mongo, {"_id": {"$in": [*states]}}) if states else [], states


async def _dates(mongo: Mongo, query: Mapping[str, Any]) -> list[Document]:
    return await mongo.find(OCCURRENCES, query, _DATE, sort=[("startsAt", 1), ("_id", 1)], limit=MOST_ENTRIES)


async def _by_id(mongo: Mongo, collection: str, ids: set[ObjectId], columns: tuple[str, ...]) -> dict[Any, Document]:
    if not ids:
        return {}
    return {row["_id"]: row for row in await mongo.find(collection, {"_id": {"$in": [*ids]}}, columns)}


def _entry(date: Document, class_: Mapping[str, Any], place: Mapping[str, Any], state: str | None) -> Entry:
    address = place.get("address") or {}
    where = (date.get("room"), place.get("name"), address.get("street"), address.get("city"))
    called_off = date["status"] == OccurrenceStatus.CANCELLED
    return Entry(
        uid=str(date["_id"]),
        # It rises with what may become of a date: another time, and not at all.
        sequence=(date["startsAt"] != date["originalStart"]) + called_off,
        made_at=date["createdAt"],
        starts_at=date["startsAt"],
        ends_at=date["endsAt"],
        summary=class_.get("name", ""),
        location=", ".join(part for part in where if part),
        description=(date.get("instructor") or {}).get("name", ""),
        category=class_.get("category"),
        status="CANCELLED" if called_off else state or "CONFIRMED",
    )


def _feed(user: ObjectId, kind: CalendarKind, facility: ObjectId | None) -> Document:
    """What names one calendar of one person. Raises BadInput."""
    if (facility is not None) != (kind is CalendarKind.FACILITY):
        raise BadInput("A facility is named for its own calendar, and for no other.", path=("facility",))
    return {"userId": user, "kind": str(kind), **({"facilityId": facility} if facility is not None else {})}


def _audit(action: str, user: ObjectId, feed: Mapping[str, Any]) -> Audit:
    facility = feed.get("facilityId")
    after = {"kind": feed["kind"], "facilityId": str(facility) if facility else None}
    return Audit(action, "calendar_feed", str(user), user_id=str(user), after=after)
