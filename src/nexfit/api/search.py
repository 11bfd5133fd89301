"""Text that clients search by."""

from __future__ import annotations

from nexfit.domains.errors import BadInput

MOST_CHARACTERS = 200


def search_text(value: str | None, *path: str) -> str | None:
    """The text as it came; raises BadInput for more than anybody looks for, and for NUL, which no store can hold."""
    if value is not None and (len(value) > MOST_CHARACTERS or "\0" in value):
        raise BadInput(
            "{name} must be text of at most {most} characters.", path=path, name=path[-1], most=MOST_CHARACTERS
        )
    return value
