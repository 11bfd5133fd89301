"""What the checker knows of the truth: counters that only rise, each written by any number of clients."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

ROLLED_BACK = 1_000_000
"""Added to a counter by units that are rolled back: whoever sees more than that saw what never was."""

LATE = 2.0
"""Seconds after its commit from which everybody sees an out-of-band write; on a quiet machine it takes a tenth."""

Register = tuple[str, str]
"""A facility and a store: each has one counter."""


@dataclass(slots=True)
class History:
    """What was acknowledged, when; and every violation that a reader has seen."""

    acknowledged: defaultdict[Register, int] = field(default_factory=lambda: defaultdict(int))
    by_client: defaultdict[tuple[int, Register], int] = field(default_factory=lambda: defaultdict(int))
    out_of_band: defaultdict[Register, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    violations: list[str] = field(default_factory=list)
    reads: int = 0
    writes: int = 0
    worst_lag: float = 0.0

    def wrote(self, client: int, register: Register, value: int) -> None:
        """A write through a unit of work was acknowledged."""
        self.writes += 1
        self.acknowledged[register] = max(self.acknowledged[register], value)
        self.by_client[client, register] = max(self.by_client[client, register], value)

    def wrote_out_of_band(self, register: Register, value: int) -> None:
        """A write straight to the store has returned."""
        self.writes += 1
        self.out_of_band[register].append((time.monotonic(), value))

    def expected(self, client: int, register: Register) -> tuple[int, int, int]:
        """What a read that begins now must see at least, and why: own write, anybody's unit, out-of-band write."""
        now = time.monotonic()
        late = [value for at, value in self.out_of_band[register] if now - at > LATE]
        return self.by_client[client, register], self.acknowledged[register], max(late, default=0)

    def read(self, client: int, register: Register, least: tuple[int, int, int], value: int) -> None:
        """A read has answered."""
        self.reads += 1
        for reason, bound in zip(("its own write", "an acknowledged unit", "an out-of-band write"), least, strict=True):
            if value < bound:
                self.violations.append(f"client {client} saw {value} of {register}, older than {reason}: {bound}")
        if value >= ROLLED_BACK:
            self.violations.append(f"client {client} saw {value} of {register}, which was rolled back")
