"""Tables as text (CSV) into rows, and rows into models. No I/O."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

DELIMITERS = (",", ";")


class FileRow(BaseModel):
    """A row as the file has it: unknown columns are ignored, text loses its outer spaces."""

    model_config = ConfigDict(extra="ignore", frozen=True, str_strip_whitespace=True, populate_by_name=True)


R = TypeVar("R", bound=FileRow)


class NotATable(Exception):
    """The text is no CSV with the columns that are needed; `line` is where, counted from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class _Reader(Protocol):
    """What `csv.reader` answers."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


def rows_of(text: str, required: Sequence[str]) -> list[Mapping[str, str]]:
    """The rows of a table, keyed by their column's name in one line (header cells may contain line breaks).

    Comma or semicolon, whichever gives the required columns. Raises NotATable.
    """
    missing: list[str] = []
    for delimiter in DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
        try:
            header = [" ".join(cell.split()) for cell in next(reader, [])]
            missing = [column for column in required if column not in header]
            if not missing:
                return _rows(header, reader)
        except csv.Error as error:
            raise NotATable(reader.line_num, f"not CSV: {error}") from error
    raise NotATable(1, f"the header has no column {missing[0]!r}")


def _rows(header: list[str], reader: _Reader) -> list[Mapping[str, str]]:
    if len(set(header)) != len(header):
        raise NotATable(1, "two columns have the same name")
    rows: list[Mapping[str, str]] = []
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(header):
            raise NotATable(reader.line_num, f"{len(cells)} cells where the header has {len(header)}")
        rows.append(dict(zip(header, cells, strict=True)))
    return rows


def parse(model: type[R], item: object) -> R | str:
    """The item as a row of the model, or why it is none."""
    try:
        return model.model_validate(item)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'row'}: {fault['msg']}" for fault in faults)


def name_of(item: object, column: str) -> str:
    """What to call an item that cannot be parsed."""
    return str(item.get(column, "")) if isinstance(item, Mapping) else ""
