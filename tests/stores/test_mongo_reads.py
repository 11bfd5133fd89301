"""Reads over connections that PyMongo opened: right answers, and PyMongo's own way whenever something is wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from pymongo import monitoring

from nexfit.settings import MongoSettings
from nexfit.stores.commands import command_log
from nexfit.stores.errors import StoreError, StoreUnavailable
from nexfit.stores.mongo import SINGLE_BATCH, Mongo
from nexfit.stores.mongo_transactions import MongoTransaction
from tests.stores.conftest import Certificate, Proxy, proxying

NUMBERS = 300


@asynccontextmanager
async def opened(url: str, database: str, **settings: object) -> AsyncIterator[Mongo]:
    patient = {"timeout": 20, "server_selection_timeout": 20}
    mongo = Mongo(MongoSettings(url=url, database=database, **{**patient, **settings}))
    try:
        await mongo.ping()
        yield mongo
    finally:
        await mongo.close()


@pytest.fixture(scope="module")
async def filled(mongo_url: str, mongo_database: str) -> str:
    """The database, with documents 0 to NUMBERS - 1 in `numbers`."""
    async with opened(mongo_url, mongo_database) as mongo:
        await mongo.database["numbers"].insert_many([{"_id": n, "square": n * n} for n in range(NUMBERS)])
    return mongo_database


def through(url: str, proxy: Proxy, **options: str) -> str:
    """The server's URL by way of a proxy, which the driver must not look behind."""
    parts = urlsplit(url)
    query = {key: value for key, value in parse_qsl(parts.query) if key != "replicaSet"}
    query |= {"directConnection": "true", **options}
    account = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{account}@127.0.0.1:{proxy.port}", query=urlencode(query)).geturl()


