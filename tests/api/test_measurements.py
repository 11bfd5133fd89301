"""Measurements: recorded in either system, encrypted, held against earlier ones, with pictures, trends and goals."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from nexfit.domains.training import figures
from nexfit.settings import FilesSettings, Settings
from nexfit.stores.connections import Stores

from .conftest import PASSWORD, Client, account, facility_of, global_id, local, login, running

SHOWN = """id date notes photos { url position } measurements { weight bodyFatPercentage muscleMass chestCircumference
    waistCircumference hipCircumference armCircumference thighCircumference }"""
RECORD = f"""mutation ($i: RecordMeasurementInput!) {{ payload: recordMeasurement(input: $i) {{
    measurement {{ {SHOWN} }} userErrors {{ code path }} }} }}"""
UPDATE = RECORD.replace("RecordMeasurementInput", "UpdateMeasurementInput").replace(
    "recordMeasurement", "updateMeasurement"
)
DELETE = """mutation ($i: DeleteMeasurementInput!) { payload: deleteMeasurement(input: $i) {
    deletedId userErrors { code path } } }"""
GOAL = """mutation ($i: SetBodyGoalInput!) { payload: setBodyGoal(input: $i) {
    goal { metric target by } userErrors { code path } } }"""
UPLOAD = """mutation ($i: RequestPhotoUploadInput!) { payload: requestPhotoUpload(input: $i) {
    key address userErrors { code path } } }"""
TREND = """query ($from: Date!, $to: Date!, $metric: BodyMetric!, $units: UnitSystem!) { viewer {
    bodyTrend(from: $from, to: $to, metric: $metric, timezone: "Europe/Istanbul", units: $units) {
        metric points { at value mean } latest change changePerWeek left goal { target } } } }"""
SAVE = """mutation ($i: SaveWorkoutLogsInput!) { payload: saveWorkoutLogs(input: $i) {
    results { outcome workout { id photos } userErrors { code path } } } }"""
PNG = b"\x89PNG\r\n\x1a\n" + b"picture"
FIGURES = {
    "weight": 80.5,
    "bodyFatPercentage": 18.5,
    "muscleMass": 38.0,
    "chestCircumference": 101.0,
    "waistCircumference": 84.0,
    "hipCircumference": 98.0,
    "armCircumference": 35.0,
    "thighCircumference": 58.0,
}


@pytest.fixture(scope="module")
async def site(
    small_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.AsyncClient, Path]]:
    """The application over stores for writing, with a folder of files."""
    root = tmp_path_factory.mktemp("files")
    made = small_settings.model_copy(update={"files": FilesSettings(root=root, address_seconds=60)})
    async with running(made) as client:
        yield client, root


@pytest.fixture
async def person(site: tuple[httpx.AsyncClient, Path], small_stores: Stores) -> AsyncIterator[Client]:
    """Somebody new; what they record is taken back."""
    user, email = await account(small_stores)
    yield await login(site[0], email, PASSWORD)
    for name in ("measurements", "body_goals", "workout_logs"):
        await small_stores.mongo.database[name].delete_many({"userId": user})


async def run(client: Client, text: str, /, **fields: Any) -> Any:
    if text == RECORD:
        fields = {"idempotencyKey": str(ObjectId()), **fields}
    return (await client.data(text, {"i": fields}))["payload"]


async def test_everything_is_kept_encrypted_and_shown_in_either_system(person: Client, small_stores: Stores) -> None:
    at = datetime(2026, 6, 1, 7, tzinfo=UTC)
    made = await run(person, RECORD, date=at.isoformat(), notes="Aç karnına", **FIGURES)
    assert made["userErrors"] == []
    measurement = made["measurement"]
    assert measurement["measurements"] == FIGURES
    assert (measurement["notes"], measurement["photos"]) == ("Aç karnına", [])
    id_ = ObjectId(local(measurement["id"]))
    stored = await small_stores.mongo.database["measurements"].find_one({"_id": id_}) or {}
    assert not [word for word in ("80.5", "karnına", "weight") if word in repr(stored)]
    query = "query ($id: ID!) { node(id: $id) { ... on Measurement { measurements(units: IMPERIAL) { %s } } } }"
    shown = (await person.data(query % " ".join(FIGURES), {"id": measurement["id"]}))["node"]["measurements"]
    assert shown["weight"] == round(80.5 / 0.45359237, 3)
    assert shown["waistCircumference"] == round(84 / 2.54, 3)
    assert shown["bodyFatPercentage"] == 18.5
    later = (at + timedelta(days=1)).isoformat()
    pounds = await run(person, RECORD, date=later, units="IMPERIAL", weight=177, waistCircumference=33)
    assert pounds["measurement"]["measurements"]["weight"] == 80.286
    assert pounds["measurement"]["measurements"]["waistCircumference"] == 83.82
    entries = small_stores.mongo.database["audit_entries"].find({"entityId": str(id_)})
    assert [entry["action"] async for entry in entries] == ["measurement.recorded"]


async def test_what_is_left_out_stays_and_null_forgets(person: Client) -> None:
    made = (await run(person, RECORD, notes="Not", weight=70, armCircumference=30))["measurement"]
    changed = (await run(person, UPDATE, measurement=made["id"], weight=71))["measurement"]
    assert (changed["measurements"]["weight"], changed["measurements"]["armCircumference"]) == (71.0, 30.0)
    assert (changed["notes"], changed["date"]) == ("Not", made["date"])
    less = (await run(person, UPDATE, measurement=made["id"], armCircumference=None, notes=None))["measurement"]
    assert (less["measurements"]["armCircumference"], less["notes"]) == (None, None)


async def test_one_key_records_once(person: Client, small_stores: Stores) -> None:
    both = [await run(person, RECORD, weight=70, idempotencyKey="one") for _ in range(2)]
    assert both[0] == both[1]
    other = await run(person, RECORD, weight=71, idempotencyKey="one")
    assert other["userErrors"] == [{"code": "IDEMPOTENCY_CONFLICT", "path": ["idempotencyKey"]}]
    total = await person.data("{ viewer { measurements { totalCount } } }")
    assert total["viewer"]["measurements"]["totalCount"] == 1


async def test_what_is_far_from_earlier_figures_is_to_be_confirmed(person: Client) -> None:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    await run(person, RECORD, date=at.isoformat(), weight=80, bodyFatPercentage=20)
    day = (at + timedelta(days=2)).isoformat()
    for unlikely, path in (
        ({"weight": 8.1}, "weight"),
        ({"weight": 93}, "weight"),
        ({"bodyFatPercentage": 29}, "bodyFatPercentage"),
    ):
        refused = await run(person, RECORD, date=day, **unlikely)
        assert refused == {"measurement": None, "userErrors": [{"code": "UNLIKELY_VALUE", "path": [path]}]}
    assert (await run(person, RECORD, date=day, weight=91, bodyFatPercentage=27))["userErrors"] == []
    confirmed = await run(person, RECORD, date=day, weight=60, confirmed=True)
    assert confirmed["measurement"]["measurements"]["weight"] == 60.0
    later = (at + timedelta(days=200)).isoformat()  # nothing near it to compare with
    assert (await run(person, RECORD, date=later, weight=50))["userErrors"] == []
    wrong = await run(person, UPDATE, measurement=confirmed["measurement"]["id"], weight=6)
    assert wrong["userErrors"] == [{"code": "UNLIKELY_VALUE", "path": ["weight"]}]


async def test_what_is_refused_writes_nothing(person: Client, site: Any, small_stores: Stores) -> None:
    mine = (await run(person, RECORD, weight=70))["measurement"]["id"]
    _, email = await account(small_stores)
    stranger = await login(site[0], email, PASSWORD)
    database = small_stores.mongo.database

    async def state() -> list[int]:
        return [await database[name].count_documents({}) for name in ("measurements", "body_goals", "outbox")]

    before = await state()
    ahead = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    foreign = f"photos/{ObjectId()}/{'0' * 32}.png"
    for client, text, fields, expected in (
        (person, RECORD, {}, ("BAD_USER_INPUT", ["weight"])),
        (person, RECORD, {"notes": "x"}, ("BAD_USER_INPUT", ["weight"])),
        (person, RECORD, {"weight": 0}, ("BAD_USER_INPUT", ["weight"])),
        (person, RECORD, {"weight": 701}, ("BAD_USER_INPUT", ["weight"])),
        (person, RECORD, {"bodyFatPercentage": 101}, ("BAD_USER_INPUT", ["bodyFatPercentage"])),
        (person, RECORD, {"weight": 70, "date": ahead}, ("BAD_USER_INPUT", ["date"])),
        (person, RECORD, {"weight": 70, "photos": [{"key": "../x.png"}]}, ("BAD_USER_INPUT", ["photos", "0", "key"])),
        (person, RECORD, {"weight": 70, "photos": [{"key": foreign}]}, ("NOT_FOUND", ["photos"])),
        (person, UPDATE, {"measurement": mine, "weight": None}, ("BAD_USER_INPUT", ["weight"])),
        (stranger, UPDATE, {"measurement": mine, "weight": 71}, ("NOT_FOUND", ["measurement"])),
        (stranger, DELETE, {"measurement": mine}, ("NOT_FOUND", ["measurement"])),
        (person, DELETE, {"measurement": global_id("Measurement", ObjectId())}, ("NOT_FOUND", ["measurement"])),
        (person, GOAL, {"metric": "WEIGHT", "target": 0}, ("BAD_USER_INPUT", ["target"])),
        (person, GOAL, {"metric": "WEIGHT", "target": 70, "by": "2020-01-01"}, ("BAD_USER_INPUT", ["by"])),
    ):
        payload = await run(client, text, **fields)
        assert [(error["code"], error["path"]) for error in payload["userErrors"]] == [expected], fields
    for text, fields in (
        (RECORD, {"weight": 1, "idempotencyKey": "k"}),
        (GOAL, {"metric": "WEIGHT"}),
        (UPLOAD, {"type": "PNG"}),
    ):
        guest = await Client(site[0]).run(text, {"i": fields})
        assert guest["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert await state() == before
    assert (await run(person, DELETE, measurement=mine))["deletedId"] == mine
    assert (await run(person, DELETE, measurement=mine))["userErrors"] == [
        {"code": "NOT_FOUND", "path": ["measurement"]}
    ]


# --- pictures


async def test_a_picture_is_sent_once_to_a_signed_address_and_goes_with_its_measurement(
    person: Client, site: tuple[httpx.AsyncClient, Path]
) -> None:
    http, root = site
    asked = await run(person, UPLOAD, type="PNG")
    address, key = asked["address"], asked["key"]
    for wrong in (b"not a picture", b"", b"\xff\xd8\xff jpeg"):
        assert (await http.put(address, content=wrong)).status_code == 415
    assert (await http.put(address, content=PNG + bytes(10_000_001))).status_code == 413
    assert not [path for path in root.rglob("*") if path.is_file()]
    for changed in (address.replace("signature=", "signature=x"), address.replace(key, key.replace("0", "1"))):
        if changed != address:
            assert (await http.put(changed, content=PNG)).status_code == 403
    assert (await http.get(address)).status_code == 405  # to read it takes another address
    assert (await http.put(address, content=PNG)).status_code == 201
    assert (await http.put(address, content=PNG + b"2")).status_code == 409
    made = await run(person, RECORD, weight=70, photos=[{"key": key, "position": "Front"}])
    [photo] = made["measurement"]["photos"]
    assert photo["position"] == "front"
    assert (await http.put(photo["url"], content=PNG)).status_code == 405
    shown = await http.get(photo["url"])
    assert (shown.status_code, shown.content, shown.headers["content-type"]) == (200, PNG, "image/png")
    await run(person, DELETE, measurement=made["measurement"]["id"])
    assert (await http.get(photo["url"])).status_code == 404
    assert not [path for path in root.rglob("*") if path.is_file()]


async def picture(person: Client, http: httpx.AsyncClient) -> str:
    """The key of a picture that somebody has sent."""
    asked = await run(person, UPLOAD, type="PNG")
    assert (await http.put(asked["address"], content=PNG)).status_code == 201
    return str(asked["key"])


def workout(client_id: str, revision: int, *keys: str, deleted: bool = False) -> dict[str, Any]:
    """A version of a workout as an app sends it."""
    at = datetime(2026, 6, 1, 9, tzinfo=UTC).isoformat()
    sent = {"clientId": client_id, "revision": revision, "editedAt": at, "startTime": at, "deleted": deleted}
    return {**sent, "photos": list(keys)}


async def test_a_workout_shows_pictures_of_its_persons_own_alone_and_they_go_with_it(
    person: Client, site: tuple[httpx.AsyncClient, Path], small_stores: Stores
) -> None:
    http, root = site
    _, email = await account(small_stores)
    first, both, second = [await picture(person, http) for _ in range(3)]
    foreign = await picture(await login(http, email, PASSWORD), http)
    unknown = first.replace(first.rpartition("/")[2], f"{'0' * 32}.png")
    wrong = [
        ([foreign], "NOT_FOUND", ["photos"]),
        ([first, unknown], "NOT_FOUND", ["photos"]),
        (["../secret.png"], "BAD_USER_INPUT", ["photos", "0"]),
        ([first] * 21, "BAD_USER_INPUT", ["photos"]),
    ]
    logs = [workout(f"x{place}", 1, *keys) for place, (keys, _, _) in enumerate(wrong)]
    results = (await run(person, SAVE, logs=[*logs, workout("w", 1, first, both)]))["results"]
    for refused, (keys, code, path) in zip(results[:-1], wrong, strict=True):
        assert (refused["outcome"], refused["userErrors"]) == ("REFUSED", [{"code": code, "path": path}]), keys
    kept = results[-1]["workout"]
    assert [(await http.get(url)).content for url in kept["photos"]] == [PNG, PNG]
    [refused] = (await run(person, SAVE, logs=[workout("w", 2, first, foreign)]))["results"]
    assert refused["userErrors"] == [{"code": "NOT_FOUND", "path": ["photos"]}]
    total = "{ viewer { workoutLogs { totalCount nodes { revision } } } }"
    assert (await person.data(total))["viewer"]["workoutLogs"] == {"totalCount": 1, "nodes": [{"revision": 1}]}
    await run(person, RECORD, weight=70, photos=[{"key": both}])
    await run(person, SAVE, logs=[workout("w", 2, second, both)])  # leaves one out
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert files == {both, second, foreign}
    await run(person, SAVE, logs=[workout("w", 3, deleted=True)])
    assert [(await http.get(url)).status_code for url in kept["photos"]] == [404, 200]  # the measurement has it still
    [measured] = (await person.data("{ viewer { measurements { nodes { id } } } }"))["viewer"]["measurements"]["nodes"]
    await run(person, DELETE, measurement=measured["id"])
    assert [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()] == [foreign]
    (root / foreign).unlink()


async def test_versions_with_pictures_in_any_order_leave_the_same_workouts(
    person: Client, site: tuple[httpx.AsyncClient, Path], small_stores: Stores
) -> None:
    http, root = site
    chance = random.Random(11)  # noqa: S311
    for turn in range(4):
        one, two = [await picture(person, http) for _ in range(2)]
        name = f"t{turn}"
        versions = [
            *(workout(name, 1, one), workout(name, 2, one, two), workout(name, 3, two)),
            *(workout(name, 4, deleted=True), workout(name, 5, one)),
        ]
        sent = versions if turn == 0 else chance.sample(versions * 2, len(versions) * 2)
        for version in sent:
            [result] = (await run(person, SAVE, logs=[version]))["results"]
            assert result["userErrors"] == [], (turn, version)
        row = await small_stores.mongo.database["workout_logs"].find_one({"sourceId": name}) or {}
        assert (row["revision"], row["photos"], "deletedAt" in row) == (5, [one], False), turn
    for path in [path for path in root.rglob("*") if path.is_file()]:
        path.unlink()


async def test_a_facility_shows_the_pictures_that_were_sent_in_the_order_given(
    person: Client, site: tuple[httpx.AsyncClient, Path], small_stores: Stores
) -> None:
    http, root = site
    owner = await login(http, "owner@demo.nexfit.app")
    facility = global_id("Facility", await facility_of(small_stores, "karsiyaka"))
    ask = """mutation ($i: RequestFacilityPictureUploadInput!) { payload: requestFacilityPictureUpload(input: $i) {
        key address userErrors { code } } }"""
    set_ = """mutation ($i: SetFacilityPicturesInput!) { payload: setFacilityPictures(input: $i) {
        facility { media { pictures { key url alt } } } userErrors { code path } } }"""

    async def sent(content: bytes = PNG) -> str:
        asked = await run(owner, ask, facility=facility, type="PNG")
        assert (await http.put(asked["address"], content=content)).status_code == (201 if content == PNG else 415)
        return str(asked["key"])

    first, second, never = await sent(), await sent(), await sent(b"<svg>")
    pictures = [{"key": second, "alt": "Salon"}, {"key": first}]
    shown = (await run(owner, set_, facility=facility, pictures=pictures))["facility"]["media"]["pictures"]
    assert [(one["key"], one["alt"]) for one in shown] == [(second, "Salon"), (first, None)]
    assert (await http.get(shown[0]["url"])).content == PNG
    foreign = first.replace(local(facility), str(ObjectId()))
    for wrong, code in (
        ([{"key": never}], "NOT_FOUND"),
        ([{"key": foreign}], "NOT_FOUND"),
        ([{"key": "photos/x.png"}], "BAD_USER_INPUT"),
        ([{"key": first}, {"key": first}], "BAD_USER_INPUT"),
        ([{"key": first, "alt": ""}], "BAD_USER_INPUT"),
    ):
        refused = await run(owner, set_, facility=facility, pictures=wrong)
        assert ([error["code"] for error in refused["userErrors"]], refused["facility"]) == ([code], None)
    for query, more in ((ask, {"type": "PNG"}), (set_, {"pictures": []})):
        answer = await person.run(query, {"i": {"facility": facility, **more}})
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert (await http.get(shown[1]["url"])).status_code == 200
    left = await run(owner, set_, facility=facility, pictures=[{"key": first}])
    assert [one["key"] for one in left["facility"]["media"]["pictures"]] == [first]
    assert (await http.get(shown[0]["url"])).status_code == 404  # what is shown no more is deleted
    await run(owner, set_, facility=facility, pictures=[])
    assert not [path for path in root.rglob("*") if path.is_file()]


# --- trends and goals


async def test_a_trend_is_one_question_with_means_slope_and_goal(person: Client) -> None:
    first = datetime(2026, 6, 1, 6, tzinfo=UTC)
    weights = {-3: 84.0, 0: 82.0, 1: 81.0, 7: 80.0, 8: 80.5}
    for day, weight in weights.items():
        await run(person, RECORD, date=(first + timedelta(days=day)).isoformat(), weight=weight)
    by = (datetime.now(UTC) + timedelta(days=30)).date()
    goal = await run(person, GOAL, metric="WEIGHT", target=75, by=str(by))
    assert goal == {"goal": {"metric": "WEIGHT", "target": 75.0, "by": str(by)}, "userErrors": []}
    dates = {"from": "2026-06-01", "to": "2026-06-30", "metric": "WEIGHT"}
    data, log = await person.counted(TREND, {**dates, "units": "METRIC"})
    assert (log.count("mongo"), log.count("postgres")) == (3, 0)  # the viewer, the measurements, the goals
    trend = data["viewer"]["bodyTrend"]
    assert [point["value"] for point in trend["points"]] == [82.0, 81.0, 80.0, 80.5]
    # The first mean reaches back before the range; the third sees day 1 and itself.
    assert [point["mean"] for point in trend["points"]] == [83.0, round(247 / 3, 3), 80.5, 80.25]
    assert (trend["latest"], trend["change"], trend["left"]) == (80.25, -2.75, -5.25)
    slope = trend["changePerWeek"]
    assert -2 < slope < -1
    pounds = (await person.data(TREND, {**dates, "units": "IMPERIAL"}))["viewer"]["bodyTrend"]
    assert pounds["latest"] == round(80.25 / 0.45359237, 3)
    nothing = (await person.data(TREND, {**dates, "metric": "HIP_CIRCUMFERENCE", "units": "METRIC"}))["viewer"][
        "bodyTrend"
    ]
    assert (nothing["points"], nothing["latest"], nothing["changePerWeek"], nothing["goal"]) == ([], None, None, None)
    shown = "{ viewer { bodyGoals { metric target(units: IMPERIAL) createdAt } } }"
    [goal] = (await person.data(shown))["viewer"]["bodyGoals"]
    assert (goal["metric"], goal["target"]) == ("WEIGHT", round(75 / 0.45359237, 3))
    changed = await run(person, GOAL, metric="WEIGHT", target=74)
    assert changed["goal"] == {"metric": "WEIGHT", "target": 74.0, "by": None}
    later = (await person.data(shown))["viewer"]["bodyGoals"]
    assert later == [{**goal, "target": round(74 / 0.45359237, 3)}]  # one for each figure, since when it was set first
    assert (await run(person, GOAL, metric="WEIGHT"))["goal"] is None
    assert (await person.data("{ viewer { bodyGoals { metric } } }"))["viewer"]["bodyGoals"] == []


async def test_a_trend_is_for_the_person_and_a_coach_they_let(coach: Client, member: Client, owner: Client) -> None:
    me = (await member.data("{ viewer { id } }"))["viewer"]["id"]
    query = """query ($id: ID!) { node(id: $id) { ... on User { firstName bodyGoals { metric }
        bodyTrend(from: "2026-01-01", to: "2026-06-15") { points { value } } } } }"""
    assert (await coach.data(query, {"id": me}))["node"]["bodyTrend"]["points"]
    node = (await owner.data(query, {"id": me}))["node"]
    assert (node["firstName"], node["bodyTrend"], node["bodyGoals"]) == ("Ece", None, None)


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(40, 200)), min_size=1, max_size=30))
def test_means_lie_between_the_values_and_slopes_follow_lines(entries: list[tuple[int, float]]) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    points = [
        figures.Point(start + timedelta(days=day), date(2026, 1, 1) + timedelta(days=day), value)
        for day, value in sorted(entries)
    ]
    for point, mean in zip(points, figures.seven_day_means(points), strict=True):
        week = [one.value for one in points if 0 <= (point.day - one.day).days < 7]
        assert min(week) - 1e-9 <= mean <= max(week) + 1e-9
    line = [figures.Point(one.at, one.day, 90 - 0.1 * (one.day - points[0].day).days) for one in points]
    slope = figures.change_per_week(line)
    assert slope is None if len({one.day for one in line}) < 2 else slope == pytest.approx(-0.7)
