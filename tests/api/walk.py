"""Operations generated from the schema, so that a field added later is walked into without anybody thinking of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    is_required_argument,
    is_required_input_field,
)

from nexfit.api.fields import spec_of
from nexfit.api.schema import build_schema
from nexfit.engine.fields import Batch

REQUIRED = {
    "from": '"2026-01-01"',
    "to": '"2026-06-15"',
    "since": '"2026-06-01T00:00:00Z"',
    "until": '"2026-07-01T00:00:00Z"',
}
"""Values of the required arguments below the roots."""

GIVEN = {
    "ID": "x",
    "String": "something",
    "Boolean": True,
    "Decimal": "1.00",
    "Int": 1,
    "Float": 1.0,
    "JSON": {},
    "EmailAddress": "a@example.org",
    "PhoneNumber": "+902121234567",
    "URL": "https://example.org/",
    "Date": "2026-06-15",
    "DateTime": "2026-06-15T09:00:00Z",
}
"""A value of each scalar that inputs take."""

GIVEN_BY_NAME = {
    ("email", "String"): "a@example.org",
    ("timezone", "String"): "Europe/Istanbul",
    ("currency", "String"): "TRY",
    ("startTime", "String"): "10:00",
    ("openTime", "String"): "09:00",
    ("closeTime", "String"): "21:00",
    ("firstDate", "Date"): f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%d}",
    ("startsAt", "DateTime"): f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%dT09:00:00Z}",
    ("days", "Int"): 10,
}
"""Where not every value of the scalar will do."""

schema: GraphQLSchema = cache(build_schema)()


def object_type(name: str) -> GraphQLObjectType:
    found = schema.type_map[name]
    assert isinstance(found, GraphQLObjectType)
    return found


def is_connection(type_: GraphQLNamedType) -> bool:
    return type_.name.endswith("Connection")


def target(field: GraphQLField) -> GraphQLObjectType:
    """The type of the objects a field leads to: of a connection its nodes."""
    named = get_named_type(field.type)
    if is_connection(named):
        named = get_named_type(object_type(named.name).fields["nodes"].type)
    assert isinstance(named, GraphQLObjectType)
    return named


def leads_on(field: GraphQLField) -> bool:
    """Whether the field loads objects of their own, rather than showing a part of its parent."""
    return isinstance(spec_of(field), Batch) and not is_leaf_type(get_named_type(field.type))


def asked(name: str, field: GraphQLField, below: str, size: int | str) -> str:
    """The field with its arguments, and with a selection below it."""
    given = [
        f"{argument}: {REQUIRED[argument]}"
        for argument, definition in field.args.items()
        if is_required_argument(definition)
    ]
    if "first" in field.args:
        given.append(f"first: {size}")
    arguments = f"({', '.join(given)})" if given else ""
    if is_connection(get_named_type(field.type)):
        below = f"{{ nodes {below} }}"
    return f"{name}{arguments} {below}"


def shown(type_: GraphQLObjectType, size: int | str) -> str:
    """Everything of a record that is not a record of its own: leaves, embedded objects, counts."""
    parts = []
    for name, field in type_.fields.items():
        named = get_named_type(field.type)
        if is_leaf_type(named):
            parts.append(asked(name, field, "", size))
        elif not leads_on(field) and isinstance(named, GraphQLObjectType):
            parts.append(f"{name} {{ {shown(named, size)} }}")
    return " ".join(parts)


def tree(type_: GraphQLObjectType, depth: int, size: int | str) -> str:
    """A selection of a record and of all records within `depth` steps from it."""
    parts = [shown(type_, size)]
    if depth:
        parts += [
            asked(name, field, tree(target(field), depth - 1, size), size)
            for name, field in type_.fields.items()
            if leads_on(field)
        ]
    return f"{{ {' '.join(parts)} }}"


def paths(type_: GraphQLObjectType, steps: int) -> Iterator[list[tuple[str, GraphQLField]]]:
    """Every way of `steps` loading fields from a type, the way of none included."""
    yield []
    if steps:
        for name, field in type_.fields.items():
            if leads_on(field):
                for further in paths(target(field), steps - 1):
                    yield [(name, field), *further]


def lists() -> set[tuple[str, str]]:
    """Every field that loads a list or a page, by its type and name."""
    return {
        (type_.name, name)
        for type_ in schema.type_map.values()
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__")
        for name, field in type_.fields.items()
        if leads_on(field)
        and (is_list_type(get_nullable_type(field.type)) or is_connection(get_named_type(field.type)))
    }


def fields_of(start: str, path: list[tuple[str, GraphQLField]]) -> list[tuple[str, str]]:
    """The fields of a path from a type, each with the type it belongs to."""
    parents = [start, *(target(field).name for _, field in path)]
    return [(parent, name) for parent, (name, _) in zip(parents, path, strict=False)]


def along(path: list[tuple[str, GraphQLField]], end: str, size: int | str) -> str:
    """A selection that follows a path and selects `end` from what it leads to."""
    for name, field in reversed(path):
        end = f"{{ {asked(name, field, end, size)} }}"
    return end


def some(type_: GraphQLInputType, name: str = "") -> Any:
    """A value of an input's type, as small as it may be."""
    named = get_named_type(type_)
    if isinstance(named, GraphQLInputObjectType):
        value: Any = {
            name: some(part.type, name) for name, part in named.fields.items() if is_required_input_field(part)
        }
    elif isinstance(named, GraphQLEnumType):
        value = next(iter(named.values))
    else:
        value = GIVEN_BY_NAME.get((name, named.name), GIVEN[named.name])
    return [value] if is_list_type(get_nullable_type(type_)) else value
