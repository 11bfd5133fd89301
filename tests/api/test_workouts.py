"""Workouts: logged by apps that were offline, begun and ended, imported, and what follows from them for progress."""

from __future__ import annotations

import asyncio
import csv
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from bson import ObjectId

from nexfit.stores.connections import Stores

from .conftest import PASSWORD, Client, account, global_id, local, login

DATA = Path(__file__).parents[2].parent / "shared" / "data"

WORKOUT = """id clientId revision name startTime endTime duration notes importedFrom
    exercises { exercise { id } superset notes sets { kind reps weight distance completed rpe rir tempo e1rm } }
    feedback { rating difficulty } heartRate { average max min } place { latitude longitude }
    figures { sets reps volume areas { area sets volume } bests { exercise { id } weight weightReps e1rm } }"""
SAVE = f"""mutation ($i: SaveWorkoutLogsInput!) {{ payload: saveWorkoutLogs(input: $i) {{
    results {{ clientId outcome workout {{ {WORKOUT} }} userErrors {{ code path }} }}
    userErrors {{ code path }} }} }}"""
START = f"""mutation ($i: StartWorkoutInput!) {{ payload: startWorkout(input: $i) {{
    workout {{ {WORKOUT} }} userErrors {{ code path }} }} }}"""
FINISH = START.replace("StartWorkoutInput", "FinishWorkoutInput").replace("startWorkout", "finishWorkout")
IMPORT = """mutation ($i: ImportWorkoutsInput!) { payload: importWorkouts(input: $i) {
    created updated unchanged kept createdExercises skipped { row reason } userErrors { code path } } }"""
LIST = "{ viewer { workoutLogs(first: 100) { totalCount nodes { id clientId name revision } } } }"
NOON = datetime(2026, 6, 1, 9, tzinfo=UTC)


async def run(client: Client, mutation: str, /, **fields: Any) -> Any:
    return (await client.data(mutation, {"i": fields}))["payload"]


@pytest.fixture
async def lifter(small_http: httpx.AsyncClient, small_stores: Stores) -> AsyncIterator[Client]:
    """Somebody new; what they log is taken back."""
    user, email = await account(small_stores)
    yield await login(small_http, email, PASSWORD)
    await small_stores.mongo.database["workout_logs"].delete_many({"userId": user})
    await small_stores.mongo.database["exercises"].delete_many({"createdBy": user})


@pytest.fixture
async def bench(small_stores: Stores) -> str:
    """A public exercise that trains one part of the body most."""
    found = await small_stores.mongo.database["exercises"].find_one({"metadata.primaryBodyAreas": "chest"})
    assert found is not None
    return global_id("Exercise", found["_id"])


def version(client_id: str, revision: int, second: int, **more: Any) -> dict[str, Any]:
    """A version of a workout as an app sends it."""
    edited = NOON + timedelta(hours=2, seconds=second)
    values = {
        "clientId": client_id,
        "revision": revision,
        "editedAt": edited.isoformat(),
        "startTime": NOON.isoformat(),
    }
    return {**values, "name": f"{revision}/{second}", **more}


