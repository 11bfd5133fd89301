"""The work that goes on beside requests: every process offers itself, and for each task one of them does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.leadership import Work, lead
from nexfit.hybrid.recovery import keep_recovering
from nexfit.hybrid.relay import relay
from nexfit.operations.audit_sealing import keep_sealed
from nexfit.operations.closing import keep_dates_closed
from nexfit.operations.feeds import follow_changes
from nexfit.operations.purchases import keep_purchases_settled
from nexfit.operations.reconcile.schedule import keep_reconciled
from nexfit.settings import Settings
from nexfit.stores.connections import Stores, open_stores

CONNECTIONS = 8
"""Connections to PostgreSQL all tasks together may have open."""


def tasks_of(settings: Settings, stores: Stores, news: asyncio.Event) -> Mapping[str, Work]:
    """The tasks by name; each runs until it is cancelled, in one process at a time."""
    return {
        "feeds": partial(follow_changes, stores),
        "audit": partial(keep_sealed, stores),
        "reconcile": partial(keep_reconciled, settings),
        "dates": partial(keep_dates_closed, stores),
        "recovery": partial(keep_recovering, stores),
        "purchases": partial(keep_purchases_settled, settings, stores, news.set),
        "relay": partial(relay, stores, JoinedViews(stores.redis).invalidate, news),
    }


@asynccontextmanager
async def background(settings: Settings, news: asyncio.Event | None = None) -> AsyncIterator[None]:
    """Offer this process for every task while the block runs, on connections of its own: work beside requests neither
    waits for those nor keeps them waiting. Nothing happens where the settings switch it off.

    `news` is set by whoever has committed what the relay is to publish.
    """
    if not settings.background:
        yield
        return
    few = settings.postgres.model_copy(update={"pool_size": CONNECTIONS})
    async with open_stores(settings.model_copy(update={"postgres": few})) as stores:
        tasks = tasks_of(settings, stores, news or asyncio.Event())
        leading = asyncio.create_task(lead(settings.postgres, tasks), name="background")
        try:
            yield
        finally:
            leading.cancel()
            await asyncio.gather(leading, return_exceptions=True)
