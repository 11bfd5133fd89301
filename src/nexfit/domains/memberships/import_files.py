"""A gym's table of its members (CSV) into rows: its letters, its delimiter, its columns under the names people give
them. No I/O; every row becomes a `MemberRow` or says what is wrong with it.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from nexfit.domains.errors import BadInput, Refusal
from nexfit.domains.identity.contact import phone_number
from nexfit.domains.identity.validation import EmailText, Input, InvalidInput, LineText, NameText, PhoneText, checked
from nexfit.domains.memberships.remarks import LONGEST_NOTE, LONGEST_TAG, MOST_TAGS
from nexfit.domains.text import fold

MOST_BYTES = 2_000_000
MOST_ROWS = 5_000
DELIMITERS = (",", ";", "\t", "|")
UPLOAD = ("upload",)
"""Where in the input a file is named."""

NAMES: Mapping[str, str] = {
    "name": "name|full name|member|ad soyad|adı soyadı|isim|isim soyisim|üye|imię i nazwisko",
    "first_name": "first name|given name|ad|adı|imię",
    "last_name": "last name|surname|family name|soyad|soyadı|soyisim|nazwisko",
    "email": "email|e mail|email address|mail|eposta|e posta|e posta adresi|adres e mail",
    "phone_number": "phone|phone number|mobile|mobile phone|telefon|telefon no|cep|cep telefonu|gsm|tel",
    "birthday": "birthday|birth date|date of birth|doğum tarihi|doğum günü|data urodzenia",
    "plan": "plan|membership|membership plan|package|üyelik|üyelik tipi|üyelik planı|paket|karnet",
    "status": "status|state|durum|üyelik durumu",
    "starts_on": "starts on|start|start date|member since|başlangıç|başlangıç tarihi|kayıt tarihi|początek",
    "ends_on": "ends on|end|end date|valid until|expires|bitiş|bitiş tarihi|son gün|geçerlilik|koniec",
    "tags": "tags|tag|labels|etiket|etiketler|etykiety",
    "note": "note|notes|comment|not|notlar|açıklama|notatka",
}
"""By a field of `MemberRow` (`name` is first and last name in one), what its column may be called."""

_SEPARATOR = re.compile(r"sep=(.)\r?\n")
_DATES = (
    (re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})"), (1, 2, 3)),
    (re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})"), (3, 2, 1)),
)
_CODE_PAGES = {"PL": "cp1250"}
"""What old programs write by country, where it is not the Turkish code page, a superset of the western one but for six
letters."""


class ImportedState(StrEnum):
    """What a file may say of a membership."""

    ACTIVE = "active"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


_STATES = {
    **dict.fromkeys(("active", "aktif", "gecerli", "aktywny"), ImportedState.ACTIVE),
    **dict.fromkeys(("expired", "ended", "inactive", "pasif", "bitti", "suresi doldu"), ImportedState.EXPIRED),
    **dict.fromkeys(("cancelled", "canceled", "iptal", "iptal edildi"), ImportedState.CANCELLED),
}


def _day(value: object) -> object:
    """2026-05-31, or with the day first, as Turkey and Poland write: 31.05.2026, 31/5/2026."""
    for pattern, places in _DATES:
        match = pattern.fullmatch(value) if isinstance(value, str) else None
        if match:
            year, month, day = (int(match[place]) for place in places)
            try:
                return date(year, month, day)
            except ValueError:
                break
    raise PydanticCustomError("day", "not a day")


def _state(value: object) -> object:
    return _STATES.get(fold(value), value) if isinstance(value, str) else value


Day = Annotated[date, BeforeValidator(_day)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TAG, pattern=r"^[^\x00-\x1f\x7f]+$")]
Note = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NOTE, pattern=r"^[^\x00]+$")]


class MemberRow(Input):
    """What a row says of a member; days are the facility's, and the last one is included."""

    email: EmailText | None = None
    phone_number: PhoneText | None = None
    first_name: NameText | None = None
    last_name: NameText | None = None
    birthday: Day | None = None
    plan: LineText | None = None
    status: Annotated[ImportedState, BeforeValidator(_state)] | None = None
    starts_on: Day | None = None
    ends_on: Day | None = None
    tags: Annotated[list[Tag], Field(max_length=MOST_TAGS, default_factory=list)]
    note: Note | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is left out: its line in the file counted from 1, the column as the file names it, and why."""

    line: int
    column: str | None
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Table:
    """A file's rows with their lines, the names of its columns by field, and the columns nobody reads."""

    rows: Sequence[tuple[int, MemberRow]]
    rejected: Sequence[Rejected]
    columns: Mapping[str, str]
    ignored: Sequence[str]

    def column_of(self, refusal: Refusal) -> str | None:
        """The column a refusal is about, as the file names it; of a name in one column, that one."""
        name = re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", refusal.path[0]) if refusal.path else ""
        found = self.columns.get(name)
        return self.columns.get("name") if found is None and name in ("first_name", "last_name") else found


