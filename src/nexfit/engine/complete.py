"""From raw field values to completed ones: which objects lie in them, of what type, and which values are errors.

Values that look as their type says are taken many at a time; everything else goes value by value through the rules of
the specification ("Value Completion"), with graphql-core's own functions wording the errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from graphql import (
    GraphQLError,
    GraphQLOutputType,
    Undefined,
    default_type_resolver,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution.collect_fields import FieldDetails
from graphql.execution.executor import invalid_return_type_error
from graphql.pyutils import Path, is_iterable

from nexfit.engine.fields import TYPENAME
from nexfit.engine.rows import PlacedRows, Rows
from nexfit.engine.values import Broken, are_lists, are_optional_lists, are_records, iterate, settle

if TYPE_CHECKING:
    from nexfit.engine.plan import FieldPlan, ObjectPlan
    from nexfit.engine.run import Run

Join: TypeAlias = "Callable[[list[Any]], list[Any]]"
"""Puts the built objects of the rows found below a field where their values were: one completed value per parent."""

Group: TypeAlias = "tuple[ObjectPlan, Rows, Sequence[int]]"
"""Rows of one runtime type and their positions among all rows."""


def spread(run: Run, field: FieldPlan, values: Sequence[Any], rows: Rows) -> tuple[Rows, Join]:
    """Find the objects in `values`, one value per row of `rows`; record what is wrong with the others."""
    if field.depth == 0:
        if are_records(values):
            return Rows(values, rows, field, values), _as_they_are
        if field.nullable[-1]:
            present = [value for value in values if value is not None]
            if are_records(present):
                return Rows(present, rows, field, values), lambda built: _between_nulls(values, built)
    elif field.depth == 1:
        if len(values) == 1 and are_lists(values):
            if are_records(values[0]):
                return Rows(values[0], rows, field, values), _in_one_list
        elif are_lists(values) or (field.nullable[-2] and are_optional_lists(values)):
            flat = list(chain.from_iterable([value for value in values if value is not None]))
            if are_records(flat):
                return Rows(flat, rows, field, values), lambda built: _in_lists(values, built)
    precise = Precise(run, field)
    completed = precise.complete(values, rows)
    return precise.rows(), lambda built: precise.join(completed, built)


def _as_they_are(built: list[Any]) -> list[Any]:
    return built


def _between_nulls(values: Sequence[Any], built: list[Any]) -> list[Any]:
    following = iter(built)
    return [None if value is None else next(following) for value in values]


def _in_one_list(built: list[Any]) -> list[Any]:
    return [built]


def _in_lists(values: Sequence[Any], built: list[Any]) -> list[Any]:
    completed: list[Any] = []
    start = 0
    for value in values:
        if value is None:
            completed.append(None)
        else:
            end = start + len(value)
            completed.append(built[start:end])
            start = end
    return completed


class Precise:
    """Completes the values of one field one by one, as the specification has it."""

    def __init__(self, run: Run, field: FieldPlan) -> None:
        self._run = run
        self._field = field
        self._sources: list[Any] = []
        self._paths: list[Path] = []
        self._holes: list[tuple[list[Any], int]] = []

    def complete(self, values: Sequence[Any], rows: Rows) -> list[Any]:
        """Completed leaves, lists and nulls; objects are left as holes for `join`."""
        completed: list[Any] = [None] * len(values)
        for index, (value, parent) in enumerate(zip(values, rows.paths(), strict=True)):
            self._place(self._field.type, value, self._field.path(parent), completed, index)
        return completed

    def rows(self) -> Rows:
        return PlacedRows(self._sources, self._paths)

    def join(self, completed: list[Any], built: list[Any]) -> list[Any]:
        for (into, index), child in zip(self._holes, built, strict=True):
            into[index] = child
        return completed

    def _place(self, type_: GraphQLOutputType, value: Any, path: Path, into: list[Any], index: int) -> None:
        try:
            if isinstance(value, Exception):
                raise value
            if value is None or value is Undefined:
                if is_non_null_type(type_):
                    field = self._field
                    raise TypeError(f"Cannot return null for non-nullable field {field.parent_type}.{field.name}.")
                return
            inner = type_.of_type if is_non_null_type(type_) else type_
            if is_list_type(inner):
                self._place_items(inner.of_type, value, path, into, index)
            elif is_leaf_type(inner):
                into[index] = self._run.plan.reference.complete_leaf_value(inner, value)
            else:
                self._sources.append(value)
                self._paths.append(path)
                self._holes.append((into, index))
        except Exception as error:  # a field error, whatever it is
            self._run.failures.add(self._field, path, error)

    def _place_items(self, type_: GraphQLOutputType, value: Any, path: Path, into: list[Any], index: int) -> None:
        field = self._field
        if not is_iterable(value):
            raise GraphQLError(f"Expected Iterable, but did not find one for field '{field.parent_type}.{field.name}'.")
        listed = value if isinstance(value, Broken) else iterate(value)
        items = listed.items if isinstance(listed, Broken) else listed
        completed: list[Any] = [None] * len(items)
        into[index] = completed
        for at, item in enumerate(items):
            self._place(type_, item, Path(path, at, None), completed, at)
        if isinstance(listed, Broken):
            self._run.failures.add(field, path, listed.error, after_items=True)


def group_records(field: FieldPlan, rows: Rows) -> list[Group] | None:
    """Records by the type they name; None when one of them does not name a possible type."""
    try:
        names = [record.get(TYPENAME) for record in rows.sources]
        distinct = dict.fromkeys(names)
    except (AttributeError, TypeError):
        return None
    if not distinct.keys() <= field.objects.keys():
        return None
    if len(distinct) == 1:
        return [(field.objects[names[0]], rows, range(len(names)))]
    return _grouped(field, rows, names)


async def group_by_rules(run: Run, field: FieldPlan, rows: Rows) -> list[Group]:
    """Objects by their runtime type as graphql-core finds it (`resolve_type`, `is_type_of`), recording who has none."""
    if field.abstract is None:
        names: list[Any] = [field.named_type.name] * len(rows.sources)
    else:
        names = await _runtime_types(run, field, rows)
    accepted = await _is_type_of(run, field, rows, names)
    for index, name in enumerate(names):
        error = name if isinstance(name, Exception) else accepted[index]
        if isinstance(error, Exception):
            run.failures.add(field, cast("Path", rows.path(index)), error)
            names[index] = None
    return _grouped(field, rows, names)


def _grouped(field: FieldPlan, rows: Rows, names: Sequence[str | None]) -> list[Group]:
    indices: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        if name is not None:
            indices.setdefault(name, []).append(index)
    return [(field.objects[name], rows.pick(picked), picked) for name, picked in indices.items()]


async def _runtime_types(run: Run, field: FieldPlan, rows: Rows) -> list[Any]:
    """For every row the name of its object type, or the error of finding it."""
    abstract = field.abstract
    assert abstract is not None  # noqa: S101 - the caller has looked
    resolve_type = abstract.resolve_type or default_type_resolver
    names: list[Any] = []
    infos = [run.info_below(field, path) for path in rows.paths()]
    for source, info in zip(rows.sources, infos, strict=True):
        try:
            names.append(_named(field, source) or resolve_type(source, info, abstract))
        except Exception as error:  # the field's error
            names.append(error)
    await settle(names, 0)
    details = [FieldDetails(node, None) for node in field.nodes]
    for index, (name, source) in enumerate(zip(names, rows.sources, strict=True)):
        if not isinstance(name, Exception):
            try:
                names[index] = run.plan.reference.ensure_valid_runtime_type(
                    name, abstract, details, infos[index], source
                ).name
            except Exception as error:  # the field's error
                names[index] = error
    return names


def _named(field: FieldPlan, source: Any) -> str | None:
    """The type a record names itself. Other objects, and what resolvers return, are for the schema's own rules."""
    name = source.get(TYPENAME) if field.trusted and hasattr(source, "get") else None
    return name if isinstance(name, str) else None


async def _is_type_of(run: Run, field: FieldPlan, rows: Rows, names: Sequence[Any]) -> list[Any]:
    """For every row None, or the error of not being of its type."""
    verdicts: list[Any] = [True] * len(names)
    if not field.trusted:
        for index, (name, source) in enumerate(zip(names, rows.sources, strict=True)):
            check = None if isinstance(name, Exception) else field.objects[name].type.is_type_of
            if check:
                try:
                    verdict = check(source, run.info_below(field, rows.path(index)))
                    verdicts[index] = True if isinstance(verdict, Exception) else verdict  # it counts as any object
                except Exception as error:  # the field's error
                    verdicts[index] = error
        await settle(verdicts, 0)
    details = [FieldDetails(node, None) for node in field.nodes]
    return [
        verdict
        if isinstance(verdict, Exception)
        else None
        if verdict
        else invalid_return_type_error(field.objects[name].type, source, details)
        for verdict, name, source in zip(verdicts, names, rows.sources, strict=True)
    ]
