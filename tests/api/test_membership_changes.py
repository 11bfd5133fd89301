"""Leaving and pausing through the API; the rules themselves are tested in tests/memberships."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from bson import ObjectId

from nexfit.stores.connections import Stores

from .conftest import Client, account, facility_of, global_id, login

PASSWORD = "deniz kenarında bir akşam"
SELL = """mutation ($i: SellMembershipInput!) { sellMembership(input: $i) {
  memberSubscription { id } userErrors { code } } }"""
FIELDS = "memberSubscription { id status endDate autoRenew } userErrors { code path }"


async def does(client: Client, name: str, type_: str, more: str = "", **input_: Any) -> Any:
    """The payload."""
    query = f"mutation ($i: {type_}!) {{ done: {name}(input: $i) {{ {FIELDS} {more} }} }}"
    return (await client.data(query, {"i": input_}))["done"]


async def test_a_member_pauses_and_the_desk_cancels(small_owner: Client, small_stores: Stores) -> None:
    facility = await facility_of(small_stores, "karsiyaka")
    plan = await small_stores.mongo.database["memberships"].find_one({"facilityId": facility, "isActive": True})
    assert plan is not None
    user, email = await account(small_stores)
    sold = await small_owner.data(
        SELL,
        {
            "i": {
                "plan": global_id("Membership", plan["_id"]),
                "user": global_id("User", user),
                "method": "CASH",
                "expectedTotal": f"{plan['price'].to_decimal():f}",
                "idempotencyKey": uuid4().hex,
            }
        },
    )
    membership = sold["sellMembership"]["memberSubscription"]["id"]
    member = await login(small_owner.http, email, PASSWORD)
    given = {"membership": membership, "days": 7, "idempotencyKey": "tap"}
    frozen = await does(member, "freezeMembership", "FreezeMembershipInput", **given)
    assert (frozen["userErrors"], frozen["memberSubscription"]["status"]) == ([], "FROZEN")
    assert await does(member, "freezeMembership", "FreezeMembershipInput", **given) == frozen
    thawed = await does(member, "unfreezeMembership", "UnfreezeMembershipInput", membership=membership)
    assert thawed["memberSubscription"]["status"] == "ACTIVE"
    assert thawed["memberSubscription"]["endDate"] < frozen["memberSubscription"]["endDate"]
    stranger = await login(small_owner.http, "studio@demo.nexfit.app")
    freezes = ("freezeMembership", "FreezeMembershipInput")
    renews = ("setMembershipAutoRenew", "SetAutoRenewInput")
    cancels = ("cancelMembership", "CancelMembershipInput")
    thaws = ("unfreezeMembership", "UnfreezeMembershipInput")
    unknown = {"membership": global_id("MemberSubscription", ObjectId("6a" * 12))}
    for client, mutation, input_, code, path in (
        (member, freezes, {"days": 1, "idempotencyKey": "a"}, "BAD_USER_INPUT", "days"),
        (member, renews, {"autoRenew": True}, "INVALID_TRANSITION", "autoRenew"),
        (member, cancels, {"at": "NOW", "idempotencyKey": "b"}, "INVALID_TRANSITION", "at"),
        (stranger, cancels, {"at": "NOW", "idempotencyKey": "c"}, "NOT_FOUND", "membership"),
        (member, thaws, {}, "INVALID_TRANSITION", "membership"),
        (member, thaws, unknown, "NOT_FOUND", "membership"),
    ):
        refused = await does(client, *mutation, **{"membership": membership, **input_})
        assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [(code, [path])], input_
    other = await small_stores.mongo.database["memberships"].find_one(
        {"facilityId": facility, "isActive": True, "_id": {"$ne": plan["_id"]}}
    )
    assert other is not None
    to = {"membership": membership, "plan": global_id("Membership", other["_id"])}
    query = """query ($m: ID!, $p: ID!) { preview: membershipSwitchPreview(membership: $m, plan: $p) {
      credit { amount } price { amount currency } due { amount } startsOn } }"""
    preview = (await member.data(query, {"m": to["membership"], "p": to["plan"]}))["preview"]
    assert preview["price"] == {"amount": f"{other['price'].to_decimal():f}", "currency": "TRY"}
    answer = await stranger.run(query, {"m": to["membership"], "p": to["plan"]})
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    given = {**to, "method": "CASH", "expectedDue": preview["due"]["amount"], "idempotencyKey": "e"}
    wrong = await does(small_owner, "switchMembership", "SwitchMembershipInput", **{**given, "expectedDue": "1"})
    assert [error["code"] for error in wrong["userErrors"]] == ["PRICE_CHANGED"]
    wrong = await does(small_owner, "switchMembership", "SwitchMembershipInput", **{**given, "method": "WALLET"})
    assert [error["path"] for error in wrong["userErrors"]] == [["method"]]
    switched = await does(small_owner, "switchMembership", "SwitchMembershipInput", **given)
    assert (switched["userErrors"], switched["memberSubscription"]["status"]) == ([], "ACTIVE")
    membership = switched["memberSubscription"]["id"]
    more = "refund { type status amount { amount } }"
    given = {"membership": membership, "at": "NOW", "idempotencyKey": "d"}
    left = await does(small_owner, "cancelMembership", "CancelMembershipInput", more, **given)
    assert (left["userErrors"], left["memberSubscription"]["status"]) == ([], "CANCELLED")
    assert (left["refund"]["type"], left["refund"]["status"]) == ("REFUND", "SUCCEEDED")
    assert await does(small_owner, "cancelMembership", "CancelMembershipInput", more, **given) == left
