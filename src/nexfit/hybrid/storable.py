"""Values that both stores take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NUL = "\0"
INSTEAD = "\N{REPLACEMENT CHARACTER}"


def storable(value: Any) -> Any:
    """The value without the one character that MongoDB keeps and PostgreSQL refuses, in keys as well."""
    if isinstance(value, str):
        return value.replace(NUL, INSTEAD)
    if isinstance(value, Mapping):
        return {storable(str(key)): storable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [storable(inner) for inner in value]
    return value
