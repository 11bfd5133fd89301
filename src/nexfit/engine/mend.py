"""Builds the response objects of rows, and mends what the generated code did not accept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nexfit.engine.complete import Precise
from nexfit.engine.generate import ODD
from nexfit.engine.plan import FieldPlan, Kind, ObjectPlan
from nexfit.engine.rows import Rows

if TYPE_CHECKING:
    from nexfit.engine.run import Run


def build(run: Run, plan: ObjectPlan, rows: Rows, columns: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """One response object per row. `columns` has a value per row for each column of the plan."""
    odd: list[Any] = []
    try:
        built = plan.build(rows.sources, odd, *columns)
    except Exception:  # some row is not as its type says: read each by itself
        return _build_by_row(run, plan, rows, columns)
    if odd:
        for index, row in enumerate(built):
            _mend(run, plan, rows, index, columns, row)
    return built


def each(function: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
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


def _build_by_row(run: Run, plan: ObjectPlan, rows: Rows, columns: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    built: list[dict[str, Any]] = []
    for index, source in enumerate(rows.sources):
        values = [column[index] for column in columns]
        try:
            [row] = plan.build([source], [], *([value] for value in values))
        except Exception:  # every field of this row is completed precisely
            row = {field.key: ODD for field in plan.fields}
            row |= {field.key: value for field, value in zip(plan.columns, values, strict=True) if not field.raw}
        _mend(run, plan, rows, index, columns, row)
        built.append(row)
    return built


def _mend(
    run: Run, plan: ObjectPlan, rows: Rows, index: int, columns: Sequence[Sequence[Any]], row: dict[str, Any]
) -> None:
    """Complete precisely what is odd in one built row."""
    for field in plan.fields:
        if (field.inline or field.raw) and _is_odd(row[field.key]):
            row[field.key] = (
                field.parent_type.name
                if field.kind is Kind.TYPENAME
                else _completed(run, field, _value(plan, field, rows, index, columns), rows.pick([index]))
            )


def _value(plan: ObjectPlan, field: FieldPlan, rows: Rows, index: int, columns: Sequence[Sequence[Any]]) -> Any:
    if field.inline and field.read is not None:
        return each(field.read, (rows.sources[index],))[0]
    return columns[plan.columns.index(field)][index]


def _completed(run: Run, field: FieldPlan, value: Any, row: Rows) -> Any:
    precise = Precise(run, field)
    completed = precise.complete([value], row)
    if field.only is not None:  # an embedded record; the code for it reads everything below by itself
        below = precise.rows()
        precise.join(completed, build(run, field.only, below, ()) if below.sources else [])
    return completed[0]


def _is_odd(value: Any) -> bool:
    if type(value) is list:
        return any(map(_is_odd, value))
    if type(value) is dict:
        return any(map(_is_odd, value.values()))
    return value is ODD
