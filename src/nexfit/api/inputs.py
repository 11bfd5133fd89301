"""Inputs of which a part may be left out."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

import strawberry


def given(description: str) -> Any:
    """An input's field that may be left out: then nothing changes. Null forgets what is stored."""
    return strawberry.field(default=strawberry.UNSET, description=description)


def values_of(value: Any) -> Any:
    """The fields of an input that are given, by Python name, with those of the inputs inside it."""
    if is_dataclass(value):
        return {name: values_of(inner) for name, inner in vars(value).items() if inner is not strawberry.UNSET}
    return [values_of(inner) for inner in value] if isinstance(value, list) else value
