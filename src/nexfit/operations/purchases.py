"""Takes on purchases that were left: by a process that died, without an answer, without the webhook."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from nexfit.domains.memberships.purchase import OnlineSales, recover
from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.payments import open_provider
from nexfit.settings import Settings
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreError

EVERY = 5.0
"""Seconds between two looks; each looks at what nobody has looked at for long enough."""

log = structlog.get_logger(__name__)


async def keep_purchases_settled(settings: Settings, stores: Stores, wake: Callable[[], None]) -> None:
    """Take on what was left, again and again, until cancelled."""
    provider = open_provider(settings.payments)
    units = UnitsOfWork(stores, JoinedViews(stores.redis).invalidate, wake)
    sales = OnlineSales.of(units, stores, provider, settings.payments)
    try:
        while True:
            stop_if_cancelled()
            try:
                if looked := await recover(sales, now=datetime.now(UTC)):
                    log.info("looked after purchases", count=looked)
            except StoreError as error:
                log.warning("purchases could not be looked after", error=str(error))
            await asyncio.sleep(EVERY)
    finally:
        if provider is not None:
            await provider.close()