def read(content: bytes, country: str | None) -> Table:
    """The rows of a file from a country. Raises BadInput for what is no such table, or too large."""
    if len(content) > MOST_BYTES:
        raise BadInput("The file has more than {most} bytes.", path=UPLOAD, most=MOST_BYTES)
    header, lines = _cells(_text(content, country))
    columns: dict[str, str] = {}
    for name in header:
        field = _fields().get(_plain(name))
        if field in columns:
            raise BadInput("Two columns mean the same: {first} and {second}.", path=UPLOAD,
                           first=columns[field], second=name)  # fmt: skip
        if field is not None:
            columns[field] = name
    if not columns.keys() & {"email", "phone_number"}:
        raise BadInput("The first line names no column for an e-mail address or a phone.", path=UPLOAD)
    fields = [_fields().get(_plain(name)) for name in header]
    ignored = [name for name, field in zip(header, fields, strict=True) if field is None and name]
    rows: list[tuple[int, MemberRow]] = []
    rejected: list[Rejected] = []
    table = Table(rows, rejected, columns, ignored)
    for count, (line, cells) in enumerate(lines):
        if count == MOST_ROWS:
            raise BadInput("The file has more than {most} rows.", path=UPLOAD, most=MOST_ROWS)
        if len(cells) != len(fields):
            refusal = BadInput("The row has {count} cells, the first line {most}.", count=len(cells), most=len(fields))
            rejected.append(Rejected(line, None, refusal))
            continue
        values = {field: cell for field, cell in zip(fields, cells, strict=True) if field is not None and cell}
        try:
            rows.append((line, _row(values, country)))
        except InvalidInput as invalid:
            rejected += [Rejected(line, table.column_of(one), one) for one in invalid.refusals]
    return table


def _text(content: bytes, country: str | None) -> str:
    """Text by its byte order mark, else UTF-8, else by the code page of the country. What is valid UTF-8 is no code
    page by accident, so nothing has to be guessed from frequencies of letters. Raises BadInput."""
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", _CODE_PAGES.get(country or "", "cp1254")):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" not in text:
            return text
    raise BadInput("This is no text file.", path=UPLOAD)


def _cells(text: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The first line, and the others that hold anything, each with its number; by the delimiter that finds most
    columns in the first line. Raises BadInput, the iterator also."""
    told = _SEPARATOR.match(text)  # Excel's own way to say it
    skipped = told.end() if told else 0
    best = max((told[1],) if told else DELIMITERS, key=lambda one: _recognised(text[skipped:], one))
    reader = csv.reader(io.StringIO(text[skipped:], newline=""), strict=True, delimiter=best)
    first = 1 if told else 0

    def rest() -> Iterator[tuple[int, list[str]]]:
        while True:
            line = reader.line_num + 1 + first
            try:
                cells = [_unescaped(cell.strip()) for cell in next(reader)]
            except StopIteration:
                return
            except csv.Error:
                raise BadInput("Line {line} cannot be read.", path=UPLOAD, line=line) from None
            if any(cells):
                yield line, cells

    found = next(rest(), None)
    if found is None:
        raise BadInput("The file is empty.", path=UPLOAD)
    return found[1], rest()


def _recognised(text: str, delimiter: str) -> int:
    try:
        header = next(csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter), [])
    except csv.Error:
        return 0
    return sum(_plain(cell) in _fields() for cell in header)


def _unescaped(cell: str) -> str:
    """A cell without the apostrophe that keeps a spreadsheet from taking it for a formula."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in ("=", "+", "-", "@") and len(cell) > 1 else cell


def _row(values: dict[str, str], country: str | None) -> MemberRow:
    """Raises InvalidInput."""
    name = values.pop("name", "")
    if name:
        first, _, last = name.rpartition(" ")
        values = {"first_name": first.strip(), "last_name": last, **values}
    given: dict[str, object] = dict(values)
    if "phone_number" in values:
        with suppress(ValueError):  # the model says so
            given["phone_number"] = phone_number(values["phone_number"], country)
    given["tags"] = [" ".join(tag.split()) for tag in re.split(r"[,;|]", values.get("tags", "")) if tag.strip()]
    row = checked(MemberRow, **given)
    if row.email is None and row.phone_number is None:
        raise InvalidInput([BadInput("A row needs an e-mail address or a phone.", path=("email",))])
    return row


def _plain(name: str) -> str:
    """A column's name as names are compared."""
    return " ".join(re.sub(r"[^\w]|_", " ", fold(name)).split())


@cache
def _fields() -> Mapping[str, str]:
    return {_plain(name): field for field, names in NAMES.items() for name in names.split("|")}