async def test_everything_that_was_sent_is_kept_and_read_back(lifter: Client, bench: str, small_stores: Stores) -> None:
    sent = version(
        "a",
        1,
        0,
        endTime=(NOON + timedelta(minutes=50)).isoformat(),
        exercises=[
            {
                "exercise": bench,
                "superset": 1,
                "notes": "Dar tutuş",
                "sets": [
                    {"kind": "WARM_UP", "reps": 10, "weight": 20},
                    {"reps": 5, "weight": 100, "rpe": 8.5, "rir": 1, "tempo": "31X0", "restTime": 120},
                    {"reps": 4, "weight": 100, "completed": False},
                ],
            }
        ],
        feedback={"rating": 5, "difficulty": 7},
        heartRate={"average": 120.5, "max": 160, "min": 80},
        place={"latitude": 41.0, "longitude": 29.0},
        notes="İyi",
    )
    [result] = (await run(lifter, SAVE, logs=[sent]))["results"]
    assert (result["outcome"], result["userErrors"]) == ("CREATED", [])
    kept = result["workout"]
    assert (kept["clientId"], kept["revision"], kept["duration"], kept["notes"]) == ("a", 1, 3000.0, "İyi")
    [exercise] = kept["exercises"]
    assert (exercise["exercise"], exercise["superset"], exercise["notes"]) == ({"id": bench}, 1, "Dar tutuş")
    assert [one["kind"] for one in exercise["sets"]] == ["WARM_UP", "WORKING", "WORKING"]
    assert exercise["sets"][1]["e1rm"] == 116.667
    assert (exercise["sets"][1]["rir"], exercise["sets"][1]["tempo"]) == (1, "31X0")
    assert kept["figures"] == {
        "sets": 1,
        "reps": 5,
        "volume": 500.0,
        "areas": [{"area": "chest", "sets": 1, "volume": 500.0}],
        "bests": [{"exercise": {"id": bench}, "weight": 100.0, "weightReps": 5, "e1rm": 116.667}],
    }
    assert kept["heartRate"] == {"average": 120.5, "max": 160.0, "min": 80.0}
    assert kept["place"] == {"latitude": 41.0, "longitude": 29.0}
    pounds = "{ viewer { workoutLogs(first: 1) { nodes { figures { volume(units: IMPERIAL) } } } } }"
    shown = (await lifter.data(pounds))["viewer"]["workoutLogs"]["nodes"][0]["figures"]
    assert shown["volume"] == round(500 / 0.45359237, 3)
    database = small_stores.mongo.database
    entries = await database["audit_entries"].find({"entityId": local(kept["id"])}).to_list()
    assert [entry["action"] for entry in entries] == ["workout.logged"]
    assert await database["outbox"].count_documents({"aggregateId": local(kept["id"])}) == 1
    assert "tutuş" not in repr(entries)  # an entry tells that, not what


async def test_pounds_and_miles_are_kept_as_kilograms_and_metres(lifter: Client, bench: str) -> None:
    sets = [{"reps": 1, "weight": 225, "distance": 1}]
    [result] = (
        await run(
            lifter, SAVE, logs=[version("lb", 1, 0, exercises=[{"exercise": bench, "sets": sets}])], units="IMPERIAL"
        )
    )["results"]
    [one] = result["workout"]["exercises"][0]["sets"]
    assert (one["weight"], one["distance"]) == (102.058, 1609.344)


async def test_versions_sent_twice_and_in_any_order_leave_the_same_workouts(lifter: Client) -> None:
    """Two devices edit three workouts; every order of arrival, with everything sent twice, ends the same."""
    versions = [
        *(version("a", 1, 0), version("a", 2, 5), version("a", 2, 9), version("a", 3, 1, deleted=True)),
        *(version("b", 1, 0), version("b", 2, 5, name="left"), version("b", 2, 5, name="right")),
        version("c", 1, 0),
    ]
    chance, ends = random.Random(7), set()  # noqa: S311
    for turn in range(6):
        named = [{**one, "clientId": f"{one['clientId']}{turn}"} for one in versions * 2]
        chance.shuffle(named)
        for start in range(0, len(named), 5):
            await run(lifter, SAVE, logs=named[start : start + 5])
        nodes = (await lifter.data(LIST))["viewer"]["workoutLogs"]["nodes"]
        mine = sorted(
            (one["clientId"][0], one["revision"], one["name"]) for one in nodes if one["clientId"][1:] == f"{turn}"
        )
        ends.add(tuple(mine))
    [end] = ends
    assert [(one[0], one[1]) for one in end] == [("b", 2), ("c", 1)]  # the deleted one stays deleted


