"""Members as owners sort them: tags, notes, birthdays and filters; the rules are in tests/memberships."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from bson import ObjectId

from nexfit.stores.connections import Stores

from .conftest import Client, facility_of, global_id, login

SHOWN = "member { id birthday tags notes { id text author { firstName } } } userErrors { code path }"
TAG = f"mutation ($i: TagMemberInput!) {{ tagMember(input: $i) {{ {SHOWN} }} }}"
NOTE = f"mutation ($i: AddMemberNoteInput!) {{ addMemberNote(input: $i) {{ {SHOWN} }} }}"
REMOVE = f"mutation ($i: RemoveMemberNoteInput!) {{ removeMemberNote(input: $i) {{ {SHOWN} }} }}"


async def asked(client: Client, mutation: str, **input_: Any) -> Any:
    """The payload."""
    [payload] = (await client.data(mutation, {"i": input_})).values()
    return payload


async def test_a_member_is_tagged_found_by_it_and_noted(small_owner: Client, small_stores: Stores) -> None:
    facility = await facility_of(small_stores, "karsiyaka")
    place = global_id("Facility", facility)
    rows = await small_stores.postgres.fetch(
        """SELECT user_id, birthday FROM platform.member_facts f WHERE facility_id = $1 AND birthday IS NOT NULL
           ORDER BY EXISTS (SELECT FROM platform.member_tags t WHERE t.user_id = f.user_id), user_id""",
        str(facility),
    )
    member = global_id("Member", f"{facility}:{rows[0]['user_id']}")
    tagged = await asked(small_owner, TAG, member=member, add=["VIP Üye"])
    assert tagged["userErrors"] == []
    day = rows[0]["birthday"]
    assert tagged["member"] == {
        "id": member, "birthday": f"{day // 100:02d}-{day % 100:02d}", "tags": ["VIP Üye"], "notes": [],
    }  # fmt: skip

    async def found(filter_: str) -> set[str]:
        query = f'{{ facility(id: "{place}") {{ members(first: 100, filter: {{ {filter_} }}) {{ nodes {{ id }} }} }} }}'
        return {node["id"] for node in (await small_owner.data(query))["facility"]["members"]["nodes"]}

    assert await found('tag: "vip UYE"') == {member}
    assert await found('tag: "başka"') == set()
    born = {row["user_id"] for row in rows if row["birthday"] // 100 == day // 100}
    assert await found(f"bornInMonth: {day // 100}") == {global_id("Member", f"{facility}:{user}") for user in born}
    query = f'{{ facility(id: "{place}") {{ members(filter: {{ bornInMonth: 13 }}) {{ nodes {{ id }} }} }} }}'
    assert (await small_owner.run(query))["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    noted = await asked(small_owner, NOTE, member=member, text="  Sabah gelir ", idempotencyKey=uuid4().hex)
    [note] = noted["member"]["notes"]
    assert (note["text"], note["author"]["firstName"] != "") == ("Sabah gelir", True)
    for email in ("studio", "client", "coach"):
        stranger = await login(small_owner.http, f"{email}@demo.nexfit.app")
        for mutation, input_ in (
            (TAG, {"member": member, "add": ["x"]}),
            (NOTE, {"member": member, "text": "x", "idempotencyKey": "x"}),
            (REMOVE, {"note": note["id"]}),
        ):
            refused = await asked(stranger, mutation, **input_)
            assert [error["code"] for error in refused["userErrors"]] == ["NOT_FOUND"]
    for mutation, input_, code, path in (
        (TAG, {"member": "x"}, "BAD_USER_INPUT", ["member"]),
        (TAG, {"member": global_id("Member", f"{facility}:{ObjectId()}")}, "NOT_FOUND", ["member"]),
        (TAG, {"member": member, "add": [" "]}, "BAD_USER_INPUT", ["add"]),
        (NOTE, {"member": member, "text": " ", "idempotencyKey": "y"}, "BAD_USER_INPUT", ["text"]),
        (REMOVE, {"note": "x"}, "NOT_FOUND", ["note"]),
    ):
        refused = await asked(small_owner, mutation, **input_)
        assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [(code, path)], input_
    removed = await asked(small_owner, REMOVE, note=note["id"])
    assert removed["member"]["notes"] == []
    untagged = await asked(small_owner, TAG, member=member, remove=["VIP ÜYE"])
    assert untagged["member"]["tags"] == []
