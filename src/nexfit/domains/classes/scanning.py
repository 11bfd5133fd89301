"""A member's code is scanned at the door: to the class that is about to begin, if one is booked, else as a visit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from bson import ObjectId

from nexfit.domains.classes.attendance import check_in
from nexfit.domains.classes.documents import BookingStatus
from nexfit.domains.classes.places import BOOKINGS, OCCURRENCES, ClassDesk
from nexfit.domains.classes.policies import CHECK_IN_OPENS, may_check_in
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.domains.identity.access import RIGHTS_COLUMNS, Actor, may, refusal
from nexfit.domains.memberships import visits
from nexfit.domains.memberships.check_in_codes import CheckInCodes, visit_of

LONGEST_CLASS = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Scanned:
    """Who came, and what was recorded: the booking that was used, or a visit and what is left of the week."""

    user: ObjectId
    booking: ObjectId | None = None
    visit: ObjectId | None = None
    left: int | None = None


async def scan(
    desk: ClassDesk, codes: CheckInCodes, actor: Actor, *, facility: ObjectId, code: str, now: datetime
) -> Scanned:
    """Let in who shows a code, for staff with `check_in`. Scanned again, it changes nothing.

    Raises Unauthenticated, Forbidden, InvalidCode, MembershipRequired, WeeklyLimitReached.
    """
    places = await desk.mongo.find("facilities", {"_id": facility}, RIGHTS_COLUMNS, limit=1)
    if not places or not may(actor, places[0], StaffPermission.CHECK_IN):
        raise refusal(actor)
    shown = codes.read(code, now)
    booking = await _due(desk, facility, shown.user, now)
    if booking is not None:
        await check_in(desk, actor, booking, now=now)
        return Scanned(shown.user, booking=booking)
    async with desk.turns.take(shown.user):  # scanners send a code many times: they wait instead of conflicting
        recorded = await visits.record_scan(
            desk.units,
            desk.mongo,
            actor,
            facility_id=facility,
            user_id=shown.user,
            visit=visit_of(shown, facility),
            now=now,
        )
    return Scanned(shown.user, visit=recorded.visit, left=recorded.left)


async def _due(desk: ClassDesk, facility: ObjectId, user: ObjectId, now: datetime) -> ObjectId | None:
    """The booking of the next date whose check-in is open, also one that was checked in already."""
    found = await desk.mongo.find(
        BOOKINGS,
        {
            "userId": user,
            "facilityId": facility,
            "status": {"$in": [str(BookingStatus.BOOKED), str(BookingStatus.ATTENDED)]},
            "date": {"$gte": now - LONGEST_CLASS, "$lte": now + CHECK_IN_OPENS},
        },
        ("occurrenceId",),
        sort=[("date", 1)],
    )
    dates = await desk.mongo.find(
        OCCURRENCES, {"_id": {"$in": [booking["occurrenceId"] for booking in found]}}, ("startsAt", "endsAt")
    )
    open_dates = {date["_id"] for date in dates if may_check_in(date["startsAt"], date["endsAt"], now)}
    return next((booking["_id"] for booking in found if booking["occurrenceId"] in open_dates), None)
