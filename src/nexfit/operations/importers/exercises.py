"""Exercises from free-exercise-db's JSON list (`dist/exercises.json`) into `exercises`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from nexfit.domains.tables import FileRow, name_of, parse
from nexfit.domains.text import fold
from nexfit.domains.training.documents import Difficulty, Force, Language, Mechanic
from nexfit.domains.training.exercises import searched
from nexfit.domains.vocabulary.documents import Kind
from nexfit.operations.importers.reading import read_json_list
from nexfit.operations.importers.reports import ImportReport, Progress
from nexfit.operations.importers.storing import (
    Candidate,
    MongoHolder,
    Row,
    Target,
    Unusable,
    store_rows,
    without_empty,
)
from nexfit.operations.vocabulary import learn
from nexfit.stores.documents import Line, Text, Url, Word

SOURCE = "free-exercise-db by yuhonas, Unlicense"
AUTHOR, LICENSE = "yuhonas and contributors to free-exercise-db", "Unlicense"

TARGET = Target(
    collection="exercises",
    identity={"source": SOURCE},
    owned=(
        *("name", "nameFolded", "instructions", "media", "metadata", "language", "words", "nameWords"),
        *("author", "license"),
    ),
    only_on_insert={"isPublic": True},
    on_update={},
)


def _without_blank(steps: object) -> object:
    """Some exercises have empty steps; they say nothing."""
    return [step for step in steps if not isinstance(step, str) or step.strip()] if isinstance(steps, list) else steps


class ExerciseRow(FileRow):
    """An item of the list; what is not known is null there."""

    id: Line
    name: Line
    force: Force | None = None
    level: Difficulty
    mechanic: Mechanic | None = None
    equipment: Word | None = None
    primary_muscles: list[Word] = Field(alias="primaryMuscles", max_length=20)
    secondary_muscles: list[Word] = Field(alias="secondaryMuscles", max_length=20, default_factory=list)
    instructions: Annotated[list[Text], BeforeValidator(_without_blank)] = Field(max_length=100, default_factory=list)
    category: Word
    images: list[Url] = Field(max_length=50, default_factory=list)


async def import_exercises(stores: MongoHolder, path: Path, *, on_progress: Progress | None = None) -> ImportReport:
    """Import the list; pictures keep their file's relative names. Raises MalformedFile, StoreError."""
    rows = [_candidate(item) for item in read_json_list(path)]
    report = await store_rows(stores.mongo, TARGET, rows, ImportReport(path, SOURCE), on_progress)
    await learn(stores.mongo, Kind.EXERCISES, (row.document for row in rows if isinstance(row, Candidate)))
    return report


def _candidate(item: object) -> Candidate | Unusable:
    row = parse(ExerciseRow, item)
    if isinstance(row, str):
        return Unusable(name_of(item, "name"), row)
    return Candidate(row.name, row.id, _document(row))


def _document(row: ExerciseRow) -> Row:
    areas = list(dict.fromkeys([*row.primary_muscles, *row.secondary_muscles]))
    document: Row = {
        "name": row.name,
        "nameFolded": fold(row.name),
        "instructions": list(row.instructions),
        "media": {"imageUrls": list(row.images)},
        "metadata": without_empty(
            {
                "bodyAreas": areas,
                "primaryBodyAreas": list(row.primary_muscles),
                "secondaryBodyAreas": list(row.secondary_muscles),
                "type": row.category,
                "equipment": [row.equipment] if row.equipment else [],
                "difficultyLevel": row.level.value,
                "force": row.force.value if row.force else None,
                "mechanic": row.mechanic.value if row.mechanic else None,
            }
        ),
        "language": Language.EN.value,
        "author": AUTHOR,
        "license": LICENSE,
    }
    return document | searched(document)
