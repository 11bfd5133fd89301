"""Driver failures in our own words; nothing above `stores` catches a driver's exception."""

from __future__ import annotations

from typing import Literal

StoreName = Literal["mongo", "postgres", "redis"]


class StoreError(Exception):
    """A store could not do what was asked. The message is for the log, never for a client."""

    def __init__(self, store: StoreName, detail: str) -> None:
        super().__init__(f"{store}: {detail}")
        self.store = store


class StoreUnavailable(StoreError):
    """The store cannot be reached, or did not answer in time; the same request may succeed later."""
