"""Workouts of another app, sent as the text of its export, into the viewer's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from bson import ObjectId

from nexfit.domains.errors import BadInput
from nexfit.domains.identity.access import Actor
from nexfit.domains.tables import NotATable, rows_of
from nexfit.domains.text import fold
from nexfit.domains.training import exercises, strong
from nexfit.domains.training.workout_drafts import Entry, Version, digest_of
from nexfit.domains.training.workout_saving import Outcome, save
from nexfit.domains.vocabulary import search
from nexfit.domains.vocabulary.documents import Kind
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.mongo import Mongo

MOST_CHARACTERS = 800_000
MOST_EXERCISES = 1_000
TOGETHER = 100
"""Workouts of one transaction."""


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row that is no set, counted from 1 below the header, and why."""

    row: int
    reason: str


@dataclass(slots=True)
class Imported:
    """What became of the workouts, the exercises that were made for them, and the rows that were left out."""

    outcomes: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    exercises: int = 0
    skipped: list[SkippedRow] = field(default_factory=list)


async def import_strong(
    units: UnitsOfWork,
    mongo: Mongo,
    actor: Actor,
    text: str,
    *,
    zone: ZoneInfo,
    weight_unit: Literal["kg", "lb"],
    distance_unit: Literal["km", "mi"],
    now: datetime,
) -> Imported:
    """Keep the workouts of a Strong export; exercises not known by name become the viewer's own.

    Sent again it changes nothing; a workout that was edited here stays as it is. Workouts are kept in parts: after a
    failure, sending the text again does the rest. Raises Unauthenticated, BadInput, StoreError.
    """
    viewer = actor.require()
    if len(text) > MOST_CHARACTERS:
        raise BadInput("{name} must have at most {most} characters.", path=("csv",), name="csv", most=MOST_CHARACTERS)
    try:
        items = rows_of(text, strong.REQUIRED)
    except NotATable as refused:
        raise BadInput(
            "This is no export of Strong: line {line} cannot be read.", path=("csv",), line=refused.line
        ) from refused
    export = strong.read(items, zone)
    found = Imported(
        skipped=[SkippedRow(number, reason) for number, (_, _, reason) in enumerate(export.rows, 1) if reason]
    )
    if len(export.exercises) > MOST_EXERCISES:
        raise BadInput("{name} may have at most {most} entries.", path=("csv",), name="csv", most=MOST_EXERCISES)
    by_name, found.exercises = await _exercises(units, mongo, viewer, export.exercises)
    scale = strong.KILOGRAMS[weight_unit], strong.METRES[distance_unit]
    edited = now.replace(microsecond=now.microsecond // 1000 * 1000)
    entries = []
    for source_id, workout in export.workouts.items():
        content = strong.content(workout, by_name, *scale)
        entries.append(Entry(strong.SOURCE, source_id, Version(1, edited, digest_of(content)), content))
    for start in range(0, len(entries), TOGETHER):
        for saved in await save(units, actor, entries[start : start + TOGETHER], now=now):
            found.outcomes[saved.outcome] += 1
    return found


async def _exercises(
    units: UnitsOfWork, mongo: Mongo, viewer: ObjectId, names: list[str]
) -> tuple[dict[str, ObjectId], int]:
    """Ids by name, and how many exercises had to be made."""
    known = await exercises.by_names(mongo, viewer, names)
    new = {}
    for name in names:
        if fold(name) not in known and fold(name) not in new:
            new[fold(name)] = exercises.named(viewer, name, strong.equipment_of(name))
    if new:

        async def body(work: MongoWork) -> None:
            await work.mongo.insert(exercises.COLLECTION, *(dict(row) for row in new.values()))
            words = {word for row in new.values() for word in row["words"]}
            await search.learn(work.mongo, Kind.EXERCISES, viewer, words)

        await units.mongo("import_exercises").run(body)
    ids = {**known, **{folded: row["_id"] for folded, row in new.items()}}
    return {name: ids[fold(name)] for name in names}, len(new)
