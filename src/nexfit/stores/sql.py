"""Named SQL: statements live in `.sql` files beside their domain and never get formatted values."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: *([a-z][a-z0-9_]*) *$", re.MULTILINE)


class UnknownStatement(KeyError):
    """The file has no statement of that name."""


class Statements:
    """The statements of one file, read as attributes: `sql.revenue_by_period`."""

    def __init__(self, texts: dict[str, str], origin: str) -> None:
        self._texts = texts
        self._origin = origin

    def __getattr__(self, name: str) -> str:
        try:
            return self._texts[name]
        except KeyError:
            raise UnknownStatement(f"{self._origin} has no statement named {name}") from None

    def names(self) -> list[str]:
        """All statement names, in the file's order."""
        return list(self._texts)


@cache
def load_sql(package: str, file: str = "queries.sql") -> Statements:
    """Parse `file` of a package into its `-- name:` blocks.

    Raises ValueError when two statements share a name or text stands before the first name.
    """
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    parts = _NAME.split(text)
    if any(line.strip() and not line.startswith("--") for line in parts[0].splitlines()):
        raise ValueError(f"{package}/{file}: SQL before the first `-- name:` line")
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{package}/{file}: a statement name is used twice")
    return Statements({name: body.strip() for name, body in zip(names, bodies, strict=True)}, f"{package}/{file}")
