"""Keyset pages of PostgreSQL rows, for any number of parents in one statement.

Statements are composed from column names and conditions that stand in our own code; whatever a client sent travels as
a parameter. A list is ordered by one column and a unique one, both in the same direction, so that a page is one range
of an index; where the first may be NULL, the NULLs are a second range behind (descending) or before (ascending) it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from nexfit.hybrid.paging import Key, Page, PageRequest, cut, parsed
from nexfit.stores.postgres import Postgres, Row


@dataclass(slots=True)
class Conditions:
    """Conditions with their parameters; `{}` in a condition stands for its parameter."""

    parameters: list[object] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def parameter(self, value: object) -> str:
        """The placeholder of a value."""
        self.parameters.append(value)
        return f"${len(self.parameters)}"

    def add(self, condition: str, *values: object) -> None:
        """One more condition that every row must meet."""
        self.texts.append(condition.format(*(self.parameter(value) for value in values)))


@dataclass(frozen=True, slots=True)
class RowList:
    """A list of rows: its table, the column that names a row's parent, and the two ordering keys.

    The second key is unique under a parent and never NULL.
    """

    table: str
    parent: str
    keys: tuple[Key, Key]


async def pages_by_parent(
    postgres: Postgres,
    rows: RowList,
    parents: Sequence[str],
    request: PageRequest,
    columns: Iterable[str],
    conditions: Conditions | None = None,
) -> list[Page]:
    """A page per parent, in one statement however many there are (and one more for totals). Raises BadCursor."""
    bounds = conditions or Conditions()
    matching = list(bounds.texts)
    counting = list(bounds.parameters)
    found: dict[str, list[Row]] = {}
    ranges = _ranges(rows, request, bounds)
    if ranges:
        wanted = sorted({*columns, *(key.column for key in rows.keys)})
        statement = _statement(rows, wanted, request, bounds, ranges, bounds.parameter(list(dict.fromkeys(parents))))
        for row in await postgres.fetch(statement, *bounds.parameters):
            found.setdefault(row["parent__"], []).append(row)
    totals = await _totals(postgres, rows, parents, matching, counting) if request.counted else {}
    return [
        cut(request, found.get(parent, []), rows.keys, totals.get(parent, 0) if request.counted else None)
        for parent in parents
    ]


def _statement(
    rows: RowList,
    columns: Sequence[str],
    request: PageRequest,
    conditions: Conditions,
    ranges: Sequence[Sequence[str]],
    parents: str,
) -> str:
    first, second = rows.keys
    descending = first.descending != request.backwards
    direction = "DESC" if descending else "ASC"
    nulls = (" NULLS LAST" if descending else " NULLS FIRST") if first.nullable else ""
    where = " AND ".join([f"t.{rows.parent} = p.parent__", *conditions.texts])
    selected = ", ".join(f"t.{column}" for column in columns)
    parts = [
        f"(SELECT {selected}, {place} AS range__ FROM {rows.table} t WHERE {' AND '.join([where, *bounds])}"
        f" ORDER BY t.{first.column} {direction}{nulls}, t.{second.column} {direction} LIMIT {request.limit})"
        for place, bounds in enumerate(ranges)
    ]
    return (
        f"SELECT p.parent__, page__.* FROM unnest({parents}::text[]) WITH ORDINALITY AS p (parent__, n__)"
        f" CROSS JOIN LATERAL (SELECT * FROM ({' UNION ALL '.join(parts)}) AS ranges__"
        f" ORDER BY range__, {first.column} {direction}{nulls}, {second.column} {direction}"
        f" LIMIT {request.limit}) AS page__ ORDER BY p.n__"
    )


def _ranges(rows: RowList, request: PageRequest, conditions: Conditions) -> list[list[str]]:
    """The index ranges to read, in reading order, each as its conditions; none where the bounds leave nothing.

    Without a bound the whole list is one range. With one, the rows with a value and those without are bounded apart.
    """
    starts = request.before if request.backwards else request.after
    ends = request.after if request.backwards else request.before
    if starts is None and ends is None:
        return [[]]
    first, second = rows.keys
    descending = first.descending != request.backwards
    with_value: list[str] | None = [f"t.{first.column} IS NOT NULL"] if first.nullable else []
    without_value: list[str] | None = [f"t.{first.column} IS NULL"] if first.nullable else None
    for place, forwards in ((starts, True), (ends, False)):
        if place is None:
            continue
        value, unique = parsed(place, rows.keys)
        down = descending == forwards
        operator = "<" if down else ">"
        # NULLs lie last going down and first going up.
        if value is None:
            if down:
                with_value = None
            if without_value is not None:
                without_value.append(f"t.{second.column} {operator} {conditions.parameter(unique)}")
        else:
            if not down:
                without_value = None
            if with_value is not None:
                bound = f"({conditions.parameter(value)}, {conditions.parameter(unique)})"
                with_value.append(f"(t.{first.column}, t.{second.column}) {operator} {bound}")
    ordered = (with_value, without_value) if descending else (without_value, with_value)
    return [bounds for bounds in ordered if bounds is not None]


async def _totals(
    postgres: Postgres, rows: RowList, parents: Sequence[str], matching: Sequence[str], parameters: list[object]
) -> dict[str, int]:
    where = " AND ".join([f"t.{rows.parent} = ANY (${len(parameters) + 1}::text[])", *matching])
    counted = await postgres.fetch(
        f"SELECT t.{rows.parent} AS parent, count(*) AS total FROM {rows.table} t WHERE {where} GROUP BY 1",
        *parameters,
        list(dict.fromkeys(parents)),
    )
    return {row["parent"]: row["total"] for row in counted}