async def test_the_answer_tells_which_version_won(lifter: Client) -> None:
    async def sent(*logs: dict[str, Any]) -> list[str]:
        return [one["outcome"] for one in (await run(lifter, SAVE, logs=list(logs)))["results"]]

    assert await sent(version("w", 1, 0), version("w", 1, 0), version("w", 2, 1)) == ["CREATED", "UNCHANGED", "UPDATED"]
    assert await sent(version("w", 1, 50), version("w", 2, 0)) == ["KEPT", "KEPT"]
    assert await sent(version("w", 2, 2)) == ["UPDATED"]
    [late] = (await run(lifter, SAVE, logs=[version("w", 2, 1)]))["results"]
    assert (late["outcome"], late["workout"]["name"]) == ("KEPT", "2/2")  # what the app is to take over
    assert await sent(version("w", 3, 0, deleted=True)) == ["UPDATED"]
    assert await sent(version("w", 3, 0, deleted=True), version("w", 2, 59)) == ["UNCHANGED", "KEPT"]
    assert (await lifter.data(LIST))["viewer"]["workoutLogs"] == {"totalCount": 0, "nodes": []}


async def test_two_devices_at_once_make_one_workout(lifter: Client, small_stores: Stores) -> None:
    batches = [[version(f"p{number}", 1, device) for number in range(10)] for device in range(4)]
    answers = await asyncio.gather(*(run(lifter, SAVE, logs=batch) for batch in batches))
    for number in range(10):
        outcomes = [answer["results"][number]["outcome"] for answer in answers]
        assert outcomes.count("CREATED") == 1
        assert set(outcomes) <= {"CREATED", "UPDATED", "KEPT"}
    nodes = (await lifter.data(LIST))["viewer"]["workoutLogs"]["nodes"]
    assert sorted((one["clientId"], one["name"]) for one in nodes) == [(f"p{number}", "1/3") for number in range(10)]


