"""A coach's clients at a glance: what both stores say, for the coach alone, no longer than the relation lasts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
import pytest
from bson import ObjectId

from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.versions import GENERATION
from nexfit.stores.connections import Stores

from .conftest import PASSWORD, Client, account, global_id, local, login

GLANCE = """nextSessionAt credits { total reserved used remaining } memberships {
  facility { id } status plan { id name } balance { amount currency } openInvoices
  lastPaymentAt lastVisitAt nextBookingAt }"""
CLIENTS = f"""query ($first: Int! = 50) {{ viewer {{ clients(first: $first) {{ nodes {{
  id status client {{ id }} overview {{ {GLANCE} }} }} }} }} }}"""
NODE = f"query ($id: ID!) {{ node(id: $id) {{ ... on CoachClient {{ id overview {{ {GLANCE} }} }} }} }}"
STANDING_OF = """query ($id: ID!) { node(id: $id) { ... on Member { standing {
  status plan { name price { amount } } balance { amount } lastVisitAt nextBookingAt } } } }"""
RECORD = "mutation ($i: RecordVisitInput!) { recordVisit(input: $i) { visit { id at } userErrors { code } } }"


@dataclass
class Coaching:
    """The demo's coach with the relations they have; what a test changes of those is put back."""

    coach: Client
    coach_id: ObjectId
    stores: Stores
    relation: dict[str, Any]
    """An active one, of somebody with a membership."""

    @property
    def id(self) -> str:
        return global_id("CoachClient", self.relation["_id"])

    async def overview(self, by: Client | None = None) -> Any:
        """Of the relation, by `node`; None where it is not found or has none."""
        node = (await (by or self.coach).data(NODE, {"id": self.id}))["node"]
        return node and node["overview"]

    async def change(self, **values: Any) -> None:
        """Change the relation as a script would, and tell of it as the feed does."""
        database = self.stores.mongo.database
        await database["coach_clients"].update_one({"_id": self.relation["_id"]}, {"$set": values})


@pytest.fixture
async def coaching(small_http: httpx.AsyncClient, small_stores: Stores) -> AsyncIterator[Coaching]:
    await small_stores.redis.send([("SET", GENERATION, "1:1")])  # as if somebody followed the change feeds
    coach = await login(small_http, "coach@demo.nexfit.app")
    coach_id = ObjectId(local((await coach.data("{ viewer { id } }"))["viewer"]["id"]))
    relations = small_stores.mongo.database["coach_clients"]
    kept = await relations.find({"coachId": coach_id}).to_list()
    active = next(one for one in kept if one["relationship"]["status"] == "active")
    yield Coaching(coach, coach_id, small_stores, active)
    for one in kept:
        await relations.replace_one({"_id": one["_id"]}, one, upsert=True)
    await JoinedViews(small_stores.redis).invalidate([f"user:{coach_id}:coaching"])


def _shown(at: datetime | None) -> str | None:
    return at and at.isoformat().replace("+00:00", "Z")


