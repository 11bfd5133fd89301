"""What follows from changes, whoever made them: cache tags are raised, member facts projected, copies made anew.

One process does this for all. Three readers: the documents of MongoDB (facts, instructors' names, tags), the rows of
PostgreSQL for the cache (tags only, so that nothing but Redis can hold it up), and the rows of PostgreSQL for what
MongoDB repeats of them (contracts).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing

import structlog

from nexfit.domains import tags
from nexfit.hybrid import postgres_feed
from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.hybrid.freshness import Freshness
from nexfit.hybrid.mongo_feed import DocumentFeed
from nexfit.hybrid.versions import Versions
from nexfit.operations import daily_figures
from nexfit.operations.feeds.documents import DocumentEffect
from nexfit.operations.feeds.rows import ROWS, Mirror, RowTags
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreError

DOCUMENTS = "documents"
"""Name of the feed of MongoDB's documents."""

SWEEP = 10.0
"""Seconds between two looks at what time alone has changed, and at what of the log was read by all."""

log = structlog.get_logger(__name__)


async def follow_changes(stores: Stores) -> None:
    """Follow everything until cancelled. Raises StoreError at the start, and when another process took over."""
    (term,) = await stores.postgres.fetch("SELECT nextval('platform.feed_term') AS number")
    versions = Versions(stores.redis)
    freshness = Freshness(stores.redis, versions.raise_, (DOCUMENTS, ROWS), term["number"])
    rows = RowTags(stores.postgres, freshness)
    mirror = Mirror(stores)
    documents = DocumentEffect(stores, freshness)
    feed = DocumentFeed(
        stores.mongo,
        stores.postgres,
        DOCUMENTS,
        {
            name: (tags.fields_of(templates) - {"_id"}) | daily_figures.FIELDS.get(name, frozenset())
            for name, templates in tags.DOCUMENTS.items()
        },
        documents,
        on_caught_up=lambda at: freshness.caught_up(DOCUMENTS, at),
        on_gap=freshness.give_up_everything,
    )

    async def sweep() -> None:
        await documents.pass_bookings()
        if rows.mark is not None and mirror.mark is not None:
            await postgres_feed.prune(stores.postgres, (rows.mark, mirror.mark))

    with closing(versions):
        async with asyncio.TaskGroup() as together:
            for work in (freshness.run, rows.run, mirror.run, feed.run):
                together.create_task(work())
            together.create_task(_regularly(SWEEP, sweep))


async def _regularly(every: float, step: Callable[[], Awaitable[None]]) -> None:
    while True:
        stop_if_cancelled()
        try:
            await step()
        except StoreError as error:
            log.warning("the sweep of the feeds failed", error=str(error))
        await asyncio.sleep(every)
