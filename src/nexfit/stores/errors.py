"""Driver failures in our own words; nothing above `stores` catches a driver's exception."""

from __future__ import annotations

from typing import Literal

StoreName = Literal["mongo", "postgres", "redis"]


class StoreError(Exception):
    """A store could not do what was asked. The message is for the log, never for a client."""

    def __init__(self, store: StoreName, detail: str) -> None:
        super().__init__(f"{store}: {detail}")
        self.store = store

    def brief(self) -> dict[str, str]:
        """What it is, for a line of the log that is written often: the store, the kind, and the driver's code."""
        driver = self.__cause__
        code = getattr(driver, "sqlstate", None) or getattr(driver, "code", None) or type(driver).__name__
        return {"store": self.store, "error": type(self).__name__, "code": str(code)}


class StoreUnavailable(StoreError):
    """The store cannot be reached, or did not answer in time; the same request may succeed later."""


class ConnectionLost(StoreUnavailable):
    """The connection broke before anything was committed; the whole transaction may be run again."""


class WriteConflict(StoreError):
    """Another writer was faster, or the server ended the transaction in favour of others; it may be run again."""


class ConstraintViolated(StoreError):
    """The store refused a write: `constraint` names the unique index, check, key or `validator` that did."""

    def __init__(self, store: StoreName, constraint: str, detail: str) -> None:
        super().__init__(store, detail)
        self.constraint = constraint


class CommitUnknown(StoreError):
    """The commit was sent and its answer never came: it may or may not have happened."""
