"""The four real files: every row accounted for, and nothing left to do the second time."""

import csv
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId

from nexfit.operations import mongo_schema
from nexfit.operations.importers import (
    ImportReport,
    Outcome,
    import_exercises,
    import_foods,
    import_gyms,
    import_strong,
)
from nexfit.stores.connections import Stores

EMAIL = "Lifter@Example.org"
USER = ObjectId()

FILES = {
    "exercises": "free-exercise-db.json",
    "foods": "fndds-2017-2018-nutrient-values.csv",
    "gyms": "osm-gyms-dk.json",
    "strong": "strong-workouts.csv",
}

Import = Callable[[Stores, Path], Awaitable[ImportReport]]

IMPORTS: dict[str, Import] = {
    "exercises": import_exercises,
    "foods": import_foods,
    "gyms": import_gyms,
    "strong": lambda stores, path: import_strong(stores, path, email=EMAIL, timezone="Europe/Istanbul"),
}


@pytest.fixture(scope="module")
async def lifter(stores: Stores) -> Stores:
    """The stores with the one user whose workouts are imported."""
    now = datetime.now(UTC)
    await stores.mongo.database["users"].insert_one(
        {
            "_id": USER,
            "email": EMAIL,
            "emailNormalized": "lifter@example.org",
            "firstName": "Lale",
            "lastName": "Işık",
            "nameFolded": "lale isik",
            "role": ["client"],
            "isActive": True,
            "roleSpecificData": {},
            "createdAt": now,
            "updatedAt": now,
        }
    )
    return stores


@pytest.mark.parametrize("name", list(FILES))
async def test_the_whole_file_is_imported_and_the_second_time_nothing_is_left_to_do(
    lifter: Stores, data_folder: Path, name: str
) -> None:
    path = data_folder / FILES[name]
    first = await IMPORTS[name](lifter, path)
    rows = len(json.loads(path.read_text())) if path.suffix == ".json" else len(list(csv.reader(path.open()))) - 1
    assert [row.row for row in first.rows] == list(range(1, rows + 1))
    assert first.counts() == {
        Outcome.IMPORTED: rows,
        Outcome.UPDATED: 0,
        Outcome.UNCHANGED: 0,
        Outcome.SKIPPED: 0,
    }, first.skipped()
    before = await _content(lifter)
    second = await IMPORTS[name](lifter, path)
    assert second.counts()[Outcome.UNCHANGED] == len(second.rows) == rows
    assert second.created == {}
    assert await _content(lifter) == before
    assert await mongo_schema.refused_documents(lifter.mongo.database) == {}


async def _content(stores: Stores) -> dict[str, list[object]]:
    names = ("exercises", "foods", "facilities", "workout_logs", "vocabulary")
    return {name: await stores.mongo.database[name].find(sort=[("_id", 1)]).to_list() for name in names}


async def test_exercises_keep_what_the_file_says(lifter: Stores, data_folder: Path) -> None:
    path = data_folder / FILES["exercises"]
    await import_exercises(lifter, path)
    stored = await lifter.mongo.database["exercises"].find({"isPublic": True}).to_list()
    wanted = {item["id"]: item for item in json.loads(path.read_text())}
    assert len(stored) == len(wanted) == 873
    for document in stored:
        item = wanted[document["sourceId"]]
        metadata = document["metadata"]
        steps = [step.strip() for step in item["instructions"] if step.strip()]
        assert (document["name"], document["instructions"]) == (item["name"], steps)
        assert metadata.get("force") == item["force"]
        assert metadata.get("mechanic") == item["mechanic"]
        assert metadata["equipment"] == ([item["equipment"]] if item["equipment"] else [])
        assert metadata["bodyAreas"] == list(dict.fromkeys(item["primaryMuscles"] + item["secondaryMuscles"]))
        assert (metadata["difficultyLevel"], metadata["type"]) == (item["level"], item["category"])
        assert document["media"]["imageUrls"] == item["images"]
        assert "Unlicense" in document["source"]
        assert "yuhonas" in document["source"]
        assert (document["license"], "yuhonas" in document["author"]) == ("Unlicense", True)
    assert sum("force" not in document["metadata"] for document in stored) == 29


async def test_foods_keep_what_the_file_says(lifter: Stores, data_folder: Path) -> None:
    path = data_folder / FILES["foods"]
    await import_foods(lifter, path)
    stored = {row["sourceId"]: row async for row in lifter.mongo.database["foods"].find()}
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert any("\n" in cell for cell in header)
    assert len(stored) == len(rows)
    for cells in rows:
        food = stored[cells[0]]
        assert (food["name"], food["category"]) == (cells[1], cells[3])
        facts = food["nutrients"]
        order = ("calories", "protein", "carbs", "sugar", "fiber", "fat")
        assert [facts[name] for name in order] == [float(cell) for cell in cells[4:10]]
        assert facts["sodium"] == float(cells[header.index("Sodium (mg)")])
        assert food["isVerified"]


async def test_gyms_can_be_found_where_they_are(lifter: Stores, data_folder: Path) -> None:
    await import_gyms(lifter, data_folder / FILES["gyms"])
    town_hall = {"type": "Point", "coordinates": [12.5683, 55.6761]}
    near = {"address.coordinates": {"$near": {"$geometry": town_hall, "$maxDistance": 3000}}}
    found = await lifter.mongo.database["facilities"].find(near).to_list()
    assert len(found) > 20
    assert all(one["timezone"] == "Europe/Copenhagen" and "ownerId" not in one for one in found)
    assert any(one["address"].get("city") == "København" for one in found)
    assert all("ODbL" in one["source"] for one in found)


async def test_workouts_are_sets_of_sessions(lifter: Stores, data_folder: Path) -> None:
    path = data_folder / FILES["strong"]
    await import_strong(lifter, path, email=EMAIL, timezone="Europe/Istanbul")
    logs = await lifter.mongo.database["workout_logs"].find({"userId": USER}, sort=[("startTime", 1)]).to_list()
    rows = list(csv.DictReader(path.open()))
    assert len(logs) == 37
    sets = [one for log in logs for exercise in log["exercises"] for one in exercise["sets"]]
    assert len(sets) == len(rows) == 666
    assert sum(one["isWarmUp"] for one in sets) == sum(row["Set Order"] == "W" for row in rows) == 162
    assert sum(one.get("reps", 0) * one.get("weight", 0) for one in sets) == pytest.approx(
        sum(float(row["Reps"]) * float(row["Weight"]) for row in rows)
    )
    assert sum(log["figures"]["sets"] for log in logs) == 666 - 162
    first = rows[0]
    assert logs[0]["startTime"].astimezone(ZoneInfo("Europe/Istanbul")).strftime("%Y-%m-%d %H:%M:%S") == first["Date"]
    assert (logs[0]["duration"], logs[0]["name"]) == (51 * 60, "Upper Body")
    assert (logs[0]["endTime"] - logs[0]["startTime"]).total_seconds() == 51 * 60
    own = await lifter.mongo.database["exercises"].find({"createdBy": USER}).to_list()
    used = Counter(exercise["exerciseId"] for log in logs for exercise in log["exercises"])
    names = {one["_id"]: one["name"] for one in own}
    assert all(not one["isPublic"] for one in own)
    assert "Bench Press (Barbell)" in {names.get(key) for key in used}
    assert {row["Exercise Name"] for row in rows} >= set(names.values())
