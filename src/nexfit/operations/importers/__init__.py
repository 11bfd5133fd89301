"""Reading real data from files into MongoDB: every row is accounted for, and a second run changes nothing.

A file is read and checked to its end before the first write; one that is broken is refused whole.
"""

from nexfit.operations.importers.exercises import import_exercises
from nexfit.operations.importers.foods import import_foods
from nexfit.operations.importers.gyms import import_gyms
from nexfit.operations.importers.reports import (
    ImportRefused,
    ImportReport,
    MalformedFile,
    Outcome,
    RowResult,
    UnknownPerson,
    UnknownZone,
)
from nexfit.operations.importers.strong import import_strong

__all__ = [
    "ImportRefused",
    "ImportReport",
    "MalformedFile",
    "Outcome",
    "RowResult",
    "UnknownPerson",
    "UnknownZone",
    "import_exercises",
    "import_foods",
    "import_gyms",
    "import_strong",
]
