"""Personal training in the calendars that programs follow: what a coach gives, and what a client takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from nexfit.domains.classes.calendar_files import Entry
from nexfit.domains.classes.calendars import MOST_ENTRIES
from nexfit.domains.classes.documents import CalendarKind
from nexfit.domains.coaching.documents import SessionStatus
from nexfit.domains.coaching.sessions import COLLECTION
from nexfit.domains.facilities import directory
from nexfit.domains.identity import people
from nexfit.stores.mongo import Mongo

CATEGORY = "personal training"

_SIDES = {CalendarKind.COACH: ("coachId", "clientId"), CalendarKind.MEMBER: ("clientId", "coachId")}
"""Whose calendar it is, and whom it names."""

_COLUMNS = ("coachId", "clientId", "facilityId", "startTime", "endTime", "status", "location", "createdAt")


async def sessions_in(mongo: Mongo, person: ObjectId, kind: CalendarKind, near: Mapping[str, Any]) -> list[Entry]:
    """The sessions a person's calendar shows, in three commands; what was cancelled or moved says CANCELLED."""
    if kind not in _SIDES:
        return []
    own, other = _SIDES[kind]
    query = {own: person, "startTime": near}
    # The latest ones, where there are too many.
    found = await mongo.find(COLLECTION, query, _COLUMNS, sort=[("startTime", -1), ("_id", -1)], limit=MOST_ENTRIES)
    if not found:
        return []
    names = await people.by_ids(mongo, {one[other] for one in found}, ("firstName", "lastName"))
    wanted = {one["facilityId"] for one in found if "facilityId" in one}
    columns = ("name", "address.street", "address.city")
    places = await directory.by_ids(mongo, wanted, columns) if wanted else {}
    return [
        _entry(one, names.get(one[other], {}), places[one["facilityId"]] if one.get("facilityId") in places else {})
        for one in found
    ]


def _entry(session: Mapping[str, Any], whom: Mapping[str, Any], place: Mapping[str, Any]) -> Entry:
    address, cancelled = place.get("address") or {}, session["status"] == SessionStatus.CANCELLED
    where = (session["location"].get("details"), place.get("name"), address.get("street"), address.get("city"))
    return Entry(
        uid=str(session["_id"]),
        sequence=int(cancelled),  # a session that is moved is cancelled, and another one takes its place
        made_at=session["createdAt"],
        starts_at=session["startTime"],
        ends_at=session["endTime"],
        summary=" ".join(name for name in (whom.get("firstName"), whom.get("lastName")) if name),
        location=", ".join(part for part in where if part) or session["location"]["type"],
        description="",
        category=CATEGORY,
        status="CANCELLED" if cancelled else "CONFIRMED",
    )
