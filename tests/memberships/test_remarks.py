"""Tags, notes and files of members: by who may write, once, and nothing of a refused one stays."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from bson import ObjectId

from nexfit.domains.errors import BadInput, Forbidden, IdempotencyConflict, NotFound, Unauthenticated
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.memberships import member_import, remarks
from nexfit.stores.errors import StoreUnavailable, WriteConflict

from .conftest import NOW, Shop
from .test_import_files import HEADER, PLAN, TODAY, row


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


async def bring(shop: Shop, text: str | bytes, *, apply: bool = True, actor: Actor | None = None) -> Any:
    """The report on a file, by the owner."""
    content = text.encode() if isinstance(text, str) else text
    by = actor or shop.owner
    place = await member_import.permitted(shop.stores.mongo, by, shop.facility)
    return await member_import.import_members(shop.units, shop.stores, by, place, content, apply=apply, now=NOW)


def sums(report: Any) -> tuple[int, int, int, int]:
    return report.created, report.updated, report.unchanged, len(report.rejected)


async def everything(shop: Shop) -> dict[str, int]:
    """All that an import may write."""
    found = await shop.counts()
    found["users"] = await shop.database.users.count_documents({})
    for table in ("member_tags", "member_notes"):
        [counted] = await shop.stores.postgres.fetch(f"SELECT count(*) AS n FROM platform.{table}")
        found[table] = counted["n"]
    return found


async def test_a_look_tells_what_the_import_does_and_doing_it_again_changes_nothing(shop: Shop) -> None:
    await shop.plan()
    last = TODAY + timedelta(days=40)
    text = HEADER + row("Ayşe Işık", "Ayse@Example.org", tags="VIP, Sabah", note="Dizi ağrıyor")
    text += row("Ölmez Kaya", "old@example.org", last=TODAY - timedelta(days=1))
    before = await everything(shop)
    assert sums(await bring(shop, text, apply=False)) == (2, 0, 0, 0)
    assert await everything(shop) == before
    assert sums(await bring(shop, text)) == (2, 0, 0, 0)
    user = await shop.database.users.find_one({"emailNormalized": "ayse@example.org"})
    assert (user["email"], user["firstName"], user["nameFolded"]) == ("Ayse@example.org", "Ayşe", "ayse isik")
    assert user["role"] == ["client", "gym_member"]
    assert "emailVerifiedAt" not in user
    assert await shop.database.credentials.count_documents({"_id": user["_id"]}) == 0  # nobody can sign in yet
    [held] = await shop.stores.postgres.fetch(
        "SELECT * FROM finance.subscriptions WHERE user_id = $1", str(user["_id"])
    )
    assert (held["status"], held["amount"], held["auto_renew"]) == ("active", 0, False)
    assert held["current_period_end"] == last + timedelta(days=1)
    assert await shop.agrees(user["_id"])
    pair = (str(shop.facility), str(user["_id"]))
    assert (await remarks.tags_of(shop.stores.postgres, [pair]))[pair] == ["Sabah", "VIP"]
    assert [one["text"] for one in (await remarks.notes_of(shop.stores.postgres, [pair]))[pair]] == ["Dizi ağrıyor"]
    old = await shop.database.users.find_one({"emailNormalized": "old@example.org"})
    assert [one["status"] async for one in shop.database.member_subscriptions.find({"userId": old["_id"]})] == [
        "expired"
    ]
    kept = await everything(shop)
    assert kept["finance.transactions"] == before["finance.transactions"]  # money that was paid elsewhere is not ours
    assert sums(await bring(shop, text)) == (0, 0, 2, 0)
    assert await everything(shop) == kept
    assert sums(await bring(shop, text.replace("Sabah", "Akşam"))) == (0, 1, 1, 0)


async def test_nothing_a_person_or_the_desk_says_is_overwritten(shop: Shop) -> None:
    plan, person = await shop.plan(), await shop.person()
    await shop.sell(plan, person)
    stored = await shop.database.users.find_one({"_id": person})
    [held] = await shop.stores.postgres.fetch("SELECT * FROM finance.subscriptions WHERE user_id = $1", str(person))
    earlier = held["current_period_end"] - timedelta(days=5)
    assert sums(await bring(shop, HEADER + row("Başka Ad", stored["email"], last=earlier))) == (0, 0, 1, 0)
    report = await bring(shop, HEADER + row("Başka Ad", stored["email"], last=earlier + timedelta(days=99), note="x"))
    assert [(one.line, one.refusal.code) for one in report.rejected] == [(2, "ALREADY_SUBSCRIBED")]
    assert await shop.database.users.find_one({"_id": person}) == stored
    assert await shop.stores.postgres.fetch("SELECT * FROM finance.subscriptions WHERE user_id = $1", str(person)) == [
        held
    ]
    stranger = await shop.person()  # has an account, and was never here
    email = f"{stranger}@example.org"
    assert sums(await bring(shop, HEADER + row("Başka Ad", email))) == (1, 0, 0, 0)
    assert (await shop.database.users.find_one({"_id": stranger}))["firstName"] == "Ada"
    assert await shop.agrees(stranger)


async def test_every_row_that_is_left_out_says_where_and_why(shop: Shop) -> None:
    await shop.plan()
    good = row("Ada Işık", "ada@example.org")
    text = HEADER + "".join(
        (
            good,
            good,
            row("Ada Işık", "no address"),
            row("Tek", "tek@example.org"),
            row("Ada Işık", "b@example.org").replace(PLAN, "Yok"),
            row("Ada Işık", "c@example.org").replace(f";{PLAN}", ";"),
            row("Ada Işık", "d@example.org", tags=",".join(map(str, range(21)))),
            row("Ada Işık", "e@example.org").replace("31.12.1990", "31.02.1990"),
            "Ada;f@example.org\n",
            row("Ada Işık", ""),
            row("Ada Işık", "g@example.org").replace(PLAN, "").replace(f"{TODAY + timedelta(days=40):%d.%m.%Y}", ""),
        )
    )
    report = await bring(shop, text)
    assert [(one.line, one.column, one.refusal.code) for one in report.rejected] == [
        (3, "E-posta", "BAD_USER_INPUT"),
        (4, "E-posta", "BAD_USER_INPUT"),
        (5, "Ad Soyad", "BAD_USER_INPUT"),
        (6, "Üyelik", "NOT_FOUND"),
        (7, "Üyelik", "BAD_USER_INPUT"),
        (8, "Etiketler", "BAD_USER_INPUT"),
        (9, "Doğum Tarihi", "BAD_USER_INPUT"),
        (10, None, "BAD_USER_INPUT"),
        (11, "Cep Telefonu", "BAD_USER_INPUT"),
        (12, "Üyelik", "MEMBERSHIP_REQUIRED"),
    ]
    assert sums(report)[:3] == (1, 0, 0)
    phone = "Telefon;Etiket\n+90 532 123 45 67;Akşam\n"
    assert sums(await bring(shop, phone)) == (0, 1, 0, 0)  # a member is known by the phone alone
    await bring(shop, HEADER + row("Kardeş Işık", "k@example.org"))
    assert [one.line for one in (await bring(shop, phone)).rejected] == [2]  # now two have it


async def test_who_may_not_and_what_is_no_file_change_nothing(shop: Shop) -> None:
    await shop.plan()
    text = HEADER + row("Ada Işık", "nobody@example.org")
    before = await everything(shop)
    reader = Actor(ObjectId())
    entry = {"userId": reader.user_id, "role": "reception", "permissions": ["members_read"], "joinedAt": NOW}
    await shop.database.facilities.update_one({"_id": shop.facility}, {"$push": {"staff": entry}})
    for actor, refusal in ((GUEST, Unauthenticated), (Actor(ObjectId()), Forbidden), (reader, Forbidden)):
        with pytest.raises(refusal):
            await bring(shop, text, actor=actor)
    with pytest.raises(NotFound):
        await member_import.permitted(shop.stores.mongo, shop.owner, ObjectId())
    with pytest.raises(BadInput):
        await bring(shop, text + '"')  # an open quote at the very end: the rows before it are not added either
    assert await everything(shop) == before


async def test_two_who_import_the_same_file_at_once_add_everybody_once(shop: Shop) -> None:
    await shop.plan()
    text = HEADER + "".join(row(f"Üye {n} Işık", f"parallel{n}@example.org", tags="a") for n in range(130))
    done = await asyncio.gather(*(bring(shop, text) for _ in range(3)), return_exceptions=True)
    # On a machine that is slow enough one may give up waiting for its turn, and is to be sent again.
    assert all(isinstance(one, member_import.Report | StoreUnavailable | WriteConflict) for one in done), done
    last = await bring(shop, text)
    assert (last.created + last.unchanged, last.updated, last.rejected) == (130, 0, [])
    rows = await shop.stores.postgres.fetch(
        "SELECT user_id FROM finance.subscriptions WHERE facility_id = $1", str(shop.facility)
    )
    assert len(rows) == len({row["user_id"] for row in rows}) == 130
    held = await shop.database.member_subscriptions.find({"facilityId": shop.facility}).to_list()
    assert {str(one["userId"]) for one in held} == {row["user_id"] for row in rows}
