"""Foods from the USDA's FNDDS 2017-2018 nutrient values (CSV, one food a row, amounts in 100 g) into `foods`.

Of its 69 columns the ones NexFit has a field for are read: code, description, category, energy, protein, carbohydrate,
sugars, fibre, fat and sodium.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from nexfit.domains.nutrition.foods import searched
from nexfit.domains.tables import FileRow, name_of, parse
from nexfit.domains.text import fold
from nexfit.domains.vocabulary.documents import Kind
from nexfit.operations.importers.reading import read_csv
from nexfit.operations.importers.reports import ImportReport, Progress
from nexfit.operations.importers.storing import Candidate, MongoHolder, Row, Target, Unusable, store_rows
from nexfit.operations.vocabulary import learn
from nexfit.stores.documents import Line, Quantity, Word

SOURCE = "USDA FNDDS 2017-2018, US government work"

TARGET = Target(
    collection="foods",
    identity={"source": SOURCE},
    owned=("name", "nameFolded", "category", "nutrients", "words", "nameWords"),
    only_on_insert={"isVerified": True, "tags": []},
    on_update={},
)


class FoodRow(FileRow):
    """The columns in use."""

    code: Annotated[Word, Field(alias="Food code")]
    name: Annotated[Line, Field(alias="Main food description")]
    category: Annotated[Word, Field(alias="WWEIA Category description")]
    calories: Annotated[Quantity, Field(alias="Energy (kcal)")]
    protein: Annotated[Quantity, Field(alias="Protein (g)")]
    carbs: Annotated[Quantity, Field(alias="Carbohydrate (g)")]
    sugar: Annotated[Quantity, Field(alias="Sugars, total (g)")]
    fiber: Annotated[Quantity, Field(alias="Fiber, total dietary (g)")]
    fat: Annotated[Quantity, Field(alias="Total Fat (g)")]
    sodium: Annotated[Quantity, Field(alias="Sodium (mg)")]


COLUMNS = tuple(str(field.alias) for field in FoodRow.model_fields.values())


async def import_foods(stores: MongoHolder, path: Path, *, on_progress: Progress | None = None) -> ImportReport:
    """Import the table. Raises MalformedFile, StoreError."""
    rows = [_candidate(item) for item in read_csv(path, COLUMNS)]
    report = await store_rows(stores.mongo, TARGET, rows, ImportReport(path, SOURCE), on_progress)
    await learn(stores.mongo, Kind.FOODS, (row.document for row in rows if isinstance(row, Candidate)))
    return report


def _candidate(item: object) -> Candidate | Unusable:
    row = parse(FoodRow, item)
    if isinstance(row, str):
        return Unusable(name_of(item, "Main food description"), row)
    return Candidate(row.name, row.code, _document(row))


def _document(row: FoodRow) -> Row:
    document: Row = {
        "name": row.name,
        "nameFolded": fold(row.name),
        "category": row.category,
        "nutrients": {
            "calories": row.calories,
            "protein": row.protein,
            "carbs": row.carbs,
            "fat": row.fat,
            "fiber": row.fiber,
            "sugar": row.sugar,
            "sodium": row.sodium,
        },
    }
    return document | searched({**document, **TARGET.only_on_insert})
