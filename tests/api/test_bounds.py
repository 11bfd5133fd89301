"""No text and no list of any input is without an end: generated from the schema, so that the next input is held too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    get_named_type,
    get_nullable_type,
    is_list_type,
)

from nexfit.api.bounds import MOST_CHARACTERS, MOST_ENTRIES, STATED

from .conftest import Client
from .test_guests import MUTATIONS
from .walk import schema, some

TEXTS = {"String", "ID"}
LONGER = {("importWorkouts", ("csv",)): 800_000}
"""Texts that may be longer, as their descriptions say."""


def parts(
    type_: GraphQLInputObjectType, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], GraphQLInputType]]:
    """Every text and every list of an input, at any depth; of a list its first entry."""
    for name, part in type_.fields.items():
        here, nullable = (*path, name), get_nullable_type(part.type)
        if is_list_type(nullable):
            yield here, nullable
            here = (*here, "0")
        named = get_named_type(part.type)
        if isinstance(named, GraphQLInputObjectType):
            if len(path) < 6:
                yield from parts(named, here)
        elif named.name in TEXTS and not is_list_type(nullable):
            yield here, nullable


def holding(type_: GraphQLInputType, path: tuple[str, ...], value: Any) -> Any:
    """A value of the type that has the value at the path, and what it must have besides."""
    if not path:
        return value
    if path[0].isdigit():
        return [holding(get_named_type(type_), path[1:], value)]
    named = get_named_type(type_)
    assert isinstance(named, GraphQLInputObjectType)
    below = named.fields[path[0]].type
    inner = get_nullable_type(below)
    if len(path) > 1 and is_list_type(inner):
        held: Any = [holding(get_named_type(inner), path[2:], value)]
    else:
        held = holding(inner, path[1:], value)
    return {**some(named), path[0]: held}


CASES = [(name, path, type_) for name, input_type in sorted(MUTATIONS.items()) for path, type_ in parts(input_type)]


def test_there_are_texts_and_lists_to_try() -> None:
    assert len(CASES) > 100
    assert STATED in (schema.mutation_type.description or "")  # type: ignore[union-attr]


@pytest.mark.parametrize("name", sorted(MUTATIONS))
async def test_a_text_or_a_list_without_end_is_refused_with_its_place(small_owner: Client, name: str) -> None:
    query = f"mutation ($i: {MUTATIONS[name].name}!) {{ {name}(input: $i) {{ userErrors {{ code path }} }} }}"
    for of, path, type_ in CASES:
        if of != name or (name, path) in LONGER:
            continue
        entry = some(get_named_type(type_)) if is_list_type(type_) else None  # type: ignore[arg-type]
        value: Any = [entry] * (MOST_ENTRIES + 1) if is_list_type(type_) else "x" * (MOST_CHARACTERS + 1)
        started = time.process_time()
        answer = await small_owner.run(query, {"i": holding(MUTATIONS[name], path, value)})
        assert time.process_time() - started < 1.5
        if "errors" in answer:  # what the type itself takes is less
            assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}, (path, answer)
            continue
        errors = answer["data"][name]["userErrors"]
        assert errors[0]["code"] == "BAD_USER_INPUT", (path, errors)
        assert errors[0]["path"][: len(path)] == list(path), (path, errors)
    for (of, path), most in LONGER.items():
        if of == name:
            value = holding(MUTATIONS[name], path, "x" * (most + 1))
            errors = (await small_owner.data(query, {"i": value}))[name]["userErrors"]
            assert (errors[0]["code"], errors[0]["path"]) == ("BAD_USER_INPUT", list(path))


@pytest.mark.parametrize("field", ["facilities", "exercises", "workoutTemplates", "workoutPrograms"])
async def test_a_filter_without_end_is_refused(owner: Client, field: str) -> None:
    definition = schema.query_type.fields[field]  # type: ignore[union-attr]
    filter_ = get_named_type(definition.args["filter"].type)
    assert isinstance(filter_, GraphQLInputObjectType)
    tried = 0
    for path, type_ in parts(filter_):
        value: Any = ["x"] * (MOST_ENTRIES + 1) if is_list_type(type_) else "x" * (MOST_CHARACTERS + 1)
        query = f"query ($f: {filter_.name}) {{ {field}(filter: $f) {{ totalCount }} }}"
        answer = await owner.run(query, {"f": holding(filter_, path, value)})
        assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}, path
        tried += 1
    assert tried
