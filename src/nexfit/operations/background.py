"""The work that goes on beside requests: every process offers itself, and for each task one of them does it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import structlog

from nexfit.hybrid import feed_positions
from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.hybrid.leadership import Work, lead
from nexfit.operations.feeds import follow_changes
from nexfit.operations.reconcile import patient, reconcile
from nexfit.operations.reconcile.metrics import GAP
from nexfit.settings import Settings
from nexfit.stores.connections import open_stores
from nexfit.stores.errors import StoreError

RECONCILE_EVERY = 6 * 3600.0
"""Seconds between two comparisons of everything."""

LOOK_FOR_GAPS = 1.0
"""Seconds between two looks at whether a feed has missed something."""

PATIENCE = 10.0
"""Seconds to the next try after a comparison failed."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def background(settings: Settings, more: Mapping[str, Work] | None = None) -> AsyncIterator[None]:
    """Offer this process for the feeds, the reconciler and `more` while the block runs, on connections of its own:
    work beside requests neither waits for those nor keeps them waiting."""
    few = settings.model_copy(update={"postgres": settings.postgres.model_copy(update={"pool_size": 6})})
    async with open_stores(few) as stores:
        tasks: dict[str, Work] = {
            "feeds": lambda: follow_changes(stores),
            "reconcile": lambda: keep_reconciled(settings),
            **(more or {}),
        }
        leading = asyncio.create_task(lead(settings.postgres, tasks), name="background")
        try:
            yield
        finally:
            leading.cancel()
            await asyncio.gather(leading, return_exceptions=True)


async def keep_reconciled(settings: Settings, every: float = RECONCILE_EVERY) -> None:
    """Compare and repair everything when a feed has missed something, and every so often, until cancelled."""
    async with open_stores(patient(settings)) as stores:
        while True:
            stop_if_cancelled()
            try:
                gaps = await feed_positions.gaps(stores.postgres)
                GAP.set(max((time.time() - gap.since.timestamp() for gap in gaps), default=0.0))
                if gaps or await feed_positions.since_compared(stores.postgres) >= every:
                    report = await reconcile(stores, repair=True)
                    for gap in gaps:
                        await feed_positions.close_gap(stores.postgres, gap)
                    await feed_positions.compared(stores.postgres)
                    log.log(
                        30 if report.found else 20,
                        "compared the stores",
                        because=[gap.feed for gap in gaps] or "it was time",
                        drift={kind: drift.found for kind, drift in report.drift.items()},
                        left=report.left,
                        seconds=round(report.seconds, 1),
                    )
            except StoreError as error:
                log.warning("the stores could not be compared", error=str(error))
                await asyncio.sleep(PATIENCE)
            await asyncio.sleep(LOOK_FOR_GAPS)
