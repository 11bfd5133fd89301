"""What owners pay the platform: their plan is bought, billed and dunned as a member's is, and opens facilities."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from bson import ObjectId

from nexfit.domains.facilities import editing
from nexfit.domains.facilities.inputs import NewFacility
from nexfit.domains.identity.access import Actor
from nexfit.domains.memberships import platform_plans
from nexfit.domains.memberships.platform_plans import PlanNeeded, Platform
from nexfit.hybrid.unit_of_work import MongoWork

from .conftest import Shop
from .online import Online, selling_online
from .test_billing import START, bill

GYM = NewFacility.model_validate({"name": "Salon", "type": "gym", "timezone": "Europe/Istanbul"})


@pytest.fixture
async def online(shop: Shop) -> AsyncIterator[Online]:
    """The shop is the platform."""
    async with selling_online(shop) as opened:
        opened.now = START
        opened.provider.faults.pay_at_once = True
        yield opened
        await shop.stores.postgres.fetch(
            "UPDATE finance.subscriptions SET provider = 'gone' WHERE facility_id = $1 RETURNING 1", str(shop.facility)
        )


async def opens(online: Online, owner: ObjectId, key: str | None = None) -> ObjectId:
    """Let an owner open a gym; one is free."""
    shop, platform = online.shop, Platform(str(online.shop.facility), 1)

    async def check(work: MongoWork, who: ObjectId) -> None:
        await platform.check_room(shop.stores.postgres, work, who, online.now)

    key = key or uuid4().hex
    return await editing.create(shop.units, shop.stores.mongo, Actor(owner), GYM, key=key, now=online.now, check=check)


async def repeated(online: Online, facility: ObjectId) -> tuple[str, str, bool] | None:
    """The plan a facility has, after the job: its id, its last day and whether it counts."""
    shop = online.shop
    await platform_plans.mirror(shop.units, shop.stores, Platform(str(shop.facility), 1), now=online.now)
    assert await platform_plans.mirror(shop.units, shop.stores, Platform(str(shop.facility), 1), now=online.now) == 0
    stored = (await shop.database.facilities.find_one({"_id": facility})).get("subscriptionPlan")
    return stored and (stored["planId"], stored["endDate"].date().isoformat(), stored["isActive"])


async def test_an_owner_pays_for_more_than_one_facility(online: Online) -> None:
    shop, plan = online.shop, await online.shop.plan()
    owner = await shop.person()
    await shop.database.users.update_one({"_id": owner}, {"$set": {"role": ["gym_owner"]}})
    together = await asyncio.gather(*(opens(online, owner) for _ in range(4)), return_exceptions=True)
    [first] = [one for one in together if isinstance(one, ObjectId)]
    assert {type(one) for one in together} == {ObjectId, PlanNeeded}
    assert await shop.database.facilities.count_documents({"ownerId": owner}) == 1
    assert await repeated(online, first) is None
    await online.buy(plan, owner, auto_renew=True)
    assert await repeated(online, first) == (str(plan), "2026-02-27", True)
    second = await opens(online, owner, "second")
    assert await opens(online, owner, "second") == second
    assert await repeated(online, second) == (str(plan), "2026-02-27", True)
    # The same job bills it, declines included; the grace keeps it, and what was opened stays open.
    await bill(online, "2026-02-28")
    assert await repeated(online, first) == (str(plan), "2026-03-30", True)
    online.provider.faults.decline = "soft"
    await bill(online, "2026-03-31")
    assert await repeated(online, first) == (str(plan), "2026-04-29", True)
    for days in range(1, 22):
        await bill(online, (START.date() + timedelta(days=59 + days)).isoformat())
    assert await repeated(online, first) == (str(plan), "2026-04-29", False)
    before = await shop.counts()
    with pytest.raises(PlanNeeded):
        await opens(online, owner)
    assert await shop.counts() == before
    assert await opens(online, owner, "second") == second
    assert await shop.database.facilities.count_documents({"ownerId": owner}) == 2
