"""Staff through the API: invited, joined, changed and removed, with effect at once in every process."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Decimal128, ObjectId

from tests.api.conftest import Client, global_id, local

from .conftest import Person, Town, asks, codes
from .test_editing import UPDATE, staff_of

SHOWN = """facility { staff { user { id } role permissions } staffInvitations { email role permissions } }
  userErrors { code path message }"""
INVITE = f"mutation ($i: InviteStaffInput!) {{ inviteStaff(input: $i) {{ {SHOWN} }} }}"
WITHDRAW = f"mutation ($i: WithdrawStaffInvitationInput!) {{ withdrawStaffInvitation(input: $i) {{ {SHOWN} }} }}"
ACCEPT = """mutation ($i: AcceptStaffInvitationInput!) { acceptStaffInvitation(input: $i) {
  facility { id name } userErrors { code path message } } }"""
CHANGE = f"mutation ($i: ChangeStaffInput!) {{ changeStaff(input: $i) {{ {SHOWN} }} }}"
REMOVE = """mutation ($i: RemoveStaffInput!) { removeStaff(input: $i) {
  facility { name } userErrors { code path message } } }"""
STAFF = "query ($id: ID!) { facility(id: $id) { staff { user { id } role permissions } } }"
SUBSCRIBERS = "query ($id: ID!) { node(id: $id) { ... on Membership { name activeSubscribers } } }"
MEMBERS = "query ($id: ID!) { facility(id: $id) { name members(first: 2) { nodes { id } } } }"


async def invited(town: Town, by: Person, facility: str, person: Person, *permissions: str, role: str = "COACH") -> str:
    """The token of a new invitation."""
    sent = len([one for one in town.mailbox.messages if one.to == person.email])
    payload = await asks(
        by.here, INVITE, facility=facility, email=person.email, role=role, permissions=list(permissions)
    )
    assert codes(payload) == []
    secret = (await town.mailbox.newest(person.email, "staff_invitation", sent + 1)).secret
    assert secret is not None
    return secret


async def test_who_is_invited_joins_with_what_was_given(town: Town) -> None:
    owner, coach = await town.person("gym_owner"), await town.person("coach")
    id_ = await town.facility(owner)
    token = await invited(town, owner, id_, coach, "CHECK_IN", "MEMBERS_READ")
    assert (await coach.there.run(STAFF, {"id": id_}))["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    payload = await asks(coach.here, ACCEPT, token=token)
    assert codes(payload) == []
    assert payload["facility"]["name"] == "Kule Spor"
    shown = [{"user": {"id": coach.gid}, "role": "COACH", "permissions": ["MEMBERS_READ", "CHECK_IN"]}]
    assert (await coach.there.data(STAFF, {"id": id_}))["facility"]["staff"] == shown
    stored = await town.stored("facilities", local(id_))
    assert stored["staffInvitations"] == []
    assert (await town.told(local(id_)))[-2:] == ["StaffInvited", "StaffJoined"]
    assert [entry["action"] for entry in await town.audited(local(id_))] == [
        "facility.created",
        "staff.invited",
        "staff.joined",
    ]
    # The link is used up, and nobody works there twice.
    assert codes(await asks(coach.here, ACCEPT, token=token)) == [("INVALID_CODE", ["token"])]
    again = await asks(owner.here, INVITE, facility=id_, email=coach.email.upper(), role="COACH")
    assert codes(again) == [("INVALID_TRANSITION", ["email"])]


async def test_a_link_is_for_one_person_once_and_not_for_long(town: Town) -> None:
    owner, coach, other = await town.person("gym_owner"), await town.person(), await town.person()
    id_ = await town.facility(owner)
    first = await invited(town, owner, id_, coach)
    token = await invited(town, owner, id_, coach)  # takes the place of the first
    before = await town.everything()
    wrong = [
        (other, token),
        (coach, first),
        (coach, token + "x"),
        (coach, "x"),
        (coach, f"{ObjectId()}-x"),
        (coach, ""),
    ]
    for person, given in wrong:
        assert codes(await asks(person.here, ACCEPT, token=given)) == [("INVALID_CODE", ["token"])]
    assert await town.everything() == before
    payloads = await asyncio.gather(*(asks(c, ACCEPT, token=token) for c in (coach.here, coach.there) * 5))
    assert sorted(len(codes(payload)) for payload in payloads) == [0] + [1] * 9
    assert len((await town.stored("facilities", local(id_)))["staff"]) == 1
    late = await invited(town, owner, id_, other)
    await town.database["facilities"].update_one(
        {"_id": ObjectId(local(id_))},
        {"$set": {"staffInvitations.0.expiresAt": datetime.now(UTC) - timedelta(seconds=1)}},
    )
    assert codes(await asks(other.here, ACCEPT, token=late)) == [("INVALID_CODE", ["token"])]
    back = await invited(town, owner, id_, other)
    assert codes(await asks(owner.here, WITHDRAW, facility=id_, email=other.email)) == []
    assert codes(await asks(other.here, ACCEPT, token=back)) == [("INVALID_CODE", ["token"])]
    assert codes(await asks(owner.here, WITHDRAW, facility=id_, email=other.email)) == [("NOT_FOUND", ["email"])]


async def test_an_invitation_ends_with_the_rights_of_who_sent_it(town: Town) -> None:
    owner, coach = await town.person("gym_owner"), await town.person()
    id_ = await town.facility(owner)
    manager = await staff_of(town, id_, "staff_write", "check_in")
    token = await invited(town, manager, id_, coach, "CHECK_IN")
    fewer = await asks(owner.here, CHANGE, facility=id_, user=manager.gid, permissions=["STAFF_WRITE"])
    assert codes(fewer) == []
    assert codes(await asks(coach.here, ACCEPT, token=token)) == [("INVALID_CODE", ["token"])]


async def refused(town: Town, client: Client, query: str, **given: Any) -> str:
    """The code of the operation's error; nothing may have been written."""
    before = await town.everything()
    answer = await client.run(query, {"i": given})
    assert await town.everything() == before
    assert answer["data"] is None
    code: str = answer["errors"][0]["extensions"]["code"]
    return code


