"""Tags and notes of members: by who may write, once, and nothing of a refused one stays."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from bson import ObjectId

from nexfit.domains.errors import BadInput, IdempotencyConflict, NotFound, Unauthenticated
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.memberships import remarks

from .conftest import NOW, Shop


@pytest.fixture
async def member(shop: Shop) -> ObjectId:
    person = await shop.person()
    await shop.sell(await shop.plan(), person)
    return person


async def tag(shop: Shop, member: ObjectId, add: list[str], remove: list[str] | None = None, **more: Any) -> None:
    given = {"actor": shop.owner, "facility": shop.facility} | more
    await remarks.tag(shop.units, shop.stores, given.pop("actor"), member=member, add=add, remove=remove or [], **given)


async def note(shop: Shop, member: ObjectId, text: str = "Diz ameliyatı", **more: Any) -> UUID:
    given = {"actor": shop.owner, "facility": shop.facility, "key": uuid4().hex} | more
    return await remarks.add_note(shop.units, shop.stores, given.pop("actor"), member=member, text=text, **given)


async def tags(shop: Shop, member: ObjectId) -> list[str]:
    pair = (str(shop.facility), str(member))
    return (await remarks.tags_of(shop.stores.postgres, [pair])).get(pair, [])


async def notes(shop: Shop, member: ObjectId) -> list[str]:
    pair = (str(shop.facility), str(member))
    return [row["text"] for row in (await remarks.notes_of(shop.stores.postgres, [pair])).get(pair, [])]


async def assistant(shop: Shop, *permissions: str) -> Actor:
    """Somebody of the staff."""
    user = ObjectId()
    entry = {"userId": user, "role": "reception", "permissions": list(permissions), "joinedAt": NOW}
    await shop.database.facilities.update_one({"_id": shop.facility}, {"$push": {"staff": entry}})
    return Actor(user)


async def test_a_tag_is_one_however_it_is_spelt(shop: Shop, member: ObjectId) -> None:
    await tag(shop, member, ["  VIP   Üye ", "Sabah"])
    await tag(shop, member, ["vip uye", "İndirimli"], ["yok"])
    assert await tags(shop, member) == ["İndirimli", "Sabah", "VIP Üye"]
    before = await shop.counts()
    await tag(shop, member, ["SABAH"])
    assert await shop.counts() == before  # nothing changed: nothing was told
    await tag(shop, member, [], ["vip üye", "SABAH"])
    assert await tags(shop, member) == ["İndirimli"]


async def test_parallel_tags_stay_within_the_limit(shop: Shop, member: ObjectId) -> None:
    results = await asyncio.gather(
        *(tag(shop, member, [f"etiket {n} {part}" for part in "abc"]) for n in range(12)), return_exceptions=True
    )
    assert sum(result is None for result in results) == remarks.MOST_TAGS // 3
    assert all(result is None or isinstance(result, BadInput) for result in results)
    assert len(await tags(shop, member)) == remarks.MOST_TAGS // 3 * 3


async def test_a_note_is_kept_once_per_key_and_taken_away_by_its_author_or_the_owner(
    shop: Shop, member: ObjectId
) -> None:
    clerk, other = await assistant(shop, "members_write"), await assistant(shop, "members_write")
    made = await asyncio.gather(*(note(shop, member, actor=clerk, key="tap") for _ in range(8)))
    assert len(set(made)) == 1
    with pytest.raises(IdempotencyConflict):
        await note(shop, member, "Başka", actor=clerk, key="tap")
    second = await note(shop, member, "İkinci", actor=clerk)
    assert await notes(shop, member) == ["İkinci", "Diz ameliyatı"]
    with pytest.raises(NotFound):
        await remarks.remove_note(shop.units, shop.stores, other, note=second)
    await remarks.remove_note(shop.units, shop.stores, clerk, note=second)
    with pytest.raises(NotFound):
        await remarks.remove_note(shop.units, shop.stores, clerk, note=second)
    await remarks.remove_note(shop.units, shop.stores, shop.owner, note=made[0])
    assert await notes(shop, member) == []
    told = await shop.stores.postgres.fetch(
        "SELECT action, new_state::text AS state FROM finance.audit_logs WHERE entity_id = $1 ORDER BY audit_id",
        str(member),
    )
    actions = [row["action"] for row in told]
    assert actions == ["member.note_added"] * 2 + ["member.note_removed"] * 2
    assert "ameliyat" not in "".join(row["state"] for row in told)


async def test_what_is_refused_writes_nothing(shop: Shop, member: ObjectId) -> None:
    kept = await note(shop, member)
    await tag(shop, member, ["Bir"])
    before = await shop.counts()
    reader = await assistant(shop, "members_read")
    for refused, more in (
        (Unauthenticated, {"actor": GUEST}),
        (NotFound, {"actor": Actor(ObjectId())}),
        (NotFound, {"actor": reader}),
        (NotFound, {"actor": Actor(member)}),
        (NotFound, {"facility": ObjectId()}),
    ):
        with pytest.raises(refused):
            await tag(shop, member, ["x"], **more)
        with pytest.raises(refused):
            await note(shop, member, **more)
        if "actor" in more:
            with pytest.raises(refused):
                await remarks.remove_note(shop.units, shop.stores, more["actor"], note=kept)
    for bad in ([""], ["x" * 41], ["\x00"], [f"t{n}" for n in range(21)]):
        with pytest.raises(BadInput):
            await tag(shop, member, bad)
    for text in ("", "x" * 2001, "\x00"):
        with pytest.raises(BadInput):
            await note(shop, member, text)
    with pytest.raises(NotFound):
        await note(shop, await shop.person())  # nobody who is known here
    with pytest.raises(NotFound):
        await remarks.remove_note(shop.units, shop.stores, shop.owner, note=uuid4())
    assert await shop.counts() == before
    assert (await tags(shop, member), await notes(shop, member)) == (["Bir"], ["Diz ameliyatı"])
