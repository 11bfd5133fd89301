"""The rows of one level: the objects whose fields are read together, and where each stands in the response."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from graphql.pyutils import Path

if TYPE_CHECKING:
    from nexfit.engine.plan import FieldPlan

PathOrRoot = Path | None


class Rows:
    """Objects of one runtime type at one level. Their response paths are worked out only when somebody needs them."""

    __slots__ = ("_field", "_parent", "_paths", "_values", "sources")

    def __init__(self, sources: Sequence[Any], parent: Rows, field: FieldPlan, values: Sequence[Any]) -> None:
        """Rows found in `values`, one value of `field` per row of `parent`: objects or lists of them, or nulls."""
        self.sources = sources
        self._parent = parent
        self._field = field
        self._values = values
        self._paths: Sequence[PathOrRoot] | None = None

    def pick(self, indices: Sequence[int]) -> Rows:
        """Some of these rows, at the places they have here."""
        return PickedRows(self, indices)

    def path(self, index: int) -> PathOrRoot:
        return self.paths()[index]

    def paths(self) -> Sequence[PathOrRoot]:
        """The response path of every row; the root has none."""
        if self._paths is None:
            self._paths = list(self._locate())
        return self._paths

    def _locate(self) -> Iterator[PathOrRoot]:
        field = self._field
        for parent, value in zip(self._parent.paths(), self._values, strict=True):
            if value is None:
                continue
            path = field.path(parent)
            if field.depth:
                for index in range(len(value)):
                    yield Path(path, index, None)
            else:
                yield path


class PickedRows(Rows):
    """Some rows of others."""

    __slots__ = ("_indices",)

    def __init__(self, parent: Rows, indices: Sequence[int]) -> None:
        sources = parent.sources
        self.sources = [sources[index] for index in indices]
        self._parent = parent
        self._indices = indices
        self._paths = None

    def _locate(self) -> Iterator[PathOrRoot]:
        paths = self._parent.paths()
        return (paths[index] for index in self._indices)


class PlacedRows(Rows):
    """Rows whose paths are known."""

    __slots__ = ()

    def __init__(self, sources: Sequence[Any], paths: Sequence[PathOrRoot]) -> None:
        self.sources = sources
        self._paths = paths
