"""What a change of the schema would break for clients of the last release."""

from __future__ import annotations

from collections.abc import Collection

from graphql import build_schema, find_breaking_changes

ALLOWED = "schema.breaking.txt"
"""Lists the breaking changes that the next release makes on purpose, one a line as they are reported."""


def breaking_changes(released: str, now: str, *, allowed: Collection[str] = ()) -> list[str]:
    """Differences between two schemas in SDL that break operations which were valid, but for the allowed ones."""
    found = find_breaking_changes(build_schema(released), build_schema(now))
    return [change.description for change in found if change.description not in allowed]
