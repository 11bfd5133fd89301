"""What another program writes into either store is in the daily figures within seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from nexfit.embedded import EmbeddedServers
from nexfit.operations.daily_figures import keep_figures
from nexfit.settings import Settings
from nexfit.stores.connections import open_stores

from .conftest import Database, now, seeded, until
from .members import pay, somebody, visit

pytestmark = pytest.mark.usefixtures("followed")


@pytest.fixture(scope="module")
async def settings(servers: EmbeddedServers) -> AsyncIterator[Settings]:
    """Stores of its own: others drop collections and lose histories, which figures notice at the next start only."""
    async with seeded(servers.urls, 6) as made:
        yield made


@pytest.fixture
async def kept(settings: Settings) -> AsyncIterator[None]:
    """Figures are kept while the test runs."""
    async with open_stores(settings) as stores:
        work = asyncio.create_task(keep_figures(stores, every=0.1))
        yield
        assert not work.done(), work.exception()
        work.cancel()
        await asyncio.wait({work}, timeout=10)


async def test_visits_and_payments_written_by_hand_are_counted(
    kept: None, mongo: Database, postgres: asyncpg.Connection
) -> None:
    member = await somebody(mongo, status="active")
    facility = member.pair[0]
    place = await mongo.facilities.find_one({"_id": member.facility})
    at = now()
    zone = ZoneInfo(place["timezone"])
    midnight = at.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    day = {"facilityId": member.facility, "at": {"$gte": midnight, "$lt": midnight + timedelta(days=1)}}

    async def figures() -> tuple[Any, ...]:
        row = await postgres.fetchrow(
            """SELECT total_revenue AS r, (metrics->>'visits')::int AS v FROM finance.analytics_daily
               WHERE business_id = $1 AND date = $2""",
            *(facility, midnight.date()),
        )
        return tuple(row) if row else (None, None)

    async def counted() -> bool:
        """As many as there are: earlier tests' visits may still be on their way when this one begins."""
        return bool((await figures())[1] == await mongo.visits.count_documents(day))

    entry = await visit(mongo, member, at)
    await visit(mongo, member, at + timedelta(milliseconds=1))
    assert await mongo.visits.count_documents(day) >= 2
    await until(counted, 30)
    await mongo.visits.delete_one({"_id": entry})
    await until(counted, 30)
    revenue = (await figures())[0]
    await pay(postgres, member.pair)

    async def earned() -> bool:
        return bool((await figures())[0] > revenue)

    await until(earned, 30)
