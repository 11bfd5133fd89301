"""One execution of a plan: level by level, every field once for all rows of its level."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from functools import partial
from types import coroutine
from typing import Any, cast

from graphql import GraphQLResolveInfo
from graphql.execution.values import VariableValues
from graphql.pyutils import Path, is_awaitable

from nexfit.engine.complete import Group, Precise, group_by_rules, group_records, spread
from nexfit.engine.failures import Failures
from nexfit.engine.fields import Batch, Column, Derived
from nexfit.engine.generate import ODD
from nexfit.engine.plan import FieldPlan, Kind, ObjectPlan, OperationPlan
from nexfit.engine.result import Result
from nexfit.engine.rows import PathOrRoot, Rows
from nexfit.engine.values import are_settled, settle

CALM = 16
"""After how many executions without suspending a field is no longer given a task of its own.

A task costs more than completing a level from memory. Such a field is awaited in place instead; the first time it does
suspend, its siblings that were not started yet wait for it once, and it gets a task again.
"""


class Run:
    """The state of one execution. Everything shared between executions is in the plan."""

    __slots__ = ("context", "failures", "plan", "root", "variables")

    def __init__(self, plan: OperationPlan, variables: VariableValues, context: Any, root: Any) -> None:
        self.plan = plan
        self.variables = variables
        self.context = context
        self.root = root
        self.failures = Failures()

    async def execute(self) -> Result:
        """Run the operation; field errors are in the result, nothing is raised for them."""
        data: dict[str, Any] = {}
        for plan in self.plan.roots:
            rows = Rows([self.root], [None])
            [built] = await self._fill(plan, rows) if plan.waits else self._fill_now(plan, rows)
            data.update(built)
            if self.failures and self.failures.reach_root():
                break  # of a mutation: what follows a root field that nulled the response does not run
        if not self.failures:
            return Result(data)
        return Result(*self.failures.settle(data))

    async def _fill(self, plan: ObjectPlan, rows: Rows) -> list[dict[str, Any]]:
        """The response objects of rows of one type, with everything below them."""
        if not rows.sources:
            return []
        return self._build(plan, rows, await self._columns(plan.columns, rows))

    def _fill_now(self, plan: ObjectPlan, rows: Rows) -> list[dict[str, Any]]:
        if not rows.sources:
            return []
        return self._build(plan, rows, [self._column_now(field, rows) for field in plan.columns])

    # --- columns: one value per row, completed where the field has objects below, as it came where it is a leaf

    async def _columns(self, fields: Sequence[FieldPlan], rows: Rows) -> list[Sequence[Any]]:
        columns: list[Any] = [None] * len(fields)
        restless = [index for index, field in enumerate(fields) if field.waits and field.calm < CALM]
        tasks = [(index, asyncio.ensure_future(self._observed_column(fields[index], rows))) for index in restless[1:]]
        try:
            for index, field in enumerate(fields):
                if not field.waits:
                    columns[index] = self._column_now(field, rows)
                elif index not in restless:
                    columns[index] = await self._observed_column(field, rows)
            if restless:
                columns[restless[0]] = await self._observed_column(fields[restless[0]], rows)
            for index, task in tasks:
                columns[index] = await task
        except BaseException:
            for _, task in tasks:
                task.cancel()
            raise
        return columns

    async def _observed_column(self, field: FieldPlan, rows: Rows) -> Sequence[Any]:
        """A column, noting whether it had to wait. The first step runs in this very task, as awaiting would."""
        column = self._column(field, rows)
        try:
            waiting_for = column.send(None)
        except StopIteration as done:
            field.calm += 1
            return cast("Sequence[Any]", done.value)
        field.calm = 0
        return cast("Sequence[Any]", await _resumed(column, waiting_for))

    async def _column(self, field: FieldPlan, rows: Rows) -> Sequence[Any]:
        if field.kind is Kind.BATCH:
            values = await self._load(field, rows)
        elif field.kind in (Kind.RESOLVER, Kind.ATTRIBUTE):
            resolved = self._resolve(field, rows)
            if field.depth or not are_settled(resolved):
                await settle(resolved, field.depth)
            values = resolved
        else:
            values = self._read(field, rows)
        return values if field.is_leaf else await self._complete(field, values, rows)

    def _column_now(self, field: FieldPlan, rows: Rows) -> Sequence[Any]:
        values = self._read(field, rows)
        return values if field.is_leaf else self._complete_now(field, values, rows)

    def _read(self, field: FieldPlan, rows: Rows) -> Sequence[Any]:
        try:
            arguments = self._arguments(field)
        except Exception as error:  # the field's error
            return [error] * len(rows.sources)
        if isinstance(field.spec, Derived):
            compute, context = field.spec.compute, self.context
            return _each(lambda record: compute(record, arguments, context), rows.sources)
        return _each(_column_reader(cast("Column", field.spec)), rows.sources)

    async def _load(self, field: FieldPlan, rows: Rows) -> Sequence[Any]:
        sources = rows.sources
        try:
            results = await cast("Batch", field.spec).load(sources, self._arguments(field), self.context)
            if len(results) != len(sources):
                raise ValueError(  # answered like any other failure of the load
                    f"{field.parent_type}.{field.name} loaded {len(results)} results for {len(sources)} parents."
                )
        except Exception as error:  # the error of every parent's field
            return [error] * len(sources)
        return results

    def _resolve(self, field: FieldPlan, rows: Rows) -> list[Any]:
        try:
            arguments = field.arguments.make(self.variables, hide_suggestions=self.plan.hide_suggestions)
        except Exception as error:  # the field's error
            return [error] * len(rows.sources)
        places = zip(rows.sources, rows.paths(), strict=True)
        if field.kind is Kind.RESOLVER:
            resolve = cast("Callable[..., Any]", field.definition.resolve)
            return _each(lambda place: resolve(place[0], self._info(field, place[1]), **arguments), places)

        def read(place: tuple[Any, PathOrRoot]) -> Any:
            source, path = place
            value = source.get(field.name) if isinstance(source, Mapping) else getattr(source, field.name, None)
            return value(self._info(field, path), **arguments) if callable(value) else value

        return _each(read, places)

    def _arguments(self, field: FieldPlan) -> Any:
        """What a specification's function takes: nothing where it makes no arguments."""
        if field.made_arguments is not None:
            return field.made_arguments[0]
        arguments = field.arguments.make(self.variables, hide_suggestions=self.plan.hide_suggestions)
        maker = getattr(field.spec, "arguments", None)
        made = None if maker is None else maker(arguments, field.selection)
        if field.arguments.constant:
            field.made_arguments = (made,)
        return made

    def _info(self, field: FieldPlan, parent: PathOrRoot) -> GraphQLResolveInfo[Any]:
        plan = self.plan
        return GraphQLResolveInfo(
            field.name,
            field.nodes,
            field.type,
            field.parent_type,
            field.path(parent),
            plan.schema,
            cast("dict[str, Any]", plan.fragments),
            self.root,
            plan.operation,
            self.variables,
            self.context,
            is_awaitable,
            None,
            plan.reference.async_helpers,
        )

    def info_below(self, field: FieldPlan, path: PathOrRoot) -> GraphQLResolveInfo[Any]:
        """What `resolve_type` and `is_type_of` are told of an object at `path`: the field that gave it."""
        for _ in range(field.depth + 1):
            path = cast("Path", path).prev
        return self._info(field, path)

    # --- completion of fields with objects below

    async def _complete(self, field: FieldPlan, values: Sequence[Any], rows: Rows) -> list[Any]:
        below, join = spread(self, field, values, rows)
        if not below.sources:
            return join([])
        groups = group_records(field, below) if field.trusted else None
        if groups is None:
            groups = await group_by_rules(self, field, below)
        if len(groups) == 1 and groups[0][2] is None:
            plan, picked, _ = groups[0]
            return join(await self._fill(plan, picked) if plan.waits else self._fill_now(plan, picked))
        built: list[Any] = [None] * len(below.sources)
        await asyncio.gather(*(self._fill_group(group, built) for group in groups if group[0].waits))
        for plan, picked, indices in groups:
            if not plan.waits:
                _scatter(self._fill_now(plan, picked), indices, built)
        return join(built)

    async def _fill_group(self, group: Group, built: list[Any]) -> None:
        plan, rows, indices = group
        _scatter(await self._fill(plan, rows), indices, built)

    def _complete_now(self, field: FieldPlan, values: Sequence[Any], rows: Rows) -> list[Any]:
        below, join = spread(self, field, values, rows)
        return join(self._fill_now(field.objects[field.named_type.name], below))

    # --- building, and mending what the generated code did not accept

    def _build(self, plan: ObjectPlan, rows: Rows, columns: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
        odd: list[Any] = []
        try:
            built = plan.build(rows.sources, odd, *columns)
        except Exception:  # some row is not as its type says: read each by itself
            return self._build_by_row(plan, rows, columns)
        if odd:
            for index, row in enumerate(built):
                self._mend(plan, rows, index, columns, row)
        return built

    def _build_by_row(self, plan: ObjectPlan, rows: Rows, columns: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
        built: list[dict[str, Any]] = []
        for index, source in enumerate(rows.sources):
            values = [column[index] for column in columns]
            try:
                [row] = plan.build([source], [], *([value] for value in values))
            except Exception:  # every field of this row is completed precisely
                row = {field.key: ODD for field in plan.fields}
                row |= {
                    field.key: value for field, value in zip(plan.columns, values, strict=True) if not field.is_leaf
                }
            self._mend(plan, rows, index, columns, row)
            built.append(row)
        return built

    def _mend(
        self, plan: ObjectPlan, rows: Rows, index: int, columns: Sequence[Sequence[Any]], row: dict[str, Any]
    ) -> None:
        """Complete precisely what is odd in one built row."""
        for field in plan.fields:
            if (field.inline or field.is_leaf) and _is_odd(row[field.key]):
                if field.kind is Kind.TYPENAME:
                    row[field.key] = field.parent_type.name
                    continue
                values = (
                    _each(_column_reader(cast("Column", field.spec)), [rows.sources[index]])
                    if field.inline
                    else [columns[plan.columns.index(field)][index]]
                )
                precise = Precise(self, field)
                completed = precise.complete(values, rows.pick([index]))
                if not field.is_leaf:
                    precise.join(completed, self._fill_now(field.objects[field.named_type.name], precise.rows()))
                row[field.key] = completed[0]


def _each(function: Callable[[Any], Any], arguments: Any) -> list[Any]:
    """The result for each argument, called once each; an exception stands for the result of a call that raised it."""
    results: list[Any] = []
    add = results.append
    remaining = iter(arguments)
    while True:
        try:
            for argument in remaining:
                add(function(argument))
        except Exception as error:  # becomes the field's error
            add(error)
        else:
            return results


def _column_reader(column: Column) -> Callable[[Any], Any]:
    key, read = column.key, column.read
    if read is None:
        return lambda record: record.get(key)

    def reader(record: Any) -> Any:
        value = record.get(key)
        return None if value is None else read(value)

    return reader


def _is_odd(value: Any) -> bool:
    if type(value) is list:
        return any(map(_is_odd, value))
    if type(value) is dict:
        return any(map(_is_odd, value.values()))
    return value is ODD


def _scatter(built: Sequence[Any], indices: Sequence[int] | None, into: list[Any]) -> None:
    for index, item in zip(indices or (), built, strict=True):
        into[index] = item


@coroutine
def _resumed(started: Coroutine[Any, Any, Any], waiting_for: Any) -> Generator[Any, Any, Any]:
    """Await a coroutine that has taken its first step and waits for `waiting_for`."""
    while True:
        try:
            sent = yield waiting_for
        except BaseException as thrown:  # passed on to where the coroutine waits
            step = partial(started.throw, thrown)
        else:
            step = partial(started.send, sent)
        try:
            waiting_for = step()
        except StopIteration as done:
            return done.value
