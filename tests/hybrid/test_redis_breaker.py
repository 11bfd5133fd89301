"""The breaker before Redis: one failure spares the next callers, a probe looks anyway, success closes it."""

from __future__ import annotations

import socket
import time

import pytest
from pydantic import SecretStr

from nexfit.settings import RedisSettings
from nexfit.stores.commands import command_log
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.redis import RedisStore


async def refused(store: RedisStore) -> float:
    """Seconds until a command is refused."""
    started = time.perf_counter()
    with pytest.raises(StoreUnavailable):
        await store.send([("GET", "x")])
    return time.perf_counter() - started


async def refused_at_once(store: RedisStore) -> None:
    """Nothing is sent."""
    with command_log() as log, pytest.raises(StoreUnavailable, match="not tried"):
        await store.send([("GET", "x")])
    assert log.count("redis") == 0


async def test_after_a_failure_commands_are_refused_at_once_for_a_while() -> None:
    with socket.socket() as silent:  # accepts, and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        url = SecretStr(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        store = RedisStore(RedisSettings(url=url, timeout=0.2, connect_timeout=0.2, retry_after=60))
        assert await refused(store) > 0.1
        await refused_at_once(store)
        with pytest.raises(StoreUnavailable):
            await store.ping()  # tries, whatever failed a moment ago
        await refused_at_once(store)  # and a probe that fails opens nothing for others
        store._refused_until = time.monotonic()  # a minute later
        assert await refused(store) > 0.1
        await store.close()


async def test_a_probe_that_succeeds_lets_everybody_in_again(redis_url: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = SecretStr(f"redis://127.0.0.1:{closed.getsockname()[1]}/0")
        store = RedisStore(RedisSettings(url=nowhere, retry_after=30))
        await refused(store)
        await store.close()
    well = RedisStore(RedisSettings(url=SecretStr(redis_url), retry_after=30))
    well._refused_until = time.monotonic() + 30  # as after a failure
    await refused_at_once(well)
    await well.ping()
    assert await well.send([("SET", "probe", "1"), ("GET", "probe"), ("GET", "missing")]) == [b"OK", b"1", None]
    await well.close()