async def test_what_is_wrong_with_one_does_not_hinder_the_others(
    lifter: Client, bench: str, small_http: httpx.AsyncClient, small_stores: Stores
) -> None:
    other, _ = await account(small_stores)
    hidden = ObjectId()
    await small_stores.mongo.database["exercises"].insert_one(
        {"_id": hidden, "name": "Gizli", "nameFolded": "gizli", "isPublic": False, "createdBy": other}
    )

    def doing(exercise: str, **one: Any) -> list[dict[str, Any]]:
        return [{"exercise": exercise, "sets": [one]}]

    tomorrow = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    wrong: list[tuple[dict[str, Any], str, list[str]]] = [
        ({"exercises": doing(global_id("Exercise", hidden))}, "NOT_FOUND", ["exercises"]),
        ({"exercises": doing(global_id("Exercise", ObjectId()))}, "NOT_FOUND", ["exercises"]),
        ({"exercises": doing("nonsense")}, "NOT_FOUND", ["exercise"]),
        ({"exercises": doing(bench, reps=-1)}, "BAD_USER_INPUT", ["exercises", "0", "sets", "0", "reps"]),
        ({"exercises": doing(bench, weight=2001)}, "BAD_USER_INPUT", ["exercises", "0", "sets", "0", "weight"]),
        ({"exercises": doing(bench, rpe=11)}, "BAD_USER_INPUT", ["exercises", "0", "sets", "0", "rpe"]),
        ({"exercises": doing(bench, tempo="fast")}, "BAD_USER_INPUT", ["exercises", "0", "sets", "0", "tempo"]),
        ({"exercises": doing(bench) * 201}, "BAD_USER_INPUT", ["exercises"]),
        ({"exercises": [{"exercise": bench, "sets": [{}] * 200}] * 6}, "BAD_USER_INPUT", ["exercises"]),
        ({"endTime": (NOON - timedelta(seconds=1)).isoformat()}, "BAD_USER_INPUT", ["endTime"]),
        ({"endTime": (NOON + timedelta(days=3)).isoformat()}, "BAD_USER_INPUT", ["endTime"]),
        ({"editedAt": tomorrow}, "BAD_USER_INPUT", ["editedAt"]),
        ({"startTime": tomorrow}, "BAD_USER_INPUT", ["startTime"]),
        ({"revision": 0}, "BAD_USER_INPUT", ["revision"]),
        ({"clientId": ""}, "BAD_USER_INPUT", ["clientId"]),
        ({"clientId": "a b"}, "BAD_USER_INPUT", ["clientId"]),
        ({"place": {"latitude": 91, "longitude": 0}}, "BAD_USER_INPUT", ["place", "latitude"]),
        ({"feedback": {"rating": 6}}, "BAD_USER_INPUT", ["feedback", "rating"]),
        ({"heartRate": {"max": 301}}, "BAD_USER_INPUT", ["heartRate", "max"]),
    ]
    logs = [{**version(f"x{place}", 1, 0), **change} for place, (change, _, _) in enumerate(wrong)]
    results = (await run(lifter, SAVE, logs=[*logs, version("good", 1, 0)]))["results"]
    for result, (change, code, path) in zip(results[:-1], wrong, strict=True):
        assert (result["outcome"], result["workout"]) == ("REFUSED", None), change
        assert [(error["code"], error["path"]) for error in result["userErrors"]] == [(code, path)], change
    assert results[-1]["outcome"] == "CREATED"
    assert [node["clientId"] for node in (await lifter.data(LIST))["viewer"]["workoutLogs"]["nodes"]] == ["good"]
    many = await run(lifter, SAVE, logs=[version(f"m{number}", 1, 0) for number in range(51)])
    assert many == {"results": [], "userErrors": [{"code": "BAD_USER_INPUT", "path": ["logs"]}]}
    guest = await Client(small_http).run(SAVE, {"i": {"logs": []}})
    assert guest["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    await small_stores.mongo.database["exercises"].delete_one({"_id": hidden})


# --- one at a time


async def test_a_workout_begins_once_and_ends_once(
    lifter: Client, bench: str, small_http: Any, small_stores: Stores
) -> None:
    begun = await run(lifter, START, clientId="live", name="Sabah", exercises=[{"exercise": bench}])
    assert begun["userErrors"] == []
    workout = begun["workout"]
    assert (workout["endTime"], workout["revision"]) == (None, 1)
    again = await run(lifter, START, clientId="live", name="Akşam")
    assert again["workout"] == workout
    _, email = await account(small_stores)
    stranger = await login(small_http, email, PASSWORD)
    foreign = await run(stranger, FINISH, workout=workout["id"])
    assert foreign == {"workout": None, "userErrors": [{"code": "NOT_FOUND", "path": ["workout"]}]}
    early = (datetime.fromisoformat(workout["startTime"]) - timedelta(minutes=1)).isoformat()
    refused = await run(lifter, FINISH, workout=workout["id"], endTime=early)
    assert refused["userErrors"] == [{"code": "BAD_USER_INPUT", "path": ["endTime"]}]
    end = (datetime.fromisoformat(workout["startTime"]) + timedelta(minutes=40)).isoformat().replace("+00:00", "Z")
    ending = {"workout": workout["id"], "endTime": end, "feedback": {"rating": 4}}
    ended = await run(lifter, FINISH, **ending)
    assert (ended["workout"]["duration"], ended["workout"]["revision"]) == (2400.0, 2)
    assert ended["workout"]["name"] == "Sabah"
    assert await run(lifter, FINISH, **ending) == ended
    other = await run(lifter, FINISH, workout=workout["id"], feedback={"rating": 1})
    assert other == {"workout": None, "userErrors": [{"code": "INVALID_TRANSITION", "path": ["workout"]}]}
    guest = await Client(small_http).run(FINISH, {"i": {"workout": workout["id"]}})
    assert guest["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    database = small_stores.mongo.database
    entries = await database["audit_entries"].find({"entityId": local(workout["id"])}).sort("position", 1).to_list()
    assert [entry["action"] for entry in entries] == ["workout.logged", "workout.changed"]


async def test_without_an_end_a_workout_ends_now(lifter: Client) -> None:
    workout = (await run(lifter, START, clientId="now"))["workout"]
    ended = (await run(lifter, FINISH, workout=workout["id"]))["workout"]
    assert ended["endTime"] >= workout["startTime"]
    assert 0 <= ended["duration"] < 60


# --- who sees them

SEEN = """query ($id: ID!) { node(id: $id) { ... on User { firstName workoutLogs(first: 3) { totalCount nodes { id } }
    progress(from: "2026-01-01", to: "2026-06-15") { total { workouts } } } } }"""


async def test_workouts_are_for_the_person_and_a_coach_they_let(coach: Client, member: Client, owner: Client) -> None:
    client = (await member.data("{ viewer { id workoutLogs(first: 1) { totalCount nodes { id } } } }"))["viewer"]
    assert client["workoutLogs"]["totalCount"] > 0
    seen = (await coach.data(SEEN, {"id": client["id"]}))["node"]
    assert seen["workoutLogs"]["totalCount"] == client["workoutLogs"]["totalCount"]
    assert seen["progress"]["total"]["workouts"] == client["workoutLogs"]["totalCount"]
    log = client["workoutLogs"]["nodes"][0]["id"]
    photos = "query ($id: ID!) { node(id: $id) { ... on WorkoutLog { id photos } } }"
    assert (await coach.data(photos, {"id": log}))["node"] == {"id": log, "photos": None}  # off unless granted
    assert (await member.data(photos, {"id": log}))["node"] == {"id": log, "photos": []}
    node = (await owner.data(SEEN, {"id": client["id"]}))["node"]
    assert (node["firstName"], node["workoutLogs"], node["progress"]) == ("Ece", None, None)
    answer = await owner.post(photos, {"id": log})
    unknown = await owner.post(photos, {"id": global_id("WorkoutLog", ObjectId())})
    assert answer.content == unknown.content


# --- progress

PROGRESS = """query ($from: Date!, $to: Date!, $zone: String!) {
    viewer { progress(from: $from, to: $to, timezone: $zone) {
    total { workouts sets reps volume seconds areas { area sets volume } }
    weeks { starts workouts sets volume } streak { current longest }
    records { exercise { name } value weight reps at workout { startTime } }
    heaviest { exercise { name } value weight reps } } } }"""


async def test_progress_takes_one_read_of_the_workouts(member: Client) -> None:
    dates = {"from": "2024-07-01", "to": "2026-06-15", "zone": "Europe/Istanbul"}
    data, log = await member.counted(PROGRESS, dates)
    # The viewer, the workouts; below the records their exercises and workouts, and the exercises of the heaviest.
    assert (log.count("mongo"), log.count("postgres")) == (5, 0)
    progress = data["viewer"]["progress"]
    assert len(progress["weeks"]) == 103
    assert sum(week["workouts"] for week in progress["weeks"]) == progress["total"]["workouts"] > 5
    assert all(record["workout"]["startTime"] == record["at"] for record in progress["records"])


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"to": "2026-05-31"}, "to"),
        ({"from": "2020-01-01"}, "to"),
        ({"zone": "Mars/Base"}, "timezone"),
        ({"zone": ""}, "timezone"),
    ],
    ids=["backwards", "too long", "no zone", "empty zone"],
)
async def test_an_impossible_range_is_refused(member: Client, change: dict[str, str], path: str) -> None:
    answer = await member.run(PROGRESS, {"from": "2026-06-01", "to": "2026-06-15", "zone": "UTC", **change})
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]
    assert answer["errors"][0]["extensions"]["argument"] == [path]


