"""Packages and their credits (workflow 4.1): a ledger whose sums always add up, sold in both stores or neither."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from bson import ObjectId

from nexfit.domains.coaching import inviting, packages
from nexfit.domains.coaching.errors import InvalidTransition, NoCredits, NoPackage, NoRelation
from nexfit.domains.errors import BadInput, IdempotencyConflict, Unauthenticated
from nexfit.domains.identity.access import GUEST, Actor

from .conftest import NOW, Practice


async def test_a_package_is_sold_in_both_stores_once_per_key(practice: Practice) -> None:
    client, relation = await practice.client()
    sold = await asyncio.gather(*(practice.sell(relation, 12, key="tap") for _ in range(20)))
    assert len(set(sold)) == 1
    assert await practice.credits(sold[0]) == (0, 0, 12, 0)
    with pytest.raises(IdempotencyConflict):
        await practice.sell(relation, 13, key="tap")
    second = await practice.sell(relation, 5, name="Sonraki")
    stored = (await practice.relation(relation))["package"]
    assert (stored["name"], stored["price"].to_decimal()) == ("Sonraki", Decimal(1200))
    found = (await packages.of_relations(practice.stores.postgres, [relation]))[relation]
    assert [(row["package_id"], row["client_id"]) for row in found] == [
        (str(sold[0]), str(client.user_id)),
        (str(second), str(client.user_id)),
    ]


async def test_what_is_refused_writes_nothing_in_either_store(practice: Practice) -> None:
    _, relation = await practice.client()
    waiting = await practice.invite(await practice.person())
    package = await practice.sell(relation, 3)
    other = await practice.person("coach")
    before = await practice.written()
    for refused, attempt in (
        (Unauthenticated, lambda: practice.sell(relation, actor=GUEST)),
        (NoRelation, lambda: practice.sell(relation, actor=other)),
        (NoRelation, lambda: practice.sell(ObjectId())),
        (InvalidTransition, lambda: practice.sell(waiting)),
        (BadInput, lambda: practice.sell(relation, price=Decimal("0.001"))),
        (BadInput, lambda: practice.sell(relation, days=-1)),
        (BadInput, lambda: practice.sell(relation, days=6 * 366)),
        (NoPackage, lambda: _refund(practice, package, 1, actor=other)),
        (NoPackage, lambda: _refund(practice, ObjectId(), 1)),
        (NoCredits, lambda: _refund(practice, package, 4)),
    ):
        with pytest.raises(refused):
            await attempt()
        assert await practice.written() == before, refused


async def _refund(
    practice: Practice, package: ObjectId, sessions: int, *, actor: Actor | None = None, key: str = ""
) -> None:
    await packages.refund(
        practice.units, practice.stores.mongo, actor or practice.coach, package, sessions, key=key or str(uuid4())
    )


async def test_refunds_take_back_what_is_left_and_no_more(practice: Practice) -> None:
    _, relation = await practice.client()
    package = await practice.sell(relation, 10)
    await practice.schedule(relation, 48)
    await asyncio.gather(*(_refund(practice, package, 2, key="tap") for _ in range(10)))
    assert await practice.credits(package) == (1, 0, 7, 2)
    results = await asyncio.gather(*(_refund(practice, package, 1) for _ in range(20)), return_exceptions=True)
    assert Counter(type(result) for result in results) == {type(None): 7, NoCredits: 13}
    assert await practice.credits(package) == (1, 0, 0, 9)


async def test_credits_expire_once_the_last_day_is_over_everywhere(practice: Practice) -> None:
    _, relation = await practice.client()
    package, lasting = await practice.sell(relation, 4, days=1), await practice.sell(relation, 4, days=90)
    session = await practice.schedule(relation, 20)
    # 16 June is over on the last island at 12:00 UTC of the 17th.
    last = NOW + timedelta(days=2, hours=2, minutes=59)
    units, postgres = practice.units, practice.stores.postgres
    await packages.expire(units, postgres, now=last)
    assert await practice.credits(package) == (1, 0, 3, 0)
    over = last + timedelta(minutes=1)
    await asyncio.gather(*(packages.expire(units, postgres, now=over) for _ in range(8)))
    assert await practice.credits(package) == (1, 0, 0, 3)  # what is reserved stays reserved
    assert await practice.credits(lasting) == (0, 0, 4, 0)
    # Given back after the end it expires as well.
    await inviting.end(units, practice.coach, relation, now=NOW)
    assert (await practice.database.pt_sessions.find_one({"_id": session}))["status"] == "cancelled"
    await packages.expire(units, postgres, now=over)
    assert await practice.credits(package) == (0, 0, 0, 4)
