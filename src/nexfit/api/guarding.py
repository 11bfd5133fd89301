"""The rights matrix put to work on a schema: what loads is guarded, what is plain is taken out of records.

Both happen once per batch. Columns that only some may see are taken out of the records of those who may not where the
records are loaded, so that reading a column costs nothing more; without such a column asked for nothing happens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from graphql import (
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_non_null_type,
)

from nexfit.api.access import permitted
from nexfit.api.context import Context
from nexfit.api.right_entries import Entry, NoRight
from nexfit.api.rights import entry_of, reach_of, right_of
from nexfit.domains.identity.access import MINE, SELF, SIGNED_IN, Right, refusal
from nexfit.engine.fields import TYPENAME, Batch, BatchLoad, Column, Record, SpecOf
from nexfit.engine.selection import Selection


def guarded(narrowing: Narrowing, type_name: str, name: str, returned: GraphQLNamedType, load: BatchLoad) -> BatchLoad:
    """The load for the parents the viewer has the field's right on; the others get null, or an error."""
    load = narrowing.narrowed(load, returned)
    entry, right = entry_of(type_name), right_of(type_name, name)
    if name in entry.health:
        load = _recorded(load, entry, name)
    if reach_of(entry).within(right) or right.shown:
        return load

    async def load_permitted(parents: Sequence[Record], args: Any, context: Context) -> Sequence[Any]:
        allowed = await permitted(right, entry.scope, parents, context)
        if all(allowed):
            return await load(parents, args, context)
        some = [parent for parent, yes in zip(parents, allowed, strict=True) if yes]
        loaded = iter(await load(some, args, context) if some else ())
        refused = refusal(context.actor) if entry.refuses else None
        return [next(loaded) if yes else refused for yes in allowed]

    return load_permitted


def _recorded(load: BatchLoad, entry: Entry, name: str) -> BatchLoad:
    """The load of a field that tells of health, for parents the viewer may see it of."""

    async def load_recorded(parents: Sequence[Record], args: Any, context: Context) -> Sequence[Any]:
        for parent in parents:
            _note(entry, name, parent, context)
        return await load(parents, args, context)

    return load_recorded


def _note(entry: Entry, name: str, record: Record, context: Context) -> None:
    if not entry.scope.is_of(context.actor, record):
        context.health_reads.setdefault(str(record.get(entry.scope.person or "")), set()).add(name)


def needs_of(type_name: str, name: str) -> tuple[str, ...]:
    """The columns of a parent that the guard of a loading field reads."""
    entry, right = entry_of(type_name), right_of(type_name, name)
    free = (reach_of(entry).within(right) or right.shown) and name not in entry.health
    return () if free else entry.scope.columns


@dataclass(frozen=True, slots=True)
class _Private:
    """Columns of a type that only those with a right may see."""

    right: Right
    columns: frozenset[str]