async def test_the_real_export_gives_the_figures_of_an_independent_computation(lifter: Client) -> None:
    path = DATA / "strong-workouts.csv"
    if not path.is_file():
        pytest.skip(f"the real input files are not here: {path} does not exist")
    text = path.read_text(encoding="utf-8")
    given = {"csv": text, "timezone": "Europe/Istanbul"}
    first = await run(lifter, IMPORT, **given)
    assert first["userErrors"] == first["skipped"] == []
    assert (first["created"], first["updated"], first["unchanged"], first["kept"]) == (37, 0, 0, 0)
    again = await run(lifter, IMPORT, **given)
    assert (again["created"], again["unchanged"], again["createdExercises"]) == (0, 37, 0)

    rows = [row for row in csv.DictReader(text.splitlines()) if row["Set Order"] != "W"]
    weekly: defaultdict[date, list[float]] = defaultdict(lambda: [0, 0.0])
    best: dict[str, float] = {}
    heaviest: dict[str, float] = {}
    for row in rows:
        day = date.fromisoformat(row["Date"][:10])
        weight, reps = float(row["Weight"]), float(row["Reps"])
        week = weekly[day - timedelta(days=day.isoweekday() - 1)]
        week[0] += 1
        week[1] += weight * reps
        name = row["Exercise Name"]
        if weight and reps:
            heaviest[name] = max(heaviest.get(name, 0), weight)
            if reps <= 30:
                best[name] = max(best.get(name, 0), weight if reps == 1 else weight + weight * reps / 30)
    days = sorted(row["Date"][:10] for row in rows)
    data = await lifter.data(PROGRESS, {"from": days[0], "to": days[-1], "zone": "Europe/Istanbul"})
    progress = data["viewer"]["progress"]
    assert progress["total"]["sets"] == len(rows)
    assert progress["total"]["volume"] == pytest.approx(sum(week[1] for week in weekly.values()))
    shown = {week["starts"]: (week["sets"], week["volume"]) for week in progress["weeks"] if week["sets"]}
    assert shown == {str(start): (count, pytest.approx(volume)) for start, (count, volume) in weekly.items()}
    assert {one["exercise"]["name"]: one["value"] for one in progress["records"]} == {
        name: pytest.approx(value, abs=0.001) for name, value in best.items()
    }
    assert {one["exercise"]["name"]: one["value"] for one in progress["heaviest"]} == heaviest
    gaps = [
        date.fromisoformat(after) - date.fromisoformat(before)
        for before, after in zip(sorted(shown), sorted(shown)[1:], strict=False)
    ]
    longest = run_ = 1
    for gap in gaps:
        run_ = run_ + 1 if gap == timedelta(days=7) else 1
        longest = max(longest, run_)
    assert progress["streak"]["longest"] == longest


