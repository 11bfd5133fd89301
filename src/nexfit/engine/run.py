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

from nexfit.engine.complete import Group, group_by_rules, group_records, spread
from nexfit.engine.failures import Failures
from nexfit.engine.fields import Derived
from nexfit.engine.mend import build, each
from nexfit.engine.plan import FieldPlan, Kind, ObjectPlan, OperationPlan
from nexfit.engine.result import Result
from nexfit.engine.rows import PathOrRoot, PlacedRows, Rows
from nexfit.engine.values import are_settled, settle

CALM = 16
"""After how many executions without suspending a field is no longer given a task of its own.

A task costs more than completing a level from memory. Such a field is awaited in place instead, and looked at again
every so many executions: when it was seen to wait, which its later siblings then did too, it gets a task again.
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
            rows = PlacedRows((self.root,), (None,))
            [built] = await self._fill(plan, rows) if plan.waits else self._fill_now(plan, rows)
            data = data | built if data else built
            if self.failures and self.failures.reach_root():
                break  # of a mutation: what follows a root field that nulled the response does not run
        if not self.failures:
            return Result(data)
        return Result(*self.failures.settle(data))

    # --- levels: the response objects of rows of one type, with everything below them

    async def _fill(self, plan: ObjectPlan, rows: Rows) -> list[dict[str, Any]]:
        restless = plan.restless
        if restless is None:
            restless = plan.restless = _restless(plan)
        if restless:
            return build(self, plan, rows, await self._columns_with_tasks(plan, rows, restless))
        columns: list[Sequence[Any]] = []
        for field in plan.columns:
            if not field.waits:
                columns.append(self._column_now(field, rows))
                continue
            field.calm += 1
            if field.calm % CALM:
                columns.append(await self._column(field, rows))
            else:
                columns.append(await self._observed_column(plan, field, rows))
        return build(self, plan, rows, columns)

    async def _columns_with_tasks(self, plan: ObjectPlan, rows: Rows, restless: Sequence[int]) -> list[Sequence[Any]]:
        """All columns, those that may wait running concurrently: the first of them in this task."""
        fields = plan.columns
        columns: list[Any] = [None] * len(fields)
        first, *others = restless
        create_task = asyncio.get_running_loop().create_task
        tasks = [create_task(self._waiting_column(plan, fields[index], rows)) for index in others]
        try:
            for index, field in enumerate(fields):
                if not field.waits:
                    columns[index] = self._column_now(field, rows)
                elif index not in restless:
                    columns[index] = await self._observed_column(plan, field, rows)
            columns[first] = await self._waiting_column(plan, fields[first], rows)
            for index, task in zip(others, tasks, strict=True):
                columns[index] = await task
        except BaseException:
            for task in tasks:
                task.cancel()
            raise
        return columns

    def _fill_now(self, plan: ObjectPlan, rows: Rows) -> list[dict[str, Any]]:
        return build(self, plan, rows, [self._column_now(field, rows) for field in plan.columns])

    # --- columns: one value per row, completed where the field has objects below, as it came where it is a leaf

    def _waiting_column(self, plan: ObjectPlan, field: FieldPlan, rows: Rows) -> Coroutine[Any, Any, Sequence[Any]]:
        """A column that had to wait when it was last looked at; it is looked at now and then."""
        if not field.calm:
            looked, field.unobserved = field.unobserved, (field.unobserved + 1) % CALM
            if looked:
                return self._column(field, rows)
        return self._observed_column(plan, field, rows)

    async def _observed_column(self, plan: ObjectPlan, field: FieldPlan, rows: Rows) -> Sequence[Any]:
        """A column, noting whether it had to wait. The first step runs in this very task, as awaiting would."""
        column = self._column(field, rows)
        try:
            waiting_for = column.send(None)
        except StopIteration as done:
            field.calm += 1
            if field.calm == CALM:
                plan.restless = None
            return cast("Sequence[Any]", done.value)
        if field.calm >= CALM:
            plan.restless = None
        field.calm = 0
        return cast("Sequence[Any]", await _resumed(column, waiting_for))

    async def _column(self, field: FieldPlan, rows: Rows) -> Sequence[Any]:
        values: Sequence[Any]
        if field.load is not None:
            parents = rows.sources
            try:
                made = field.made_arguments
                arguments = made[0] if made is not None else self._arguments(field)
                values = await field.load(parents, arguments, self.context)
                if len(values) != len(parents):
                    raise ValueError(
                        f"{field.parent_type}.{field.name} loaded {len(values)} results for {len(parents)} parents."
                    )
            except Exception as error:  # the error of every parent's field
                values = [error] * len(parents)
        elif field.trusted:
            values = self._read(field, rows)
        else:
            values = resolved = self._resolve(field, rows)
            if field.depth or not are_settled(resolved):
                await settle(resolved, field.depth)
        if field.raw:
            return values
        below, join = spread(self, field, values, rows)
        if not below.sources:
            return join([])
        plan = field.only
        if plan is None:
            return join(await self._fill_by_type(field, below))
        return join(await self._fill(plan, below) if plan.waits else self._fill_now(plan, below))

    def _column_now(self, field: FieldPlan, rows: Rows) -> Sequence[Any]:
        values = self._read(field, rows)
        if field.raw:
            return values
        below, join = spread(self, field, values, rows)
        return join(self._fill_now(cast("ObjectPlan", field.only), below) if below.sources else [])

    async def _fill_by_type(self, field: FieldPlan, rows: Rows) -> list[Any]:
        """The response objects of rows of several types; null where a row has none."""
        groups = group_records(field, rows) if field.trusted else None
        if groups is None:
            groups = await group_by_rules(self, field, rows)
        built: list[Any] = [None] * len(rows.sources)
        waiting = [self._fill_group(group, built) for group in groups if group[0].waits]
        if len(waiting) == 1:
            await waiting[0]
        elif waiting:
            await asyncio.gather(*waiting)
        for plan, picked, indices in groups:
            if not plan.waits:
                _scatter(self._fill_now(plan, picked), indices, built)
        return built

    async def _fill_group(self, group: Group, built: list[Any]) -> None:
        plan, rows, indices = group
        _scatter(await self._fill(plan, rows), indices, built)

    # --- values: what records, resolvers and loads give

    def _read(self, field: FieldPlan, rows: Rows) -> Sequence[Any]:
        read, spec = field.read, field.spec
        if read is None or field.definition.args:
            try:
                arguments = self._arguments(field)
            except Exception as error:  # the field's error
                return [error] * len(rows.sources)
            if isinstance(spec, Derived):
                compute, context = spec.compute, self.context
                return each(lambda record: compute(record, arguments, context), rows.sources)
        return each(cast("Callable[[Any], Any]", read), rows.sources)

    def _resolve(self, field: FieldPlan, rows: Rows) -> list[Any]:
        try:
            arguments = field.arguments.make(self.variables, hide_suggestions=self.plan.hide_suggestions)
        except Exception as error:  # the field's error
            return [error] * len(rows.sources)
        places = zip(rows.sources, rows.paths(), strict=True)
        if field.kind is Kind.RESOLVER:
            resolve = cast("Callable[..., Any]", field.definition.resolve)
            return each(lambda place: resolve(place[0], self._info(field, place[1]), **arguments), places)

        def read(place: tuple[Any, PathOrRoot]) -> Any:
            source, path = place
            value = source.get(field.name) if isinstance(source, Mapping) else getattr(source, field.name, None)
            return value(self._info(field, path), **arguments) if callable(value) else value

        return each(read, places)

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


def _restless(plan: ObjectPlan) -> tuple[int, ...]:
    """The columns to run in tasks of their own: where only one may wait, it can do so in the level's task."""
    waiting = [field for field in plan.columns if field.waits]
    if len(waiting) == 1:
        return ()
    return tuple(index for index, field in enumerate(plan.columns) if field.waits and field.calm < CALM)


def _scatter(built: Sequence[Any], indices: Sequence[int], into: list[Any]) -> None:
    for index, item in zip(indices, built, strict=True):
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
