"""What a comparison of the two stores found, by kind, and the shape every kind of comparison has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from nexfit.operations.member_facts import Stores

EXAMPLES = 5
"""How many cases of a kind a report describes."""

Progress = Callable[[str, int], None]
"""Called with the name of a comparison and how many rows or documents it has looked at so far."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement: its kind ("contracts.status"), what it is about and what is wrong, without anybody's name."""

    kind: str
    subject: str
    detail: str
    case: Any = field(repr=False, default=None)
    """What the comparison itself needs to repair it."""

    def __str__(self) -> str:
        return f"{self.subject}: {self.detail}"


class Comparison(Protocol):
    """One kind of comparison. Suspects are collected while others write, so most are only changes on their way."""

    name: str

    def suspects(self, stores: Stores, now: datetime) -> AsyncIterator[tuple[int, Sequence[Any]]]:
        """Batches of how many were looked at and the keys of those that seem to disagree. Raises StoreError."""

    async def confirm(self, stores: Stores, keys: Sequence[Any], now: datetime) -> list[Finding]:
        """How these of the suspects disagree. Equal findings at two moments are one lasting one. Raises StoreError."""

    async def repair(self, stores: Stores, findings: Sequence[Finding], now: datetime) -> int:
        """Make what was found true, as far as it has an owner to follow; how many are. Raises StoreError."""


@dataclass(slots=True)
class Drift:
    """The cases of one kind: how many there were, how many of those were repaired, and a few of them."""

    found: int = 0
    repaired: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """What differed, by kind, and what was looked at, by comparison. `seconds` it took."""

    drift: Mapping[str, Drift]
    compared_by: Mapping[str, str]
    """The comparison each kind of drift was found by."""
    checked: Mapping[str, int]
    rebuilt: int
    """Rows of member facts a rebuild changed; 0 without one."""
    seconds: float

    @property
    def found(self) -> int:
        """All disagreements."""
        return sum(one.found for one in self.drift.values())

    @property
    def left(self) -> int:
        """Those that are still there."""
        return sum(one.found - one.repaired for one in self.drift.values())
