"""Files into rows: JSON lists and CSV tables, refused with the line where they are broken."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, ValidationError

from nexfit.operations.importers.reports import MalformedFile, UnknownZone

DELIMITERS = (",", ";")


class FileRow(BaseModel):
    """A row as the file has it: unknown columns are ignored, text loses its outer spaces."""

    model_config = ConfigDict(extra="ignore", frozen=True, str_strip_whitespace=True, populate_by_name=True)


R = TypeVar("R", bound=FileRow)


class _Reader(Protocol):
    """What `csv.reader` answers."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


def read_json_list(path: Path) -> list[object]:
    """The items of a file that holds one JSON list. Raises MalformedFile."""
    text = _text(path)

    def no_number(constant: str) -> NoReturn:
        raise MalformedFile(path, None, f"{constant} is not a JSON number")

    try:
        items = json.loads(text, parse_constant=no_number)
    except json.JSONDecodeError as error:
        raise MalformedFile(path, error.lineno, f"not JSON: {error.msg}") from error
    except (RecursionError, ValueError) as error:
        raise MalformedFile(path, None, f"not JSON: {error}") from error
    if not isinstance(items, list):
        raise MalformedFile(path, 1, "not a JSON list")
    return items


def read_csv(path: Path, required: Sequence[str]) -> list[Mapping[str, str]]:
    """The rows of a CSV file, keyed by their column's name in one line (header cells may contain line breaks).

    Comma or semicolon, whichever gives the required columns. Raises MalformedFile.
    """
    text = _text(path)
    missing: list[str] = []
    for delimiter in DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
        try:
            header = [" ".join(cell.split()) for cell in next(reader, [])]
            missing = [column for column in required if column not in header]
            if not missing:
                return _rows(path, header, reader)
        except csv.Error as error:
            raise MalformedFile(path, reader.line_num, f"not CSV: {error}") from error
    raise MalformedFile(path, 1, f"the header has no column {missing[0]!r}")


def _rows(path: Path, header: list[str], reader: _Reader) -> list[Mapping[str, str]]:
    if len(set(header)) != len(header):
        raise MalformedFile(path, 1, "two columns have the same name")
    rows: list[Mapping[str, str]] = []
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(header):
            raise MalformedFile(path, reader.line_num, f"{len(cells)} cells where the header has {len(header)}")
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


def zone_of(timezone: str) -> ZoneInfo:
    """The zone of an IANA name. Raises UnknownZone."""
    try:
        return ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as error:
        raise UnknownZone(timezone) from error


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MalformedFile(path, None, f"cannot be read: {error.strerror}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedFile(path, content.count(b"\n", 0, error.start) + 1, "not UTF-8") from error
    if not text.strip():
        raise MalformedFile(path, None, "the file is empty")
    return text
