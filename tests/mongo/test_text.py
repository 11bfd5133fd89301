"""Folding: one text for what people type in different ways."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexfit.domains.text import fold, normalize_email


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ŞIĞÇÖÜ şığçöü", "sigcou sigcou"),
        ("İSTANBUL", "istanbul"),
        ("istanbul", "istanbul"),
        ("ISTANBUL", "istanbul"),
        ("ıstanbul", "istanbul"),
        ("I\u0307stanbul", "istanbul"),
        ("  Kadıköy \t  Spor\u00a0Salonu ", "kadikoy spor salonu"),
        ("Łódź", "lodz"),
        ("Nørrevej Fællesgård", "norrevej faellesgard"),
        ("Straße", "strasse"),
        ("Zoe\u0301", "zoe"),
        ("soft\u00adhyphen zero\u200bwidth", "softhyphen zerowidth"),
        ("", ""),
    ],
)
def test_texts_fold_to_what_search_compares(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text())
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_every_letter_folds_to_itself_once_folded_and_keeps_no_mark() -> None:
    for point in range(sys.maxunicode + 1):
        if unicodedata.category(chr(point)) in {"Cn", "Co", "Cs"}:
            continue
        once = fold(chr(point))
        assert fold(once) == once, hex(point)
        assert not any(unicodedata.combining(letter) for letter in unicodedata.normalize("NFKD", once)), hex(point)


@given(st.text(), st.text())
def test_case_never_matters(left: str, right: str) -> None:
    text = f"{left} I İ ı i ß {right}"
    assert fold(text.upper()) == fold(text)


@pytest.mark.parametrize(
    "email",
    ["ilker@example.org", "ILKER@EXAMPLE.ORG", "İLKER@example.org", "ılker@Example.org", " i\u0307lker@example.org "],
)
def test_one_mailbox_has_one_normal_form(email: str) -> None:
    assert normalize_email(email) == "ilker@example.org"


def test_other_letters_of_an_address_stay_apart() -> None:
    assert normalize_email("şule@example.org") != normalize_email("sule@example.org")


@given(st.emails())
def test_normalizing_an_address_twice_changes_nothing_more(email: str) -> None:
    assert normalize_email(normalize_email(email)) == normalize_email(email)
