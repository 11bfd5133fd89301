"""Classes through the API: a member's day, a receptionist's desk, and who may see whose place."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from bson import ObjectId

from nexfit.domains.identity.session_watch import SessionWatch
from nexfit.domains.identity.tokens import Tokens
from nexfit.settings import Settings
from nexfit.stores.connections import Stores

from .conftest import Client, facility_of, global_id, login

BOOK = """mutation ($i: BookClassInput!) { bookClass(input: $i) {
  booking { id status waitlistPosition user { firstName } occurrence { seatsTaken waitlisted } facility { name } }
  userErrors { code path } } }"""
CANCEL = "mutation ($i: BookingInput!) { cancelBooking(input: $i) { booking { status } userErrors { code } } }"
CHECK_IN = "mutation ($i: BookingInput!) { checkIn(input: $i) { booking { status checkedInAt } userErrors { code } } }"
MARK = "mutation ($i: MarkAttendanceInput!) { markAttendance(input: $i) { booking { status } userErrors { code } } }"
CALL_OFF = """mutation ($i: CancelClassDateInput!) { cancelClassDate(input: $i) {
  occurrence { status seatsTaken } cancelledBookings userErrors { code } } }"""


@dataclass(slots=True)
class Studio:
    """A facility of the demo's chain with dates and members made for a test."""

    stores: Stores
    http: httpx.AsyncClient
    tokens: Tokens
    facility: ObjectId
    class_: ObjectId
    plan: ObjectId
    made: list[ObjectId]

    async def date(self, *, capacity: int = 5, waitlist: int = 0, starts_in: timedelta = timedelta(minutes=20)) -> str:
        """A date's global id."""
        now = datetime.now(UTC)
        starts = now + starts_in
        id_ = ObjectId()
        await self.stores.mongo.database["class_occurrences"].insert_one(
            {
                "_id": id_,
                "classId": self.class_,
                "facilityId": self.facility,
                "originalStart": starts,
                "startsAt": starts,
                "endsAt": starts + timedelta(minutes=50),
                "timezone": "Europe/Istanbul",
                "capacity": capacity,
                "seatsTaken": 0,
                "waitlisted": 0,
                "waitlistLimit": waitlist,
                "status": "scheduled",
                "createdAt": now,
                "updatedAt": now,
            }
        )
        self.made.append(id_)
        return global_id("ClassOccurrence", id_)

    async def join(self, user: ObjectId) -> None:
        """A membership with classes, from yesterday until in a month."""
        now = datetime.now(UTC)
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        await self.stores.mongo.database["member_subscriptions"].insert_one(
            {
                "_id": ObjectId(),
                "userId": user,
                "facilityId": self.facility,
                "membershipId": self.plan,
                "subscriptionId": str(uuid4()),
                "startDate": today - timedelta(days=1),
                "endDate": today + timedelta(days=30),
                "status": "active",
                "autoRenew": False,
                "paymentHistory": [],
                "createdAt": now,
                "updatedAt": now,
            }
        )
        self.made.append(user)

    async def member(self) -> Client:
        """Somebody new with a membership, signed in."""
        user = ObjectId()
        await self.join(user)
        return Client(self.http, self.tokens.issue(user, ObjectId(), datetime.now(UTC)).value)


@pytest.fixture(scope="module")
async def studio(
    small_settings: Settings, small_stores: Stores, small_http: httpx.AsyncClient
) -> AsyncIterator[Studio]:
    """What is made here is deleted afterwards."""
    database = small_stores.mongo.database
    facility = await facility_of(small_stores, "karsiyaka")
    class_ = await database["classes"].find_one({"facilityId": facility})
    plan = await database["memberships"].find_one({"facilityId": facility})
    assert class_ is not None
    assert plan is not None
    own = {**plan, "_id": ObjectId(), "name": "Made for booking", "limitations": {"classesIncluded": True}}
    await database["memberships"].insert_one(own)
    made = Studio(
        small_stores,
        small_http,
        Tokens(
            small_settings.auth,
            SessionWatch(small_stores.mongo, small_stores.redis, small_settings.auth),
        ),
        facility,
        class_["_id"],
        own["_id"],
        [],
    )
    yield made
    await database["memberships"].delete_one({"_id": own["_id"]})
    await database["class_occurrences"].delete_many({"_id": {"$in": made.made}})
    await database["class_bookings"].delete_many({"occurrenceId": {"$in": made.made}})
    await database["visits"].delete_many({"userId": {"$in": made.made}})
    await database["member_subscriptions"].delete_many({"membershipId": own["_id"]})


async def asks(client: Client, query: str, **input_: Any) -> Any:
    """The payload of a mutation's only field."""
    if query is BOOK:
        input_ = {"idempotencyKey": uuid4().hex, **input_}
    data = await client.data(query, {"i": input_})
    return next(iter(data.values()))


