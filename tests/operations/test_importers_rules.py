"""What importers do with files that changed, rows that are wrong, and files that are broken."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from nexfit.operations.importers import (
    ImportReport,
    MalformedFile,
    Outcome,
    UnknownPerson,
    UnknownZone,
    import_exercises,
    import_foods,
    import_gyms,
    import_strong,
)
from nexfit.stores.connections import Stores

EMAIL = "ismail@example.org"
COLLECTIONS = ("users", "exercises", "foods", "facilities", "workout_logs")

FOOD_HEADER = (
    "Food code,Main food description,WWEIA Category description,Energy (kcal),Protein (g),Carbohydrate (g),"
    '"Sugars, total\n(g)","Fiber, total dietary (g)",Total Fat (g),"Sodium\n(mg)",Water (g)\n'
)
STRONG_HEADER = "Date,Workout Name,Duration,Exercise Name,Set Order,Weight,Reps,Distance,Seconds,RPE\n"


def _exercise(key: str = "a", **changes: Any) -> dict[str, Any]:
    return {
        "id": key,
        "name": f"Exercise {key}",
        "force": None,
        "level": "beginner",
        "mechanic": None,
        "equipment": None,
        "primaryMuscles": ["chest"],
        "secondaryMuscles": [],
        "instructions": [],
        "category": "strength",
        "images": [],
    } | changes


def _gym(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {"id": number, "name": f"Gym {number}", "region": "Fyn", "latitude": 55.4, "longitude": 10.4} | changes


def _write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def _fates(report: ImportReport) -> list[tuple[int, str]]:
    return [(row.row, row.outcome.value) for row in report.rows]


@pytest.fixture
async def people(stores: Stores) -> AsyncIterator[dict[str, ObjectId]]:
    """Two users; everything is empty again afterwards."""
    now = datetime.now(UTC)
    ids = {}
    for email in (EMAIL, "other@example.org"):
        ids[email] = ObjectId()
        await stores.mongo.database["users"].insert_one(
            {
                "_id": ids[email],
                "email": email,
                "emailNormalized": email,
                "firstName": "İsmail",
                "lastName": "Işık",
                "nameFolded": "ismail isik",
                "role": ["client"],
                "isActive": True,
                "createdAt": now,
                "updatedAt": now,
            }
        )
    yield ids
    for name in COLLECTIONS:
        await stores.mongo.database[name].delete_many({})


async def test_changed_rows_are_updated_and_removed_values_go(
    stores: Stores, people: dict[str, ObjectId], tmp_path: Path
) -> None:
    path = _write(tmp_path / "e.json", [_exercise("a", force="push"), _exercise("b"), _exercise("c")])
    await import_exercises(stores, path)
    exercises = stores.mongo.database["exercises"]
    await exercises.update_one({"sourceId": "a"}, {"$set": {"description": "ours"}})
    _write(path, [_exercise("a"), _exercise("b", name="Other", equipment="barbell"), _exercise("c"), _exercise("d")])
    report = await import_exercises(stores, path)
    assert _fates(report) == [(1, "updated"), (2, "updated"), (3, "unchanged"), (4, "imported")]
    assert dict(report.table())["updated"] == "2"
    a, b = [await exercises.find_one({"sourceId": key}) or {} for key in "ab"]
    assert "force" not in a["metadata"]
    assert a["description"] == "ours"
    assert (b["name"], b["nameFolded"], b["metadata"]["equipment"]) == ("Other", "other", ["barbell"])


async def test_wrong_rows_are_skipped_with_their_reason(
    stores: Stores, people: dict[str, ObjectId], tmp_path: Path
) -> None:
    items = [
        _exercise("a"),
        _exercise("b", level="godlike"),
        _exercise("c", name=None),
        _exercise("a", name="again"),
        "no object",
        _exercise("d", images=["x" * 3000]),
        _exercise("e"),
    ]
    report = await import_exercises(stores, _write(tmp_path / "e.json", items))
    assert _fates(report) == [
        (1, "imported"),
        *((row, "skipped") for row in range(2, 7)),
        (7, "imported"),
    ]
    reasons = [row.reason or "" for row in report.skipped()]
    assert reasons[0].startswith("level: ")
    assert reasons[1].startswith("name: ")
    assert reasons[2] == "an earlier row has the id a too"
    assert reasons[3].startswith("row: ")
    assert reasons[4].startswith("images.0: ")
    assert await stores.mongo.count("exercises", {}) == 2


@pytest.mark.parametrize("figure", ["", "-1", "nan", "1e99", "12 g", "1,5"])
async def test_a_food_with_an_impossible_figure_is_skipped(
    stores: Stores, people: dict[str, ObjectId], tmp_path: Path, figure: str
) -> None:
    rows = f'1,Ayran,Milk,35,1.8,2.6,2.6,0,1.8,210,93\n2,Süt,Milk,"{figure}",3,4,4,0,3,40,88\n'
    report = await import_foods(stores, _write(tmp_path / "f.csv", FOOD_HEADER + rows))
    assert _fates(report) == [(1, "imported"), (2, "skipped")]
    assert (report.rows[1].reason or "").startswith("Energy (kcal): ")
    stored = await stores.mongo.database["foods"].find().to_list()
    assert [(food["name"], food["nutrients"]["sodium"]) for food in stored] == [("Ayran", 210.0)]


BROKEN_JSON = {
    "text": ('[{"id": 1},\n {"id": ]\n', 2),
    "cut off": ('[\n{"id": "a", "name": "x"\n', 3),
    "an object": ('{"id": 1}', 1),
    "empty": ("", None),
    "blank": (" \n\n", None),
    "not a number": ('[{"id": NaN}]', None),
    "too deep": ("[" * 100_000, None),
}


@pytest.mark.parametrize(("text", "line"), BROKEN_JSON.values(), ids=BROKEN_JSON)
@pytest.mark.parametrize("importer", [import_exercises, import_gyms])
async def test_broken_json_changes_nothing(
    stores: Stores, people: dict[str, ObjectId], tmp_path: Path, importer: Any, text: str, line: int | None
) -> None:
    path = _write(tmp_path / "x.json", text)
    with pytest.raises(MalformedFile) as refusal:
        await importer(stores, path)
    assert refusal.value.line == line
    assert str(path) in str(refusal.value)
    assert await stores.mongo.count("exercises", {}) == await stores.mongo.count("facilities", {}) == 0


BROKEN_CSV = {
    "a cell too few": (FOOD_HEADER + "1,Ayran,Milk,35,1,2,3,4,5,6,7\n2,Süt,Milk\n", 5),
    "an open quote": (FOOD_HEADER + '1,"Ayran,Milk\n35,1\n', 5),
    "no such column": ("Food code,Main food description\n1,Ayran\n", 1),
    "a column twice": (FOOD_HEADER.replace("Water (g)", "Total Fat (g)") + "1,Ayran,Milk,1,1,2,3,4,5,6,7\n", 1),
    "empty": ("", None),
}


@pytest.mark.parametrize(("text", "line"), BROKEN_CSV.values(), ids=BROKEN_CSV)
async def test_a_broken_table_changes_nothing(
    stores: Stores, people: dict[str, ObjectId], tmp_path: Path, text: str, line: int | None
) -> None:
    with pytest.raises(MalformedFile) as refusal:
        await import_foods(stores, _write(tmp_path / "f.csv", text))
    assert refusal.value.line == line
    assert await stores.mongo.count("foods", {}) == 0


async def test_bytes_that_are_no_text_are_refused_with_their_line(
    stores: Stores, people: dict[str, ObjectId], tmp_path: Path
) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(FOOD_HEADER.encode() + b"1,S\xfct,Milk,1,1,1,1,1,1,1,1\n")
    with pytest.raises(MalformedFile, match="UTF-8") as refusal:
        await import_foods(stores, path)
    assert refusal.value.line == 4


async def test_a_file_that_is_not_there_is_refused(stores: Stores, tmp_path: Path) -> None:
    with pytest.raises(MalformedFile, match="cannot be read"):
        await import_foods(stores, tmp_path / "nothing.csv")


async def test_gyms_belong_to_the_named_owner_and_are_left_to_a_new_one(
    stores: Stores, people: dict[str, ObjectId], tmp_path: Path
) -> None:
    path = _write(tmp_path / "g.json", [_gym(1, address="Nytorv, 9000 Aalborg", brand="Örn"), _gym(2, city="Odense")])
    await import_gyms(stores, path, owner_email=EMAIL.upper())
    facilities = stores.mongo.database["facilities"]
    first, second = await facilities.find(sort=[("sourceId", 1)]).to_list()
    assert {first["ownerId"], second["ownerId"]} == {people[EMAIL]}
    assert (first["address"]["street"], first["address"]["zipCode"], first["address"]["cityFolded"]) == (
        "Nytorv",
        "9000",
        "aalborg",
    )
    assert second["address"]["city"] == "Odense"
    await facilities.update_one(
        {"_id": first["_id"]}, {"$set": {"ownerId": people["other@example.org"], "name": "Mine"}}
    )
    _write(path, [_gym(1, name="New"), _gym(2, name="New too", latitude=99)])
    report = await import_gyms(stores, path, owner_email=EMAIL)
    assert report.rows[0].reason == "it belongs to another owner by now"
    assert (report.rows[1].reason or "").startswith("latitude: ")
    kept = await facilities.find_one({"_id": first["_id"]}) or {}
    assert kept["name"] == "Mine"


async def test_unknown_owner_person_and_zone_are_refused(
    stores: Stores, people: dict[str, ObjectId], tmp_path: Path
) -> None:
    gyms = _write(tmp_path / "g.json", [_gym()])
    sets = _write(tmp_path / "s.csv", STRONG_HEADER + "2026-03-01 10:00:00,A,10m,Squat,1,50,5,0,0,\n")
    with pytest.raises(UnknownPerson, match=r"nobody@example\.org"):
        await import_gyms(stores, gyms, owner_email="nobody@example.org")
    with pytest.raises(UnknownZone, match="Mars/Base"):
        await import_gyms(stores, gyms, timezone="Mars/Base")
    with pytest.raises(UnknownPerson):
        await import_strong(stores, sets, email="nobody@example.org")
    with pytest.raises(UnknownZone):
        await import_strong(stores, sets, email=EMAIL, timezone="../../etc/passwd")
    assert await stores.mongo.count("facilities", {}) == await stores.mongo.count("workout_logs", {}) == 0
    assert await stores.mongo.count("exercises", {}) == 0


async def test_strong_rows_become_sets_in_their_order(
    stores: Stores, people: dict[str, ObjectId], tmp_path: Path
) -> None:
    public = ObjectId()
    await stores.mongo.database["exercises"].insert_one(
        {"_id": public, "name": "Squat", "nameFolded": "squat", "isPublic": True}
    )
    text = STRONG_HEADER + (
        "2026-03-29 02:30:00,Sabah,1h 2m,Squat,W,20,5,0,0,\n"
        "2026-03-29 02:30:00,Sabah,1h 2m,Squat,1,100.5,5.0,0,0,8.5\n"
        "2026-03-29 02:30:00,Sabah,1h 2m,Koşu,1,0,0,2.5,600,\n"
        "2026-03-29 02:30:00,Sabah,1h 2m,Squat,D,80,8,0,0,\n"
        "2026-03-29 02:30:00,Sabah,1h 2m,Squat,Rest Timer,0,0,0,90,\n"
        "not a date,Sabah,1h 2m,Squat,1,1,1,0,0,\n"
        "2026-03-29 02:30:00,Sabah,soon,Squat,1,1,1,0,0,\n"
        "2026-03-29 02:30:00,Sabah,1h 2m,Squat,1,1,1.5,0,0,\n"
        "2026-03-29 02:30:00,Sabah,1h 2m,Squat,1,1,1,0,0,11\n"
    )
    path = _write(tmp_path / "s.csv", text)
    report = await import_strong(stores, path, email=EMAIL, timezone="Europe/Berlin", weight_unit="lb")
    assert _fates(report) == [*((row, "imported") for row in range(1, 5)), *((row, "skipped") for row in range(5, 10))]
    reasons = [row.reason or "" for row in report.skipped()]
    assert reasons[0] == "Set Order: 'Rest Timer' is no set"
    assert [reason.partition(":")[0] for reason in reasons[1:]] == ["Date", "Duration", "Reps", "RPE"]
    assert report.created == {"exercises": 1}
    log = await stores.mongo.database["workout_logs"].find_one() or {}
    # 02:30 does not exist on that night in Berlin: it moves forward to 03:30 summer time.
    assert log["startTime"] == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert log["duration"] == 3720.0
    assert [(exercise["exerciseId"] == public, len(exercise["sets"])) for exercise in log["exercises"]] == [
        (True, 2),
        (False, 1),
        (True, 1),
    ]
    warm_up, working = log["exercises"][0]["sets"]
    assert (warm_up["isWarmUp"], working["isWarmUp"], working["rpe"]) == (True, False, 8.5)
    assert working["weight"] == pytest.approx(45.586, abs=0.001)
    run = log["exercises"][1]["sets"][0]
    assert (run["distance"], run["duration"]) == (2500.0, 600.0)
    assert "reps" not in run
    assert "weight" not in run


async def test_a_changed_workout_is_updated_for_its_person_only(
    stores: Stores, people: dict[str, ObjectId], tmp_path: Path
) -> None:
    line = "2026-03-01 10:00:00,A,10m,Squat,1,{},5,0,0,\n"
    path = _write(tmp_path / "s.csv", STRONG_HEADER + line.format(50))
    await import_strong(stores, path, email=EMAIL)
    await import_strong(stores, path, email="other@example.org")
    _write(path, STRONG_HEADER.replace(",", ";") + line.format(55).replace(",", ";"))
    report = await import_strong(stores, path, email=EMAIL)
    assert report.counts()[Outcome.UPDATED] == 1
    logs = await stores.mongo.database["workout_logs"].find().to_list()
    weights = {log["userId"]: log["exercises"][0]["sets"][0]["weight"] for log in logs}
    assert weights == {people[EMAIL]: 55.0, people["other@example.org"]: 50.0}
    assert await stores.mongo.count("exercises", {}) == 2


async def test_progress_reaches_the_end(stores: Stores, people: dict[str, ObjectId], tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    path = _write(tmp_path / "e.json", [_exercise(str(number)) for number in range(1100)])
    await import_exercises(stores, path, on_progress=lambda *step: steps.append(step))
    assert steps == [("exercises", 1000, 1100), ("exercises", 1100, 1100)]
