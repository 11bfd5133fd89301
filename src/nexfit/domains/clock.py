"""The time of day, as one function that a process is given: its own clock, or one that a test sets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Answers the present instant, in UTC."""


def system_clock() -> datetime:
    """What the machine's clock says."""
    return datetime.now(UTC)
