"""What a change of the schema would break for clients of the last release.

What is to go is deprecated first, with the reason and what to use instead, and released so. The release after that may
take it out: its clients were told. Anything else that breaks them is listed in `schema.breaking.txt`, on purpose.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from graphql import (
    DEFAULT_DEPRECATION_REASON,
    BreakingChangeType,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    find_breaking_changes,
)

ALLOWED = "schema.breaking.txt"
"""Lists the breaking changes that the next release makes on purpose, one a line as they are reported."""

_REMOVALS = (
    BreakingChangeType.FIELD_REMOVED,
    BreakingChangeType.ARG_REMOVED,
    BreakingChangeType.VALUE_REMOVED_FROM_ENUM,
)


def breaking_changes(released: str, now: str, *, allowed: Collection[str] = ()) -> list[str]:
    """Differences between two schemas in SDL that break operations which were valid, but for the allowed ones.

    What the released one deprecates may be gone.
    """
    before = build_schema(released)
    deprecated = {place for place, _ in deprecations(before)}
    found = find_breaking_changes(before, build_schema(now))
    return [
        change.description
        for change in found
        if change.description not in allowed
        and not (change.type in _REMOVALS and deprecated & set(_places(change.description)))
    ]


def unexplained(schema: GraphQLSchema) -> list[str]:
    """Deprecations that do not say what to use instead."""
    return [place for place, reason in deprecations(schema) if reason == DEFAULT_DEPRECATION_REASON or len(reason) < 15]


def deprecations(schema: GraphQLSchema) -> Iterator[tuple[str, str]]:
    """Every deprecated `Type.field`, `Type.field(argument:)`, `Input.field` and `Enum.VALUE`, with its reason."""
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLEnumType):
            for name, value in type_.values.items():
                if value.deprecation_reason is not None:
                    yield f"{type_.name}.{name}", value.deprecation_reason
        elif isinstance(type_, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            for name, field in type_.fields.items():
                if field.deprecation_reason is not None:
                    yield f"{type_.name}.{name}", field.deprecation_reason
                for argument, definition in getattr(field, "args", {}).items():
                    if definition.deprecation_reason is not None:
                        yield f"{type_.name}.{name}({argument}:)", definition.deprecation_reason


def _places(description: str) -> Iterator[str]:
    """What may name a place in a description such as `Field Query.more was removed.`"""
    for word in description.split():
        yield word.removesuffix(".")
