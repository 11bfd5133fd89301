"""Closes dates of classes that are over: who has not come is a no-show, and who still waits waits no longer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import structlog

from nexfit.domains.classes.attendance import close_dates
from nexfit.domains.classes.places import ClassDesk
from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.turns import Turns
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreError

EVERY = 30.0
"""Seconds between two looks; each looks at what is due only."""

log = structlog.get_logger(__name__)


async def keep_dates_closed(stores: Stores, every: float = EVERY) -> None:
    """Close what is over, again and again, until cancelled."""
    desk = ClassDesk(UnitsOfWork(stores, JoinedViews(stores.redis).invalidate), stores.mongo, Turns())
    while True:
        stop_if_cancelled()
        try:
            moved = await close_dates(desk, now=datetime.now(UTC))
        except StoreError as error:
            log.warning("dates could not be closed", error=str(error))
        else:
            if moved:
                log.info("closed dates of classes", bookings=moved)
        await asyncio.sleep(every)
