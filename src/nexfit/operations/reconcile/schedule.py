"""When everything is compared without anybody asking: as soon as a feed has missed something, and every few hours."""

from __future__ import annotations

import asyncio
import logging
import time

import structlog

from nexfit.hybrid import feed_positions
from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.operations.reconcile import patient, reconcile
from nexfit.operations.reconcile.metrics import DRIFT, GAP
from nexfit.settings import Settings
from nexfit.stores.connections import open_stores
from nexfit.stores.errors import StoreError
from nexfit.stores.postgres import Postgres

EVERY = 6 * 3600.0
"""Seconds between two comparisons of everything."""

AGAIN = 600.0
"""Seconds until then when something was left: a row that somebody held may be free by that time."""

LOOK = 1.0
"""Seconds between two looks at whether a feed has missed something."""

PATIENCE = 10.0
"""Seconds to the next try after a comparison failed."""

log = structlog.get_logger(__name__)


async def keep_reconciled(settings: Settings) -> None:
    """Compare and repair everything when a feed has missed something, and every so often, until cancelled."""
    every = EVERY
    try:
        async with open_stores(patient(settings)) as stores:
            while True:
                stop_if_cancelled()
                try:
                    if because := await _reason(stores.postgres, every):
                        report = await reconcile(stores, repair=True)
                        every = AGAIN if report.left else EVERY
                        log.log(
                            logging.WARNING if report.found else logging.INFO,
                            "compared the stores",
                            because=because,
                            drift={kind: drift.found for kind, drift in report.drift.items()},
                            left=report.left,
                            seconds=round(report.seconds, 1),
                        )
                except StoreError as error:
                    log.warning("the stores could not be compared", error=str(error))
                    await asyncio.sleep(PATIENCE)
                await asyncio.sleep(LOOK)
    finally:
        # Another process speaks for them now.
        DRIFT.clear()
        GAP.set(0)


async def _reason(postgres: Postgres, every: float) -> str | None:
    """Why everything is to be compared now; None if it is not."""
    gaps = await feed_positions.gaps(postgres)
    GAP.set(max((time.time() - gap.since.timestamp() for gap in gaps), default=0.0))
    if gaps:
        return "missed changes: " + ", ".join(gap.feed for gap in gaps)
    return "it is time" if await feed_positions.since_compared(postgres) >= every else None
