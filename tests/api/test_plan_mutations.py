"""Plans through the API; the rules themselves are tested in tests/memberships."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from nexfit.stores.connections import Stores

from .conftest import Client, facility_of, global_id, login

PAYLOAD = """{ membership { id name version isActive price { amount currency } duration { value unit }
  limitations { classesIncluded maxVisitsPerWeek } } userErrors { code path message } }"""
CREATE = "mutation ($i: CreateMembershipPlanInput!) { done: createMembershipPlan(input: $i) " + PAYLOAD + " }"
CHANGE = "mutation ($i: ChangeMembershipPlanInput!) { done: changeMembershipPlan(input: $i) " + PAYLOAD + " }"
ARCHIVE = "mutation ($i: ArchiveMembershipPlanInput!) { done: archiveMembershipPlan(input: $i) " + PAYLOAD + " }"


async def does(client: Client, query: str, **input_: Any) -> Any:
    """The payload."""
    return (await client.data(query, {"i": input_}))["done"]


@pytest.fixture
async def studio(small_stores: Stores) -> Any:
    """Where it is sold; what a test makes is taken away."""
    facility = await facility_of(small_stores, "karsiyaka")
    plans = small_stores.mongo.database["memberships"]
    before = await plans.distinct("_id", {"facilityId": facility})
    yield global_id("Facility", facility)
    await plans.delete_many({"facilityId": facility, "_id": {"$nin": before}})


async def test_a_plan_is_made_changed_and_archived(small_owner: Client, studio: str) -> None:
    given = {
        "facility": studio,
        "name": "Yaz Üyeliği",
        "duration": {"value": 3, "unit": "MONTH"},
        "price": "2999.90",
        "currency": "TRY",
        "limitations": {"classesIncluded": True},
        "idempotencyKey": uuid4().hex,
    }
    made = await does(small_owner, CREATE, **given)
    assert made["userErrors"] == []
    assert made["membership"]["price"] == {"amount": "2999.90", "currency": "TRY"}
    assert (made["membership"]["version"], made["membership"]["isActive"]) == (1, True)
    assert made["membership"]["limitations"] == {"classesIncluded": True, "maxVisitsPerWeek": None}
    changed = await does(small_owner, CHANGE, plan=made["membership"]["id"], price="3499.90")
    assert changed["userErrors"] == []
    assert changed["membership"]["id"] != made["membership"]["id"]
    assert (changed["membership"]["version"], changed["membership"]["name"]) == (2, "Yaz Üyeliği")
    late = await does(small_owner, CHANGE, plan=made["membership"]["id"], price="1.00")
    assert [(error["code"], error["path"]) for error in late["userErrors"]] == [("INVALID_TRANSITION", ["plan"])]
    ended = await does(small_owner, ARCHIVE, plan=changed["membership"]["id"])
    assert ended["membership"]["isActive"] is False


async def test_who_may_not_and_what_cannot_be_is_refused(small_owner: Client, studio: str) -> None:
    given = {
        "facility": studio,
        "name": "X",
        "duration": {"value": 1, "unit": "MONTH"},
        "price": "10",
        "currency": "TRY",
        "idempotencyKey": "k",
    }
    for change, code, path in (
        ({"price": "10.001"}, "BAD_USER_INPUT", ["price"]),
        ({"price": "-1"}, "BAD_USER_INPUT", ["price"]),
        ({"currency": "EUR"}, "BAD_USER_INPUT", ["currency"]),
        ({"duration": {"value": 0, "unit": "DAY"}}, "BAD_USER_INPUT", ["duration", "value"]),
        ({"features": [""]}, "BAD_USER_INPUT", ["features", "0"]),
        ({"facility": "x"}, "NOT_FOUND", ["facility"]),
    ):
        refused = await does(small_owner, CREATE, **given | change)
        assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [(code, path)], change
    stranger = await login(small_owner.http, "studio@demo.nexfit.app")
    refused = await does(stranger, CREATE, **given)
    assert [error["code"] for error in refused["userErrors"]] == ["NOT_FOUND"]
    answer = await Client(small_owner.http).run(CREATE, {"i": given})
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
