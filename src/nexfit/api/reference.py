"""The reference executor: the same field specifications, resolved by graphql-core one field at a time.

It defines what is right. A batch field becomes a DataLoader that lives as long as the request.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from graphql import (
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
)
from strawberry.dataloader import DataLoader

from nexfit.api.fields import spec_of
from nexfit.engine.fields import TYPENAME, Batch, Column, Derived, FieldSpec
from nexfit.engine.selection import Scope, Selection


def install(schema: GraphQLSchema) -> None:
    """Give every specified field a graphql-core resolver, and abstract types the records' own word for their type."""
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType):
            type_.is_type_of = None
        if isinstance(type_, GraphQLInterfaceType | GraphQLUnionType):
            type_.resolve_type = _resolve_type
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for field in type_.fields.values():
                spec = spec_of(field)
                if spec is not None:
                    field.resolve = _resolver(spec)


def _resolve_type(value: Any, *_: object) -> str:
    name: str = value[TYPENAME]
    return name


def _resolver(spec: FieldSpec) -> Callable[..., Any]:
    if isinstance(spec, Column):
        return _column_resolver(spec)
    if isinstance(spec, Derived):
        return _derived_resolver(spec)
    return _batch_resolver(spec)


def _column_resolver(spec: Column) -> Callable[..., Any]:
    def resolve(source: Any, _: GraphQLResolveInfo[Any]) -> Any:
        value = source.get(spec.key)
        return value if value is None or spec.read is None else spec.read(value)

    return resolve


def _derived_resolver(spec: Derived) -> Callable[..., Any]:
    def resolve(source: Any, info: GraphQLResolveInfo[Any], **values: Any) -> Any:
        args = spec.arguments(values, _selection(info)) if spec.arguments else None
        return spec.compute(source, args, info.context)

    return resolve


def _batch_resolver(spec: Batch) -> Callable[..., Any]:
    async def resolve(source: Any, info: GraphQLResolveInfo[Any], **values: Any) -> Any:
        key = (id(spec), _frozen(values), tuple(id(node) for node in info.field_nodes))
        loaders: dict[Hashable, DataLoader[Any, Any]] = info.context.loaders
        loader = loaders.get(key)
        if loader is None:
            args = spec.arguments(values, _selection(info)) if spec.arguments else None
            context = info.context

            async def load(parents: list[Any]) -> Sequence[Any]:
                return await spec.load(parents, args, context)

            loader = loaders[key] = DataLoader(load, cache=False)
        return await loader.load(source)

    return resolve


def _selection(info: GraphQLResolveInfo[Any]) -> Selection:
    scope = Scope(info.schema, info.fragments, info.variable_values.coerced, spec_of)
    return Selection(scope, get_named_type(info.return_type), info.field_nodes)


def _frozen(value: Any) -> Hashable:
    if isinstance(value, dict):
        return tuple((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    return value if isinstance(value, Hashable) else id(value)
