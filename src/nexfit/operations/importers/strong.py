"""One person's workouts from the Strong app's CSV export into `workout_logs` (`nexfit.domains.training.strong`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bson import ObjectId

from nexfit.domains.text import fold
from nexfit.domains.training import exercises as known_exercises
from nexfit.domains.training import figures, strong
from nexfit.domains.vocabulary.documents import Kind
from nexfit.operations.importers.reading import read_csv, zone_of
from nexfit.operations.importers.reports import ImportReport, Outcome, Progress, RowResult
from nexfit.operations.importers.storing import MongoHolder, Row, Target, store, user_by_email
from nexfit.operations.vocabulary import learn
from nexfit.stores.mongo import Mongo


async def import_strong(
    stores: MongoHolder,
    path: Path,
    *,
    email: str,
    timezone: str = "Europe/Istanbul",
    weight_unit: Literal["kg", "lb"] = "kg",
    distance_unit: Literal["km", "mi"] = "km",
    on_progress: Progress | None = None,
) -> ImportReport:
    """Import a person's workouts; exercises not known by name become their own, private ones.

    A row's outcome is its workout's. Raises MalformedFile, UnknownPerson, UnknownZone, StoreError.
    """
    zone = zone_of(timezone)
    items = read_csv(path, strong.REQUIRED)
    user = await user_by_email(stores.mongo, email)
    report = ImportReport(path, strong.SOURCE)
    export = strong.read(items, zone)
    by_name, made = await _exercises(stores.mongo, user, export.exercises)
    if made:
        report.created["exercises"] = made
    known = await known_exercises.by_ids(stores.mongo, by_name.values(), ("metadata",))
    scale = (strong.KILOGRAMS[weight_unit], strong.METRES[distance_unit])
    documents: dict[str, Row] = {}
    for source_id, workout in export.workouts.items():
        content = strong.content(workout, by_name, *scale)
        documents[source_id] = content | {"figures": figures.of_workout(content["exercises"], known)}
    target = Target(
        collection="workout_logs",
        identity={"userId": user, "source": strong.SOURCE},
        owned=("name", "startTime", "endTime", "duration", "exercises", "notes", "figures"),
        only_on_insert={"photos": []},
        on_update={},
        refuses=lambda stored: "it was edited meanwhile" if stored.get("revision", 1) > 1 else None,
    )
    verdicts = await store(stores.mongo, target, documents, on_progress)
    for number, (name, key, reason) in enumerate(export.rows, 1):
        verdict = verdicts[key] if key is not None else (Outcome.SKIPPED, reason)
        report.rows.append(RowResult(number, name, *verdict))
    return report


async def _exercises(mongo: Mongo, user: ObjectId, names: list[str]) -> tuple[dict[str, ObjectId], int]:
    """Ids by exercise name, the person's own before public ones; how many had to be made."""
    by_folded = await known_exercises.by_names(mongo, user, names)
    new: list[Row] = []
    for name in names:
        if fold(name) not in by_folded:
            row = known_exercises.named(user, name, strong.equipment_of(name))
            by_folded[row["nameFolded"]] = row["_id"]
            new.append(row)
    if new:
        with mongo.unhurried() as database:
            await database["exercises"].insert_many(new)
        await learn(mongo, Kind.EXERCISES, new)
    return {name: by_folded[fold(name)] for name in names}, len(new)
