"""`sellMembership` as a desk sends it; the rules themselves are tested in tests/memberships."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from nexfit.stores.connections import Stores

from .conftest import Client, facility_of, global_id, login

SELL = """mutation ($i: SellMembershipInput!) { sellMembership(input: $i) {
  memberSubscription { id status startDate endDate user { firstName email }
    subscription { status amount { amount currency } } }
  userErrors { code path message } } }"""


async def sells(client: Client, **input_: Any) -> Any:
    """The payload."""
    return (await client.data(SELL, {"i": {"idempotencyKey": uuid4().hex, **input_}}))["sellMembership"]


@pytest.fixture(scope="module")
async def offer(small_stores: Stores) -> tuple[str, str, str]:
    """A plan of the chain, what it costs, and somebody who does not hold it."""
    database = small_stores.mongo.database
    facility = await facility_of(small_stores, "karsiyaka")
    plan = await database["memberships"].find_one({"facilityId": facility, "isActive": True})
    assert plan is not None
    holders = await database["member_subscriptions"].distinct("userId", {"membershipId": plan["_id"]})
    somebody = await database["users"].find_one({"_id": {"$nin": holders}, "role": "gym_member"})
    assert somebody is not None
    return global_id("Membership", plan["_id"]), f"{plan['price'].to_decimal():f}", global_id("User", somebody["_id"])


async def test_the_desk_sells_once_and_renews(small_owner: Client, offer: tuple[str, str, str]) -> None:
    plan, price, user = offer
    given = {"plan": plan, "user": user, "method": "CASH", "expectedTotal": price}
    sold = await sells(small_owner, **given)
    assert sold["userErrors"] == []
    assert sold["memberSubscription"]["status"] == "ACTIVE"
    assert sold["memberSubscription"]["subscription"]["status"] == "ACTIVE"
    assert sold["memberSubscription"]["subscription"]["amount"] == {"amount": price, "currency": "TRY"}
    again = await sells(small_owner, **given)
    assert [(error["code"], error["path"]) for error in again["userErrors"]] == [("ALREADY_SUBSCRIBED", ["renew"])]
    renewed = await sells(small_owner, **given, renew=True)
    assert renewed["userErrors"] == []
    assert renewed["memberSubscription"]["id"] == sold["memberSubscription"]["id"]
    assert renewed["memberSubscription"]["endDate"] > sold["memberSubscription"]["endDate"]


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"expectedTotal": "1"}, "PRICE_CHANGED", ["expectedTotal"]),
        ({"expectedTotal": "-1"}, "PRICE_CHANGED", ["expectedTotal"]),
        ({"method": "WALLET"}, "BAD_USER_INPUT", ["method"]),
        ({"plan": global_id("User", ObjectId())}, "NOT_FOUND", ["plan"]),
        ({"user": "x"}, "NOT_FOUND", ["user"]),
    ],
)
async def test_bad_input_is_refused_with_its_place(
    small_owner: Client, offer: tuple[str, str, str], change: dict[str, Any], code: str, path: list[str]
) -> None:
    plan, price, user = offer
    given = {"plan": plan, "user": user, "method": "CASH", "expectedTotal": price, **change}
    refused = await sells(small_owner, **given)
    assert refused["memberSubscription"] is None
    assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [(code, path)]


async def test_only_staff_with_the_permission_sell(small_owner: Client, offer: tuple[str, str, str]) -> None:
    plan, price, user = offer
    for email, code in (("studio", "NOT_FOUND"), ("client", "NOT_FOUND"), (None, "UNAUTHENTICATED")):
        http = small_owner.http
        client = await login(http, f"{email}@demo.nexfit.app") if email else Client(http)
        refused = await sells(client, plan=plan, user=user, method="CASH", expectedTotal=price)
        assert [error["code"] for error in refused["userErrors"]] == [code]
