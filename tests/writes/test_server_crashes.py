"""`kill -9` of a server while writers write, then its return: nothing acknowledged is lost, nothing disagrees, and the
same process goes on."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from nexfit.embedded import EmbeddedServers
from nexfit.embedded.servers import ServerName
from nexfit.hybrid import relay as relay_module
from nexfit.hybrid.event_stream import STREAM, read_entry
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.recovery import keep_recovering
from nexfit.hybrid.relay import relay
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.settings import Settings
from nexfit.stores.connections import open_stores
from nexfit.stores.errors import StoreError
from tests.memberships.conftest import open_shop
from tests.memberships.online import selling_online

from .conftest import until, with_pairs, write_document, write_row

WRITERS = 6
TAKEOVER = 20.0
"""Seconds."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    """Servers of this module that keep what they have confirmed when they are killed, as in production."""
    with EmbeddedServers(tmp_path_factory.mktemp("durable") / "servers", durable=True) as running:
        yield running


@pytest.fixture(scope="module")
async def settings(servers: EmbeddedServers) -> AsyncIterator[Settings]:
    async with with_pairs(servers.urls, 0, patient=False) as made:
        yield made


async def _connect(settings: Settings) -> asyncpg.Connection:
    while True:
        try:
            return await asyncpg.connect(settings.postgres.url.get_secret_value(), timeout=5)
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.1)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("gone", ["postgres", "mongo", "redis"])
async def test_a_killed_server_costs_no_acknowledged_write(
    servers: EmbeddedServers, settings: Settings, gone: ServerName
) -> None:
    run = uuid4().hex[:8]
    acknowledged: set[str] = set()
    refused = 0
    stop = asyncio.Event()

    async def write(units: UnitsOfWork, number: int) -> None:
        nonlocal refused
        count = 0
        while not stop.is_set():
            count += 1
            name = f"{run} {number}-{count}"
            kind = ("both", "postgres", "mongo")[count % 3]

            async def body(work: Any, name: str = name, kind: str = kind) -> None:
                if kind != "mongo":
                    await write_row(work, name, 1)
                if kind != "postgres":
                    await write_document(work, name, 1)

            try:
                await getattr(units, kind)("test").run(body)
            except StoreError:
                refused += 1
                await asyncio.sleep(0.05)
            else:
                acknowledged.add(f"{kind} {name}")

    async with open_stores(settings) as stores:
        views = JoinedViews(stores.redis)
        news = asyncio.Event()
        units = UnitsOfWork(stores, views.invalidate, news.set)
        beside = [
            asyncio.create_task(keep_recovering(stores, grace=1.0, every=0.1)),
            asyncio.create_task(relay(stores, views.invalidate, news)),
        ]
        writers = [asyncio.create_task(write(units, number)) for number in range(WRITERS)]
        await until(lambda: _truth(len(acknowledged) >= 60))
        await asyncio.to_thread(servers.server(gone).kill)
        await asyncio.sleep(0.5)
        if gone != "redis":  # without which nothing is refused
            await until(lambda: _truth(refused > 0), 30)
        await asyncio.to_thread(servers.server(gone).start)
        before = len(acknowledged)
        await until(lambda: _truth(len(acknowledged) >= before + 60), 60)  # the same process goes on
        stop.set()
        await asyncio.gather(*writers)

        postgres = await _connect(settings)
        await until(lambda: _none_prepared(postgres), 30)
        client: AsyncMongoClient[dict[str, Any]]
        async with AsyncMongoClient(settings.mongo.url.get_secret_value(), readConcernLevel="majority") as client:
            database = client[settings.mongo.database]
            rows = {row["name"] for row in await postgres.fetch("SELECT name FROM pairs")}
            documents = {found["_id"] async for found in database.pairs.find()}
            for said in acknowledged:
                kind, _, name = said.partition(" ")
                assert kind == "mongo" or name in rows, said
                assert kind == "postgres" or name in documents, said
            of_both = {name for name in rows | documents if name.startswith(run) and int(name.split("-")[1]) % 3 == 0}
            assert of_both
            assert {name for name in of_both if (name in rows) != (name in documents)} == set()

            async def all_are_told() -> bool:
                return bool(
                    await database.outbox.count_documents({}) == 0
                    and not await postgres.fetchval(
                        "SELECT EXISTS (SELECT FROM finance.outbox WHERE published_at IS NULL)"
                    )
                    and await _told(settings, run) == _events(rows, documents, run)
                )

            await until(all_are_told)
        await postgres.close()
        for task in beside:
            assert not task.done()
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


def _events(rows: set[str], documents: set[str], run: str) -> list[tuple[str, str]]:
    """One event for each half that is there."""
    there = [("pair", name) for name in rows] + [("pair document", name) for name in documents]
    return sorted(one for one in there if one[1].startswith(run))


async def _told(settings: Settings, run: str) -> list[tuple[str, str]]:
    """What the stream tells of this run."""
    async with Redis.from_url(settings.redis.url.get_secret_value()) as cache:
        found = await cache.xrange(STREAM)
    envelopes = [read_entry(id_, [part for pair in fields.items() for part in pair]).envelope for id_, fields in found]
    return sorted((one.aggregate, one.aggregate_id) for one in envelopes if one.aggregate_id.startswith(run))


async def _none_prepared(postgres: asyncpg.Connection) -> bool:
    return bool(
        await postgres.fetchval("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()") == 0
    )


async def _truth(value: bool) -> bool:
    return value


@asynccontextmanager
async def _worker(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that does the background work when nobody else does."""
    environment = os.environ | {
        "NEXFIT_MONGO_URL": settings.mongo.url.get_secret_value(),
        "NEXFIT_MONGO_DATABASE": settings.mongo.database,
        "NEXFIT_POSTGRES_URL": settings.postgres.url.get_secret_value(),
        "NEXFIT_REDIS_URL": settings.redis.url.get_secret_value(),
    }
    working = Path(__file__).parents[1] / "feeds" / "working.py"
    process = await asyncio.create_subprocess_exec(
        sys.executable, working, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("gone", ["postgres", "mongo"])
async def test_purchases_in_an_outage_end_as_memberships_or_with_the_money_back(
    servers: EmbeddedServers, settings: Settings, gone: ServerName
) -> None:
    async with open_stores(settings) as stores, selling_online(await open_shop(stores, settings)) as online:
        shop, plan = online.shop, await online.shop.plan()
        buyers = [await shop.person() for _ in range(6)]
        begun = [await online.buy(plan, buyer) for buyer in buyers]
        for buyer in buyers[:2]:  # who buys it at the desk meanwhile cannot have it twice
            await shop.sell(plan, buyer)
        late = await shop.person()
        await asyncio.to_thread(servers.server(gone).kill)
        for one in begun:
            assert one.payment is not None
            await online.provider.pay(one.payment.reference)
        with pytest.raises(StoreError):
            await online.buy(plan, late, key="tap")
        with suppress(StoreError):
            await online.passes(minutes=1)
        await asyncio.to_thread(servers.server(gone).start)

        async def is_over() -> bool:
            with suppress(StoreError):
                await online.passes(minutes=1)
                open_ = "SELECT FROM finance.purchases WHERE status IN ('initiated', 'awaiting_payment', 'paid')"
                return not await stores.postgres.fetch(f"{open_} AND facility_id = $1", str(shop.facility))
            return False

        async def buys_again() -> bool:
            with suppress(StoreError):
                tapped = await online.buy(plan, late, key="tap")
                assert tapped.payment is not None
                await online.provider.pay(tapped.payment.reference)
                return True
            return False

        await until(buys_again, 60)
        await until(is_over, 60)
        assert await online.taken() == {"active": 5, "refunded": 2}


async def test_another_process_relays_within_five_seconds(settings: Settings) -> None:
    assert relay_module.POLL < 1
    async with open_stores(settings) as stores:
        units = UnitsOfWork(stores, JoinedViews(stores.redis).invalidate)
        run = uuid4().hex[:8]

        async def write(number: int) -> None:
            async def body(work: Any) -> None:
                await write_row(work, f"{run} {number}", 1)

            await units.postgres("test").run(body)

        async def is_told(number: int) -> bool:
            return ("pair", f"{run} {number}") in await _told(settings, run)

        async with _worker(settings) as first:
            await write(1)
            await until(lambda: is_told(1), 30)
            async with _worker(settings) as second:
                assert second.stdout is not None
                await asyncio.sleep(2)  # it has started and waits
                clock = asyncio.get_running_loop().time
                first.kill()
                killed = clock()
                await write(2)
                await until(lambda: is_told(2), 30)
                assert clock() - killed < TAKEOVER
        assert [name for _, name in await _told(settings, run)] == [f"{run} 1", f"{run} 2"]
