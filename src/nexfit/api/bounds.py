"""How long a text and a list of an input may be at all: the wall behind the limits of single fields, which say less.

A field that takes more says so by `metadata={MOST: characters}`, beside the description that tells clients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from strawberry.utils.str_converters import to_camel_case

from nexfit.domains.errors import BadInput, Refusal

MOST_CHARACTERS = 20_000
MOST_ENTRIES = 1_000
MOST = "nexfit-most"

STATED = (
    f"Where a field says no less, a text of an input has at most {MOST_CHARACTERS:,} characters and a list at most "
    f"{MOST_ENTRIES:,} entries; more is refused as `BAD_USER_INPUT`, and nothing is done."
)


def require_bounds(value: Any, *path: str) -> None:
    """Raises BadInput for the first text or list of an input that is too long, with its place."""
    for refusal in _beyond(value, path, MOST_CHARACTERS):
        raise refusal


def _beyond(value: Any, path: tuple[str, ...], most: int) -> Iterator[Refusal]:
    if isinstance(value, str):
        if len(value) > most:
            yield BadInput("{name} must have at most {most} characters.", path=path, name=_name(path), most=most)
    elif isinstance(value, list):
        if len(value) > MOST_ENTRIES:
            yield BadInput("{name} may have at most {most} entries.", path=path, name=_name(path), most=MOST_ENTRIES)
        else:
            for place, item in enumerate(value):
                yield from _beyond(item, (*path, str(place)), most)
    elif is_dataclass(value):
        for field in fields(value):
            inner = getattr(value, field.name)
            if isinstance(inner, str | list) or is_dataclass(inner):
                name = getattr(field, "graphql_name", None) or to_camel_case(field.name)
                yield from _beyond(inner, (*path, name), field.metadata.get(MOST, MOST_CHARACTERS))


def _name(path: tuple[str, ...]) -> str:
    return next((part for part in reversed(path) if not part.isdigit()), "input")
