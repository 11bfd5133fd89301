"""Files into rows: JSON lists and CSV tables, refused with the line where they are broken."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn
from zoneinfo import ZoneInfo

from nexfit.domains.tables import NotATable, rows_of
from nexfit.operations.importers.reports import MalformedFile, UnknownZone


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
    """The rows of a CSV file as `rows_of` gives them. Raises MalformedFile."""
    try:
        return rows_of(_text(path), required)
    except NotATable as refused:
        raise MalformedFile(path, refused.line, refused.reason) from refused


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