async def test_nobody_gives_or_takes_more_than_they_have(town: Town) -> None:
    owner = await town.person("gym_owner")
    id_ = await town.facility(owner)
    manager = await staff_of(town, id_, "staff_write", "check_in")
    desk, accountant = await staff_of(town, id_, "check_in"), await staff_of(town, id_, "finance_read")
    more = {"facility": id_, "permissions": ["CHECK_IN", "FINANCE_READ"]}
    assert await refused(town, manager.here, INVITE, **more, email="a@example.org", role="COACH") == "FORBIDDEN"
    assert await refused(town, manager.here, CHANGE, **more, user=desk.gid) == "FORBIDDEN"
    assert await refused(town, manager.here, CHANGE, **more, user=manager.gid) == "FORBIDDEN"
    assert await refused(town, manager.here, CHANGE, facility=id_, permissions=[], user=accountant.gid) == "FORBIDDEN"
    assert await refused(town, manager.here, REMOVE, facility=id_, user=accountant.gid) == "FORBIDDEN"
    given = await asks(manager.here, CHANGE, facility=id_, user=desk.gid, role="MANAGER", permissions=["STAFF_WRITE"])
    assert codes(given) == []
    assert codes(await asks(manager.here, REMOVE, facility=id_, user=desk.gid)) == []


