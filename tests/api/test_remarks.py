"""Members as owners sort them: tags, notes, birthdays and filters; the rules are in tests/memberships."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from bson import ObjectId

from nexfit.settings import FilesSettings, Settings
from nexfit.stores.connections import Stores

from .conftest import Client, facility_of, global_id, login, running

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


async def test_a_file_is_sent_looked_at_imported_and_reported(
    small_settings: Settings, small_stores: Stores, tmp_path: Path
) -> None:
    facility = await facility_of(small_stores, "karsiyaka")
    place = global_id("Facility", facility)
    [known] = await small_stores.postgres.fetch(
        """SELECT user_id FROM platform.member_facts f WHERE facility_id = $1
           AND NOT EXISTS (SELECT FROM platform.member_tags t WHERE t.user_id = f.user_id) ORDER BY 1 LIMIT 1""",
        str(facility),
    )
    person = await small_stores.mongo.database.users.find_one({"_id": ObjectId(known["user_id"])})
    plan = await small_stores.mongo.database.memberships.find_one({"facilityId": facility, "isActive": True})
    assert person is not None
    assert plan is not None
    last = datetime.now(UTC).date() + timedelta(days=30)
    file = f"""Ad;Soyad;E-posta;Plan;Bitiş;Etiket;=HYPERLINK("x")
Başka;İsim;{person["email"]};;;Dosyadan;1
Yeni;Üye;hic-kimse@example.org;{plan["name"]};{last:%d.%m.%Y};;2
Yeni;Üye;hic-kimse;{plan["name"]};{last:%d.%m.%Y};;3
"""
    upload = "mutation ($i: RequestMembersUploadInput!) { requestMembersUpload(input: $i) { key address } }"
    import_ = """mutation ($i: ImportMembersInput!) { importMembers(input: $i) {
        dryRun rows created updated unchanged rejected rejectedRows { line column code message } ignoredColumns
        report { address } userErrors { code path } } }"""
    settings = small_settings.model_copy(update={"files": FilesSettings(root=tmp_path, address_seconds=60)})
    async with running(settings) as http:
        owner = await login(http, "owner@demo.nexfit.app")
        sent = await asked(owner, upload, facility=place)
        assert (await http.put(sent["address"], content=file.encode("cp1254"))).status_code == 201
        http.headers["accept-language"] = "tr"
        looked = await asked(owner, import_, facility=place, upload=sent["key"])
        report = await http.get(looked.pop("report")["address"])
        assert looked == {
            "dryRun": True, "rows": 3, "created": 1, "updated": 1, "unchanged": 0, "rejected": 1, "userErrors": [],
            "rejectedRows": [{"line": 4, "column": "E-posta", "code": "BAD_USER_INPUT",
                              "message": "email bir e-posta adresi olmalıdır."}],
            "ignoredColumns": ['=HYPERLINK("x")'],
        }  # fmt: skip
        assert report.headers["content-disposition"].startswith("attachment")
        assert report.text.splitlines()[1].startswith("4,E-posta,BAD_USER_INPUT,email")
        sent = await asked(owner, upload, facility=place)
        assert (await http.put(sent["address"], content="\n".join(file.splitlines()[:2]).encode())).status_code == 201
        for updated in (1, 0):
            done = await asked(owner, import_, facility=place, upload=sent["key"], dryRun=False)
            assert (done["updated"], done["unchanged"], done["report"]) == (updated, 1 - updated, None)
        member = global_id("Member", f"{facility}:{known['user_id']}")
        untagged = await asked(owner, TAG, member=member, remove=["Dosyadan"])
        assert (untagged["userErrors"], untagged["member"]["tags"]) == ([], [])
        never_sent = sent["key"][:-5] + ("1.csv" if sent["key"][-5] == "0" else "0.csv")
        for key in ("x", sent["key"].replace(str(facility), str(ObjectId())), never_sent):
            refused = await asked(owner, import_, facility=place, upload=key)
            assert refused["userErrors"] == [{"code": "NOT_FOUND", "path": ["upload"]}]
        desk = await login(http, "client@demo.nexfit.app")
        for mutation, more in ((upload, {}), (import_, {"upload": sent["key"]})):
            refused = await desk.run(mutation, {"i": {"facility": place, **more}})
            assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