async def test_every_client_is_shown_as_both_stores_have_them(coaching: Coaching) -> None:
    database, postgres = coaching.stores.mongo.database, coaching.stores.postgres
    found = (await coaching.coach.data(CLIENTS))["viewer"]["clients"]["nodes"]
    works_at = {str(one["_id"]) async for one in database["facilities"].find({"staff.userId": coaching.coach_id})}
    assert {one["status"] for one in found} == {"ACTIVE", "PENDING", "ENDED"}
    now, credited, members = datetime.now(UTC), 0, 0
    for one in found:
        overview, client = one["overview"], local(one["client"]["id"])
        if one["status"] != "ACTIVE":
            assert overview is None
            continue
        rows = await postgres.fetch(
            "SELECT entry_type, sum(credits) AS n FROM finance.package_credit_ledger WHERE package_id = $1 GROUP BY 1",
            local(one["id"]),
        )
        told = {row["entry_type"]: row["n"] for row in rows}
        settled = told.get("consume", 0) + told.get("release", 0)
        assert overview["credits"] == {
            "total": told["grant"],
            "used": told.get("consume", 0),
            "reserved": told.get("reserve", 0) - settled,
            "remaining": told["grant"] - told.get("reserve", 0) + told.get("release", 0),
        }
        credited += overview["credits"]["used"]
        wanted = {"coachId": coaching.coach_id, "clientId": ObjectId(client), "status": "scheduled"}
        session = await database["pt_sessions"].find_one({**wanted, "startTime": {"$gt": now}}, sort=[("startTime", 1)])
        assert overview["nextSessionAt"] == (session and _shown(session["startTime"]))
        facts = await postgres.fetch(
            "SELECT * FROM platform.member_facts WHERE user_id = $1 AND facility_id = ANY ($2::text[])",
            *(client, list(works_at)),
        )
        assert len(overview["memberships"]) == len(facts)
        for fact in facts:
            [shown] = [m for m in overview["memberships"] if local(m["facility"]["id"]) == fact["facility_id"]]
            assert (shown["status"], local(shown["plan"]["id"])) == (fact["status"].upper(), fact["plan_id"])
            assert Decimal(shown["balance"]["amount"]) == fact["balance"]
            assert shown["openInvoices"] == fact["open_invoices"]
            assert shown["lastPaymentAt"] == _shown(fact["last_payment_at"])
            visit = await database["visits"].find_one(
                {"userId": ObjectId(client), "facilityId": ObjectId(fact["facility_id"])}, sort=[("at", -1)]
            )
            assert shown["lastVisitAt"] == (visit and _shown(visit["at"]))
            members += 1
    assert credited > 0
    assert members > 0


async def test_the_commands_do_not_grow_with_the_clients(coaching: Coaching) -> None:
    counts: dict[str, list[tuple[int, int]]] = {"cold": [], "warm": []}
    for views, counted in counts.items():
        for first in (1, 50):
            if views == "cold":
                await coaching.stores.redis.send([("FLUSHDB",), ("SET", GENERATION, "1:1")])
            _, log = await coaching.coach.counted(CLIENTS, {"first": first})
            counted.append((log.count("mongo"), log.count("postgres")))
    assert counts["cold"][0] == counts["cold"][1]
    assert counts["warm"][0] == counts["warm"][1]
    # The two views: sessions, contracts, visits, bookings and plans; credits and money.
    assert counts["cold"][0] == (counts["warm"][0][0] + 5, 2)
    # The viewer, relations, clients, places where the coach works, and their names.
    assert counts["warm"][0] == (5, 0)


async def test_the_coach_alone_sees_it_and_only_while_the_relation_is_active(
    coaching: Coaching, small_http: httpx.AsyncClient, small_owner: Client
) -> None:
    assert await coaching.overview() is not None
    _, email = await account(coaching.stores)
    stranger = await login(small_http, email, PASSWORD)
    for other in (stranger, small_owner, Client(small_http)):
        assert await coaching.overview(other) is None
    for status in ("ended", "pending", "declined"):
        await coaching.change(**{"relationship.status": status})
        assert await coaching.overview() is None  # at once: nothing of who is a client is cached
    await coaching.change(**{"relationship.status": "active"})
    assert await coaching.overview() is not None
    # To whom it belongs is never taken from what somebody else has read.
    await coaching.change(coachId=ObjectId())
    assert await coaching.overview() is None


async def test_the_client_is_not_shown_what_the_coach_sees(coaching: Coaching, small_http: httpx.AsyncClient) -> None:
    client = await login(small_http, "client@demo.nexfit.app")
    query = f"{{ viewer {{ coaches(first: 5) {{ nodes {{ status overview {{ {GLANCE} }} }} }} }} }}"
    shown = (await client.data(query))["viewer"]["coaches"]["nodes"]
    assert shown
    assert all(one["overview"] is None for one in shown)


