"""Changing plans at the desk: the preview is what is done, both memberships and all papers in one commit."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from nexfit.domains.errors import IdempotencyConflict, NotFound, Unauthenticated
from nexfit.domains.finance.words import PaymentMethod
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.memberships import switching
from nexfit.domains.memberships.errors import PriceChanged
from nexfit.domains.memberships.leaving import NotPossibleNow
from nexfit.domains.memberships.switching import OtherPlace

from .conftest import NOW, PRICE, Shop

LATER = NOW + timedelta(days=14)
DEARER = Decimal("1499.90")
DUE = DEARER - Decimal("499.95")


async def switch(shop: Shop, contract: ObjectId, plan: ObjectId, **more: Any) -> ObjectId:
    """Change two weeks after the sale, for cash."""
    given = {"method": PaymentMethod.CASH, "expected_due": DUE, "key": uuid4().hex, "now": LATER} | more
    actor = given.pop("actor", shop.owner)
    return await switching.switch(shop.units, shop.stores, None, actor, contract, plan, **given)


async def test_a_change_credits_the_unused_days_to_the_kurus(shop: Shop) -> None:
    member, old, new = await shop.person(), await shop.plan(), await shop.plan(price=DEARER)
    contract = await shop.sell(old, member)
    found = await switching.preview(shop.stores, Actor(member), contract, new, now=LATER)
    assert (found.credit, found.price, found.due, found.starts_on) == (
        Decimal("499.95"), DEARER, DUE, date(2026, 6, 29),
    )  # fmt: skip
    made = await asyncio.gather(*(switch(shop, contract, new, key="tap") for _ in range(5)))
    assert len(set(made)) == 1
    documents = {row["_id"]: row for row in await shop.database.member_subscriptions.find({"userId": member}).to_list()}
    assert (documents[contract]["status"], documents[made[0]]["status"]) == ("cancelled", "active")
    assert documents[made[0]]["startDate"].date() == date(2026, 6, 29)
    [money] = await shop.stores.postgres.fetch(
        """SELECT sum(CASE transaction_type WHEN 'refund' THEN -amount ELSE amount END) AS total,
             (SELECT sum(total_amount) FROM finance.invoices WHERE user_id = $1) AS invoiced,
             (SELECT sum(total_amount) FROM finance.credit_notes WHERE user_id = $1) AS credited
           FROM finance.transactions WHERE user_id = $1 AND status = 'succeeded'""",
        str(member),
    )
    assert money["total"] == PRICE + DUE == money["invoiced"] - money["credited"]
    assert await shop.agrees(member)
    with pytest.raises(IdempotencyConflict):
        await switch(shop, contract, new, key="tap", method=PaymentMethod.CARD)


async def test_what_is_refused_changes_nothing(shop: Shop) -> None:
    member, old, new = await shop.person(), await shop.plan(), await shop.plan(price=DEARER)
    contract = await shop.sell(old, member)
    ended = await shop.sell(old, other := await shop.person())
    await shop.stores.postgres.fetch(
        "UPDATE finance.subscriptions SET status = 'suspended' WHERE user_id = $1 RETURNING 1", str(other)
    )
    elsewhere = ObjectId()
    document = await shop.database.memberships.find_one({"_id": new})
    place = await shop.database.facilities.find_one({"_id": shop.facility})
    await shop.database.facilities.insert_one({**place, "_id": elsewhere})
    await shop.database.memberships.insert_one({**document, "_id": (theirs := ObjectId()), "facilityId": elsewhere})
    before = await shop.counts()
    for refused, whose, plan, more in (
        (PriceChanged, contract, new, {"expected_due": DUE + 1}),
        (OtherPlace, contract, old, {}),
        (OtherPlace, contract, theirs, {}),
        (NotPossibleNow, ended, new, {}),
        (NotFound, contract, ObjectId(), {}),
        (NotFound, ObjectId(), new, {}),
        (NotFound, contract, new, {"actor": Actor(member)}),  # the desk takes the money
        (NotFound, contract, new, {"actor": Actor(ObjectId())}),
        (Unauthenticated, contract, new, {"actor": GUEST}),
    ):
        with pytest.raises(refused):
            await switch(shop, whose, plan, **more)
        assert await shop.counts() == before, refused
    with pytest.raises(NotFound):
        await switching.preview(shop.stores, Actor(ObjectId()), contract, new, now=LATER)
