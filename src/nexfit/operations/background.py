"""The work that goes on beside requests: every process offers itself, and for each task one of them does it.

Jobs that are due at times are taken from a queue by all of them (`nexfit.operations.jobs`)."""

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
from nexfit.operations.daily_figures import keep_figures
from nexfit.operations.feeds import follow_changes
from nexfit.operations.jobs import keep_working
from nexfit.operations.notices import keep_noticed
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
        "figures": partial(keep_figures, stores),
        "recovery": partial(keep_recovering, stores),
        "notices": partial(keep_noticed, stores),
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
        news = news or asyncio.Event()
        leading = asyncio.create_task(lead(settings.postgres, tasks_of(settings, stores, news)), name="background")
        working = asyncio.create_task(keep_working(settings, stores, news.set), name="jobs")
        try:
            yield
        finally:
            leading.cancel()
            working.cancel()
            await asyncio.gather(leading, working, return_exceptions=True)
