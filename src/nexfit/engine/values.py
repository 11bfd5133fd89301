"""What resolvers and stores hand over: telling plain values from awaitables and exceptions, many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from types import GeneratorType, NoneType
from typing import Any, NamedTuple

from graphql import Undefined
from graphql.pyutils import is_awaitable, is_iterable

_MOST_TYPES = 500  # types are remembered for the life of the process; code that makes classes on the fly is not
_RECORD_TYPES: set[type] = {dict}
_SETTLED_TYPES: set[type] = {dict, list, tuple, str, int, float, bool, NoneType}
_LIST_TYPES = {list, tuple}
_OPTIONAL_LIST_TYPES = {*_LIST_TYPES, NoneType}


class Broken(NamedTuple):
    """A list whose iteration failed after some items."""

    items: list[Any]
    error: Exception


def are_records(values: Sequence[Any]) -> bool:
    """Whether every value can be the source of an object as it is: neither null nor an exception nor awaitable."""
    return _RECORD_TYPES.issuperset(map(type, values)) or _learn(values, _RECORD_TYPES, _is_record_type)


def are_settled(values: Sequence[Any]) -> bool:
    """Whether no value has to be awaited or iterated asynchronously."""
    return _SETTLED_TYPES.issuperset(map(type, values)) or _learn(values, _SETTLED_TYPES, _is_settled_type)


def are_lists(values: Sequence[Any]) -> bool:
    return _LIST_TYPES.issuperset(map(type, values))


def are_optional_lists(values: Sequence[Any]) -> bool:
    return _OPTIONAL_LIST_TYPES.issuperset(map(type, values))


async def settle(values: list[Any], depth: int) -> None:
    """Await in place what has to be, also inside `depth` levels of lists; an exception stands for its failed value.

    Awaitables run concurrently. Iterables become lists.
    """
    if depth > 1 or (depth and not are_optional_lists(values)):
        values[:] = [_listed(value, depth) for value in values]
    waiting = [index for index, value in enumerate(values) if not _is_settled(value, depth)]
    if len(waiting) == 1:
        values[waiting[0]] = await _settle(values[waiting[0]], depth)
    elif waiting:
        results = await asyncio.gather(*(_settle(values[index], depth) for index in waiting))
        for index, result in zip(waiting, results, strict=True):
            values[index] = result


def iterate(value: Iterable[Any]) -> Sequence[Any] | Broken:
    """The items of an iterable, as far as it gives them."""
    if isinstance(value, list | tuple):
        return value
    items: list[Any] = []
    try:
        items.extend(value)
    except Exception as error:  # becomes the field's error
        return Broken(items, error)
    return items


def _listed(value: Any, depth: int) -> Any:
    """`value` with its iterables turned into lists, `depth` levels deep, as far as that needs no waiting."""
    if not depth or isinstance(value, Exception) or not _is_settled(value, 0) or not is_iterable(value):
        return value
    listed = iterate(value)
    if depth > 1:
        items = [_listed(item, depth - 1) for item in (listed.items if isinstance(listed, Broken) else listed)]
        return Broken(items, listed.error) if isinstance(listed, Broken) else items
    return listed


def _is_settled(value: Any, depth: int) -> bool:
    if type(value) not in _SETTLED_TYPES and not _learn((value,), _SETTLED_TYPES, _is_settled_type):
        return isinstance(value, GeneratorType) and not is_awaitable(value)
    if depth and isinstance(value, list | tuple):
        items = value.items if isinstance(value, Broken) else value
        return are_settled(items) and (depth == 1 or all(_is_settled(item, depth - 1) for item in items))
    return True


async def _settle(value: Any, depth: int) -> Any:
    if is_awaitable(value):
        try:
            value = await value
        except Exception as error:  # becomes the field's error
            return error
    if not depth:
        return value
    value = await _iterate_async(value) if hasattr(value, "__aiter__") else _listed(value, depth)
    if isinstance(value, list | tuple):
        items = list(value.items if isinstance(value, Broken) else value)
        await settle(items, depth - 1)
        return Broken(items, value.error) if isinstance(value, Broken) else items
    return value


async def _iterate_async(value: AsyncIterable[Any]) -> list[Any] | Broken:
    items: list[Any] = []
    iterator = aiter(value)
    try:
        async for item in iterator:
            items.append(item)  # what was given before a failure counts
    except Exception as error:  # becomes the field's error
        return Broken(items, error)
    return items


def _learn(values: Sequence[Any], known: set[type], accepts: Callable[[type], bool]) -> bool:
    for type_ in set(map(type, values)):
        if type_ not in known:
            if not accepts(type_):
                return False
            if len(known) < _MOST_TYPES:
                known.add(type_)
    return True


def _is_settled_type(type_: type) -> bool:
    return not (issubclass(type_, GeneratorType) or hasattr(type_, "__await__") or hasattr(type_, "__aiter__"))


def _is_record_type(type_: type) -> bool:
    return (
        type_ is not NoneType
        and type_ is not type(Undefined)
        and not issubclass(type_, BaseException)
        and _is_settled_type(type_)
    )
