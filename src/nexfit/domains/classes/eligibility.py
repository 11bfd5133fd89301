"""Whether a member may hold a place on a date: membership, the week's quota, clashes. Read inside the transaction that
gives the place, after the member's turn was taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from bson import ObjectId

from nexfit.domains.classes.clashes import trained
from nexfit.domains.classes.documents import LIVE_BOOKING_STATUSES, QUOTA_STATUSES
from nexfit.domains.classes.errors import AlreadyBooked, BookingClash
from nexfit.domains.classes.places import BOOKINGS, OCCURRENCES
from nexfit.domains.classes.policies import overlap
from nexfit.domains.errors import Refusal
from nexfit.domains.facilities.hours import local_today, local_week
from nexfit.domains.memberships.documents import SubscriptionStatus
from nexfit.domains.memberships.errors import MembershipRequired, WeeklyLimitReached
from nexfit.stores.mongo import Document
from nexfit.stores.mongo_transactions import MongoTransaction

GIVES_ACCESS = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE)
"""Subscriptions that let their holder book: while payment is being retried, access stays."""

LONGEST = timedelta(days=1)
"""A class lasts at most a day, so what overlaps a date begins no earlier than this before it."""


async def hindrance(
    tx: MongoTransaction, user: ObjectId, date: Mapping[str, Any], *, waiting: ObjectId | None = None
) -> Refusal | None:
    """Why the member may not have a seat on the date, None when nothing is in the way.

    `waiting` is the member's own booking on the waitlist of this date, when it is about to be promoted.
    """
    week = local_week(date["timezone"], date["startsAt"])
    bookings = [
        booking
        for booking in await tx.find(
            BOOKINGS,
            {
                "userId": user,
                "date": {
                    "$gte": min(week.begins, date["startsAt"] - LONGEST),
                    "$lt": max(week.ends, date["endsAt"]),
                },
                "status": {"$in": [str(status) for status in {*LIVE_BOOKING_STATUSES, *QUOTA_STATUSES}]},
            },
            ("occurrenceId", "facilityId", "date", "status", "usesQuota"),
        )
        if booking["_id"] != waiting
    ]
    live = [booking for booking in bookings if booking["status"] in LIVE_BOOKING_STATUSES]
    if any(booking["occurrenceId"] == date["_id"] for booking in live):
        return AlreadyBooked()
    used = sum(
        booking["facilityId"] == date["facilityId"]
        and week.begins <= booking["date"] < week.ends
        and booking["status"] in QUOTA_STATUSES
        and booking.get("usesQuota", True)
        for booking in bookings
    )
    limits = await weekly_limits(tx, user, date)
    if not limits:
        return MembershipRequired("A membership that includes classes and is valid on the class date is needed.")
    if all(limit is not None and used >= limit for limit in limits):
        return WeeklyLimitReached("The membership's class bookings of that week are used up.")
    if await trained(tx, [user], date["startsAt"], date["endsAt"]):
        return BookingClash()
    return BookingClash() if await _clashes(tx, date, live) else None


async def weekly_limits(tx: MongoTransaction, user: ObjectId, date: Mapping[str, Any]) -> list[int | None]:
    """Class bookings a week that each membership valid on the date allows, None where it sets no limit."""
    day = datetime.combine(local_today(date["timezone"], date["startsAt"]), time(0), UTC)
    held = await tx.aggregate(
        "member_subscriptions",
        [
            {
                "$match": {
                    "userId": user,
                    "facilityId": date["facilityId"],
                    "status": {"$in": [str(status) for status in GIVES_ACCESS]},
                    "startDate": {"$lte": day},
                    "endDate": {"$gte": day},
                }
            },
            {
                "$lookup": {
                    "from": "memberships",
                    "localField": "membershipId",
                    "foreignField": "_id",
                    "pipeline": [
                        {"$match": {"limitations.classesIncluded": True}},
                        {"$project": {"_id": 0, "most": "$limitations.maxClassBookingsPerWeek"}},
                    ],
                    "as": "plans",
                }
            },
            {"$project": {"_id": 0, "plans": 1}},
        ],
    )
    return [plan.get("most") for one in held for plan in one["plans"]]


async def _clashes(tx: MongoTransaction, date: Mapping[str, Any], live: Sequence[Document]) -> bool:
    near = [booking["occurrenceId"] for booking in live if booking["date"] < date["endsAt"]]
    others = await _dates(tx, near)
    return any(overlap(date["startsAt"], date["endsAt"], other["startsAt"], other["endsAt"]) for other in others)


async def _dates(tx: MongoTransaction, ids: Iterable[ObjectId]) -> list[Document]:
    wanted = list(ids)
    return await tx.find(OCCURRENCES, {"_id": {"$in": wanted}}, ("startsAt", "endsAt")) if wanted else []
