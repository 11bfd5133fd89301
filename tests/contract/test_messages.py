"""Every refusal in the code has its message in every language, with the same values in it. Needs no server."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

import nexfit
from nexfit.api import errors
from nexfit.api.language import TRANSLATIONS, Speech, catalogue, negotiated
from nexfit.domains.errors import BadInput, ErrorCode, Refusal, TooOften

SOURCES = Path(nexfit.__file__).parent
BASES = {"Refusal", "BadCursor"}


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCES.rglob("*.py")):
        yield str(path.relative_to(SOURCES)), ast.parse(path.read_text(encoding="utf-8"))


def refusing(modules: list[tuple[str, ast.Module]]) -> set[str]:
    """Names of the classes whose first argument is a message: Refusal and whatever derives from it."""
    classes = [node for _, tree in modules for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    found = set(BASES)
    while True:
        more = {
            node.name for node in classes if any(isinstance(base, ast.Name) and base.id in found for base in node.bases)
        }
        if more <= found:
            return found
        found |= more


def raised() -> Iterator[tuple[str, str | None]]:
    """Place and text of every message that is made a refusal of; None where it is not written out there."""
    modules = list(trees())
    names = refusing(modules)
    for path, tree in modules:
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            inherited = name == "__init__" and _is_super(node.func) and _in_refusal(tree, node, names)
            if not (name in names or inherited) or name == "TooOften" or not node.args:
                continue
            text = node.args[0]
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield f"{path}:{node.lineno}", text.value
            elif isinstance(text, ast.Name) and isinstance(constants.get(text.id), str):
                yield f"{path}:{node.lineno}", constants[text.id]
            elif not (inherited and isinstance(text, ast.Name)):  # hands on what its caller wrote out
                yield f"{path}:{node.lineno}", None


def _is_super(function: ast.expr) -> bool:
    value = function.value if isinstance(function, ast.Attribute) else None
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "super"


def _in_refusal(tree: ast.Module, call: ast.Call, names: set[str]) -> bool:
    return any(
        isinstance(node, ast.ClassDef) and node.name in names - {"BadCursor"} and call in set(ast.walk(node))
        for node in ast.walk(tree)
    )


SAID = [*raised(), ("api/errors.py", errors.INTERNAL), ("api/errors.py", errors.UNAVAILABLE)]


def names_in(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_there_are_messages_to_check() -> None:
    assert len(SAID) > 20
    assert {"The e-mail address or the password is wrong.", "Sign in to ask for this."} <= {text for _, text in SAID}
    assert "Too many requests. Try again in {seconds} s." in {text for _, text in SAID}


def test_a_message_is_written_out_where_it_is_raised() -> None:
    assert [place for place, text in SAID if text is None] == []


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_every_message_is_translated_with_its_values(language: str) -> None:
    known = catalogue(language)
    missing = sorted({f"{text!r} ({place})" for place, text in SAID if text and " " in text and text not in known})
    assert missing == [], f"add them to src/nexfit/api/messages/{language}.yaml"
    for english, translated in known.items():
        assert names_in(translated) == names_in(english), english
        assert translated not in {"", english}
    unused = set(known) - {text for _, text in SAID}
    assert unused == set(), "nothing says this any more"


def test_every_code_can_be_produced() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py")}
    declared = "\n".join(text for path, text in sources.items() if path.name == "errors.py" and "api" not in path.parts)
    used = "\n".join(text for path, text in sources.items() if path.name != "errors.py" or "api" in path.parts)
    for code in ErrorCode:
        classes = re.findall(
            rf"class (\w+)\(\w+\):(?:(?!\nclass ).)*?code = ErrorCode\.{code.name}\b", declared, re.DOTALL
        )
        ways = [rf"ErrorCode\.{code.name}\b", *(rf"\b{name}\(|raise {name}\b" for name in classes)]
        assert any(re.search(way, used) for way in ways), f"nothing refuses with {code}"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("tr", "tr"),
        ("TR-tr", "tr"),
        ("pl-PL,pl;q=0.9,en;q=0.8", "pl"),
        ("de,fr;q=0.9", "en"),
        ("de,tr;q=0.1", "tr"),
        ("en;q=0.4,tr;q=0.5", "tr"),
        ("en,tr", "en"),
        ("tr;q=0", "en"),
        ("*", "en"),
        ("tr;q=x", "en"),
        ("tr;q=5", "en"),
        ("tr;q=nan", "en"),
        (";;,,=;q", "en"),
        ("x," * 10_000 + "tr", "en"),
    ],
    ids=lambda value: value[:30],
)
def test_the_header_chooses_the_language(header: str, language: str) -> None:
    assert negotiated(header) == language


def test_what_has_no_translation_is_said_in_english_and_told() -> None:
    speech = Speech("tr")
    assert speech.refusal(TooOften(2.2)) == "Çok fazla istek. 3 sn sonra yeniden deneyin."
    assert speech.spoken == {"tr"}
    assert speech.refusal(BadInput("{a} has no translation.", a="{b}")) == "{b} has no translation."
    assert speech.spoken == {"tr", "en"}
    assert str(Refusal("As {it} is", it="{0}")) == "As {0} is"
