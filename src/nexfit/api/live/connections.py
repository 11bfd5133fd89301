"""How many sockets and event streams a process has open, and one viewer of them."""

from __future__ import annotations

from collections import Counter

from nexfit.domains.identity.access import Actor
from nexfit.settings import LiveSettings


class Connections:
    """Counts what is open."""

    def __init__(self, settings: LiveSettings) -> None:
        self._settings = settings
        self._open = 0
        self._by_viewer: Counter[str] = Counter()

    def open(self) -> bool:
        """Count one more, to be taken back by `close`; False, and it is not counted, when there are too many."""
        if self._open >= self._settings.connections:
            return False
        self._open += 1
        return True

    def close(self) -> None:
        """One is no longer open."""
        self._open -= 1

    def enter(self, actor: Actor) -> bool:
        """Count an open one for its viewer, to be taken back by `leave`; False, and it is not, for too many."""
        if actor.user_id is None:
            return True
        viewer = str(actor.user_id)
        if self._by_viewer[viewer] >= self._settings.connections_per_viewer:
            return False
        self._by_viewer[viewer] += 1
        return True

    def leave(self, actor: Actor) -> None:
        """One of the viewer's is no longer open."""
        if actor.user_id is not None:
            viewer = str(actor.user_id)
            self._by_viewer[viewer] -= 1
            if not self._by_viewer[viewer]:
                del self._by_viewer[viewer]
