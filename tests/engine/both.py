"""Small schemas for the tests of this folder, executed by the engine and by graphql-core side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema, build_schema

from nexfit.engine.engine import Engine
from nexfit.engine.fields import FieldSpec, SpecOf
from nexfit.engine.result import Result

from .answers import reference, text


def no_specs(_: GraphQLField) -> None:
    return None


def schema_of(sdl: str, resolvers: Mapping[str, Callable[..., Any]] | None = None) -> GraphQLSchema:
    """A schema whose fields, named `Type.field`, run the given resolvers; a field without one reads its source."""
    schema = build_schema(sdl)
    for name, resolve in (resolvers or {}).items():
        field_of(schema, name).resolve = resolve
    return schema


def field_of(schema: GraphQLSchema, name: str) -> GraphQLField:
    owner, _, field = name.partition(".")
    type_ = schema.type_map[owner]
    assert isinstance(type_, GraphQLObjectType)
    return type_.fields[field]


def specs_of(schema: GraphQLSchema, specs: Mapping[str, FieldSpec]) -> SpecOf:
    by_field = {id(field_of(schema, name)): spec for name, spec in specs.items()}
    return lambda field: by_field.get(id(field))


async def both(
    schema: GraphQLSchema,
    source: str,
    *,
    variables: dict[str, Any] | None = None,
    operation_name: str | None = None,
    context: Any = None,
    root: Any = None,
    engine: Engine | None = None,
) -> Result:
    """The engine's answer, after making sure that graphql-core's is the same to the byte."""
    asked: dict[str, Any] = {
        "variables": variables, "operation_name": operation_name, "context": context, "root": root
    }  # fmt: skip
    expected = await reference(schema, source, **asked)
    result = await (engine or Engine(schema, no_specs)).execute(source, **asked)
    assert result.to_json() == text(expected)
    return result


def messages(result: Result) -> list[str]:
    return [error.message for error in result.errors]


def shape(result: Result) -> Any:
    """The answer as plain data with short errors: (message, path)."""
    formatted = orjson.loads(result.to_json())
    return formatted["data"], [(error["message"], error.get("path")) for error in formatted.get("errors", [])]