@dataclass(slots=True)
class _Shape:
    """Where records with columns that are private, or tell of health, lie in what a batch returns, by its type."""

    entry: Entry | None = None
    private: tuple[_Private, ...] = ()
    health: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Columns by the field that shows them."""
    below: dict[str, tuple[str, _Shape]] = field(default_factory=dict)
    """Field name to the key of the record and the shape of what is there."""
    by_type: dict[str, _Shape] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.private or self.health or self.below or any(self.by_type.values()))

    @property
    def guarded(self) -> frozenset[str]:
        """Columns that somebody has to look after."""
        return frozenset().union(*(group.columns for group in self.private), *self.health.values())

    def asked(self, selection: Selection) -> bool:
        """Whether the selection asks for a column of these anywhere below."""
        if (guarded := self.guarded) and guarded & selection.columns:
            return True
        return any(shape.asked(selection.at(name)) for name, (_, shape) in self.below.items()) or any(
            shape.guarded & selection.columns_of(name) for name, shape in self.by_type.items()
        )

    def records(self, value: Any) -> Iterator[tuple[_Shape, dict[str, Any]]]:
        """The records with such columns in a result."""
        if isinstance(value, list | tuple):
            for item in value:
                yield from self.records(item)
        elif isinstance(value, Mapping):
            if self.by_type:
                yield from self.by_type.get(value[TYPENAME], _NOTHING).records(value)
            if self.private or self.health:
                yield self, value  # type: ignore[misc]  # a mapping that cannot be changed fails when it is narrowed
            for key, shape in self.below.values():
                yield from shape.records(value.get(key))


_NOTHING = _Shape()


class Narrowing:
    """Takes private columns out of loaded records. Made for a schema once every field has its specification."""

    def __init__(self, schema: GraphQLSchema, spec_of: SpecOf) -> None:
        self._schema = schema
        self._spec_of = spec_of
        self._shapes: dict[str, _Shape] = {}

    def narrowed(self, load: BatchLoad, returned: GraphQLNamedType) -> BatchLoad:
        """The load, with what the viewer may not see taken out of the records of the returned type."""
        shape = self._shape(returned)
        if not shape:
            return load
        asked: WeakKeyDictionary[Selection, bool] = WeakKeyDictionary()

        def load_narrowed(parents: Sequence[Record], args: Any, context: Context) -> Awaitable[Sequence[Any]]:
            selection: Selection = args.selection
            wanted = asked.get(selection)
            if wanted is None:
                wanted = asked[selection] = shape.asked(selection)
            return load_and_narrow(parents, args, context) if wanted else load(parents, args, context)

        async def load_and_narrow(parents: Sequence[Record], args: Any, context: Context) -> Sequence[Any]:
            results = await load(parents, args, context)
            await _narrow(shape, results, context)
            return results

        return load_narrowed

    def _shape(self, type_: GraphQLNamedType) -> _Shape:
        shape = self._shapes.get(type_.name)
        if shape is None:
            shape = self._shapes[type_.name] = _Shape()
            if isinstance(type_, GraphQLObjectType):
                self._fill(shape, type_)
            elif isinstance(type_, GraphQLInterfaceType):
                shape.by_type = {one.name: self._shape(one) for one in self._schema.get_possible_types(type_)}
        return shape

    def _fill(self, shape: _Shape, type_: GraphQLObjectType) -> None:
        shape.entry = entry_of(type_.name)
        groups: dict[Right, set[str]] = {}
        free: set[str] = set()
        for name, definition in type_.fields.items():
            spec = self._spec_of(definition)
            if spec is None or isinstance(spec, Batch):
                continue
            right = right_of(type_.name, name)
            needs = {spec.key} if isinstance(spec, Column) else {need.partition(".")[0] for need in spec.needs}
            # Whose the record is may be needed besides, as to know whose key decrypts it.
            columns = needs - {*shape.entry.scope.columns} or needs
            if name in shape.entry.health:
                shape.health = {**shape.health, name: frozenset(columns)}
            if right.shown or reach_of(shape.entry).within(right):
                free |= columns
            else:
                groups.setdefault(right, set()).update(columns)
            if isinstance(spec, Column) and (inner := self._shape(get_named_type(definition.type))):
                shape.below[name] = (spec.key, inner)
        shape.private = tuple(_Private(right, frozenset(columns)) for right, columns in groups.items())
        for group in shape.private:
            shared = group.columns & (free | set(shape.entry.scope.columns))
            if shared:
                raise NoRight(f"{type_.name} reads {', '.join(sorted(shared))} for fields of different rights")


async def _narrow(shape: _Shape, results: Sequence[Any], context: Context) -> None:
    found: dict[int, tuple[_Shape, dict[str, Any]]] = {
        id(record): (holder, record) for result in results for holder, record in shape.records(result)
    }
    holders: dict[int, tuple[_Shape, list[dict[str, Any]]]] = {}
    for holder, record in found.values():
        holders.setdefault(id(holder), (holder, []))[1].append(record)
    for holder, records in holders.values():
        entry = holder.entry
        assert entry is not None  # noqa: S101  # a shape with private columns is one of a type
        for group in holder.private:
            holding = [record for record in records if not group.columns.isdisjoint(record)]
            if not holding:
                continue
            allowed = await permitted(group.right, entry.scope, holding, context)
            for record, yes in zip(holding, allowed, strict=True):
                if not yes:
                    for column in group.columns & record.keys():
                        del record[column]
        for name, columns in holder.health.items():
            for record in records:
                if columns & record.keys():  # those that are left
                    _note(entry, name, record, context)


def check(schema: GraphQLSchema, spec_of: SpecOf) -> None:
    """Raises NoRight where the schema and the matrix do not fit; called once everything is bound."""
    for type_ in schema.type_map.values():
        if not isinstance(type_, GraphQLObjectType) or type_.name.startswith("__"):
            continue
        entry = entry_of(type_.name)
        gone = entry.fields.keys() - type_.fields.keys()
        if gone:
            raise NoRight(f"{type_.name} has no field {', '.join(sorted(gone))}: take it out of api/rights.py")
        for name, definition in type_.fields.items():
            right = right_of(type_.name, name)
            reach = reach_of(entry)
            narrower = not (right.shown or reach.within(right))
            # A guest's change fails as a whole, so that it has no record to leave something out of.
            if narrower and right != SIGNED_IN and is_non_null_type(definition.type):
                raise NoRight(f"{type_.name}.{name} is not for everybody who has the record, so it must be nullable")
            spec = spec_of(definition)
            if entry.found is not None and isinstance(spec, Batch):
                _check_edge(type_.name, name, reach if right.shown else right, get_named_type(definition.type), schema)


def _check_edge(type_name: str, name: str, right: Right, target: GraphQLNamedType, schema: GraphQLSchema) -> None:
    """A way to an entity must not be wider than the right to find it."""
    right = SELF if right == MINE else right
    if target.name.endswith("Connection") and isinstance(target, GraphQLObjectType):
        target = get_named_type(target.fields["nodes"].type)
    if isinstance(target, GraphQLObjectType):
        entry = entry_of(target.name)
        if entry.found is not None and not right.within(reach_of(entry)):
            raise NoRight(f"{type_name}.{name} leads to {target.name}, which fewer may find")
