"""Schema fields that say how they are read: `column`, `row_column`, `derived`, `batch` and, for subscriptions, `live`.

Strawberry keeps the types, arguments and descriptions; what a field does at run time is an engine specification
(`nexfit.engine.fields`) that both executors follow. `bind` ties the two together once the schema is built.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, replace
from functools import partial
from typing import Any, cast, get_type_hints

import strawberry
from graphql import (
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
)
from strawberry.schema.config import StrawberryConfig
from strawberry.types.arguments import convert_argument
from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_camel_case

from nexfit.api.bounds import require_bounds
from nexfit.api.caching import EXTENSION, Cached
from nexfit.api.guarding import Narrowing, check, guarded, needs_of
from nexfit.engine.fields import Batch, BatchLoad, Column, Derived, FieldSpec
from nexfit.engine.selection import Selection

_SPEC = "nexfit-spec"
_FEED = "nexfit-feed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """A field's arguments as Python values, and what the operation asks for below the field.

    A subclass adds one attribute per GraphQL argument, with its default.
    """

    selection: Selection


Convert = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns coerced GraphQL arguments into Python keyword arguments."""

_Make = Callable[[StrawberryField, Convert, Callable[[BatchLoad], BatchLoad]], FieldSpec]
"""Makes the specification once the schema has given the field its names; the last argument guards what loads."""


def column(
    key: str | None = None,
    *,
    description: str | None = None,
    read: Callable[[Any], Any] | None = None,
    name: str | None = None,
    deprecation_reason: str | None = None,
    cache: Cached | None = None,
) -> Any:
    """A stored value under `key`, by default the field's camelCase name, as MongoDB documents spell it."""

    def make(field: StrawberryField, *_: object) -> FieldSpec:
        return Column(key or to_camel_case(field.python_name), read)

    return _declare(make, description=description, name=name, deprecation_reason=deprecation_reason, cache=cache)


def row_column(
    key: str | None = None,
    *,
    description: str | None = None,
    read: Callable[[Any], Any] | None = None,
    name: str | None = None,
) -> Any:
    """A stored value under `key`, by default the field's Python name, as PostgreSQL rows spell it."""
    return _declare(lambda field, *_: Column(key or field.python_name, read), description=description, name=name)


def derived(
    compute: Callable[[Any, Any, Any], Any],
    *,
    needs: tuple[str, ...],
    args: type[Args] | None = None,
    description: str | None = None,
    cache: Cached | None = None,
) -> Any:
    """A value computed without I/O from the parent's columns `needs`."""
    return _declare(
        lambda _, convert, __: Derived(compute, needs, partial(_make_args, args, convert) if args else None),
        description=description,
        args=args,
        cache=cache,
    )


def batch(
    load: BatchLoad,
    *,
    needs: tuple[str, ...] = (),
    args: type[Args] = Args,
    description: str | None = None,
    name: str | None = None,
    cache: Cached | None = None,
) -> Any:
    """A value loaded once for all parents of a level: `async (parents, args, context) -> one result per parent`.

    Without `cache` no operation that asks for the field is answered from the response cache.
    """
    watched = cache.watched if cache is not None else lambda load: load
    return _declare(
        lambda _, convert, guard: Batch(watched(guard(load)), needs, partial(_make_args, args, convert)),
        description=description,
        args=args,
        name=name,
        cache=cache,
    )


def live(feed: object, *, args: type[Args], description: str) -> Any:
    """A subscription's field. `feed` says who may follow it and what each event looks like (`nexfit.api.live.feeds`).

    An event is executed as a record that has the field's value under its name in camelCase.
    """
    return _declare(
        lambda field, convert, _: Derived(
            _value_at(to_camel_case(field.python_name)), arguments=partial(_make_args, args, convert)
        ),
        description=description,
        args=args,
        feed=feed,
    )


def bind(schema: strawberry.Schema) -> GraphQLSchema:
    """The built schema, each declared field given its specification with the names and types the schema settled on.

    What loads is guarded by the rights matrix. Raises NoRight where that has no entry for a field.
    """
    core, declared = _declared(schema)
    check(core, spec_of)
    # Where private columns lie follows from all specifications together; so what loads is guarded after that.
    narrowing = Narrowing(core, spec_of)
    for type_, name, field, make in declared:
        if isinstance(type_, GraphQLObjectType) and isinstance(spec_of(field), Batch):
            spec = make(partial(guarded, narrowing, type_.name, name, get_named_type(field.type)))
            field.extensions[_SPEC] = replace(spec, needs=(*spec.needs, *needs_of(type_.name, name)))
    return core


