"""A gym's file of members is read however a program wrote it, or refused whole."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from nexfit.domains.errors import BadInput
from nexfit.domains.memberships import import_files

from .conftest import NOW

PLAN = "Aylık Üyelik"
TODAY = NOW.date()
HEADER = "Ad Soyad;E-posta;Cep Telefonu;Doğum Tarihi;Üyelik;Bitiş Tarihi;Etiketler;Not;Kart No\n"


def row(name: str, email: str, *, last: date = TODAY + timedelta(days=40), tags: str = "", note: str = "") -> str:
    return f"{name};{email};0532 123 45 67;31.12.1990;{PLAN};{last:%d.%m.%Y};{tags};{note};77\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1254"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_a_file_is_read_however_a_program_wrote_it(encoding: str, delimiter: str) -> None:
    text = HEADER + row("Ayşe Işık Yıldız", "AYSE@example.org") + "\n;;;;;;;;\n" + row("Öğünç Çağ", "o@example.org")
    table = import_files.read(text.replace(";", delimiter).replace("\n", "\r\n").encode(encoding), "TR")
    (line, first), (later, second) = table.rows
    assert (line, later, first.first_name, first.last_name) == (2, 5, "Ayşe Işık", "Yıldız")
    assert (second.first_name, first.phone_number, first.birthday) == ("Öğünç", "+905321234567", date(1990, 12, 31))
    assert table.ignored == ["Kart No"]


def test_polish_files_excels_own_line_and_the_platforms_own_export_are_read() -> None:
    [(_, polish)] = import_files.read("Imię;Nazwisko;Mail\nŁucja;Żak;l@example.org".encode("cp1250"), "PL").rows
    assert (polish.first_name, polish.last_name) == ("Łucja", "Żak")
    [(line, one)] = import_files.read(b"sep=|\r\nmail|phone\r\na@example.org|'+905321234567", None).rows
    assert (line, one.phone_number) == (3, "+905321234567")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"name;plan\nAda;x", "no column"),
        (b"email;e-mail\na@example.org;b@example.org", "mean the same"),
        (b'email;name\na@example.org;"Ada\n', "Line 2 cannot be read"),
        (b"\x89PNG\r\n\x1a\n\x00", "no text file"),
        (b"email\n" + b"a@example.org\n" * (import_files.MOST_ROWS + 1), "more than 5000 rows"),
        (b"email\n" + b"a" * import_files.MOST_BYTES, "more than 2000000 bytes"),
    ],
    ids=["empty", "no key", "twice", "quote", "picture", "rows", "bytes"],
)
def test_what_is_no_such_file_is_refused_whole(content: bytes, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        import_files.read(content, "TR")
