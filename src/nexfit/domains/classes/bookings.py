"""Reading bookings from MongoDB: a member's, a date's, and single ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from bson import ObjectId

from nexfit.domains.classes.documents import LIVE_BOOKING_STATUSES, BookingStatus
from nexfit.domains.classes.eligibility import LONGEST
from nexfit.domains.classes.places import BOOKINGS, OCCURRENCES
from nexfit.domains.classes.policies import overlap
from nexfit.hybrid import documents_paging
from nexfit.hybrid.paging import Key, Page, PageRequest, instant, object_id
from nexfit.stores.mongo import Document, Mongo
from nexfit.stores.mongo_transactions import MongoTransaction

ORDER_OF_MEMBER = "class_bookings:DATE:DESC"
ORDER_OF_DATE = "class_bookings:BOOKED"
_KEYS_OF_MEMBER = (Key("date", instant, descending=True), Key("_id", object_id, descending=True))
_KEYS_OF_DATE = (Key("_id", object_id, descending=False),)

_SCOPE = ("userId", "facilityId")
"""Columns every read carries, because the right to see a booking depends on them."""


async def page_of_member(mongo: Mongo, user: ObjectId, request: PageRequest, columns: Iterable[str]) -> Page:
    """One page of a member's bookings in every state, by date, the latest first."""
    return await documents_paging.page(mongo, BOOKINGS, {"userId": user}, _KEYS_OF_MEMBER, request, {*columns, *_SCOPE})


async def pages_of_dates(
    mongo: Mongo, dates: Sequence[ObjectId], request: PageRequest, columns: Iterable[str]
) -> list[Page]:
    """A page of each date's bookings in every state, in the order they were made, in one command."""
    return await documents_paging.pages_by_parent(
        mongo, BOOKINGS, "occurrenceId", dates, {}, _KEYS_OF_DATE, request, {*columns, *_SCOPE}
    )


async def live_of_member(
    mongo: Mongo, user: ObjectId, dates: Sequence[ObjectId], columns: Iterable[str]
) -> dict[ObjectId, Document]:
    """The member's live booking of each date, in one command; dates without one are absent."""
    live = [str(status) for status in LIVE_BOOKING_STATUSES]
    rows = await mongo.find(
        BOOKINGS,
        {"occurrenceId": {"$in": list(set(dates))}, "userId": user, "status": {"$in": live}},
        {*columns, *_SCOPE, "occurrenceId"},
    )
    return {row["occurrenceId"]: row for row in rows}


async def seats_between(
    store: Mongo | MongoTransaction, people: Collection[ObjectId], since: datetime, until: datetime
) -> list[Document]:
    """The seats people have in dates that overlap `[since, until)`: whose, and from when to when. Who only waits has
    none. Two commands."""
    bookings = await store.find(
        BOOKINGS,
        {
            "userId": {"$in": list(people)},
            "date": {"$gt": since - LONGEST, "$lt": until},
            "status": {"$in": [str(BookingStatus.BOOKED), str(BookingStatus.ATTENDED)]},
        },
        ("userId", "occurrenceId"),
    )
    ids = list({one["occurrenceId"] for one in bookings})
    dates = await store.find(OCCURRENCES, {"_id": {"$in": ids}}, ("startsAt", "endsAt")) if ids else []
    spans = {one["_id"]: one for one in dates if overlap(since, until, one["startsAt"], one["endsAt"])}
    return [{**spans[one["occurrenceId"]], "userId": one["userId"]} for one in bookings if one["occurrenceId"] in spans]


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Bookings by id, in one command; unknown ids are absent."""
    rows = await mongo.find(BOOKINGS, {"_id": {"$in": list(set(ids))}}, {*columns, *_SCOPE})
    return {row["_id"]: row for row in rows}
