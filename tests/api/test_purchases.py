"""`purchaseMembership` as an application sends it, with a provider over HTTP; the rules: tests/memberships."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from bson import ObjectId
from pydantic import SecretStr

from nexfit.app import create_app
from nexfit.payments.local_server import LocalProvider, serving
from nexfit.settings import PaymentSettings, Settings
from nexfit.stores.connections import Stores

from .conftest import PREFLIGHTED, Client, account, facility_of, global_id, login

BUY = """mutation ($i: PurchaseMembershipInput!) { purchaseMembership(input: $i) {
  purchase { id status total { amount currency } user { email } memberSubscription { status } }
  clientSecret checkoutUrl userErrors { code path message } } }"""


@pytest.fixture(scope="module")
async def selling(small_settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, LocalProvider]]:
    """The application with a local provider."""
    provider = LocalProvider("key", "webhook secret")
    async with serving(provider) as url:
        payments = PaymentSettings(
            provider="local", secret=SecretStr("key"), webhook_secret=SecretStr("webhook secret"), url=url
        )
        app = create_app(small_settings.model_copy(update={"payments": payments}))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://nexfit.test", headers=PREFLIGHTED
            ) as client,
        ):
            yield client, provider


@pytest.fixture(scope="module")
async def offer(small_stores: Stores) -> tuple[str, str]:
    """A plan of the chain, and what it costs."""
    facility = await facility_of(small_stores, "karsiyaka")
    plan = await small_stores.mongo.database["memberships"].find_one({"facilityId": facility, "isActive": True})
    assert plan is not None
    return global_id("Membership", plan["_id"]), f"{plan['price'].to_decimal():f}"


async def buys(client: Client, **input_: Any) -> Any:
    """The payload."""
    return (await client.data(BUY, {"i": {"idempotencyKey": uuid4().hex, **input_}}))["purchaseMembership"]


async def test_somebody_buys_and_pays(
    selling: tuple[httpx.AsyncClient, LocalProvider], small_stores: Stores, offer: tuple[str, str]
) -> None:
    http, provider = selling
    user, email = await account(small_stores)
    client = await login(http, email, "deniz kenarında bir akşam")
    bought = await buys(client, plan=offer[0], expectedTotal=offer[1], idempotencyKey="tap")
    assert bought["userErrors"] == []
    assert bought["purchase"]["status"] == "AWAITING_PAYMENT"
    assert bought["purchase"]["total"] == {"amount": offer[1], "currency": "TRY"}
    assert bought["purchase"]["user"] == {"email": email}
    [payment] = [one for one in provider.payments.values() if one["customer"] == f"customer_{user}"]
    assert (bought["clientSecret"], bought["checkoutUrl"]) == (payment["client_secret"], payment["checkout_url"])
    payment_secret = await small_stores.postgres.fetch(
        "SELECT 1 FROM finance.idempotency_keys WHERE outcome::text LIKE '%' || $1 || '%'", payment["client_secret"]
    )
    assert payment_secret == []
    await provider.pay(payment["id"])
    query = """query ($id: ID!) { node(id: $id) {
      ... on MembershipPurchase { status paidAt memberSubscription { status } } } }"""
    # The webhook has no address in this process: asking again under the key finds the money as well.
    again = await buys(client, plan=offer[0], expectedTotal=offer[1], idempotencyKey="tap")
    assert again["purchase"]["id"] == bought["purchase"]["id"]
    found = (await client.data(query, {"id": bought["purchase"]["id"]}))["node"]
    assert (found["status"], found["memberSubscription"]) == ("ACTIVE", {"status": "ACTIVE"})
    stranger = await login(http, "client@demo.nexfit.app")
    assert (await stranger.data(query, {"id": bought["purchase"]["id"]}))["node"] is None
    taken = await buys(client, plan=offer[0], expectedTotal=offer[1])
    assert [(error["code"], error["path"]) for error in taken["userErrors"]] == [("ALREADY_SUBSCRIBED", ["renew"])]


async def test_a_member_changes_to_a_dearer_plan(
    selling: tuple[httpx.AsyncClient, LocalProvider], small_stores: Stores, offer: tuple[str, str]
) -> None:
    http, provider = selling
    user, email = await account(small_stores)
    client = await login(http, email, "deniz kenarında bir akşam")
    provider.faults.pay_at_once = True
    try:
        await buys(client, plan=offer[0], expectedTotal=offer[1], autoRenew=True)
    finally:
        provider.faults.pay_at_once = False
    database = small_stores.mongo.database
    held = await database["member_subscriptions"].find_one({"userId": user})
    assert held is not None
    facility = held["facilityId"]
    dearest = await database["memberships"].find_one(
        {"facilityId": facility, "isActive": True, "_id": {"$ne": held["membershipId"]}}, sort=[("price", -1)]
    )
    assert dearest is not None
    which = {
        "membership": global_id("MemberSubscription", held["_id"]),
        "plan": global_id("Membership", dearest["_id"]),
    }
    query = "query ($m: ID!, $p: ID!) { preview: membershipSwitchPreview(membership: $m, plan: $p) { due { amount } } }"
    due = (await client.data(query, {"m": which["membership"], "p": which["plan"]}))["preview"]["due"]["amount"]
    change = """mutation ($i: ChangePlanInput!) { changePlan(input: $i) {
      outcome memberSubscription { status membership { id } } userErrors { code path } } }"""
    for wrong, code, path in (
        ({"expectedDue": "1"}, "PRICE_CHANGED", ["expectedTotal"]),
        ({"plan": offer[0]}, "BAD_USER_INPUT", ["plan"]),
        ({"membership": global_id("MemberSubscription", ObjectId("6a" * 12))}, "NOT_FOUND", ["membership"]),
    ):
        given = {**which, "expectedDue": due, "idempotencyKey": uuid4().hex, **wrong}
        refused = (await client.data(change, {"i": given}))["changePlan"]
        assert refused == {
            "outcome": None, "memberSubscription": None, "userErrors": [{"code": code, "path": path}]
        }  # fmt: skip
    given = {**which, "expectedDue": due, "idempotencyKey": "change"}
    changed = (await client.data(change, {"i": given}))["changePlan"]
    assert changed == {
        "outcome": "DONE",
        "memberSubscription": {"status": "ACTIVE", "membership": {"id": which["plan"]}},
        "userErrors": [],
    }
    assert (await client.data(change, {"i": given}))["changePlan"] == changed


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"expectedTotal": "1"}, "PRICE_CHANGED", ["expectedTotal"]),
        ({"plan": global_id("User", ObjectId("6a" * 12))}, "NOT_FOUND", ["plan"]),
        ({"plan": global_id("Membership", ObjectId("6a" * 12))}, "NOT_FOUND", ["plan"]),
        ({"renew": True}, "INVALID_TRANSITION", ["renew"]),
        ({"idempotencyKey": ""}, "BAD_USER_INPUT", ["idempotencyKey"]),
    ],
)
async def test_bad_input_is_refused_with_its_place(
    selling: tuple[httpx.AsyncClient, LocalProvider],
    small_stores: Stores,
    offer: tuple[str, str],
    change: dict[str, Any],
    code: str,
    path: list[str],
) -> None:
    _, email = await account(small_stores)
    client = await login(selling[0], email, "deniz kenarında bir akşam")
    made = len(selling[1].payments)
    refused = await buys(client, **{"plan": offer[0], "expectedTotal": offer[1], **change})
    assert (refused["purchase"], refused["clientSecret"]) == (None, None)
    assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [(code, path)]
    assert len(selling[1].payments) == made


async def test_a_guest_and_a_process_without_a_provider_buy_nothing(
    selling: tuple[httpx.AsyncClient, LocalProvider], small_owner: Client, offer: tuple[str, str]
) -> None:
    given = {"plan": offer[0], "expectedTotal": offer[1], "idempotencyKey": "k"}
    answer = await Client(selling[0]).run(BUY, {"i": given})
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    refused = await buys(small_owner, plan=offer[0], expectedTotal=offer[1])
    assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [("BAD_USER_INPUT", ["plan"])]
    assert (await small_owner.http.post("/webhooks/payments", content=b"{}")).status_code == 404
    webhook = await selling[0].post("/webhooks/payments", content=b"{}")
    assert webhook.status_code == 400
