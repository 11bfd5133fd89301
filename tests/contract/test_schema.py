"""What clients rely on in the schema: words for everything, reasons for what goes, nothing broken unannounced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    is_introspection_type,
    is_specified_scalar_type,
)
from graphql import build_schema as build_sdl
from typer.testing import CliRunner

from nexfit.api.releases import breaking_changes, unexplained
from nexfit.api.schema import build_schema, enum_values, schema_text
from nexfit.cli import app

SCHEMA = build_schema()
TEXT = schema_text(SCHEMA)


def types() -> Iterator[tuple[str, GraphQLNamedType]]:
    for name, type_ in sorted(SCHEMA.type_map.items()):
        if not is_introspection_type(type_) and not is_specified_scalar_type(type_):
            yield name, type_


def described() -> Iterator[tuple[str, str | None]]:
    """Every part of the schema that clients name, with its description."""
    for name, type_ in types():
        yield name, type_.description
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for field_name, field in type_.fields.items():
                yield f"{name}.{field_name}", field.description
                for argument_name, argument in field.args.items():
                    yield f"{name}.{field_name}({argument_name}:)", argument.description
        elif isinstance(type_, GraphQLInputObjectType):
            for field_name, input_field in type_.fields.items():
                yield f"{name}.{field_name}", input_field.description
        elif isinstance(type_, GraphQLEnumType):
            for value_name, value in type_.values.items():
                yield f"{name}.{value_name}", value.description


def test_everything_is_described() -> None:
    parts = dict(described())
    assert len(parts) > 500
    missing = [name for name, description in parts.items() if not description]
    assert missing == [], "values of enums are described in src/nexfit/api/enum_values.yaml"
    careless = [name for name, text in parts.items() if text and (text.strip() != text or not text.endswith("."))]
    assert [name for name in careless if "`" not in (parts[name] or "")] == []


def test_no_enum_is_described_that_is_gone() -> None:
    there = {name: set(type_.values) for name, type_ in types() if isinstance(type_, GraphQLEnumType)}
    assert {name: set(values) - there.get(name, set()) for name, values in enum_values().items()} == {
        name: set() for name in enum_values()
    }


DEPRECATING = """
type Query { old(a: Int, b: Int @deprecated(reason: "Use a, which is the same.")): Int %s kind: Kind more(i: In): Int }
enum Kind { ONE TWO @deprecated(reason: "Use ONE, which is the same.") }
input In { p: Int q: Int @deprecated(reason: "Use p, which is the same.") }
"""
WITH_REASON = '@deprecated(reason: "Use more, which has pages.")'


def test_what_is_deprecated_says_what_to_use_instead() -> None:
    assert unexplained(SCHEMA) == []
    assert unexplained(build_sdl(DEPRECATING % WITH_REASON)) == []
    for careless in ("@deprecated", '@deprecated(reason: "gone")'):
        assert unexplained(build_sdl(DEPRECATING % careless)) == ["Query.old"]


def test_what_a_release_deprecated_the_next_one_may_take_out() -> None:
    """A field, an argument, a value of an enum and a part of an input; nothing else, and nothing at once."""
    released = DEPRECATING % WITH_REASON
    gone = "type Query { kind: Kind more(i: In): Int } enum Kind { ONE } input In { p: Int }"
    assert breaking_changes(released, gone) == []
    assert breaking_changes(released, released.replace("b: Int @", "@").replace("(a: Int, @", "(a: Int @")) == []
    at_once = breaking_changes(DEPRECATING % "", gone)
    assert at_once == ["Field Query.old was removed."]
    changed = breaking_changes(released, released.replace("more(i: In): Int", "more(i: In): String"))
    assert changed == ["Field Query.more changed type from Int to String."]
    # A type that was deprecated in one field only may not go elsewhere.
    assert breaking_changes(released, released.replace("kind: Kind", "")) == ["Field Query.kind was removed."]


def test_what_breaks_clients_is_found() -> None:
    assert breaking_changes(TEXT, TEXT) == []
    added = TEXT.replace("type Query {", 'type Query {\n  """New."""\n  more: Int\n')
    assert breaking_changes(TEXT, added) == []
    gone = breaking_changes(added, TEXT)
    assert gone == ["Field Query.more was removed."]
    assert breaking_changes(added, TEXT, allowed=gone) == []
    stricter = TEXT.replace("    id: ID!\n  ): Facility ", "    id: ID!, why: Int!\n  ): Facility ")
    assert breaking_changes(TEXT, stricter) == ["A required argument Query.facility(why:) was added."]


def test_the_check_fails_for_a_schema_that_breaks_the_released_one(tmp_path: Path) -> None:
    (tmp_path / "schema.graphql").write_text(TEXT)
    released = tmp_path / "schema.released.graphql"
    released.write_text(TEXT.replace("type Query {", "type Query {\n  gone: Int\n"))
    command = ["schema", "--check", "--file", str(tmp_path / "schema.graphql")]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 1
    assert "Field Query.gone was removed." in refused.output
    (tmp_path / "schema.breaking.txt").write_text("Field Query.gone was removed.\n")
    assert CliRunner().invoke(app, command).exit_code == 0
    (tmp_path / "schema.breaking.txt").unlink()
    released.write_text(TEXT)
    assert CliRunner().invoke(app, command).exit_code == 0