async def test_everybody_may_leave_but_the_owner(town: Town) -> None:
    owner = await town.person("gym_owner")
    id_ = await town.facility(owner)
    desk, manager = await staff_of(town, id_), await staff_of(town, id_, "staff_write")
    for person in (owner, manager):
        before = await town.everything()
        payload = await asks(person.here, REMOVE, facility=id_, user=owner.gid)
        assert codes(payload) == [("INVALID_TRANSITION", ["user"])]
        payload = await asks(person.here, CHANGE, facility=id_, user=owner.gid, role="COACH")
        assert codes(payload) == [("INVALID_TRANSITION", ["user"])]
        assert await town.everything() == before
    assert codes(await asks(desk.here, REMOVE, facility=id_, user=desk.gid)) == []
    # Gone, he is a stranger.
    assert await refused(town, desk.here, REMOVE, facility=id_, user=desk.gid) == "FORBIDDEN"
    assert codes(await asks(owner.here, REMOVE, facility=id_, user=desk.gid)) == [("NOT_FOUND", ["user"])]


async def test_a_change_counts_at_once_in_every_process_also_for_answers_that_were_kept(town: Town) -> None:
    owner = await town.person("gym_owner")
    id_ = await town.facility(owner)
    desk = await staff_of(town, id_, "members_read", "facility_write")
    plan = ObjectId()
    now = datetime.now(UTC)
    await town.database["memberships"].insert_one(
        {
            "_id": plan,
            "facilityId": ObjectId(local(id_)),
            "name": "Aylık",
            "duration": {"value": 1, "unit": "month"},
            "price": Decimal128("900"),
            "currency": "TRY",
            "features": [],
            "limitations": {"classesIncluded": True},
            "isActive": True,
            "createdAt": now,
            "updatedAt": now,
        }
    )
    plan_id = {"id": global_id("Membership", plan)}

    async def seen() -> list[Any]:
        found = []
        for client in (desk.here, desk.there):
            members = await client.run(MEMBERS, {"id": id_})
            found += [members["data"]["facility"]["members"], (await client.data(SUBSCRIBERS, plan_id))["node"]]
        return found

    for _ in range(2):  # the second time from the cache
        assert await seen() == [{"nodes": []}, {"name": "Aylık", "activeSubscribers": 0}] * 2
    fewer = await asks(owner.there, CHANGE, facility=id_, user=desk.gid, permissions=["FACILITY_WRITE"])
    assert codes(fewer) == []
    for _ in range(2):
        assert await seen() == [None, {"name": "Aylık", "activeSubscribers": None}] * 2
    more = await asks(owner.here, CHANGE, facility=id_, user=desk.gid, permissions=["MEMBERS_READ", "FACILITY_WRITE"])
    assert codes(more) == []
    for _ in range(2):
        assert await seen() == [{"nodes": []}, {"name": "Aylık", "activeSubscribers": 0}] * 2
    assert codes(await asks(desk.there, UPDATE, facility=id_, name="Yeni")) == []
    assert codes(await asks(owner.here, REMOVE, facility=id_, user=desk.gid)) == []
    assert await seen() == [None, {"name": "Aylık", "activeSubscribers": None}] * 2
    assert await refused(town, desk.there, UPDATE, facility=id_, name="Eski") == "FORBIDDEN"


@pytest.mark.parametrize("how", ["invite", "join"])
async def test_changes_at_the_same_time_lose_nobody(town: Town, how: str) -> None:
    owner = await town.person("gym_owner")
    id_ = await town.facility(owner)
    people = [await town.person() for _ in range(8)]
    if how == "invite":
        given = [{"facility": id_, "email": one.email, "role": "COACH"} for one in people]
        payloads = await asyncio.gather(*(asks(owner.here, INVITE, **one) for one in given))
    else:
        tokens = [await invited(town, owner, id_, one) for one in people]
        payloads = await asyncio.gather(*(asks(p.there, ACCEPT, token=t) for p, t in zip(people, tokens, strict=True)))
    assert [codes(payload) for payload in payloads] == [[]] * 8
    stored = await town.stored("facilities", local(id_))
    assert len(stored["staffInvitations" if how == "invite" else "staff"]) == 8
