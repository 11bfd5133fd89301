"""Exercises: found by words and what they are, made and changed by who may, shown in the reader's language."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from nexfit.domains.vocabulary import words
from nexfit.stores.connections import Stores

from .conftest import PASSWORD, Client, account, global_id, local, login

CREATE = """mutation ($i: CreateExerciseInput!) { payload: createExercise(input: $i) {
    exercise { id name language isPublic bodyAreas tags alternates { id } creator { id } translations { name } }
    similar { id name } userErrors { code path } } }"""
UPDATE = CREATE.replace("CreateExerciseInput", "UpdateExerciseInput").replace("createExercise", "updateExercise")
FIND = """query ($f: ExercisesFilter) { exercises(first: 100, filter: $f) { totalCount nodes { id name } } }"""


async def found(client: Client, **filter: Any) -> list[str]:
    """Turkish names of what a filter finds, in its order."""
    headers = {"accept-language": "tr"} | ({"authorization": f"Bearer {client.token}"} if client.token else {})
    answer = await client.http.post("/graphql", json={"query": FIND, "variables": {"f": filter}}, headers=headers)
    data = answer.json()["data"]["exercises"]
    assert data["totalCount"] == len(data["nodes"])
    return [node["name"] for node in data["nodes"]]


async def make(client: Client, mutation: str = CREATE, /, **fields: Any) -> Any:
    if mutation == CREATE:
        fields = {"idempotencyKey": str(ObjectId()), **fields}
    return (await client.data(mutation, {"i": fields}))["payload"]


@pytest.fixture
async def trainer(small_http: httpx.AsyncClient, small_stores: Stores) -> AsyncIterator[Client]:
    """A coach; what anybody made meanwhile is taken back."""
    _, email = await account(small_stores, role=["coach"])
    yield await login(small_http, email, PASSWORD)
    await small_stores.mongo.database["exercises"].delete_many({"createdBy": {"$exists": True}})


async def somebody(http: httpx.AsyncClient, stores: Stores) -> Client:
    _, email = await account(stores)
    return await login(http, email, PASSWORD)


# --- search


async def test_words_are_found_in_either_language_without_marks_and_with_slips(guest: Client, stores: Stores) -> None:
    squats = await found(guest, text="squat")
    assert squats
    squat = await stores.mongo.database["exercises"].find_one({"name": squats[0]}) or {}
    english = squat["translations"][0]["name"]
    for asked in (squat["name"], english, english.upper(), f"  {english}  ", f"{english}!"):
        assert squat["name"] in await found(guest, text=asked), asked
    assert await found(guest, text="sqaut") == await found(guest, text="squta") == await found(guest, text="squat")
    assert await found(guest, text="squa") == squats  # the beginning of a word
    assert "Plank" in await found(guest, text="plnak")
    assert "Yan Plank" in await found(guest, text="side plank")
    assert (await found(guest, text="plank"))[0] == "Plank"  # the shortest name first
    assert await found(guest, text="KOSU") == await found(guest, text="koşu")
    for nothing in ("xqzwv", "squat xqzwv"):
        assert await found(guest, text=nothing) == []
    everything = await found(guest)
    assert (
        await found(guest, text="  ")
        == await found(guest, text="!?")
        == everything
        == sorted(everything, key=words.fold)
    )


async def test_filters_narrow_what_is_found(guest: Client, stores: Stores) -> None:
    rows = await stores.mongo.database["exercises"].find({"isPublic": True}).sort("nameFolded", 1).to_list()

    def names(**matching: Any) -> list[str]:
        return [
            row["name"]
            for row in rows
            if all(
                set(wanted) & set(row["metadata"][name])
                if isinstance(wanted, tuple)
                else row["metadata"][name] == wanted
                for name, wanted in matching.items()
            )
        ]

    assert await found(guest, bodyAreas=["Core", "obliques"]) == names(bodyAreas=("core", "obliques"))
    assert await found(guest, equipment=["barbell"]) == names(equipment=("barbell",))
    assert await found(guest, difficulty="BEGINNER", type="core") == names(difficultyLevel="beginner", type="core")
    assert "Plank" in await found(guest, text="plank", bodyAreas=["core"], difficulty="BEGINNER")
    assert await found(guest, text="plank", bodyAreas=["chest"]) == []
    assert await found(guest, tags=["no such tag"]) == []
    for bad in ({"text": "x" * 201}, {"bodyAreas": ["x"] * 21}, {"tags": ["x" * 201]}):
        answer = await guest.run(FIND, {"f": bad})
        assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT", bad
    assert (await guest.run(FIND, {"f": {"mine": True}}))["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_what_is_found_by_words_is_paged_in_its_order(guest: Client) -> None:
    query = """query ($first: Int, $after: String, $last: Int, $before: String) {
        exercises(filter: { text: "pu" }, first: $first, after: $after, last: $last, before: $before) {
            nodes { id } pageInfo { hasNextPage endCursor hasPreviousPage startCursor } } }"""
    whole = [node["id"] for node in (await guest.data(query, {"first": 100}))["exercises"]["nodes"]]
    assert len(whole) > 3
    ids, after = [], None
    while True:
        page = (await guest.data(query, {"first": 2, "after": after}))["exercises"]
        ids += [node["id"] for node in page["nodes"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert ids == whole
    last = (await guest.data(query, {"last": 2}))["exercises"]
    assert [node["id"] for node in last["nodes"]] == whole[-2:]
    other = """query ($after: String) { exercises(after: $after) { nodes { id } } }"""
    refused = await guest.run(other, {"after": after})
    assert refused["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_search_takes_few_commands_however_much_it_finds(guest: Client) -> None:
    for text, commands in (("squat", 2), ("side plank", 3), ("sqaut", 3), (None, 1)):
        _, log = await guest.counted(
            "query ($t: String) { exercises(filter: { text: $t }) { nodes { name } } }", {"t": text}
        )
        assert (log.count("mongo"), log.count("postgres")) == (commands, 0), text


@given(st.text(alphabet="abcdeıİşñ ", max_size=12), st.integers(0, 11), st.sampled_from("abcde"))
def test_one_slip_in_a_longer_word_is_forgiven(text: str, place: int, letter: str) -> None:
    for word in words.split(text):
        at = place % len(word)
        for slip in (word[:at] + letter + word[at:], word[:at] + word[at + 1 :], word[:at] + letter + word[at + 1 :]):
            assert (words.slips(word, slip, 1) or 0) <= 1
            assert words.slips(word, slip, 1) == words.slips(slip, word, 1)
            if words.forgiven(word):
                assert len(set(words.grams(word)) & set(words.grams(slip))) >= words.least_common(word)
        assert words.slips(word, word, 0) == 0


def test_slips_are_counted_as_hands_make_them() -> None:
    for one, other, expected in (
        ("squat", "sqaut", 1),
        ("press", "pres", 1),
        ("deadlift", "daedlfit", 2),
        ("a", "", 1),
    ):
        assert words.slips(one, other, 2) == expected
    assert words.slips("press", "plank", 2) is None
    assert words.nearest("prezz", ["press", "prez", "prezzi", "plank"]) == ["prez", "prezzi"]
    assert words.nearest("cat", ["cab"]) == []


# --- languages


async def test_texts_are_in_the_language_asked_for_where_there_is_one(guest: Client, stores: Stores) -> None:
    plank = await stores.mongo.database["exercises"].find_one({"name": "Yan Plank"}) or {}
    query = "query ($id: ID!) { node(id: $id) { ... on Exercise { name language instructions } } }"
    for language, shown in (("tr", "Yan Plank"), ("en", "Side Plank"), ("pl", "Yan Plank")):
        response = await guest.http.post(
            "/graphql",
            json={"query": query, "variables": {"id": global_id("Exercise", plank["_id"])}},
            headers={"accept-language": language},
        )
        node = response.json()["data"]["node"]
        assert node["name"] == shown
        assert node["language"] == ("EN" if language == "en" else "TR")
        assert len(node["instructions"]) == 3


# --- making and changing


async def test_what_somebody_makes_is_their_own_until_a_coach_publishes_it(
    trainer: Client, small_http: httpx.AsyncClient, small_stores: Stores
) -> None:
    plank = (await trainer.data(FIND, {"f": {"text": "plank"}}))["exercises"]["nodes"][0]
    made = await make(
        trainer,
        name="Zıpkın Plank",
        language="TR",
        translations=[{"language": "EN", "name": "Harpoon Plank"}],
        primaryBodyAreas=["Core"],
        secondaryBodyAreas=["Obliques", "core"],
        tags=["Denge"],
        alternates=[plank["id"]],
    )
    assert made["userErrors"] == []
    exercise = made["exercise"]
    viewer = (await trainer.data("{ viewer { id } }"))["viewer"]
    assert exercise["bodyAreas"] == ["core", "obliques"]
    assert (exercise["tags"], exercise["isPublic"], exercise["creator"]) == (["denge"], False, viewer)
    assert exercise["alternates"] == [{"id": plank["id"]}]
    other = await somebody(small_http, small_stores)
    node = {"query": "query ($id: ID!) { node(id: $id) { id } }", "variables": {"id": exercise["id"]}}
    for asked in ("zipkin plank", "harpoon", "denge", "harpon"):
        assert await found(trainer, text=asked) == ["Zıpkın Plank"], asked
        assert await found(other, text=asked) == [], asked
        assert await found(Client(small_http), text=asked) == []
    assert exercise["name"] == "Harpoon Plank"  # as nobody asked for Turkish
    assert await found(trainer, mine=True) == ["Zıpkın Plank"]
    assert (await other.run(**node))["data"]["node"] is None
    published = await make(trainer, UPDATE, exercise=exercise["id"], isPublic=True, name="Zıpkınlı Plank")
    assert published["userErrors"] == []
    assert await found(other, text="harpon") == await found(other, text="zıpkınlı") == ["Zıpkınlı Plank"]
    assert await found(other, text="plank zıpkın") == ["Zıpkınlı Plank"]
    assert (await other.run(**node))["data"]["node"] == {"id": exercise["id"]}
    stored = await small_stores.mongo.database["exercises"].find_one({"_id": ObjectId(local(exercise["id"]))}) or {}
    assert stored["alternateExercises"] == [ObjectId(local(plank["id"]))]  # what was not named stayed
    forgotten = await make(trainer, UPDATE, exercise=exercise["id"], tags=None, description=None)
    assert forgotten["exercise"]["tags"] is None
    assert await found(other, text="denge") == []


async def test_what_may_be_the_same_is_named_when_it_is_made(trainer: Client) -> None:
    first = await make(trainer, name="Kürek Çekişi Ekstra")
    assert first["similar"] == []
    again = await make(trainer, name="kurek cekisi ekstar")
    assert again["userErrors"] == []
    assert [one["id"] for one in again["similar"]] == [first["exercise"]["id"]]


async def test_making_twice_under_one_key_makes_one(trainer: Client, small_stores: Stores) -> None:
    fields = {"name": "Tek Sefer", "idempotencyKey": "once"}
    both = await asyncio.gather(make(trainer, **fields), make(trainer, **fields))
    assert both[0]["exercise"]["id"] == both[1]["exercise"]["id"]
    assert await small_stores.mongo.count("exercises", {"name": "Tek Sefer"}) == 1
    other = await make(trainer, **{**fields, "name": "Başka"})
    assert [error["code"] for error in other["userErrors"]] == ["IDEMPOTENCY_CONFLICT"]


async def test_a_change_is_told_and_audited_once(trainer: Client, small_stores: Stores) -> None:
    database = small_stores.mongo.database
    exercise = (await make(trainer, name="Bir Kez"))["exercise"]
    for _ in range(2):
        await make(trainer, UPDATE, exercise=exercise["id"], description="Yavaş.")
    entries = await database["audit_entries"].find({"entityId": local(exercise["id"])}).to_list()
    assert [entry["action"] for entry in entries] == ["exercise.saved"] * 2
    assert await database["outbox"].count_documents({"aggregateId": local(exercise["id"])}) == 2


async def test_what_is_refused_writes_nothing(
    trainer: Client, small_http: httpx.AsyncClient, small_stores: Stores
) -> None:
    database = small_stores.mongo.database
    client = await somebody(small_http, small_stores)
    mine = (await make(client, name="Benim"))["exercise"]["id"]
    hers = (await make(trainer, name="Onun"))["exercise"]["id"]
    [public, *_] = (await client.data(FIND, {"f": {}}))["exercises"]["nodes"]
    counted = ("exercises", "vocabulary", "audit_entries", "outbox")

    async def state() -> list[int]:
        return [await database[name].count_documents({}) for name in counted]

    before = await state()
    english = [{"language": "EN", "name": "B"}]
    refused: list[tuple[str, dict[str, Any], str, list[str]]] = [
        (CREATE, {"name": " "}, "BAD_USER_INPUT", ["name"]),
        (CREATE, {"name": "x" * 301}, "BAD_USER_INPUT", ["name"]),
        (CREATE, {"name": "A", "idempotencyKey": ""}, "BAD_USER_INPUT", ["idempotencyKey"]),
        (CREATE, {"name": "A", "videoUrl": "javascript:alert(1)"}, "BAD_USER_INPUT", ["videoUrl"]),
        (CREATE, {"name": "A", "calories": -1}, "BAD_USER_INPUT", ["calories"]),
        (CREATE, {"name": "A", "tags": ["x"] * 51}, "BAD_USER_INPUT", ["tags"]),
        (CREATE, {"name": "A", "alternates": [hers]}, "NOT_FOUND", ["alternateExercises"]),
        (CREATE, {"name": "A", "alternates": ["nonsense"]}, "NOT_FOUND", ["alternates"]),
        (CREATE, {"name": "A", "translations": english * 2}, "BAD_USER_INPUT", ["translations"]),
        (UPDATE, {"exercise": hers, "name": "Benim"}, "NOT_FOUND", ["exercise"]),
        (UPDATE, {"exercise": mine, "name": None}, "BAD_USER_INPUT", ["name"]),
        (UPDATE, {"exercise": mine, "alternates": [mine]}, "BAD_USER_INPUT", ["alternateExercises"]),
        (UPDATE, {"exercise": global_id("User", ObjectId()), "name": "B"}, "NOT_FOUND", ["exercise"]),
    ]
    forbidden = [
        (CREATE, {"name": "Açık", "isPublic": True, "idempotencyKey": "k"}),
        (UPDATE, {"exercise": public["id"], "name": "Benim"}),
        (UPDATE, {"exercise": mine, "isPublic": True}),
    ]
    for mutation, fields in forbidden:
        answer = await client.run(mutation, {"i": fields})
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"], fields
    for mutation, fields, code, path in refused:
        payload = await make(client, mutation, **fields)
        assert payload["exercise"] is None
        assert [(error["code"], error["path"]) for error in payload["userErrors"]] == [(code, path)], fields
    guest = await Client(small_http).run(CREATE, {"i": {"name": "A", "idempotencyKey": "k"}})
    assert guest["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert await state() == before
