"""Named places of the commit protocols where a test may end, stop or delay the process. Does nothing otherwise."""

from __future__ import annotations

from collections.abc import Callable


def _nothing(_: str) -> None:
    pass


_reached: Callable[[str], None] = _nothing


def reach(point: str) -> None:
    """Tell whoever listens that the protocol has come this far."""
    _reached(point)


def listen(callback: Callable[[str], None] | None) -> None:
    """Call `callback` with the name of every point that is reached; None ends that."""
    global _reached  # noqa: PLW0603  # one per process by nature: it stands for the process's death
    _reached = callback or _nothing
