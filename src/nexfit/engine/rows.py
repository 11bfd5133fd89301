"""The rows of one level: the objects whose fields are read together, and where each stands in the response."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from graphql.pyutils import Path

if TYPE_CHECKING:
    from nexfit.engine.plan import FieldPlan

PathOrRoot = Path | None


class Rows:
    """Objects of one runtime type at one level. Their response paths are worked out only when somebody needs them."""

    __slots__ = ("_field", "_parent", "_paths", "_picked", "_values", "sources")

    def __init__(self, sources: Sequence[Any], paths: Sequence[PathOrRoot] | None = None) -> None:
        self.sources = sources
        self._paths = paths
        self._parent: Rows | None = None
        self._field: FieldPlan | None = None
        self._values: Sequence[Any] | None = None
        self._picked: Sequence[int] | None = None

    @classmethod
    def below(cls, parent: Rows, field: FieldPlan, values: Sequence[Any], sources: Sequence[Any]) -> Rows:
        """Rows found in `values`, one value of `field` per parent: objects or one level of lists, nulls left out."""
        rows = cls(sources)
        rows._parent, rows._field, rows._values = parent, field, values
        return rows

    def pick(self, indices: Sequence[int]) -> Rows:
        """Some of these rows, at the places they have here."""
        sources = self.sources
        rows = Rows([sources[index] for index in indices])
        rows._parent, rows._picked = self, indices
        return rows

    def path(self, index: int) -> PathOrRoot:
        return self.paths()[index]

    def paths(self) -> Sequence[PathOrRoot]:
        """The response path of every row; the root has none."""
        if self._paths is None:
            parent = cast("Rows", self._parent)
            if self._picked is not None:
                paths = parent.paths()
                self._paths = [paths[index] for index in self._picked]
            else:
                self._paths = list(self._paths_below(parent.paths()))
        return self._paths

    def _paths_below(self, parents: Sequence[PathOrRoot]) -> Iterator[Path]:
        field = cast("FieldPlan", self._field)
        for parent, value in zip(parents, cast("Sequence[Any]", self._values), strict=True):
            if value is None:
                continue
            path = field.path(parent)
            if field.depth:
                for index in range(len(value)):
                    yield Path(path, index, None)
            else:
                yield path