async def test_who_works_there_no_longer_sees_nothing_of_the_place(coaching: Coaching) -> None:
    facilities = coaching.stores.mongo.database["facilities"]
    before = await facilities.find({"staff.userId": coaching.coach_id}).to_list()
    assert (await coaching.overview())["memberships"]
    try:
        await facilities.update_many({}, {"$pull": {"staff": {"userId": coaching.coach_id}}})
        left = await coaching.overview()
        assert left["memberships"] == []
        assert left["credits"] is not None  # the coach's own business
    finally:
        for one in before:
            await facilities.replace_one({"_id": one["_id"]}, one)


async def test_sessions_and_credits_of_an_earlier_relation_are_not_the_next_ones(coaching: Coaching) -> None:
    first = await coaching.overview()
    assert first["credits"]["total"] > 0
    await coaching.change(**{"relationship.status": "ended"})
    again = {**coaching.relation, "_id": ObjectId(), "createdAt": datetime.now(UTC)}
    relations = coaching.stores.mongo.database["coach_clients"]
    await relations.insert_one(again)
    try:
        node = (await coaching.coach.data(NODE, {"id": global_id("CoachClient", again["_id"])}))["node"]
        assert node["overview"]["credits"] is None
        assert await coaching.overview() is None
    finally:
        await relations.delete_one({"_id": again["_id"]})


async def test_a_write_by_the_application_is_seen_by_the_next_read(coaching: Coaching, small_owner: Client) -> None:
    facts = await coaching.stores.postgres.fetch(
        """SELECT f.facility_id, f.user_id FROM platform.member_facts f JOIN finance.subscriptions s
           USING (facility_id, user_id) WHERE s.status = 'active' AND s.current_period_end > now() LIMIT 50"""
    )
    plain = {"limitations.maxVisitsPerWeek": {"$exists": False}}
    plans = coaching.stores.mongo.database["memberships"].find(plain)
    unlimited = {(str(one["facilityId"]), str(one["_id"])) for one in await plans.to_list()}
    assert unlimited
    for fact in facts:
        member = global_id("Member", f"{fact['facility_id']}:{fact['user_id']}")
        node = (await small_owner.data(STANDING_OF, {"id": member}))["node"]
        if node is None:
            continue
        answer = (await small_owner.data(RECORD, {"i": {"member": member, "idempotencyKey": uuid4().hex}}))[
            "recordVisit"
        ]
        if answer["userErrors"]:
            continue
        after = (await small_owner.data(STANDING_OF, {"id": member}))["node"]["standing"]
        assert after["lastVisitAt"] == answer["visit"]["at"] != node["standing"]["lastVisitAt"]
        assert after["plan"]["price"]["amount"]
        await coaching.stores.mongo.database["visits"].delete_one({"_id": ObjectId(local(answer["visit"]["id"]))})
        return
    raise AssertionError("nobody could come in")


async def test_who_bears_some_staleness_is_answered_from_memory(coaching: Coaching) -> None:
    visits = coaching.stores.mongo.database["visits"]
    shown = (await coaching.overview())["memberships"][0]
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    place, person = ObjectId(local(shown["facility"]["id"])), coaching.relation["clientId"]
    entry = await visits.insert_one({"facilityId": place, "userId": person, "at": at, "source": "import"})
    try:
        await JoinedViews(coaching.stores.redis).invalidate([f"user:{person}:visits"])  # as the feed does
        answer = await coaching.coach.run(NODE, {"id": coaching.id}, extensions={"maxStaleness": 5})
        patient = answer["data"]["node"]["overview"]["memberships"][0]["lastVisitAt"]
        assert patient == shown["lastVisitAt"]
        assert (await coaching.overview())["memberships"][0]["lastVisitAt"] == _shown(at)
    finally:
        await visits.delete_one({"_id": entry.inserted_id})
        await JoinedViews(coaching.stores.redis).invalidate([f"user:{person}:visits"])
