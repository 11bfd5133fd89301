"""What became of every row of an imported file, and why a file is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

Progress = Callable[[str, int, int], None]
"""Called with the step's name, how many rows of it are done, and how many there are."""


class Outcome(StrEnum):
    """What became of a row."""

    IMPORTED = "imported"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class RowResult:
    """One row, counted from 1 without the header; a skipped one has its reason."""

    row: int
    name: str
    outcome: Outcome
    reason: str | None = None


@dataclass(slots=True)
class ImportReport:
    """All rows of a file in its order, and what else was made on the way (`created`: collection to number)."""

    path: Path
    source: str
    rows: list[RowResult] = field(default_factory=list)
    created: dict[str, int] = field(default_factory=dict)

    def counts(self) -> dict[Outcome, int]:
        """How many rows came to each outcome; all outcomes are there."""
        found = Counter(row.outcome for row in self.rows)
        return {outcome: found[outcome] for outcome in Outcome}

    def skipped(self) -> list[RowResult]:
        """The rows that were not imported, each with its reason."""
        return [row for row in self.rows if row.outcome is Outcome.SKIPPED]

    def table(self) -> list[tuple[str, str]]:
        """Label and value of each line of a summary: all rows, each outcome, what else was made."""
        lines = [("source", self.source), ("rows", str(len(self.rows)))]
        lines += [(outcome.value, str(count)) for outcome, count in self.counts().items()]
        return lines + [(f"{collection} made", str(count)) for collection, count in self.created.items()]


class ImportRefused(Exception):
    """Nothing was imported, and nothing was changed."""


class MalformedFile(ImportRefused):
    """The file cannot be read to its end; `line` counts from 1, None where the file as a whole is the trouble."""

    def __init__(self, path: Path, line: int | None, detail: str) -> None:
        place = f"{path}, line {line}" if line is not None else str(path)
        super().__init__(f"{place}: {detail}")
        self.path = path
        self.line = line


class UnknownPerson(ImportRefused):
    """No user has this address."""

    def __init__(self, email: str) -> None:
        super().__init__(f"nobody is registered as {email}")
        self.email = email


class UnknownZone(ImportRefused):
    """Not an IANA time zone."""

    def __init__(self, timezone: str) -> None:
        super().__init__(f"unknown time zone {timezone!r}: use an IANA name such as Europe/Istanbul")
        self.timezone = timezone