async def test_an_import_leaves_what_was_edited_here(lifter: Client) -> None:
    header = "Date,Workout Name,Duration,Exercise Name,Set Order,Weight,Reps,Distance,Seconds,RPE\n"
    line = "2026-03-01 10:00:00,A,10m,Squat (Barbell),1,{},5,0,0,\nnonsense,A,10m,Squat (Barbell),1,1,5,0,0,\n"
    given = {"timezone": "Europe/Istanbul", "weightUnit": "LB"}
    made = await run(lifter, IMPORT, csv=header + line.format(100), **given)
    assert (made["created"], made["createdExercises"], [one["row"] for one in made["skipped"]]) == (1, 1, [2])
    changed = await run(lifter, IMPORT, csv=header + line.format(110), **given)
    assert (changed["created"], changed["updated"]) == (0, 1)
    query = f"{{ viewer {{ workoutLogs(first: 9) {{ nodes {{ {WORKOUT} }} }} }} }}"
    [kept] = (await lifter.data(query))["viewer"]["workoutLogs"]["nodes"]
    assert (kept["importedFrom"], kept["clientId"]) == ("Strong app export", None)
    assert kept["startTime"] == datetime(2026, 3, 1, 10, tzinfo=ZoneInfo("Europe/Istanbul")).astimezone(
        UTC
    ).isoformat().replace("+00:00", "Z")
    assert kept["exercises"][0]["sets"][0]["weight"] == pytest.approx(110 * 0.45359237, abs=0.001)
    for bad, where in (
        ({"csv": "a,b\n1,2\n"}, "csv"),
        ({"csv": "x" * 800_001}, "csv"),
        ({"timezone": "Mars"}, "timezone"),
    ):
        refused = await run(lifter, IMPORT, **{"csv": header, **given, **bad})
        assert refused["userErrors"] == [{"code": "BAD_USER_INPUT", "path": [where]}]
        assert refused["created"] == 0
