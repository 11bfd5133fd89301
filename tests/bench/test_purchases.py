"""The benchmark of sales runs, and what it measures are sales."""

from __future__ import annotations

import asyncio

import asyncpg

from bench.crashes.servers import stores_on
from bench.purchases import BUYERS, measure
from nexfit.embedded import EmbeddedServers
from nexfit.payments.local_server import LocalProvider, serving_beside


def test_every_kind_of_sale_sells(servers: EmbeddedServers) -> None:
    provider = LocalProvider("bench", "bench")
    provider.faults.pay_at_once, provider.faults.delivery = True, "never"
    with stores_on(servers.urls) as where, serving_beside(provider) as url:
        found = asyncio.run(measure(where, url, rounds=1, seconds=0.3))

        async def sold() -> tuple[int, int]:
            connection = await asyncpg.connect(where.postgres)
            try:
                return tuple(
                    await connection.fetchrow(
                        """SELECT count(*) FILTER (WHERE provider IS NULL), count(*) FILTER (WHERE provider = 'local')
                           FROM finance.subscriptions WHERE status = 'active'"""
                    )
                )
            finally:
                await connection.close()

        desk, online = asyncio.run(sold())
    assert found.keys() == set(BUYERS)
    assert all(rate > 0 for of_kind in found.values() for rates in of_kind.values() for rate in rates)
    assert desk > 0
    assert provider.money()["taken"] == online * 99990 > 0
