"""`sellMembership` as a desk sends it; the rules themselves are tested in tests/memberships."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from nexfit.stores.connections import Stores

from .conftest import Client, facility_of, global_id, local, login

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
        ({"plan": global_id("User", ObjectId("6a" * 12))}, "NOT_FOUND", ["plan"]),
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
    for email in ("studio", "client"):
        client = await login(small_owner.http, f"{email}@demo.nexfit.app")
        refused = await sells(client, plan=plan, user=user, method="CASH", expectedTotal=price)
        assert [error["code"] for error in refused["userErrors"]] == ["NOT_FOUND"]


REFUND = """mutation ($i: RefundPaymentInput!) { refundPayment(input: $i) {
  refund { id type status amount { amount currency } original { id } } userErrors { code path } } }"""


async def test_money_taken_at_the_desk_is_given_back_there(
    small_owner: Client, small_stores: Stores, offer: tuple[str, str, str]
) -> None:
    [row] = await small_stores.postgres.fetch(
        """SELECT transaction_id FROM finance.transactions
           WHERE transaction_type = 'manual_payment' AND user_id = $1 AND status = 'succeeded' LIMIT 1""",
        local(offer[2]),
    )
    payment = global_id("Transaction", row["transaction_id"])

    async def asks(client: Client, **input_: Any) -> Any:
        given = {"transaction": payment, "amount": "10.00", "idempotencyKey": "tap", **input_}
        return (await client.data(REFUND, {"i": given}))["refundPayment"]

    first = await asks(small_owner)
    assert first["userErrors"] == []
    assert (first["refund"]["type"], first["refund"]["amount"]["amount"]) == ("REFUND", "10.00")
    assert first["refund"]["original"] == {"id": payment}
    assert await asks(small_owner) == first
    for change, code, path in (
        ({"amount": "11"}, "IDEMPOTENCY_CONFLICT", ["idempotencyKey"]),
        ({"amount": "-1", "idempotencyKey": "a"}, "BAD_USER_INPUT", ["amount"]),
        ({"amount": "1000000", "idempotencyKey": "b"}, "REFUND_TOO_LARGE", ["amount"]),
        ({"transaction": "x", "idempotencyKey": "c"}, "NOT_FOUND", ["transaction"]),
        ({"reason": "x" * 301, "idempotencyKey": "d"}, "BAD_USER_INPUT", ["reason"]),
        ({"idempotencyKey": ""}, "BAD_USER_INPUT", ["idempotencyKey"]),
    ):
        refused = await asks(small_owner, **change)
        assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [(code, path)], change
    stranger = await login(small_owner.http, "studio@demo.nexfit.app")
    assert [error["code"] for error in (await asks(stranger))["userErrors"]] == ["NOT_FOUND"]
