"""What lies in `web/`: a lock file without addresses, and example operations that the schema accepts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from graphiql_stub import SCHEMA
from graphql import build_schema, parse, validate

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
EXAMPLES = sorted((WEB / "src" / "examples").glob("*.graphql"))


def test_lock_file_names_no_address_and_checks_every_package() -> None:
    text = (WEB / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in text
    packages = {name: entry for name, entry in json.loads(text)["packages"].items() if name}
    assert packages
    assert [name for name, entry in packages.items() if not entry.get("integrity", "").startswith("sha512-")] == []
    assert [name for name, entry in packages.items() if "resolved" in entry] == []


def test_direct_dependencies_are_exact() -> None:
    package = json.loads((WEB / "package.json").read_text(encoding="utf-8"))
    versions = {**package["dependencies"], **package["devDependencies"]}
    assert {name: version for name, version in versions.items() if not version[0].isdigit()} == {}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_valid_in_the_api(path: Path) -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text(encoding="utf-8"))
    assert validate(schema, parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_stub_has_the_shape_the_examples_need(path: Path) -> None:
    assert validate(SCHEMA, parse(path.read_text(encoding="utf-8"))) == []
