"""The owner's overview: one operation over all three stores, in a number of commands that nothing makes grow."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId

from nexfit.api.context import Context, Services
from nexfit.api.errors import answering
from nexfit.api.memberships.loaders import plans_of_facilities
from nexfit.hybrid.versions import GENERATION
from nexfit.settings import Settings
from nexfit.stores.connections import Stores

from .conftest import TODAY, Business, Client, facility_of, forget_views, global_id, local

OVERVIEW = """
query OwnerOverview(
  $facility: ID!, $from: Date!, $to: Date!, $classes: Int! = 20, $dates: Int! = 3, $members: Int! = 20
) {
  facility(id: $facility) {
    name type timezone address { city latitude longitude } openNow
    classes(first: $classes) { nodes { name category instructor { firstName lastName }
      occurrences(first: $dates) { startsAt capacity seatsTaken waitlisted } } }
    memberships { name price { amount currency } activeSubscribers }
    revenue(from: $from, to: $to, by: MONTH) { period total { amount currency } transactions refunds }
    outstanding { invoices total { amount currency } }
    members(first: $members, filter: { overdue: true }, orderBy: { field: LAST_PAYMENT, direction: DESC }) {
      nodes { user { firstName lastName } status plan { name } balance { amount currency } lastPaymentAt lastVisitAt } }
  }
}
"""
DATES = {"from": "2026-01-01", "to": TODAY.isoformat()}
FACILITIES = "{ viewer { facilities(first: 10) { nodes { id name } } } }"

MONGO = ["find"] * 5 + ["aggregate"] * 2
"""Facility, classes, instructors, occurrences, plans (for the list and the members), people, last visits."""


async def test_the_overview_joins_all_stores(owner: Client, stores: Stores) -> None:
    facilities = (await owner.data(FACILITIES))["viewer"]["facilities"]["nodes"]
    seen = {"classes": 0, "revenue": Decimal(0), "members": 0}
    for facility in facilities:
        found = (await owner.data(OVERVIEW, {"facility": facility["id"], **DATES}))["facility"]
        assert found["name"] == facility["name"]
        seen["classes"] += len(found["classes"]["nodes"])
        seen["revenue"] += sum(Decimal(period["total"]["amount"]) for period in found["revenue"])
        seen["members"] += len(found["members"]["nodes"])
        paid = [member["lastPaymentAt"] for member in found["members"]["nodes"]]
        known = [at for at in paid if at is not None]
        assert known == sorted(known, reverse=True)
        assert paid[: len(known)] == known  # never paid comes last
        for member in found["members"]["nodes"]:
            assert member["user"]["firstName"]
            assert Decimal(member["balance"]["amount"]) > 0
    assert seen["classes"] > 10
    assert seen["members"] > 0
    [total] = await stores.postgres.fetch(
        """SELECT sum(CASE WHEN transaction_type IN ('refund', 'chargeback') THEN -amount ELSE amount END) AS total
           FROM finance.transactions WHERE status = 'succeeded' AND facility_id = ANY ($1::text[])
           AND (created_at AT TIME ZONE 'Europe/Istanbul')::date BETWEEN '2026-01-01' AND $2""",
        [local(facility["id"]) for facility in facilities],
        TODAY,
    )
    assert seen["revenue"] == total["total"]


async def test_what_the_overview_says_of_a_member_is_what_both_stores_say(owner: Client, stores: Stores) -> None:
    facility = await facility_of(stores, "kadikoy")
    variables = {"facility": global_id("Facility", facility), **DATES, "members": 100}
    query = OVERVIEW.replace("nodes { user { firstName", "nodes { id user { firstName")
    found = (await owner.data(query, variables))["facility"]["members"]["nodes"]
    today = datetime.now(ZoneInfo("Europe/Istanbul")).date()
    expected = await stores.postgres.fetch(
        """SELECT i.user_id, sum(i.total_amount) AS balance, max(p.paid) AS paid
           FROM finance.invoices i LEFT JOIN LATERAL (
             SELECT max(created_at) AS paid FROM finance.transactions t
             WHERE t.facility_id = i.facility_id AND t.user_id = i.user_id AND t.status = 'succeeded'
             AND t.transaction_type IN ('charge', 'manual_payment')) p ON true
           WHERE i.facility_id = $1 AND i.status = 'open' GROUP BY i.user_id HAVING min(i.due_date) < $2
           ORDER BY paid DESC NULLS LAST, i.user_id DESC""",
        *(str(facility), today),
    )
    assert [local(node["id"]).partition(":")[2] for node in found] == [row["user_id"] for row in expected]
    database = stores.mongo.database
    for node, row in zip(found, expected, strict=True):
        assert Decimal(node["balance"]["amount"]) == row["balance"]
        assert node["lastPaymentAt"] == (row["paid"] and row["paid"].isoformat().replace("+00:00", "Z"))
        user_id = ObjectId(row["user_id"])
        user = await database["users"].find_one({"_id": user_id}) or {}
        assert node["user"] == {"firstName": user["firstName"], "lastName": user["lastName"]}
        visits = await database["visits"].find({"userId": user_id, "facilityId": facility}).sort("at", -1).to_list()
        assert node["lastVisitAt"] == (visits[0]["at"].isoformat().replace("+00:00", "Z") if visits else None)


@pytest.mark.parametrize(
    "sizes", [{}, {"classes": 1, "dates": 1, "members": 1}, {"classes": 100, "dates": 50, "members": 100}]
)
async def test_the_overview_takes_the_same_commands_whatever_the_sizes(
    owner: Client, chain: Business, settings: Settings, stores: Stores, sizes: dict[str, int]
) -> None:
    variables = {"facility": chain.facility, **DATES, **sizes}
    plans = len((await owner.data(OVERVIEW, variables))["facility"]["memberships"])
    await forget_views(settings)
    await stores.redis.send([("SET", GENERATION, "1:1")])  # as if somebody followed the change feeds
    _, cold = await owner.counted(OVERVIEW, variables)
    _, warm = await owner.counted(OVERVIEW, variables)
    assert Counter(cold.sent["mongo"]) == Counter(warm.sent["mongo"]) == Counter(MONGO)
    assert cold.count("postgres") == 4  # revenue, outstanding, subscribers, members
    assert warm.count("postgres") == 1  # members
    sent, values = Counter(cold.sent["redis"]), 2 + plans
    assert set(sent) == {"MGET", "GET", "SET", "EVAL"}
    assert sent["GET"] == sent["EVAL"] == values
    assert 6 <= sent["MGET"] <= 9
    assert 2 * values < sent["SET"] <= 3 * values
    assert warm.sent["redis"] == ["MGET"] * 3


async def test_a_plan_that_the_facility_lists_is_not_read_again(owner: Client, stores: Stores) -> None:
    facility = await facility_of(stores, "kadikoy")
    variables = {"facility": global_id("Facility", facility)}
    query = "query ($facility: ID!) { facility(id: $facility) { %s members(first: 50) { nodes { plan { %s } } } } }"
    for listed, shown, sent in (
        ("memberships { name price { amount } }", "name", 2),
        ("memberships { name }", "name price { amount }", 3),  # which the list does not know of
        ("memberships { name activeSubscribers }", "name activeSubscribers", 3),  # who may see it is asked anew
        ("", "name", 2),
    ):
        await owner.data(query % (listed, shown), variables)  # fills the views
        data, log = await owner.counted(query % (listed, shown), variables)
        alone = await owner.data(query % ("", shown), variables)
        assert data["facility"]["members"] == alone["facility"]["members"]
        assert log.count("mongo") == sent, log.sent
    plans = stores.mongo.database["memberships"]
    held = data["facility"]["members"]["nodes"][0]["plan"]["name"]
    one = await plans.find_one({"facilityId": facility, "name": held})
    assert one is not None
    await plans.update_one({"_id": one["_id"]}, {"$set": {"isActive": False}})
    try:  # what is sold no more is still somebody's
        data, log = await owner.counted(query % ("memberships { name }", "name"), variables)
    finally:
        await plans.replace_one({"_id": one["_id"]}, one)
    assert held not in [plan["name"] for plan in data["facility"]["memberships"]]
    assert data["facility"]["members"] == alone["facility"]["members"]
    assert log.count("mongo") == 3


async def test_what_one_mutation_showed_is_read_again_by_the_next(owner: Client, stores: Stores) -> None:
    facility = await facility_of(stores, "kadikoy")
    context = Context(cast("Services", SimpleNamespace(stores=stores)), datetime.now(UTC))
    args = cast("Any", SimpleNamespace(selection=SimpleNamespace(columns=frozenset({"name"}), fields=frozenset())))
    await plans_of_facilities([{"_id": facility}], args, context)
    assert context.plans

    async def change(_: object, context: Context) -> dict[str, object]:
        return {}

    await answering(change)([{}], args, context)
    assert not context.plans


async def test_the_overview_takes_the_same_commands_however_many_members(
    owner: Client, small_owner: Client, stores: Stores, small_stores: Stores
) -> None:
    counts, members = [], []
    for client, there in ((owner, stores), (small_owner, small_stores)):
        facility = await facility_of(there, "kadikoy")
        found = await there.postgres.fetch(
            "SELECT count(*) AS n FROM platform.member_facts WHERE facility_id = $1", str(facility)
        )
        members.append(found[0]["n"])
        variables = {"facility": global_id("Facility", facility), **DATES}
        await client.data(OVERVIEW, variables)
        _, warm = await client.counted(OVERVIEW, variables)
        counts.append({store: len(sent) for store, sent in warm.sent.items()})
    assert members[0] > 3 * members[1]
    assert counts[0] == counts[1] == {"mongo": len(MONGO), "postgres": 1, "redis": 3}
