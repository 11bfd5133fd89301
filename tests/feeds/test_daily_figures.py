"""What another program writes into either store is in the daily figures within seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from nexfit.operations.daily_figures import keep_figures
from nexfit.settings import Settings
from nexfit.stores.connections import open_stores

from .conftest import Database, now, until
from .members import pay, somebody, visit

pytestmark = pytest.mark.usefixtures("followed")


@pytest.fixture
async def kept(settings: Settings) -> AsyncIterator[None]:
    """Figures are kept while the test runs."""
    async with open_stores(settings) as stores:
        work = asyncio.create_task(keep_figures(stores, every=0.1))
        yield
        work.cancel()
        await asyncio.wait({work}, timeout=10)


async def test_visits_and_payments_written_by_hand_are_counted(
    kept: None, mongo: Database, postgres: asyncpg.Connection
) -> None:
    member = await somebody(mongo, status="active")
    facility = member.pair[0]
    place = await mongo.facilities.find_one({"_id": member.facility})
    at = now()
    day = at.astimezone(UTC).astimezone(ZoneInfo(place["timezone"])).date()

    async def figures() -> tuple[Any, ...] | None:
        row = await postgres.fetchrow(
            """SELECT total_revenue AS r, (metrics->>'visits')::int AS v FROM finance.analytics_daily
               WHERE business_id = $1 AND date = $2""",
            *(facility, day),
        )
        return tuple(row) if row else None

    async def is_there() -> bool:
        return await figures() is not None

    await until(is_there, 30)
    before = await figures()
    assert before is not None
    entry = await visit(mongo, member, at)
    await visit(mongo, member, at + timedelta(milliseconds=1))

    async def counted() -> bool:
        return await figures() == (before[0], before[1] + 2)

    await until(counted, 30)
    await mongo.visits.delete_one({"_id": entry})

    async def uncounted() -> bool:
        return await figures() == (before[0], before[1] + 1)

    await until(uncounted, 30)
    await pay(postgres, member.pair)

    async def earned() -> bool:
        found = await figures()
        return found is not None and found[0] > before[0]

    await until(earned, 30)