async def test_a_members_day(studio: Studio) -> None:
    member = await login(studio.http, "client@demo.nexfit.app")
    me = (await member.data("{ viewer { id } }"))["viewer"]["id"]
    user = ObjectId((await studio.stores.mongo.find("users", {"email": "client@demo.nexfit.app"}, ["_id"]))[0]["_id"])
    assert me == global_id("User", user)
    await studio.join(user)
    date = await studio.date(capacity=1)
    booked = await asks(member, BOOK, occurrence=date)
    assert booked["userErrors"] == []
    assert booked["booking"]["status"] == "BOOKED"
    assert booked["booking"]["occurrence"] == {"seatsTaken": 1, "waitlisted": 0}
    id_ = booked["booking"]["id"]
    assert (await asks(member, BOOK, occurrence=date))["userErrors"] == [{"code": "ALREADY_BOOKED", "path": []}]

    seen = await member.data(
        """query ($d: ID!) { viewer { classBookings(first: 1) { nodes { id status } totalCount } }
           node(id: $d) { ... on ClassOccurrence { viewerBooking { id } } } }""",
        {"d": date},
    )
    assert seen["viewer"]["classBookings"]["nodes"] == [{"id": id_, "status": "BOOKED"}]
    assert seen["node"]["viewerBooking"] == {"id": id_}

    for _ in range(2):
        entered = await asks(member, CHECK_IN, booking=id_)
        assert (entered["booking"]["status"], entered["userErrors"]) == ("ATTENDED", [])
    assert [error["code"] for error in (await asks(member, CANCEL, booking=id_))["userErrors"]] == [
        "INVALID_TRANSITION"
    ]


async def test_the_desk_sees_everybody_corrects_and_calls_off(studio: Studio, small_owner: Client) -> None:
    date = await studio.date(capacity=1, waitlist=1, starts_in=timedelta(minutes=-5))
    user = ObjectId()
    await studio.join(user)
    walk_in = await asks(small_owner, BOOK, occurrence=date, user=global_id("User", user))
    assert walk_in["booking"]["status"] == "BOOKED"
    id_ = walk_in["booking"]["id"]
    for attended, status in ((False, "NO_SHOW"), (True, "ATTENDED")):
        assert (await asks(small_owner, MARK, booking=id_, attended=attended))["booking"]["status"] == status
    listed = await small_owner.data(
        """query ($d: ID!) { node(id: $d) { ... on ClassOccurrence {
             bookings(first: 5) { totalCount nodes { id status } } } } }""",
        {"d": date},
    )
    assert listed["node"]["bookings"] == {"totalCount": 1, "nodes": [{"id": id_, "status": "ATTENDED"}]}

    later = await studio.date(capacity=1, starts_in=timedelta(days=1))
    await asks(await studio.member(), BOOK, occurrence=later)
    called_off = await asks(small_owner, CALL_OFF, occurrence=later, reason="Holiday")
    assert called_off == {
        "occurrence": {"status": "CANCELLED", "seatsTaken": 0},
        "cancelledBookings": 1,
        "userErrors": [],
    }


async def test_nobody_sees_or_changes_a_strangers_place(studio: Studio, small_http: httpx.AsyncClient) -> None:
    date = await studio.date()
    id_ = (await asks(await studio.member(), BOOK, occurrence=date))["booking"]["id"]
    stranger = await studio.member()
    studio_owner = await login(small_http, "studio@demo.nexfit.app")
    guest = Client(small_http)
    for viewer in (stranger, studio_owner, guest):
        found = await viewer.run(
            """query ($b: ID!, $d: ID!) { node(id: $b) { id }
               date: node(id: $d) { ... on ClassOccurrence { viewerBooking { id } bookings { nodes { id } } } } }""",
            {"b": id_, "d": date},
        )
        assert found["data"]["node"] is None
        assert found["data"]["date"]["viewerBooking"] is None
        assert found["data"]["date"]["bookings"] is None
    for query in (CANCEL, CHECK_IN):
        for viewer in (stranger, studio_owner):
            assert [e["code"] for e in (await asks(viewer, query, booking=id_))["userErrors"]] == ["NOT_FOUND"]
    for viewer in (stranger, studio_owner):
        for refused in (
            await asks(viewer, CALL_OFF, occurrence=date),
            await asks(viewer, MARK, booking=id_, attended=True),
        ):
            assert [e["code"] for e in refused["userErrors"]] == ["NOT_FOUND"]


@pytest.mark.parametrize("occurrence", ["", "x", "\x00", global_id("Class", ObjectId("6a" * 12)), "Q" * 5000])
async def test_what_is_no_date_does_not_exist(studio: Studio, occurrence: str) -> None:
    refused = await asks(await studio.member(), BOOK, occurrence=occurrence)
    assert refused["userErrors"] == [{"code": "NOT_FOUND", "path": ["occurrence"]}]


async def test_a_hundred_requests_for_three_seats(studio: Studio) -> None:
    date = await studio.date(capacity=3, waitlist=10)
    members = [await studio.member() for _ in range(100)]
    answers = await asyncio.gather(*(asks(member, BOOK, occurrence=date) for member in members))
    states = Counter(a["booking"]["status"] if a["booking"] else a["userErrors"][0]["code"] for a in answers)
    assert states == {"BOOKED": 3, "WAITLISTED": 10, "CLASS_FULL": 87}
    [stored] = await studio.stores.mongo.find(
        "class_occurrences", {"_id": studio.made[-101]}, ["seatsTaken", "waitlisted"]
    )
    assert (stored["seatsTaken"], stored["waitlisted"]) == (3, 10)
