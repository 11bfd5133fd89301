"""A coach looks at a client (workflow 8.1 to 8.4): relation and scope decide, reads are recorded, at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from bson import ObjectId
from graphql import get_named_type, is_leaf_type

from nexfit.api.rights import MATRIX
from nexfit.domains.identity.documents import ConsentScope
from nexfit.settings import FilesSettings, Settings
from nexfit.stores.connections import Stores
from nexfit.stores.field_encryption import Place

from .conftest import TODAY, Client, global_id, local, login, running
from .walk import asked, object_type

HEALTH = """medicalConditions bodyProfile { height weight } measurements(first: 2) { totalCount nodes {
    id measurements { weight } photos { url } } }"""
ONE = f"query ($id: ID!) {{ node(id: $id) {{ ... on User {{ id firstName {HEALTH} }} }} }}"
CHANGE = """mutation ($i: ConsentInput!) { payload: %s(input: $i) {
    consent { coach { id } scopes } userErrors { code path } } }"""
EVERYTHING = ["MEASUREMENTS", "PHOTOS", "WORKOUTS", "NUTRITION", "MEDICAL", "NOTES"]


@dataclass
class Pair:
    """A coach, a client of theirs with conditions, and the documents between them, restored afterwards."""

    coach: Client
    client: Client
    stores: Stores
    coach_id: ObjectId
    client_id: ObjectId

    @property
    def asked(self) -> dict[str, str]:
        return {"id": global_id("User", self.client_id)}

    async def change(self, mutation: str, scopes: list[str], *, by: Client | None = None) -> Any:
        given = {"coach": global_id("User", self.coach_id), "scopes": scopes}
        return (await (by or self.client).data(CHANGE % mutation, {"i": given}))["payload"]

    async def seen(self) -> Any:
        return (await self.coach.data(ONE, self.asked))["node"]

    async def reads(self) -> list[Any]:
        """Those of the tests, the latest first."""
        query = """query ($after: String) { viewer { medicalReads(first: 100, after: $after) {
            nodes { at fields viewer { id } } pageInfo { hasNextPage endCursor } } } }"""
        found: list[Any] = []
        page: dict[str, Any] = {"hasNextPage": True, "endCursor": None}
        while page["hasNextPage"]:
            reads = (await self.client.data(query, {"after": page["endCursor"]}))["viewer"]["medicalReads"]
            found += reads["nodes"]
            page = reads["pageInfo"]
        return [read for read in found if read["at"][:10] > str(TODAY)]  # the others are the demo's


@pytest.fixture(scope="module")
async def http_with_files(
    small_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.AsyncClient, Path]]:
    """The application over stores for writing, with a folder of files."""
    root = tmp_path_factory.mktemp("files")
    made = small_settings.model_copy(update={"files": FilesSettings(root=root, address_seconds=60)})
    async with running(made) as client:
        yield client, root


@pytest.fixture
async def pair(http_with_files: tuple[httpx.AsyncClient, Path], small_stores: Stores) -> AsyncIterator[Pair]:
    http, _ = http_with_files
    coach, client = await login(http, "coach@demo.nexfit.app"), await login(http, "client@demo.nexfit.app")
    ids = [ObjectId(local((await one.data("{ viewer { id } }"))["viewer"]["id"])) for one in (coach, client)]
    database = small_stores.mongo.database
    kept = {
        name: await database[name].find(query).to_list()
        for name, query in (
            ("coach_clients", {"clientId": ids[1]}),
            ("consents", {"userId": ids[1]}),
            ("measurements", {"userId": ids[1]}),
        )
    }
    assert [row["relationship"]["status"] for row in kept["coach_clients"] if row["coachId"] == ids[0]] == ["active"]
    yield Pair(coach, client, small_stores, ids[0], ids[1])
    for name, rows in kept.items():
        key = "clientId" if name == "coach_clients" else "userId"
        await database[name].delete_many({key: ids[1]})
        if rows:
            await database[name].insert_many(rows)


async def test_the_client_sees_everything_of_their_own(pair: Pair) -> None:
    own = (await pair.client.data(f"{{ viewer {{ {HEALTH} coaches(first: 5) {{ nodes {{ status }} }} }} }}"))["viewer"]
    assert own["medicalConditions"]
    assert own["bodyProfile"]["height"] > 100
    assert own["measurements"]["totalCount"] > 0
    assert own["measurements"]["nodes"][0]["photos"] == []
    assert await pair.reads() == []  # one's own reads are nobody's business


async def test_photos_and_medical_are_off_until_they_are_granted(pair: Pair) -> None:
    seen = await pair.seen()
    assert seen["measurements"]["nodes"][0]["measurements"]["weight"] > 30
    assert seen["measurements"]["nodes"][0]["photos"] is None
    assert seen["medicalConditions"] is None
    assert [read["fields"] for read in await pair.reads()] == [["bodyProfile", "measurements"]]
    granted = await pair.change("grantConsent", ["MEDICAL", "PHOTOS"])
    assert granted["userErrors"] == []
    assert set(granted["consent"]["scopes"]) == set(EVERYTHING)
    seen = await pair.seen()
    own = (await pair.client.data("{ viewer { medicalConditions } }"))["viewer"]["medicalConditions"]
    assert seen["medicalConditions"] == own
    assert seen["measurements"]["nodes"][0]["photos"] == []


@pytest.mark.parametrize("scope", EVERYTHING)
async def test_each_scope_opens_its_own_field_and_no_other(pair: Pair, scope: str) -> None:
    await pair.change("withdrawConsent", EVERYTHING)
    assert (await pair.seen())["bodyProfile"] is None
    await pair.change("grantConsent", [scope])
    seen = await pair.seen()
    assert (seen["medicalConditions"] is not None) == (scope == "MEDICAL")
    assert (seen["bodyProfile"] is not None) == (seen["measurements"] is not None) == (scope == "MEASUREMENTS")
    if scope == "MEASUREMENTS":
        assert all(one["photos"] is None for one in seen["measurements"]["nodes"])


def guarded(type_: str, through: Collection[str]) -> dict[str, frozenset[str]]:
    """The fields of a type that scopes open, with those that each needs; `through` is what it takes to get there."""
    entry = MATRIX[type_]
    return {name: right.scopes for name, right in entry.fields.items() if right.scopes and right.scopes != through}


async def test_whatever_scopes_are_granted_each_field_asks_for_its_own(pair: Pair) -> None:
    """All 64 sets of scopes, one scope changed at a time, against every field that any scope opens."""
    measured, trained = frozenset({ConsentScope.MEASUREMENTS}), frozenset({ConsentScope.WORKOUTS})
    person = guarded("User", ())
    below = {"measurements": guarded("Measurement", measured), "workoutLogs": guarded("WorkoutLog", trained)}
    assert set(person.values()) == {frozenset({one}) for one in ConsentScope} - {
        frozenset({ConsentScope.PHOTOS}),
        frozenset({ConsentScope.NOTES}),
    }
    assert all(rights == {"photos": frozenset({ConsentScope.PHOTOS})} for rights in below.values())
    shown = {"measurements": "{ photos { date } }", "workoutLogs": "{ photos }"}
    fields = " ".join(
        asked(name, field, "" if is_leaf_type(get_named_type(field.type)) else shown.get(name, "{ __typename }"), 1)
        for name, field in object_type("User").fields.items()
        if name in person
    )
    query = f"query ($id: ID!) {{ node(id: $id) {{ ... on User {{ firstName {fields} }} }} }}"
    await pair.change("withdrawConsent", EVERYTHING)
    granted: set[str] = set()
    for step in range(64):
        if step:
            scope = EVERYTHING[(step & -step).bit_length() - 1]  # a Gray code: every set once
            await pair.change("withdrawConsent" if scope in granted else "grantConsent", [scope])
            granted ^= {scope}
        node = (await pair.coach.data(query, pair.asked))["node"]
        assert node["firstName"]
        for name, scopes in person.items():
            assert (node[name] is not None) == (not scopes.isdisjoint(map(str.lower, granted))), (name, granted)
        for name in below:
            for one in (node[name] or {"nodes": ()})["nodes"]:
                assert (one["photos"] is not None) == ("PHOTOS" in granted), (name, granted)


async def test_what_is_withdrawn_or_ended_is_as_if_it_did_not_exist(pair: Pair) -> None:
    await pair.change("grantConsent", EVERYTHING)
    first = (await pair.seen())["measurements"]["nodes"][0]["id"]
    node = "query ($id: ID!) { node(id: $id) { id } }"
    assert (await pair.coach.data(node, {"id": first}))["node"] == {"id": first}
    withdrawn = await pair.change("withdrawConsent", EVERYTHING)
    assert withdrawn == {"consent": None, "userErrors": []}
    answer = await pair.coach.post(node, {"id": first})
    unknown = await pair.coach.post(node, {"id": global_id("Measurement", ObjectId())})
    assert answer.content == unknown.content == b'{"data":{"node":null}}'
    assert await pair.seen() == {
        "id": pair.asked["id"],
        "firstName": "Ece",
        "medicalConditions": None,
        "bodyProfile": None,
        "measurements": None,
    }
    await pair.change("grantConsent", EVERYTHING)
    relations = pair.stores.mongo.database["coach_clients"]
    ended = {"relationship.status": "ended", "relationship.endDate": datetime.now(UTC)}
    await relations.update_one({"coachId": pair.coach_id, "clientId": pair.client_id}, {"$set": ended})
    assert all(value is None for name, value in (await pair.seen()).items() if name not in ("id", "firstName"))
    assert (await pair.coach.data(node, {"id": first}))["node"] is None
    refused = await pair.change("grantConsent", ["MEDICAL"])
    assert refused == {"consent": None, "userErrors": [{"code": "NOT_FOUND", "path": ["coach"]}]}


async def test_consent_withdrawn_during_reads_ends_all_that_begin_later(pair: Pair) -> None:
    for _ in range(3):
        await pair.change("grantConsent", EVERYTHING)
        before, later = await _reads_around_a_withdrawal(pair)
        assert True in before
        assert later == [False] * 6


async def _reads_around_a_withdrawal(pair: Pair) -> tuple[list[bool], list[bool]]:
    """Whether reads in parallel saw anything: those begun before the answer to the withdrawal, and those after it."""
    seen, withdrawn = asyncio.Event(), asyncio.Event()
    before: list[bool] = []
    later: list[bool] = []

    async def read() -> None:
        while True:
            of = later if withdrawn.is_set() else before
            there = (await pair.seen())["measurements"] is not None
            of.append(there)
            if there:
                seen.set()
            if of is later:
                return

    async def withdraw() -> None:
        await seen.wait()
        await pair.change("withdrawConsent", EVERYTHING)
        withdrawn.set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as together:
        together.create_task(withdraw())
        for _ in range(6):
            together.create_task(read())
    return before, later


async def test_a_new_relation_does_not_bring_back_what_an_earlier_one_was_granted(pair: Pair) -> None:
    await pair.change("grantConsent", EVERYTHING)
    relations = pair.stores.mongo.database["coach_clients"]
    query = {"coachId": pair.coach_id, "clientId": pair.client_id}
    await relations.update_one(query, {"$set": {"relationship.status": "ended"}})
    later = datetime.now(UTC) + timedelta(milliseconds=5)
    new = {"_id": ObjectId(), **query, "relationship": {"status": "active"}, "createdAt": later, "updatedAt": later}
    await relations.insert_one(new)
    await asyncio.sleep(0.01)
    assert (await pair.seen())["medicalConditions"] is None
    granted = await pair.change("grantConsent", ["MEDICAL"])
    assert granted["consent"]["scopes"] == ["MEDICAL"]
    assert (await pair.seen())["bodyProfile"] is None


async def test_every_read_of_health_data_is_recorded_and_the_client_can_list_them(pair: Pair) -> None:
    await pair.change("grantConsent", ["MEDICAL"])
    before = await pair.reads()
    await pair.coach.data(ONE, pair.asked)
    for nothing in ("firstName", "measurements(first: 3) { totalCount nodes { id date } }"):
        await pair.coach.data(f"query ($id: ID!) {{ node(id: $id) {{ ... on User {{ {nothing} }} }} }}", pair.asked)
    query = (
        "{ viewer { clients(first: 50, status: ACTIVE) { nodes { client { id medicalConditions } sharedScopes } } } }"
    )
    data, log = await pair.coach.counted(query)
    shown = {node["client"]["id"]: node["client"]["medicalConditions"] for node in data["viewer"]["clients"]["nodes"]}
    assert len(shown) > 1
    assert [id_ for id_, conditions in shown.items() if conditions is not None] == [pair.asked["id"]]
    # Viewer, relations, people, two questions of consent, conditions: however many clients there are.
    assert log.count("mongo") == 6, log.sent
    reads = await pair.reads()
    assert len(reads) == len(before) + 2
    assert [read["fields"] for read in reads[:2]] == [
        ["medicalConditions"],
        ["bodyProfile", "measurements", "medicalConditions"],
    ]
    assert reads[0]["viewer"]["id"] == global_id("User", pair.coach_id)
    assert datetime.fromisoformat(reads[0]["at"]) <= datetime.now(UTC)
    for other in (pair.coach,):
        stranger = await other.data(
            "query ($id: ID!) { node(id: $id) { ... on User { medicalReads { totalCount } } } }", pair.asked
        )
        assert stranger["node"]["medicalReads"] is None


WAYS = {
    "the body": ("User", "bodyProfile { dateOfBirth }", "bodyProfile"),
    "figures": ("User", "measurements(first: 2) { nodes { measurements { weight } } }", "measurements"),
    "by edges": ("User", "measurements(last: 1) { edges { node { m: measurements { weight } } } }", "measurements"),
    "remarks": ("User", "measurements(first: 2) { nodes { notes } }", "notes"),
    "pictures": ("User", "measurements(first: 2) { nodes { photos { date } } }", "photos"),
    "pictures of workouts": ("User", "workoutLogs(first: 2) { nodes { photos } }", "photos"),
    "everything at once": (
        "User",
        f"{HEALTH} measurements(first: 2) {{ nodes {{ notes }} }}",
        "bodyProfile measurements medicalConditions notes photos",
    ),
    "by an id": ("Measurement", "measurements { weight } photos { url }", "measurements photos"),
    "round a corner": (
        "Measurement",
        "user { measurements(first: 1) { nodes { user { medicalConditions } } } }",
        "medicalConditions",
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_whatever_way_leads_to_health_data_it_is_recorded_once_an_operation(pair: Pair, way: str) -> None:
    await pair.change("grantConsent", EVERYTHING)
    measurements = pair.stores.mongo.database["measurements"]
    noted = {"notes": measurements_notes(pair, newest := await newest_of(pair))}
    await measurements.update_one({"_id": newest}, {"$set": noted})
    type_, fields, expected = WAYS[way]
    ids = {"User": pair.asked["id"], "Measurement": global_id("Measurement", newest)}
    before = len(await pair.reads())
    query = f"query ($id: ID!) {{ node(id: $id) {{ ... on {type_} {{ {fields} }} }} }}"
    data, log = await pair.coach.counted(query, {"id": ids[type_]})
    assert data["node"]
    reads = await pair.reads()
    assert len(reads) == before + 1
    assert reads[0]["fields"] == sorted(expected.split())
    assert sum("finance.audit_logs" in command for command in log.sent["postgres"]) == 1
    await pair.client.data(query, {"id": ids[type_]})  # one's own
    assert len(await pair.reads()) == before + 1


async def newest_of(pair: Pair) -> ObjectId:
    found = await pair.stores.mongo.database["measurements"].find_one({"userId": pair.client_id}, sort=[("date", -1)])
    assert found is not None
    id_: ObjectId = found["_id"]
    return id_


def measurements_notes(pair: Pair, measurement: ObjectId) -> Any:
    return pair.stores.keys.encrypt(Place("measurements", measurement, "notes"), "Sore knee")


def test_what_a_scope_opens_of_the_body_is_recorded() -> None:
    """Every field that a scope of health opens is one whose reads are recorded, or leads to what has such fields."""
    health = {ConsentScope.MEDICAL, ConsentScope.PHOTOS, ConsentScope.MEASUREMENTS}
    for name, entry in MATRIX.items():
        opened = {field for field, right in entry.fields.items() if right.scopes & health}
        leads_on = {"id", "date", "user"} | ({"measurements"} if name == "User" else set())
        assert opened - leads_on <= entry.health, name
        assert entry.health <= entry.fields.keys()
        assert not entry.health or entry.scope.person
    assert sum(len(entry.health) for entry in MATRIX.values()) >= 7


async def test_without_the_record_nothing_is_read(pair: Pair, http_with_files: Any, monkeypatch: Any) -> None:
    from nexfit.domains.coaching import medical
    from nexfit.stores.errors import StoreUnavailable

    await pair.change("grantConsent", ["MEDICAL"])

    async def refuses(*_: object) -> None:
        raise StoreUnavailable("postgres", "away")

    monkeypatch.setattr(medical, "record", refuses)
    answer = await pair.coach.run(ONE, pair.asked)
    assert "data" not in answer
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAVAILABLE"]
    assert (await pair.client.data("{ viewer { medicalConditions } }"))["viewer"]["medicalConditions"]


async def test_owners_staff_and_strangers_see_no_health_data(pair: Pair, http_with_files: Any) -> None:
    http, _ = http_with_files
    await pair.change("grantConsent", EVERYTHING)
    for email in ("owner@demo.nexfit.app", "desk@demo.nexfit.app", "studio@demo.nexfit.app"):
        other = await login(http, email)
        node = (await other.data(ONE, pair.asked))["node"]
        assert node is None or all(
            node[field] is None for field in ("medicalConditions", "bodyProfile", "measurements")
        )
    assert (await Client(http).data(ONE, pair.asked))["node"] is None


async def test_private_notes_are_the_coachs_alone(pair: Pair) -> None:
    relations = pair.stores.mongo.database["coach_clients"]
    when = datetime(2026, 1, 1, tzinfo=UTC)
    notes = {"visible": [{"text": "Well done", "date": when}], "private": [{"text": "Tired", "date": when}]}
    query = {"coachId": pair.coach_id, "clientId": pair.client_id}
    await relations.update_one(query, {"$set": {"notes": notes}})
    fields = "id notes { text } privateNotes { text }"
    own = await pair.client.data(f"{{ viewer {{ coaches(first: 9) {{ nodes {{ {fields} }} }} }} }}")
    [seen] = [node for node in own["viewer"]["coaches"]["nodes"] if node["notes"] == [{"text": "Well done"}]]
    assert seen["privateNotes"] is None
    ask = f"query ($id: ID!) {{ node(id: $id) {{ ... on CoachClient {{ {fields} }} }} }}"
    assert (await pair.coach.data(ask, {"id": seen["id"]}))["node"]["privateNotes"] == [{"text": "Tired"}]
    assert (await pair.client.data(ask, {"id": seen["id"]}))["node"] == seen


async def test_consents_are_the_clients_to_give(pair: Pair, http_with_files: Any) -> None:
    http, _ = http_with_files
    owner = await login(http, "owner@demo.nexfit.app")
    refused = await pair.change("grantConsent", ["MEDICAL"], by=owner)  # the coach is not theirs
    assert refused["userErrors"] == [{"code": "NOT_FOUND", "path": ["coach"]}]
    empty = await pair.change("grantConsent", [])
    assert empty["userErrors"] == [{"code": "BAD_USER_INPUT", "path": ["scopes"]}]
    given = {"coach": "nonsense", "scopes": ["MEDICAL"]}
    nobody = (await pair.client.data(CHANGE % "withdrawConsent", {"i": given}))["payload"]
    assert nobody["userErrors"][0]["code"] == "NOT_FOUND"
    guest = await Client(http).run(CHANGE % "grantConsent", {"i": given | {"coach": global_id("User", pair.coach_id)}})
    assert guest["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    # Each change left its audit entry and its event, and repeating one left none.
    entries = pair.stores.mongo.database["audit_entries"]
    query = {"entityType": "consent", "entityId": str(pair.client_id)}
    events = {"eventType": "ConsentChanged", "aggregateId": f"{pair.client_id}:{pair.coach_id}"}
    outbox = pair.stores.mongo.database["outbox"]
    before = await entries.count_documents(query), await outbox.count_documents(events)
    await pair.change("grantConsent", ["MEDICAL"])
    await pair.change("grantConsent", ["MEDICAL"])
    await pair.change("withdrawConsent", ["MEDICAL"])
    await pair.change("withdrawConsent", ["MEDICAL"])
    after = await entries.count_documents(query), await outbox.count_documents(events)
    assert after == (before[0] + 2, before[1] + 2)


async def test_grants_at_the_same_time_add_up(pair: Pair) -> None:
    await pair.change("withdrawConsent", EVERYTHING)
    await asyncio.gather(*(pair.change("grantConsent", [scope]) for scope in EVERYTHING))
    consents = (await pair.client.data("{ viewer { consents { scopes coach { id } } } }"))["viewer"]["consents"]
    [mine] = [one for one in consents if one["coach"]["id"] == global_id("User", pair.coach_id)]
    assert set(mine["scopes"]) == set(EVERYTHING)


# --- pictures


async def test_a_picture_is_shown_by_a_signed_address_for_a_while(
    pair: Pair, http_with_files: tuple[httpx.AsyncClient, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    http, root = http_with_files
    await pair.change("grantConsent", EVERYTHING)
    key = f"photos/{pair.client_id}/front.png"
    (root / key).parent.mkdir(parents=True, exist_ok=True)
    (root / key).write_bytes(b"\x89PNG picture")
    (root.parent / "secret.txt").write_text("secret")
    (root / "photos" / "link.png").unlink(missing_ok=True)
    (root / "photos" / "link.png").symlink_to(root.parent / "secret.txt")
    when = datetime(2026, 1, 1, tzinfo=UTC)
    keys = [key, "photos/link.png", "photos/none.png", "../secret.txt", "/etc/passwd", "photos/.hidden", "https://x/y"]
    photos = [{"url": one, "date": when} for one in keys]
    measurements = pair.stores.mongo.database["measurements"]
    newest = await measurements.find_one({"userId": pair.client_id}, sort=[("date", -1), ("_id", -1)])
    assert newest is not None
    await measurements.update_one({"_id": newest["_id"]}, {"$set": {"photos": photos}})
    shown = (await pair.seen())["measurements"]["nodes"][0]["photos"]
    good, link, gone = (photo["url"] for photo in shown)  # what is no key has no address
    answer = await http.get(good)
    assert (answer.status_code, answer.content) == (200, b"\x89PNG picture")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await http.get(link)).status_code == 404
    assert (await http.get(gone)).status_code == 404
    path, _, query = good.partition("?")
    for changed in (
        good.replace("front", "back"),
        good.replace("expires=", "expires=9"),
        f"{path}?{query}x",
        path,
        f"{path}?expires=9999999999&signature=",
        f"/files/..%2Fsecret.txt?{query}",
        f"/files/photos/../../secret.txt?{query}",
        f"{path}%00?{query}",
        f"{path}?expires=%FF&signature=%FF",
    ):
        answer = await http.get(changed)
        assert answer.status_code in (403, 404), changed
        assert b"secret" not in answer.content

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(seconds=61)

    monkeypatch.setattr("nexfit.domains.clock.datetime", Later)
    assert (await http.get(good)).status_code == 410
