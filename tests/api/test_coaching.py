"""Coaching through the API: an invitation, what the coach sees of the client, notes, and the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from bson import ObjectId

from nexfit.settings import Settings
from nexfit.stores.connections import Stores

from .conftest import PASSWORD, Client, account, assert_refused, global_id, login, running

RELATION = """relation { id status startDate endDate goals sharedScopes client { firstName } coach { firstName }
  notes { text } privateNotes { text } } userErrors { code path message }"""
SEEN = "query ($id: ID!) { node(id: $id) { ... on User { firstName bodyProfile { height } } } }"


@dataclass(slots=True)
class Pair:
    """A coach who teaches nothing, a client, both new, and the documents between them; taken away afterwards."""

    coach: Client
    client: Client
    person: ObjectId

    async def change(self, who: Client, name: str, **given: Any) -> Any:
        """The payload of a mutation of the relation."""
        type_ = {
            "inviteClient": "InviteClientInput",
            "acceptCoach": "AcceptCoachInput",
            "addCoachNote": "AddCoachNoteInput",
            "changeCoachNote": "ChangeCoachNoteInput",
            "removeCoachNote": "RemoveCoachNoteInput",
            "setCoachingGoals": "SetCoachingGoalsInput",
        }.get(name, "RelationInput")
        text = f"mutation ($i: {type_}!) {{ {name}(input: $i) {{ {RELATION} }} }}"
        return (await who.data(text, {"i": given}))[name]

    async def height(self) -> Any:
        """What the coach sees of the client's body."""
        node = (await self.coach.data(SEEN, {"id": global_id("User", self.person)}))["node"]
        return node and node["bodyProfile"] and node["bodyProfile"]["height"]


@pytest.fixture
async def pair(small_settings: Settings, small_stores: Stores) -> AsyncIterator[Pair]:
    """With the response cache on, as a server has it."""
    http = small_settings.http.model_copy(update={"response_cache": True})
    async with running(small_settings.model_copy(update={"http": http})) as served:
        person, email = await account(small_stores)
        coach, of_coach = await account(small_stores, role=["coach"], firstName="Ece", nameFolded="ece kaya")
        yield Pair(await login(served, of_coach, PASSWORD), await login(served, email, PASSWORD), person)
    database = small_stores.mongo.database
    await database.coach_clients.delete_many({"clientId": person})
    await database.consents.delete_many({"userId": person})
    await database.pt_sessions.delete_many({"clientId": person})
    for name in ("users", "credentials"):
        await database[name].delete_many({"_id": {"$in": [person, coach]}})


async def test_a_relation_from_its_invitation_to_its_end(pair: Pair) -> None:
    coach, client = pair.coach, pair.client
    me = {"client": global_id("User", pair.person), "goals": ["Güç", " ", "Hız"]}
    asked = await pair.change(coach, "inviteClient", **me)
    assert asked["userErrors"] == []
    relation = asked["relation"]
    assert (relation["status"], relation["goals"], relation["sharedScopes"]) == ("PENDING", ["Güç", "Hız"], [])
    assert (await pair.change(coach, "inviteClient", **me))["relation"]["id"] == relation["id"]
    found = await client.data("{ viewer { coaches(first: 5, status: PENDING) { nodes { id coach { firstName } } } } }")
    assert [node["id"] for node in found["viewer"]["coaches"]["nodes"]] == [relation["id"]]
    given = {"relation": relation["id"]}
    assert (await pair.change(coach, "acceptCoach", **given))["userErrors"][0]["code"] == "NOT_FOUND"
    accepted = (await pair.change(client, "acceptCoach", **given))["relation"]
    assert (accepted["status"], accepted["startDate"] is None) == ("ACTIVE", False)
    assert accepted["sharedScopes"] == ["MEASUREMENTS", "WORKOUTS", "NUTRITION", "NOTES"]
    await pair.change(coach, "addCoachNote", **given, text="Aferin")
    noted = (await pair.change(coach, "addCoachNote", **given, text="Diz ağrısı", private=True))["relation"]
    assert (noted["notes"], noted["privateNotes"]) == ([{"text": "Aferin"}], [{"text": "Diz ağrısı"}])
    mine = await client.data("{ viewer { coaches(first: 5) { nodes { notes { text } privateNotes { text } } } } }")
    assert mine["viewer"]["coaches"]["nodes"] == [{"notes": [{"text": "Aferin"}], "privateNotes": None}]
    refused = await pair.change(client, "addCoachNote", **given, text="Merhaba")
    assert (refused["relation"], refused["userErrors"][0]["code"]) == (None, "NOT_FOUND")
    ended = (await pair.change(client, "endCoaching", **given))["relation"]
    assert (ended["status"], ended["sharedScopes"]) == ("ENDED", [])
    again = await pair.change(client, "acceptCoach", **given)
    assert again["userErrors"][0]["code"] == "INVALID_TRANSITION"


