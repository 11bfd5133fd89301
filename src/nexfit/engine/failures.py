"""Field errors of one execution: where they null the response, and the order in which they are reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from graphql import GraphQLError, located_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graphql.pyutils import Path

    from nexfit.engine.plan import FieldPlan

_AFTER_ITEMS = float("inf")


class Failure(NamedTuple):
    """One raised field error."""

    order: tuple[float, ...]
    """The path with every response key replaced by its position in its selection set: errors sort by the document."""
    nulled: tuple[str | int, ...]
    """Path of the position that becomes null: the nearest nullable one at or above the failed one."""
    error: GraphQLError


class Failures:
    """Collects field errors in any order; `settle` reports them as a synchronous depth-first execution would have.

    That is graphql-core's order where nothing is asynchronous. Where fields are, it leaves the order, and which of
    several errors nulls a position, to their timing; here both are those of the document, whatever the timing.
    """

    __slots__ = ("_failures",)

    def __init__(self) -> None:
        self._failures: list[Failure] = []

    def __bool__(self) -> bool:
        return bool(self._failures)

    def add(self, field: FieldPlan, path: Path, error: Exception, *, after_items: bool = False) -> None:
        """Record that the value of `field` at `path` failed. `after_items`: its list broke off after some items."""
        keys = path.as_list()
        nullable = field.nullable
        length = len(keys)
        while length and not nullable[length - 1]:
            length -= 1
        order: tuple[float, ...] = tuple(
            cast("int", key) if ordinal is None else ordinal  # what has no ordinal is a list index
            for key, ordinal in zip(keys, field.ordinals, strict=False)
        )
        if after_items:
            order = (*order, _AFTER_ITEMS)
        self._failures.append(Failure(order, tuple(keys[:length]), located_error(error, field.nodes, keys)))

    def reach_root(self) -> bool:
        """Whether an error has nulled the whole response."""
        return any(not failure.nulled for failure in self._failures)

    def settle(self, data: dict[str, Any]) -> tuple[dict[str, Any] | None, list[GraphQLError]]:
        """Null the failed positions of `data` in place; errors below a position that was nulled earlier are dropped."""
        response: dict[str, Any] | None = data
        errors: list[GraphQLError] = []
        nulled: set[tuple[str | int, ...]] = set()
        for failure in sorted(self._failures, key=_order):
            position = failure.nulled
            if any(position[:length] in nulled for length in range(len(position) + 1)):
                continue
            nulled.add(position)
            errors.append(failure.error)
            if position:
                _set_null(data, position)
            else:
                response = None
        return response, errors


def _order(failure: Failure) -> tuple[float, ...]:
    return failure.order


def _set_null(data: Any, position: Sequence[str | int]) -> None:
    for key in position[:-1]:
        data = data[key]
    data[position[-1]] = None
