"""Why a benchmark stops."""

from __future__ import annotations


class CannotMeasure(Exception):
    """Something that makes the numbers worthless; the message says what, and what to do where that is known."""
