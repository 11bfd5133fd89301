"""The shared Redis connection: answers to whom they belong, short waits, recovery."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
import uvloop
from redis.asyncio import Redis

from nexfit.settings import RedisSettings
from nexfit.stores.commands import command_log
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.redis import RedisStore
from tests.stores.conftest import Certificate, Proxy, proxying

RETRY_AFTER = 0.1


@asynccontextmanager
async def opened(url: str, **settings: float) -> AsyncIterator[RedisStore]:
    patient = {"timeout": 10, "connect_timeout": 10}
    store = RedisStore(RedisSettings(url=url, **{"retry_after": RETRY_AFTER, **patient, **settings}))
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def behind_proxy(url: str, **settings: float) -> AsyncIterator[tuple[RedisStore, Proxy]]:
    async with proxying(upstream(url)) as proxy, opened(through(url, proxy), **settings) as store:
        yield store, proxy


def through(url: str, proxy: Proxy, scheme: str = "redis", query: str = "") -> str:
    parts = urlsplit(url)
    account = parts.netloc.rpartition("@")[0]
    return parts._replace(scheme=scheme, netloc=f"{account}@127.0.0.1:{proxy.port}", query=query).geturl()


def upstream(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


async def echo(store: RedisStore, text: str) -> object:
    [answer] = await store.send([("ECHO", text)])
    return answer


async def test_every_kind_of_value_goes_there_and_back(redis_url: str) -> None:
    async with opened(redis_url) as store:
        raw = bytes(range(256)) * 40
        answers = await store.send(
            [
                ("SET", "kinds:raw", raw),
                ("GET", "kinds:raw"),
                ("GET", "kinds:absent"),
                ("SET", "kinds:number", 41),
                ("INCR", "kinds:number"),
                ("SET", "kinds:text", "İstanbul", "PX", 60_000),
                ("MGET", "kinds:text", "kinds:absent"),
            ]
        )
        assert answers == [b"OK", raw, None, b"OK", 42, b"OK", ["İstanbul".encode(), None]]
        assert await store.send([]) == []


async def test_parallel_senders_get_their_own_answers_over_one_connection(redis_url: str) -> None:
    async with behind_proxy(redis_url) as (store, proxy):
        with command_log() as log:
            found = await asyncio.gather(*(echo(store, str(n)) for n in range(2000)))
        assert found == [str(n).encode() for n in range(2000)]
        assert log.count("redis") == 2000
        assert proxy.made == 1


async def test_an_answer_in_many_pieces_is_complete(redis_url: str) -> None:
    async with opened(redis_url, timeout=3) as store:
        large = b"x" * 5_000_000
        await store.send([("SET", "large", large)])
        small, found = await asyncio.gather(echo(store, "a"), store.send([("GET", "large"), ("GET", "large")]))
        assert small == b"a"
        assert found == [large, large]


async def test_it_speaks_as_the_account_and_in_the_database_of_the_url(redis_url: str) -> None:
    async with opened(redis_url) as store, Redis.from_url(redis_url) as other:
        await store.send([("SET", "place", "here")])
        assert await other.get("place") == b"here"
        [listed] = await store.send([("CLIENT", "LIST")])
        assert b"name=nexfit" in bytes(listed)  # type: ignore[call-overload]
    wrong = urlsplit(redis_url)
    wrong = wrong._replace(netloc=f":wrong@{wrong.hostname}:{wrong.port}")
    async with opened(wrong.geturl()) as store:
        with pytest.raises(StoreUnavailable):
            await store.ping()


async def test_a_silent_server_is_waited_for_no_longer_than_allowed_and_then_refused_for_a_while(
    redis_url: str,
) -> None:
    async with behind_proxy(redis_url, timeout=0.25, retry_after=60) as (store, proxy):
        assert await echo(store, "a") == b"a"
        proxy.stall()
        started = time.monotonic()
        answers = await asyncio.gather(*(echo(store, "b") for _ in range(200)), return_exceptions=True)
        assert 0.2 < time.monotonic() - started < 25  # one after the other would take 50
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        with pytest.raises(StoreUnavailable, match="not tried"):
            await echo(store, "c")
        proxy.resume()
        store._refused_until = time.monotonic()  # a minute later
        assert await echo(store, "d") == b"d"
        assert proxy.made == 2


async def test_a_busy_process_does_not_take_its_own_delay_for_the_servers(redis_url: str) -> None:
    async def ask_and_stand_still(url: str) -> object:
        loop, (here, there) = asyncio.get_running_loop(), socket.socketpair()
        async with opened(url, timeout=0.25) as store:
            await store.ping()
            proxy.stall()
            asking = asyncio.create_task(echo(store, "a"))
            await asyncio.sleep(0.05)
            loop.add_reader(there, lambda: (there.recv(1), time.sleep(0.4)))  # the answer comes meanwhile
            here.send(b"x")
            answer = await asking
        loop.remove_reader(there)
        here.close()
        there.close()
        return answer

    async with proxying(upstream(redis_url)) as proxy:
        asking = asyncio.create_task(asyncio.to_thread(uvloop.run, ask_and_stand_still(through(redis_url, proxy))))
        await asyncio.sleep(0.1)
        while not asking.done():
            proxy.resume()
            await asyncio.sleep(0.2)
        assert await asking == b"a"


async def test_a_lost_connection_fails_those_who_wait_and_is_made_again(redis_url: str) -> None:
    async with behind_proxy(redis_url) as (store, proxy):
        await store.send([("SET", "counted", 0)])
        proxy.stall()
        waiting = asyncio.create_task(store.send([("INCR", "counted")]))
        await asyncio.sleep(0.05)
        proxy.cut()
        with pytest.raises(StoreUnavailable):
            await waiting
        proxy.resume()
        await asyncio.sleep(RETRY_AFTER)
        assert await store.send([("GET", "counted")]) in ([b"0"], [b"1"])  # never sent twice


async def test_a_sender_who_leaves_does_not_leave_his_answer_to_the_next(redis_url: str) -> None:
    async with behind_proxy(redis_url) as (store, proxy):
        await store.ping()
        proxy.stall()
        leaving = asyncio.create_task(echo(store, "gone"))
        staying = asyncio.create_task(echo(store, "here"))
        await asyncio.sleep(0.05)
        leaving.cancel()
        proxy.resume()
        assert await staying == b"here"
        assert await echo(store, "next") == b"next"


async def test_a_refused_command_is_a_failure_and_leaves_the_connection_usable(redis_url: str) -> None:
    async with behind_proxy(redis_url) as (store, proxy):
        with pytest.raises(StoreUnavailable, match="unknown command"):
            await store.send([("NOSUCHCOMMAND",), ("SET", "after", "1")])
        await store.ping()  # tried although it failed a moment ago
        assert await store.send([("GET", "after")]) == [b"1"]
        assert proxy.made == 1


async def test_without_a_server_it_fails_at_once_for_everybody() -> None:
    async with opened("redis://127.0.0.1:1/0") as store:
        answers = await asyncio.gather(*(echo(store, "a") for _ in range(10)), return_exceptions=True)
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)


async def test_what_passes_is_encrypted_where_the_url_says_so(redis_url: str, certificate: Certificate) -> None:
    async with proxying(upstream(redis_url), certificate.server) as proxy:
        url = through(redis_url, proxy, "rediss", f"ssl_ca_certs={certificate.ca_file}")
        async with opened(url, connect_timeout=1) as store:
            assert await asyncio.gather(*(echo(store, str(n)) for n in range(100))) == [
                str(n).encode() for n in range(100)
            ]
        async with opened(through(redis_url, proxy, "rediss"), connect_timeout=1) as store:
            with pytest.raises(StoreUnavailable):
                await store.ping()  # nobody vouches for the certificate


async def test_a_closed_store_fails_who_still_waits(redis_url: str) -> None:
    async with behind_proxy(redis_url) as (store, proxy):
        await store.ping()
        proxy.stall()
        waiting = asyncio.create_task(echo(store, "a"))
        await asyncio.sleep(0.02)
        await store.close()
        with pytest.raises(StoreUnavailable):
            await waiting
        proxy.resume()
        await asyncio.sleep(0.05)
        assert not proxy._writers