async def test_a_note_and_the_goals_are_put_right_and_the_client_sees_it(pair: Pair) -> None:
    coach, client = pair.coach, pair.client
    asked = await pair.change(coach, "inviteClient", client=global_id("User", pair.person), goals=["Güç"])
    given = {"relation": asked["relation"]["id"]}
    await pair.change(client, "acceptCoach", **given)
    await pair.change(coach, "addCoachNote", **given, text="Afrein")
    await pair.change(coach, "addCoachNote", **given, text="Diz ağrısı", private=True)

    async def seen() -> Any:
        query = "{ viewer { coaches(first: 5) { nodes { goals notes { id text date changedAt } } } } }"
        [node] = (await client.data(query))["viewer"]["coaches"]["nodes"]
        return node

    [note] = (await seen())["notes"]
    assert note["changedAt"] is None
    for _ in range(2):
        changed = await pair.change(coach, "changeCoachNote", **given, note=note["id"], text=" Aferin ")
        assert changed["userErrors"] == []
    [after] = (await seen())["notes"]
    assert (after["id"], after["text"], after["date"]) == (note["id"], "Aferin", note["date"])
    assert after["changedAt"] >= note["date"]
    set_ = await pair.change(coach, "setCoachingGoals", **given, goals=["Hız", " "])
    assert (set_["relation"]["goals"], (await seen())["goals"]) == (["Hız"], ["Hız"])
    own = {"note": note["id"], "text": "a"}
    for who, name, more, code, path in (
        (client, "changeCoachNote", own, "NOT_FOUND", ["relation"]),
        (client, "removeCoachNote", {"note": note["id"]}, "NOT_FOUND", ["relation"]),
        (client, "setCoachingGoals", {"goals": []}, "NOT_FOUND", ["relation"]),
        (coach, "changeCoachNote", {**own, "note": global_id("Note", ObjectId())}, "NOT_FOUND", ["note"]),
        (coach, "changeCoachNote", {**own, "note": given["relation"]}, "NOT_FOUND", ["note"]),
        (coach, "removeCoachNote", {"note": "x"}, "NOT_FOUND", ["note"]),
        (coach, "changeCoachNote", {**own, "text": " "}, "BAD_USER_INPUT", ["text"]),
        (coach, "setCoachingGoals", {"goals": ["a"] * 51}, "BAD_USER_INPUT", ["goals"]),
    ):
        refused = await pair.change(who, name, **given, **more)
        assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [(code, path)], (name, more)
        assert refused["relation"] is None
    assert await seen() == {"goals": ["Hız"], "notes": [after]}
    for _ in range(2):
        removed = await pair.change(coach, "removeCoachNote", **given, note=note["id"])
        assert (removed["userErrors"], removed["relation"]["notes"]) == ([], [])
        assert removed["relation"]["privateNotes"] == [{"text": "Diz ağrısı"}]
    await pair.change(coach, "endCoaching", **given)
    for name, more in (("removeCoachNote", {"note": note["id"]}), ("setCoachingGoals", {"goals": []})):
        refused = await pair.change(coach, name, **given, **more)
        assert refused["userErrors"][0]["code"] == "INVALID_TRANSITION"


async def test_the_end_is_seen_by_the_next_question(pair: Pair, small_stores: Stores) -> None:
    part = {"roleSpecificData": {"client": {"fitnessLevel": "beginner"}}}
    await small_stores.mongo.database.users.update_one({"_id": pair.person}, {"$set": part})
    profile = "mutation ($i: UpdateProfileInput!) { updateProfile(input: $i) { userErrors { code message } } }"
    changed = await pair.client.data(profile, {"i": {"client": {"height": 171}}})
    assert changed["updateProfile"]["userErrors"] == []
    asked = await pair.change(pair.coach, "inviteClient", client=global_id("User", pair.person))
    given = {"relation": asked["relation"]["id"]}
    for who in (pair.client, pair.coach):
        assert await pair.height() is None
        await pair.change(pair.client, "acceptCoach", **given)
        for _ in range(3):
            assert await pair.height() == 171
        await pair.change(who, "endCoaching", **given)
        assert await pair.height() is None
        asked = await pair.change(pair.coach, "inviteClient", client=global_id("User", pair.person))
        given = {"relation": asked["relation"]["id"]}


async def test_who_may_not_is_told_so_and_bad_input_has_its_place(pair: Pair, small_http: httpx.AsyncClient) -> None:
    text = f"mutation ($i: InviteClientInput!) {{ inviteClient(input: $i) {{ {RELATION} }} }}"
    me = {"client": global_id("User", pair.person)}
    assert_refused(await Client(small_http).post(text, {"i": me}), "UNAUTHENTICATED")
    assert_refused(await pair.client.post(text, {"i": {"client": global_id("User", ObjectId())}}), "FORBIDDEN")
    for given, code, path in (
        ({"client": "x"}, "NOT_FOUND", ["client"]),
        ({"client": global_id("User", ObjectId())}, "NOT_FOUND", ["client"]),
        ({**me, "goals": ["a" * 301]}, "BAD_USER_INPUT", ["goals"]),
        ({**me, "goals": ["a"] * 51}, "BAD_USER_INPUT", ["goals"]),
    ):
        refused = await pair.change(pair.coach, "inviteClient", **given)
        assert refused["relation"] is None
        assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [(code, path)]
    asked = await pair.change(pair.coach, "inviteClient", **me)
    for text in ("", " ", "a" * 10_001, "a\0b"):
        refused = await pair.change(pair.coach, "addCoachNote", relation=asked["relation"]["id"], text=text)
        assert [error["path"] for error in refused["userErrors"]] == [["text"]]