def upstream(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


async def square(mongo: Mongo, n: int) -> int:
    [found] = await mongo.find("numbers", {"_id": n}, ["square"])
    result: int = found["square"]
    return result


async def test_many_readers_share_few_connections_and_get_their_own_answers(mongo_url: str, filled: str) -> None:
    async with opened(mongo_url, filled, pool_size=3) as mongo:
        asked = [n % NUMBERS for n in range(600)]
        with command_log() as log:
            assert await asyncio.gather(*(square(mongo, n) for n in asked)) == [n * n for n in asked]
        assert log.sent["mongo"] == ["find"] * len(asked)
        assert 1 <= len(mongo._reads._open) <= 3


async def test_reads_do_not_pass_through_pymongo(mongo_url: str, filled: str) -> None:
    async with opened(mongo_url, filled) as mongo:
        await square(mongo, 1)
        mongo.database = None  # type: ignore[assignment]
        assert await square(mongo, 7) == 49
        assert await mongo.aggregate("numbers", [{"$match": {"_id": 3}}]) == [{"_id": 3, "square": 9}]
        assert await mongo.aggregate_documents([{"$documents": [{"a": 1}, {"a": 2}]}]) == [{"a": 1}, {"a": 2}]
        assert await mongo.count("numbers", {"_id": {"$lt": 10}}) == 10
        assert await mongo.count("numbers", {"_id": -1}) == 0
        rows = await mongo.find("numbers", {"_id": {"$gte": 5}}, ["square"], sort=[("_id", -1)], limit=2)
        assert [row["_id"] for row in rows] == [NUMBERS - 1, NUMBERS - 2]


async def test_an_answer_larger_than_one_batch_is_complete(mongo_url: str, filled: str) -> None:
    async with opened(mongo_url, filled) as mongo:
        count, text = 40, "x" * 1_000_000
        await mongo.database["large"].insert_many([{"_id": n, "text": text} for n in range(count)])
        with command_log() as log:
            rows = await mongo.find("large", {}, ["text"], sort=[("_id", 1)])
        assert [row["_id"] for row in rows] == list(range(count))
        assert all(row["text"] == text for row in rows)
        assert log.sent["mongo"][0] == "find"
        assert set(log.sent["mongo"][1:]) == {"getMore"}
        assert len(mongo._reads._idle) == 1  # the connection serves on
        await mongo.database["many"].insert_many([{"_id": n} for n in range(SINGLE_BATCH + 5)])
        assert len(await mongo.find("many", {}, ["_id"])) == SINGLE_BATCH + 5


async def test_a_lost_connection_costs_no_answer(mongo_url: str, filled: str) -> None:
    async with proxying(upstream(mongo_url)) as proxy, opened(through(mongo_url, proxy), filled) as mongo:
        for _ in range(3):
            assert await square(mongo, 3) == 9
        first = set(mongo._reads._open)
        assert first
        proxy.stall()
        reading = asyncio.create_task(square(mongo, 4))
        await asyncio.sleep(0.05)
        proxy.resume()
        proxy.cut()
        assert await reading == 16
        assert await square(mongo, 5) == 25
        assert not first & mongo._reads._open


async def test_a_silent_server_is_waited_for_no_longer_than_allowed(mongo_url: str, filled: str) -> None:
    async with proxying(upstream(mongo_url)) as proxy, opened(through(mongo_url, proxy), filled, timeout=1.0) as mongo:
        assert await square(mongo, 3) == 9
        assert mongo._reads._open
        proxy.stall()
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await square(mongo, 4)
        assert 0.9 < time.monotonic() - started < 30
        proxy.resume()
        assert await square(mongo, 5) == 25


async def test_a_reader_who_leaves_does_not_leave_his_answer_to_the_next(mongo_url: str, filled: str) -> None:
    async with (
        proxying(upstream(mongo_url)) as proxy,
        opened(through(mongo_url, proxy), filled, pool_size=1) as mongo,
    ):
        assert await square(mongo, 3) == 9
        assert await square(mongo, 3) == 9
        proxy.stall()
        leaving = asyncio.create_task(square(mongo, 4))
        queued = asyncio.create_task(square(mongo, 6))
        await asyncio.sleep(0.05)
        leaving.cancel()
        proxy.resume()
        assert await queued == 36
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert [await square(mongo, n) for n in (7, 8)] == [49, 64]


async def test_a_reader_who_leaves_the_queue_takes_no_connection_with_him(mongo_url: str, filled: str) -> None:
    async with opened(mongo_url, filled, pool_size=1) as mongo:
        assert await square(mongo, 3) == 9
        for _ in range(20):
            readers = [asyncio.create_task(square(mongo, n)) for n in range(10)]
            await asyncio.sleep(0)
            for reader in readers[::2]:
                reader.cancel()
            done = await asyncio.gather(*readers, return_exceptions=True)
            assert done[1::2] == [n * n for n in range(1, 10, 2)]
        assert await square(mongo, 9) == 81


async def test_reads_come_back_after_the_primary_stepped_down(mongo_url: str, filled: str) -> None:
    async with opened(mongo_url.replace("directConnection=true", "directConnection=false"), filled) as mongo:
        assert await square(mongo, 3) == 9
        assert await square(mongo, 3) == 9
        before = set(mongo._reads._open)
        assert before
        await mongo.client.admin.command({"replSetStepDown": 1, "force": True})
        deadline = time.monotonic() + 30
        answered = False
        while not answered:
            with suppress(StoreUnavailable):
                answered = await square(mongo, 4) == 16
            assert time.monotonic() < deadline, "no read in 30 s"
        assert not before & mongo._reads._open
        await mongo.update_one("numbers", {"_id": 0}, {"$set": {"square": 0}})  # there is a primary again
        assert await square(mongo, 5) == 25
        with command_log() as log:
            assert await square(mongo, 5) == 25
        assert log.sent["mongo"] == ["find"]


async def test_what_the_server_refuses_is_an_error_and_leaves_the_connection_usable(
    mongo_url: str, filled: str
) -> None:
    async with opened(mongo_url, filled) as mongo:
        assert await square(mongo, 3) == 9
        open_ = set(mongo._reads._open)
        with pytest.raises(StoreError) as refused:
            await mongo.find("numbers", {"$nonsense": 1}, ["square"])
        assert not isinstance(refused.value, StoreUnavailable)
        assert await square(mongo, 3) == 9
        assert mongo._reads._open == open_


async def test_without_a_server_a_read_fails_in_time() -> None:
    async with proxying(("127.0.0.1", 1)) as proxy:
        mongo = Mongo(
            MongoSettings(
                url=f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true",
                timeout=0.5,
                server_selection_timeout=0.3,
            )
        )
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await mongo.find("numbers", {}, ["square"])
        assert time.monotonic() - started < 25  # by itself PyMongo would wait for 30
        await mongo.close()


async def test_reads_are_encrypted_where_the_url_says_so(mongo_url: str, filled: str, certificate: Certificate) -> None:
    async with proxying(upstream(mongo_url), certificate.server) as proxy:
        url = through(mongo_url, proxy, tls="true", tlsCAFile=str(certificate.ca_file))
        async with opened(url, filled) as mongo:
            assert await square(mongo, 3) == 9
            assert await asyncio.gather(*(square(mongo, n) for n in range(50))) == [n * n for n in range(50)]
            assert mongo._reads._open
            text = "x" * 3_000_000
            await mongo.database["encrypted"].insert_one({"_id": 1, "text": text})
            assert (await mongo.find("encrypted", {}, ["text"])) == [{"_id": 1, "text": text}]


async def test_a_closed_store_keeps_no_connection(mongo_url: str, filled: str) -> None:
    async with proxying(upstream(mongo_url)) as proxy:
        async with opened(through(mongo_url, proxy), filled) as mongo:
            await asyncio.gather(*(square(mongo, n) for n in range(20)))
            assert mongo._reads._open
        await asyncio.sleep(0.1)
        assert not mongo._reads._open
        assert not proxy._writers


async def test_rows_to_be_shown_have_datetimes_without_a_zone_by_either_way(
    mongo_url: str, mongo_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_here(*_: object) -> None:
        """What `MongoReads` answers where PyMongo has to read."""

    at = datetime(2026, 6, 15, 10, 0, 0, 123000, tzinfo=UTC)
    async with opened(mongo_url, mongo_database) as mongo:
        await mongo.database["instants"].insert_one({"_id": 1, "at": at})
        for way in ("short", "pymongo"):
            if way == "pymongo":
                monkeypatch.setattr(mongo._reads, "documents", not_here)
            [told] = await mongo.find("instants", {}, ["at"])
            assert told["at"] == at
            [shown] = await mongo.find("instants", {}, ["at"], zoneless=True)
            assert shown["at"] == at.replace(tzinfo=None)
            pipeline = [{"$documents": [{"at": at}]}]
            assert await mongo.aggregate_documents(pipeline) == [{"at": at}]
            assert await mongo.aggregate_documents(pipeline, zoneless=True) == [{"at": at.replace(tzinfo=None)}]


async def test_no_url_weakens_what_reads_and_writes_promise(mongo_url: str, filled: str) -> None:
    """Jepsen on MongoDB 4.2.6: its weak defaults lose writes and read what never was."""
    parts = urlsplit(mongo_url)
    weak = {**dict(parse_qsl(parts.query)), "w": "1", "journal": "false", "readConcernLevel": "local"}
    sent: list[dict[str, object]] = []

    class Sent(monitoring.CommandListener):
        def started(self, event: monitoring.CommandStartedEvent) -> None:
            if event.database_name != "admin" or event.command_name == "commitTransaction":
                sent.append(dict(event.command))

        def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

        def failed(self, event: monitoring.CommandFailedEvent) -> None: ...

    monitoring.register(Sent())
    try:
        async with opened(parts._replace(query=urlencode(weak)).geturl(), filled) as mongo:
            assert mongo._reads._fixed["readConcern"] == {"level": "majority"}
            await mongo.database["numbers"].find_one({"_id": 1})
            await mongo.database["numbers"].update_one({"_id": 1}, {"$set": {"square": 1}})
            tx = MongoTransaction(mongo)
            await tx.find("numbers", {"_id": 1}, ["square"])
            await tx.update("numbers", {"_id": 1}, {"$set": {"square": 1}})
            await tx.commit(5)
            await tx.close()
    finally:
        monitoring._LISTENERS.command_listeners.pop()
    read, written, first, _, committed = sent
    majority = {"w": "majority", "j": True}
    assert read["readConcern"] == {"level": "majority"}
    assert written["writeConcern"] == majority
    assert {**first["readConcern"]}["level"] == "snapshot"  # type: ignore[dict-item]
    assert committed["writeConcern"] == majority
