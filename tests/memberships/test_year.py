"""A year of a chain through the use cases and the nightly jobs equals what a model apart from them makes of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from bench.year.life import Chain, unhurried
from bench.year.reader import differences
from nexfit.domains.analytics import keeping
from nexfit.embedded import EmbeddedServers
from nexfit.stores.connections import open_stores
from tests.databases import migrated

MEMBERS = 60
"""`make bench ARGS="year --members 2000"` is the same with all of them."""


@pytest.mark.timeout(300)
async def test_every_invoice_balance_and_daily_figure_of_a_year_is_what_the_model_says(
    servers: EmbeddedServers,
) -> None:
    async with migrated(servers.urls) as settings, open_stores(unhurried(settings)) as stores:
        chain = Chain(stores, MEMBERS, date(2027, 1, 1))
        await chain.open()
        await chain.live(365)
        assert await differences(chain) == []
        end = datetime(2028, 1, 1, tzinfo=UTC) - timedelta(hours=1)
        assert await keeping.rebuild(stores.mongo, stores.postgres, now=end) == 0
    for what in ("joined online", "renew", "freeze", "thaw, refused", "leave now", "refund", "switch", "pay a debt"):
        assert chain.count[what], what
