"""Plans: a change is a new version, and never alters what somebody holds."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from nexfit.domains.errors import IdempotencyConflict, NotFound, Refusal, Unauthenticated
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.identity.validation import InvalidInput, checked
from nexfit.domains.memberships import planning
from nexfit.domains.memberships.planning import NewPlan, PlanChange, PlanIsSoldNoMore, WrongPrice

from .conftest import NOW, PRICE, Shop

MONTHLY = {
    "name": "Aylık Üyelik",
    "duration": {"value": 1, "unit": "month"},
    "price": PRICE,
    "currency": "TRY",
    "features": ["Sauna"],
    "limitations": {"classes_included": True, "max_class_bookings_per_week": 3, "pt_sessions_included": 2},
}


async def create(shop: Shop, actor: Actor | None = None, key: str | None = None, **more: Any) -> ObjectId:
    plan = checked(NewPlan, **MONTHLY | more)
    return await planning.create(
        shop.units, shop.stores, actor or shop.owner, shop.facility, plan, key=key or uuid4().hex, now=NOW
    )


async def change(shop: Shop, plan: ObjectId, actor: Actor | None = None, **more: Any) -> ObjectId:
    return await planning.change(
        shop.units, shop.stores, actor or shop.owner, plan, checked(PlanChange, **more), now=NOW
    )


async def test_a_change_is_a_new_version_and_what_is_held_stays(shop: Shop) -> None:
    plan, member = await create(shop), await shop.person()
    await shop.sell(plan, member)
    held = await shop.database.member_subscriptions.find_one({"userId": member})
    dearer = await change(shop, plan, price=Decimal("1299.90"), limitations={"classes_included": False})
    documents = {
        document["_id"]: document for document in await shop.database.memberships.find({"lineId": plan}).to_list()
    }
    old, new = documents[plan], documents[dearer]
    assert (old["isActive"], old["replacedBy"], old["price"].to_decimal()) == (False, dearer, PRICE)
    assert old["limitations"] == {
        "maxClassBookingsPerWeek": 3, "classesIncluded": True, "personalTrainingIncluded": False,
        "ptSessionsIncluded": 2,
    }  # fmt: skip
    assert (new["version"], new["isActive"], new["price"].to_decimal()) == (2, True, Decimal("1299.90"))
    assert (new["name"], new["features"], new["limitations"]["classesIncluded"]) == ("Aylık Üyelik", ["Sauna"], False)
    assert await shop.database.member_subscriptions.find_one({"userId": member}) == held
    [row] = await shop.stores.postgres.fetch(
        "SELECT plan_id, amount FROM finance.subscriptions WHERE user_id = $1", str(member)
    )
    assert (row["plan_id"], row["amount"]) == (str(plan), PRICE)
    # The old version is sold to nobody else, and at the desk its holder goes on at its price.
    with pytest.raises(NotFound):
        await shop.sell(plan, await shop.person())
    await shop.sell(plan, member, renew=True)
    await shop.sell(dearer, await shop.person(), expected_total=Decimal("1299.90"))
    assert await change(shop, dearer, price=Decimal("1299.9")) == dearer  # nothing differs


async def test_of_ten_changes_at_once_one_is_the_next_version(shop: Shop) -> None:
    plan = await create(shop)
    prices = [Decimal(1000 + n) for n in range(10)]
    results = await asyncio.gather(*(change(shop, plan, price=price) for price in prices), return_exceptions=True)
    found = Counter(type(result).__name__ for result in results)
    assert found == {"ObjectId": 1, "PlanIsSoldNoMore": 9}, [r for r in results if not isinstance(r, Refusal)]
    active = {"facilityId": shop.facility, "isActive": True}
    assert await shop.database.memberships.count_documents(active) == 1


async def test_what_is_archived_is_sold_no_more_and_stays_with_its_holders(shop: Shop) -> None:
    plan, member = await create(shop), await shop.person()
    contract = await shop.sell(plan, member)
    for _ in range(2):
        await planning.archive(shop.units, shop.stores, shop.owner, plan, now=NOW)
    with pytest.raises(NotFound):
        await shop.sell(plan, await shop.person())
    with pytest.raises(NotFound):
        await shop.sell(plan, member, renew=True)
    with pytest.raises(PlanIsSoldNoMore):
        await change(shop, plan, price=Decimal(1))
    assert (await shop.database.member_subscriptions.find_one({"_id": contract}))["status"] == "active"
    said = await shop.database.audit_entries.find({"entityId": str(plan)}).to_list()
    assert [entry["action"] for entry in said] == ["membership_plan.created", "membership_plan.archived"]


async def test_a_plan_is_made_once_per_key(shop: Shop) -> None:
    made = await asyncio.gather(*(create(shop, key="tap") for _ in range(10)))
    assert len(set(made)) == 1
    with pytest.raises(IdempotencyConflict):
        await create(shop, key="tap", price=Decimal(1))


async def test_what_is_refused_writes_nothing(shop: Shop) -> None:
    plan = await create(shop)
    await shop.sell(plan, await shop.person())
    before, documents = await shop.counts(), await shop.database.memberships.count_documents({})
    for refused, make in (
        (NotFound, lambda: create(shop, Actor(ObjectId()))),
        (Unauthenticated, lambda: create(shop, GUEST)),
        (WrongPrice, lambda: create(shop, price=Decimal("0.001"))),
        (WrongPrice, lambda: create(shop, currency="EUR")),
        (NotFound, lambda: change(shop, plan, Actor(ObjectId()), price=Decimal(1))),
        (NotFound, lambda: change(shop, ObjectId(), price=Decimal(1))),
        (Unauthenticated, lambda: change(shop, plan, GUEST, price=Decimal(1))),
        (WrongPrice, lambda: change(shop, plan, price=Decimal("9.999"))),
        (InvalidInput, lambda: create(shop, price=Decimal(-1))),
        (InvalidInput, lambda: create(shop, price=Decimal("NaN"))),
        (InvalidInput, lambda: create(shop, name=" ")),
        (InvalidInput, lambda: create(shop, duration={"value": 0, "unit": "month"})),
        (InvalidInput, lambda: create(shop, currency="XXZ")),
        (InvalidInput, lambda: create(shop, limitations={"max_visits_per_week": 0})),
    ):
        with pytest.raises(refused):
            await make()
        assert await shop.counts() == before
    assert await shop.database.memberships.count_documents({}) == documents