def bind_unguarded(schema: strawberry.Schema) -> GraphQLSchema:
    """The same for a schema of public data that the rights matrix knows nothing of."""
    return _declared(schema)[0]


def _declared(schema: strawberry.Schema) -> tuple[GraphQLSchema, list[tuple[Any, str, GraphQLField, Any]]]:
    """The schema with unguarded specifications, and each declared field with its type, its name and its maker."""
    core = schema._schema  # Strawberry offers no public way to the schema it built
    registry, config = schema.schema_converter.scalar_registry, schema.config
    declared = []
    for type_ in core.type_map.values():
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for name, field in type_.fields.items():
                definition = field.extensions.get("strawberry-definition")
                if isinstance(definition, StrawberryField) and _SPEC in definition.metadata:
                    convert = _converter(definition, field, registry, config)
                    make = partial(definition.metadata[_SPEC], definition, convert)
                    field.extensions[_SPEC] = make(lambda load: load)
                    field.extensions[EXTENSION] = definition.metadata[EXTENSION]
                    field.extensions[_FEED] = definition.metadata[_FEED]
                    declared.append((type_, name, field, make))
    return core, declared


def _converter(definition: StrawberryField, field: GraphQLField, registry: Any, config: StrawberryConfig) -> Convert:
    """Strawberry's `convert_arguments`: names are found once, leaves are taken as graphql-core gives them."""
    named = [(config.name_converter.from_argument(argument), argument) for argument in definition.arguments]
    plain = {name for name, _ in named if is_leaf_type(get_nullable_type(field.args[name].type))}
    # Of a mutation's input `answering` tells in its `userErrors`; who reads ids or a cursor takes less of them anyway.
    bounded = [
        (argument.python_name, name)
        for name, argument in named
        if name != "input" and isinstance(get_named_type(field.args[name].type), GraphQLInputObjectType)
    ]

    def convert(values: dict[str, Any]) -> dict[str, Any]:
        converted = {
            argument.python_name: values[name]
            if name in plain
            else convert_argument(values[name], argument.type, registry, config)
            for name, argument in named
            if name in values
        }
        for python_name, name in bounded:
            require_bounds(converted.get(python_name), name)
        return converted

    return convert


def spec_of(field: GraphQLField) -> FieldSpec | None:
    """The specification `bind` gave a field; None for a field with a resolver of its own."""
    return cast("FieldSpec | None", field.extensions.get(_SPEC))


def _value_at(key: str) -> Callable[[Any, Any, Any], Any]:
    return lambda event, _args, _context: event.get(key)


def feed_of(field: GraphQLField) -> Any:
    """The feed of a subscription's field."""
    return field.extensions[_FEED]


def _declare(
    make: _Make,
    *,
    description: str | None,
    args: type[Args] | None = None,
    name: str | None = None,
    deprecation_reason: str | None = None,
    cache: Cached | None = None,
    feed: object = None,
) -> Any:
    return strawberry.field(
        resolver=cast("Any", _signature_of(args)),
        description=description,
        name=name,
        deprecation_reason=deprecation_reason,
        directives=[cache.directive()] if cache else [],
        metadata={_SPEC: make, EXTENSION: cache, _FEED: feed},
    )


def _signature_of(args: type[Args] | None) -> Callable[..., object]:
    """A function whose only purpose is to show Strawberry the arguments; executors follow the specification."""

    def never_called(**_: object) -> object:
        raise AssertionError("a field with a specification is executed by it")

    parameters = []
    annotations: dict[str, Any] = {}
    if args is not None:
        hints = get_type_hints(args, include_extras=True)
        for item in fields(args):
            if item.name == "selection":
                continue
            default = inspect.Parameter.empty if item.default is MISSING else item.default
            if default is None:
                default = strawberry.UNSET  # the schema then shows an optional argument without a default of null
            annotations[item.name] = hints[item.name]
            parameters.append(
                inspect.Parameter(
                    item.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[item.name]
                )
            )
    never_called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    never_called.__annotations__ = annotations
    return never_called


def _make_args(args: type[Args], convert: Convert, values: dict[str, Any], selection: Selection) -> Args:
    return args(selection=selection, **convert(values))
