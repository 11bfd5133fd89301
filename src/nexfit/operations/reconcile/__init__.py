"""Compares everything that is kept twice with its owner, and every reference across the stores; repairs on wish.

Others write meanwhile, so what disagrees at first is only suspected. It counts when it disagrees in the very same way
after `SETTLE` seconds, in which every change has long arrived.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

from nexfit.hybrid import feed_positions
from nexfit.operations import daily_figures
from nexfit.operations.member_facts import Stores, all_members, project_all, repair_money
from nexfit.operations.reconcile.contracts import ContractsComparison
from nexfit.operations.reconcile.counters import CountersComparison
from nexfit.operations.reconcile.members import FactsComparison, MoneyComparison
from nexfit.operations.reconcile.metrics import CHECKED, DRIFT, FINISHED
from nexfit.operations.reconcile.names import NamesComparison
from nexfit.operations.reconcile.references import ReferencesComparison
from nexfit.operations.reconcile.report import EXAMPLES, Comparison, Drift, Finding, Progress, ReconcileReport
from nexfit.settings import Settings

__all__ = ["Drift", "Finding", "ReconcileReport", "patient", "reconcile"]

T = TypeVar("T")

SETTLE = 2.0
"""Seconds between the first look and the second one at what disagreed."""

BATCH = 500

MINUTES = 600.0
"""Seconds a statement of a comparison may take."""

MANY = 20_000
"""Suspects that are looked at again without waiting for the rest."""

# Contracts first: facts are read from them.
COMPARISONS: tuple[Comparison, ...] = (
    ContractsComparison(),
    MoneyComparison(),
    FactsComparison(),
    NamesComparison(),
    CountersComparison(),
    ReferencesComparison(),
)


async def reconcile(
    stores: Stores,
    *,
    repair: bool,
    rebuild: bool = False,
    on_progress: Progress | None = None,
    now: datetime | None = None,
    settle: float = SETTLE,
) -> ReconcileReport:
    """Compare everything; with `repair` follow the owner where there is one, with `rebuild` write all facts anew first.

    A repair makes up for the gaps of the feeds that were there when it began. `now` (default: each moment as it comes)
    decides which booking is a member's next one. Raises StoreError.
    """
    started = time.monotonic()
    gaps = await feed_positions.gaps(stores.postgres)
    progress = on_progress or (lambda _name, _count: None)
    rebuilt = await _rebuild(stores, progress, now) if rebuild else 0
    drift: dict[str, Drift] = {}
    compared_by: dict[str, str] = {}
    checked: dict[str, int] = {}
    for comparison in COMPARISONS:
        checked[comparison.name] = 0
        async for suspects in _suspects(stores, comparison, checked, progress, now):
            seen = {_key(finding): finding for finding in await _disagreements(stores, comparison, suspects, now)}
            await asyncio.sleep(settle)
            still = await _disagreements(stores, comparison, suspects, now)
            lasting = [finding for finding in still if seen.get(_key(finding)) == finding]
            compared_by |= dict.fromkeys((finding.kind for finding in lasting), comparison.name)
            await _settle(stores, comparison, lasting, repair, drift, now)
    if repair:
        if gaps:
            since = min(gap.since for gap in gaps)
            await daily_figures.mark_recent(stores, now=now or datetime.now(UTC), since=since)
        for gap in gaps:
            await feed_positions.close_gap(stores.postgres, gap)
        await feed_positions.compared(stores.postgres)
    DRIFT.clear()
    for kind, one in drift.items():
        DRIFT.labels(kind).set(one.found)
    for name, count in checked.items():
        CHECKED.labels(name).inc(count)
    FINISHED.set_to_current_time()
    return ReconcileReport(
        *(MappingProxyType(drift), MappingProxyType(compared_by), MappingProxyType(checked)),
        rebuilt,
        time.monotonic() - started,
    )


async def _suspects(
    stores: Stores, comparison: Comparison, checked: dict[str, int], progress: Progress, now: datetime | None
) -> AsyncIterator[list[Any]]:
    """What seems to disagree: at the end, or as soon as there is much of it."""
    suspects: dict[Any, None] = {}
    async for count, keys in comparison.suspects(stores, now or datetime.now(UTC)):
        checked[comparison.name] += count
        progress(comparison.name, checked[comparison.name])
        suspects |= dict.fromkeys(keys)
        if len(suspects) >= MANY:
            yield [*suspects]
            suspects = {}
    if suspects:
        yield [*suspects]


async def _disagreements(
    stores: Stores, comparison: Comparison, suspects: Sequence[Any], now: datetime | None
) -> list[Finding]:
    found = []
    for keys in _batches(suspects):
        found += await comparison.confirm(stores, keys, now or datetime.now(UTC))
    return found


def _key(finding: Finding) -> tuple[str, str, str]:
    return finding.kind, finding.subject, finding.detail


async def _settle(
    stores: Stores,
    comparison: Comparison,
    findings: Sequence[Finding],
    repair: bool,
    drift: dict[str, Drift],
    now: datetime | None,
) -> None:
    by_kind: dict[str, list[Finding]] = {}
    for finding in findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    for kind, found in by_kind.items():
        known = drift.setdefault(kind, Drift())
        known.found += len(found)
        known.examples += map(str, found[: EXAMPLES - len(known.examples)])
        for some in _batches(found) if repair else ():
            known.repaired += await comparison.repair(stores, some, now or datetime.now(UTC))


async def _rebuild(stores: Stores, progress: Progress, now: datetime | None) -> int:
    written = looked_at = 0
    async for pairs in all_members(stores):
        written += await repair_money(stores.postgres, pairs)
        written += len((await project_all(stores, pairs, now or datetime.now(UTC))).written)
        looked_at += len(pairs)
        progress("rebuild", looked_at)
    return written


def patient(settings: Settings) -> Settings:
    """The settings for stores that may take minutes for a statement: comparisons read whole tables."""
    return settings.model_copy(
        update={
            "mongo": settings.mongo.model_copy(update={"timeout": MINUTES}),
            "postgres": settings.postgres.model_copy(update={"statement_timeout": MINUTES, "pool_size": 2}),
        }
    )


def _batches(keys: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(keys), BATCH):
        yield keys[start : start + BATCH]
