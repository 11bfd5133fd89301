"""`recordVisit`: who lets whom in, how often in a week, and what is written with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from bson import Decimal128, ObjectId

from nexfit.domains.facilities.hours import local_week
from nexfit.domains.memberships.errors import MembershipRequired
from nexfit.domains.memberships.visits import covers, visits_left
from nexfit.stores.connections import Stores
from tests.api.conftest import Client, global_id, local

RECORD = """mutation ($i: RecordVisitInput!) { recordVisit(input: $i) {
  visit { id at source user { id } } visitsLeft userErrors { code path } } }"""

ISTANBUL = ZoneInfo("Europe/Istanbul")

# --- rules


@pytest.mark.parametrize(
    ("zone", "now", "begins", "hours"),
    [
        ("Europe/Istanbul", "2026-06-14T20:59:59Z", "2026-06-07T21:00:00Z", 168),  # Sunday 23:59:59 there
        ("Europe/Istanbul", "2026-06-14T21:00:00Z", "2026-06-14T21:00:00Z", 168),  # Monday 00:00
        ("Europe/Warsaw", "2026-03-28T12:00:00Z", "2026-03-22T23:00:00Z", 167),  # the week in which clocks go forward
        ("Europe/Warsaw", "2026-10-25T12:00:00Z", "2026-10-18T22:00:00Z", 169),  # and back
        ("Asia/Beirut", "2026-03-29T12:00:00Z", "2026-03-22T22:00:00Z", 167),  # a Sunday without its first hour
    ],
)
def test_a_week_is_the_facilitys_own(zone: str, now: str, begins: str, hours: int) -> None:
    week = local_week(zone, datetime.fromisoformat(now))
    assert week.begins == datetime.fromisoformat(begins)
    assert week.ends - week.begins == timedelta(hours=hours)
    assert week.monday.weekday() == 0


@pytest.mark.parametrize(
    ("status", "day", "yes"),
    [
        ("active", 10, True),
        ("active", 20, True),
        ("active", 9, False),
        ("active", 21, False),
        ("past_due", 15, True),
        *((status, 15, False) for status in ("suspended", "frozen", "expired", "cancelled", "pending", "incomplete")),
    ],
)
def test_a_contract_covers_its_days(status: str, day: int, yes: bool) -> None:
    midnight = time(tzinfo=UTC)
    contract = {
        "status": status,
        "startDate": datetime.combine(date(2026, 6, 10), midnight),
        "endDate": datetime.combine(date(2026, 6, 20), midnight),
    }
    assert covers(contract, date(2026, 6, day)) is yes


def test_the_most_generous_contract_counts() -> None:
    assert visits_left([3, None], 99) is None
    assert visits_left([3, 5], 4) == 1
    assert visits_left([3], 3) == 0
    assert visits_left([3], 7) == 0
    with pytest.raises(MembershipRequired):
        visits_left([], 0)


# --- the desk


@dataclass(slots=True)
class Gym:
    """A facility with plans and members made for a test."""

    stores: Stores
    id: ObjectId
    made: list[tuple[str, ObjectId]] = field(default_factory=list)

    async def member(self, limit: int | None, *, status: str = "active", ends_in: int = 10) -> str:
        """The global id of a new member on a new plan."""
        user, plan, now = ObjectId(), ObjectId(), datetime.now(UTC)
        today = datetime.combine(now.astimezone(ISTANBUL).date(), time(), UTC)
        limits = {"classesIncluded": False, "personalTrainingIncluded": False, "ptSessionsIncluded": 0}
        await self._insert(
            "memberships",
            {
                "_id": plan,
                "facilityId": self.id,
                "name": "Test",
                "duration": {"value": 1, "unit": "month"},
                "price": Decimal128("100"),
                "currency": "TRY",
                "limitations": limits | ({"maxVisitsPerWeek": limit} if limit is not None else {}),
                "isActive": True,
                "createdAt": now,
                "updatedAt": now,
            },
        )
        await self._insert(
            "member_subscriptions",
            {
                "_id": ObjectId(),
                "userId": user,
                "facilityId": self.id,
                "membershipId": plan,
                "subscriptionId": str(uuid4()),
                "startDate": today - timedelta(days=20),
                "endDate": today + timedelta(days=ends_in),
                "status": status,
                "autoRenew": False,
                "createdAt": now,
                "updatedAt": now,
            },
        )
        return global_id("Member", f"{self.id}:{user}")

    async def visited(self, member: str, at: datetime) -> None:
        """A visit that was written by somebody else."""
        user = ObjectId(local(member).partition(":")[2])
        visit = {"_id": ObjectId(), "facilityId": self.id, "userId": user, "at": at, "source": "import"}
        await self._insert("visits", visit)

    async def visits(self, member: str) -> int:
        """How many the store holds."""
        user = ObjectId(local(member).partition(":")[2])
        return await self.stores.mongo.database["visits"].count_documents({"userId": user})

    async def _insert(self, collection: str, document: dict[str, Any]) -> None:
        await self.stores.mongo.database[collection].insert_one(document)
        self.made.append((collection, document["_id"]))


@pytest.fixture
async def place(live_stores: Stores, gym: ObjectId) -> AsyncIterator[Gym]:
    """The facility; what was made for it is deleted afterwards."""
    made = Gym(live_stores, gym)
    yield made
    for collection, id_ in made.made:
        await live_stores.mongo.database[collection].delete_one({"_id": id_})


async def record(client: Client, member: str, key: str | None = None) -> dict[str, Any]:
    """The payload of one request."""
    found: dict[str, Any] = (
        await client.data(RECORD, {"i": {"member": member, "idempotencyKey": key or uuid4().hex}})
    )["recordVisit"]
    return found


async def test_a_visit_is_written_with_its_event_and_its_audit_entry(
    place: Gym, desk: Client, live_stores: Stores
) -> None:
    member = await place.member(5)
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    recorded = await record(desk, member)
    assert recorded["userErrors"] == []
    assert recorded["visitsLeft"] == 4
    visit = recorded["visit"]
    assert visit["source"] == "FRONT_DESK"
    assert before <= datetime.fromisoformat(visit["at"]) <= datetime.now(UTC)
    database, id_ = live_stores.mongo.database, local(visit["id"])
    stored = await database["visits"].find_one({"_id": ObjectId(id_)})
    assert stored
    assert stored["facilityId"] == place.id
    user = local(member).partition(":")[2]
    events = [event async for event in database["outbox"].find({"aggregateId": f"{place.id}:{user}"})]
    assert [(event["eventType"], event["facilityId"]) for event in events] == [("VisitRecorded", place.id)]
    entries = [entry async for entry in database["audit_entries"].find({"entityId": id_})]
    assert [(entry["action"], entry["entityType"]) for entry in entries] == [("visit.recorded", "visit")]
    seen = await desk.data("query ($id: ID!) { node(id: $id) { __typename ... on Visit { at } } }", {"id": visit["id"]})
    assert seen["node"] == {"__typename": "Visit", "at": visit["at"]}


async def test_only_staff_with_check_in_let_people_in(place: Gym, owner: Client, studio_owner: Client) -> None:
    member = await place.member(None)
    refused = await studio_owner.run(RECORD, {"i": {"member": member, "idempotencyKey": "key"}})
    assert refused["data"] is None
    assert [(error["extensions"]["code"], error["path"]) for error in refused["errors"]] == [
        ("FORBIDDEN", ["recordVisit"])
    ]
    assert await place.visits(member) == 0
    allowed = await record(owner, member)
    assert (allowed["visitsLeft"], allowed["userErrors"]) == (None, [])


@pytest.mark.parametrize(
    "member", ["x", "", "TWVtYmVyOng", global_id("User", ObjectId("6a" * 12)), global_id("Member", "a:b")]
)
async def test_what_names_no_member_is_refused(desk: Client, member: str) -> None:
    refused = await record(desk, member)
    assert refused["userErrors"] == [{"code": "BAD_USER_INPUT", "path": ["member"]}]


async def test_a_membership_must_cover_the_day(place: Gym, desk: Client) -> None:
    stranger = global_id("Member", f"{place.id}:{ObjectId()}")
    for member in (stranger, await place.member(None, status="frozen"), await place.member(None, ends_in=-1)):
        refused = await record(desk, member)
        assert refused["userErrors"] == [{"code": "MEMBERSHIP_REQUIRED", "path": ["member"]}]
        assert await place.visits(member) == 0
    assert (await record(desk, await place.member(None, ends_in=0)))["userErrors"] == []


async def test_parallel_visits_stay_within_the_weeks_limit(place: Gym, desk: Client, owner: Client) -> None:
    member = await place.member(3)
    week = local_week("Europe/Istanbul", datetime.now(UTC))
    await place.visited(member, week.begins)  # counts
    await place.visited(member, week.begins - timedelta(milliseconds=1))  # last week's
    await place.visited(member, week.ends)  # next week's
    answers = await asyncio.gather(*(record(client, member) for client in (desk, owner) * 4))
    let_in = [answer for answer in answers if answer["visit"]]
    assert sorted(answer["visitsLeft"] for answer in let_in) == [0, 1]
    refused = [answer["userErrors"][0]["code"] for answer in answers if not answer["visit"]]
    assert refused == ["WEEKLY_LIMIT_REACHED"] * 6
    assert await place.visits(member) == 5


async def test_the_same_key_gives_the_same_visit(place: Gym, desk: Client) -> None:
    member, other, key = await place.member(2), await place.member(2), uuid4().hex
    answers = await asyncio.gather(*(record(desk, member, key) for _ in range(6)))
    assert len({answer["visit"]["id"] for answer in answers}) == 1
    assert {answer["visitsLeft"] for answer in answers} == {1}
    assert await place.visits(member) == 1
    conflict = await record(desk, other, key)
    assert [error["code"] for error in conflict["userErrors"]] == ["IDEMPOTENCY_CONFLICT"]
    assert await place.visits(other) == 0
