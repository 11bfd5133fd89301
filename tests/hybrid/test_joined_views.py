"""Joined views on a real Redis: one load per key in flight, and no value older than an invalidation that was heard."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson
import pytest
from pydantic import SecretStr

from nexfit.hybrid import joined_views, view_values
from nexfit.hybrid.joined_views import JoinedViews, View
from nexfit.hybrid.versions import GENERATION, tag_key
from nexfit.settings import RedisSettings
from nexfit.stores.commands import command_log
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.redis import RedisStore


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisStore]:
    """As if somebody followed the change feeds: nothing is given up because a machine is slow."""
    store = RedisStore(RedisSettings(url=SecretStr(redis_url), timeout=5))
    await store.send([("SET", GENERATION, "1:1")])
    yield store
    await store.close()


@pytest.fixture
def views(redis: RedisStore) -> JoinedViews:
    return JoinedViews(redis)


@pytest.fixture
def view() -> View:
    """A view of its own for every test."""
    return View(f"test_{uuid4().hex}", 1, lifetime=30.0)


class Source:
    """What views are loaded from: counts its loads, and waits or fails when told to."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.loads: list[list[str]] = []
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None

    async def load(self, items: Sequence[str]) -> Mapping[str, Any]:
        self.loads.append(list(items))
        self.started.set()
        read = {item: self.values.get(item, f"value of {item}") for item in items}
        await asyncio.sleep(0.01)
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return read


@pytest.fixture
def source() -> Source:
    return Source()


def tags(item: str) -> list[str]:
    """Every item depends on itself and on everything."""
    return [f"{item}-tag", "all-tag"]


async def read(views: JoinedViews, view: View, source: Source, *items: str) -> list[Any]:
    return await views.get(view, items, source.load, tags=lambda item: [f"{view.name}:{tag}" for tag in tags(item)])


async def invalidate(views: JoinedViews, view: View, *names: str) -> None:
    await views.invalidate([f"{view.name}:{name}" for name in names])


async def test_readers_at_the_same_time_share_one_load(views: JoinedViews, view: View, source: Source) -> None:
    answers = await asyncio.gather(*(read(views, view, source, "a") for _ in range(200)))
    assert answers == [["value of a"]] * 200
    assert source.loads == [["a"]]
    assert await read(views, view, source, "a") == ["value of a"]
    assert source.loads == [["a"]]


async def test_a_batch_loads_at_once_what_is_missing_and_keeps_the_order(
    views: JoinedViews, view: View, source: Source
) -> None:
    source.values = {"b": None, "c": {"nested": [1, 2.5, "ğ", None, True]}}
    assert await read(views, view, source) == []
    assert await read(views, view, source, "b") == [None]
    assert await read(views, view, source, "c", "b", "a", "c") == [
        source.values["c"],
        None,
        "value of a",
        source.values["c"],
    ]
    assert await read(views, view, source, "a", "b", "c") == ["value of a", None, source.values["c"]]
    assert source.loads == [["b"], ["c", "a"]]


async def test_readers_of_overlapping_batches_wait_for_each_other(
    views: JoinedViews, view: View, source: Source
) -> None:
    answers = await asyncio.gather(
        read(views, view, source, "a", "b"), read(views, view, source, "b", "c"), read(views, view, source, "c", "a")
    )
    assert answers == [["value of a", "value of b"], ["value of b", "value of c"], ["value of c", "value of a"]]
    assert sorted(item for load in source.loads for item in load) == ["a", "b", "c"]


async def test_an_invalidation_makes_what_is_under_the_tag_unreadable(
    views: JoinedViews, view: View, source: Source
) -> None:
    await read(views, view, source, "a", "b")
    source.values = {"a": "new", "b": "new"}
    await invalidate(views, view, "a-tag")
    assert await read(views, view, source, "a", "b") == ["new", "value of b"]
    await invalidate(views, view, "all-tag", "nobody's-tag")
    assert await read(views, view, source, "a", "b") == ["new", "new"]
    assert source.loads == [["a", "b"], ["a"], ["a", "b"]]


async def test_a_reader_that_raced_with_an_invalidation_leaves_nothing_old(
    views: JoinedViews, view: View, source: Source
) -> None:
    source.gate.clear()
    early = asyncio.create_task(read(views, view, source, "a"))
    await source.started.wait()
    source.values["a"] = "new"  # committed after the load has read
    await invalidate(views, view, "a-tag")
    late = asyncio.create_task(read(views, view, source, "a"))
    await asyncio.sleep(0.05)
    assert len(source.loads) == 2  # it did not join the load that may have read the old value
    source.gate.set()
    assert await early == ["value of a"]  # asked before the commit, answered as of then
    assert await late == ["new"]
    assert await read(views, view, source, "a") == ["new"]
    assert len(source.loads) == 2


async def test_no_reader_sees_less_than_what_was_invalidated_before_it_asked(redis: RedisStore, view: View) -> None:
    """Two processes' worth of readers and writers, with delays drawn from a seed."""
    both, chance = [JoinedViews(redis), JoinedViews(redis)], random.Random(11)  # noqa: S311
    stored, announced, stale = 0, 0, []

    async def load(items: Sequence[str]) -> Mapping[str, Any]:
        await asyncio.sleep(chance.random() * 0.002)
        value = stored
        await asyncio.sleep(chance.random() * 0.004)
        return dict.fromkeys(items, value)

    async def writer() -> None:
        nonlocal stored, announced
        for _ in range(60):
            stored += 1
            committed = stored
            await asyncio.sleep(chance.random() * 0.002)
            await chance.choice(both).invalidate([f"{view.name}:x"])
            announced = max(announced, committed)
            await asyncio.sleep(chance.random() * 0.004)

    async def reader() -> None:
        for _ in range(60):
            least = announced
            [value] = await chance.choice(both).get(view, ["x"], load, tags=lambda item: [f"{view.name}:{item}"])
            if value < least:
                stale.append((value, least))
            await asyncio.sleep(chance.random() * 0.003)

    await asyncio.gather(*(writer() for _ in range(2)), *(reader() for _ in range(20)))
    assert stale == []
    assert stored == announced == 120


async def test_a_load_that_fails_fails_its_readers_and_the_next_one_tries_again(
    views: JoinedViews, view: View, source: Source
) -> None:
    source.failure = LookupError("no")
    answers = await asyncio.gather(*(read(views, view, source, "a") for _ in range(20)), return_exceptions=True)
    assert answers == [source.failure] * 20
    assert len(source.loads) == 1
    source.failure = None
    assert await read(views, view, source, "a") == ["value of a"]
    assert len(source.loads) == 2


async def test_a_loader_that_goes_away_is_replaced_by_one_of_those_who_wait(
    views: JoinedViews, view: View, source: Source
) -> None:
    source.gate.clear()
    first = asyncio.create_task(read(views, view, source, "a"))
    await source.started.wait()
    others = [asyncio.create_task(read(views, view, source, "a")) for _ in range(20)]
    await asyncio.sleep(0.05)
    first.cancel()
    await asyncio.sleep(0.05)
    source.gate.set()
    assert await asyncio.gather(*others) == [["value of a"]] * 20
    with pytest.raises(asyncio.CancelledError):
        await first
    assert len(source.loads) == 2


async def test_a_reader_that_goes_away_disturbs_nobody(views: JoinedViews, view: View, source: Source) -> None:
    source.gate.clear()
    loader = asyncio.create_task(read(views, view, source, "a"))
    await source.started.wait()
    others = [asyncio.create_task(read(views, view, source, "a")) for _ in range(20)]
    await asyncio.sleep(0.05)
    for other in others[:10]:
        other.cancel()
    await asyncio.sleep(0.05)
    source.gate.set()
    assert await loader == ["value of a"]
    assert await asyncio.gather(*others[10:]) == [["value of a"]] * 10
    assert all(
        isinstance(gone, asyncio.CancelledError) for gone in await asyncio.gather(*others[:10], return_exceptions=True)
    )
    assert len(source.loads) == 1


async def test_lifetimes_differ_by_at_most_a_fifth(
    redis: RedisStore, views: JoinedViews, view: View, source: Source
) -> None:
    items = [f"item {n}" for n in range(50)]
    await read(views, view, source, *items)
    left = [int(str(ttl)) for ttl in await redis.send([("PTTL", view.key(item)) for item in items])]
    assert all(0.8 * 30_000 - 1_000 < ttl <= 30_000 for ttl in left)
    assert len(set(left)) > 25


async def test_a_value_ends_with_its_lifetime(views: JoinedViews, source: Source) -> None:
    brief = View(f"test_{uuid4().hex}", 1, lifetime=0.2)
    await read(views, brief, source, "a")
    source.values["a"] = "new"
    await asyncio.sleep(0.25)
    assert await read(views, brief, source, "a") == ["new"]


async def test_another_shape_of_a_view_reads_none_of_the_old_values(
    views: JoinedViews, view: View, source: Source
) -> None:
    await read(views, view, source, "a")
    source.values["a"] = {"shape": "new"}
    assert await read(views, View(view.name, 2, view.lifetime), source, "a") == [{"shape": "new"}]


async def test_an_emptied_redis_is_filled_again(
    redis: RedisStore, views: JoinedViews, view: View, source: Source
) -> None:
    await read(views, view, source, "a")
    await invalidate(views, view, "a-tag")
    await read(views, view, source, "a")
    await redis.send([("FLUSHDB",)])
    assert await read(views, view, source, "a") == ["value of a"]
    assert await read(views, view, source, "a") == ["value of a"]
    assert len(source.loads) == 3


async def test_without_redis_every_reader_loads_and_an_invalidation_says_so(view: View, source: Source) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        store = RedisStore(RedisSettings(url=SecretStr(f"redis://127.0.0.1:{unused.getsockname()[1]}/0")))
        views = JoinedViews(store)
        answers = await asyncio.gather(*(read(views, view, source, "a", "b") for _ in range(20)))
        assert answers == [["value of a", "value of b"]] * 20
        assert len(source.loads) == 20  # nothing says how old another's load is
        with pytest.raises(StoreUnavailable):
            await invalidate(views, view, "a-tag")
        await store.close()


# --- several processes: each has views of its own


async def test_a_hot_key_costs_one_load_when_it_expires(redis: RedisStore, source: Source) -> None:
    """200 readers of four processes."""
    brief = View(f"test_{uuid4().hex}", 1, lifetime=1.5)
    processes = [JoinedViews(redis) for _ in range(4)]
    await asyncio.gather(*(read(processes[n % 4], brief, source, "a") for n in range(200)))
    assert source.loads == [["a"]]
    await asyncio.sleep(1.55)
    source.values["a"] = "new"
    answers = await asyncio.gather(*(read(processes[n % 4], brief, source, "a") for n in range(200)))
    assert answers == [["new"]] * 200
    assert source.loads == [["a"]] * 2
    counted = [process.counters[brief.name] for process in processes]
    assert sum(one.awaited for one in counted) == 2 * 3
    assert sum(one.shared for one in counted) == 2 * 4 * 49


async def test_a_process_that_dies_while_it_loads_keeps_others_waiting_for_a_moment_only(
    redis: RedisStore, view: View, source: Source
) -> None:
    source.gate.clear()
    dying = asyncio.create_task(read(JoinedViews(redis), view, source, "a"))
    await source.started.wait()
    other = asyncio.create_task(read(JoinedViews(redis), view, source, "a"))
    await asyncio.sleep(0.05)
    assert len(source.loads) == 1
    started = time.monotonic()
    while len(source.loads) < 2:
        await asyncio.sleep(0.01)
        assert time.monotonic() - started < 30
    source.gate.set()
    assert await other == await dying == ["value of a"]


async def test_a_load_that_fails_lets_other_processes_begin_at_once(
    redis: RedisStore, view: View, source: Source
) -> None:
    source.failure = LookupError("no")
    with pytest.raises(LookupError):
        await read(JoinedViews(redis), view, source, "a")
    source.failure = None
    other = JoinedViews(redis)
    assert await read(other, view, source, "a") == ["value of a"]
    assert (other.counters[view.name].loaded, other.counters[view.name].awaited) == (1, 0)


async def test_one_of_many_readers_loads_ahead_of_the_end(redis: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    view, views, loads = View(f"test_{uuid4().hex}", 1, lifetime=20.0), JoinedViews(redis), 0
    nobody_waits = asyncio.Event()

    async def load(items: Sequence[str]) -> Mapping[str, Any]:
        nonlocal loads
        loads += 1
        read = loads
        await (asyncio.sleep(0.5) if read == 1 else nobody_waits.wait())
        return dict.fromkeys(items, read)

    async def values(readers: int) -> set[int]:
        found = await asyncio.gather(
            *(views.get(view, ["a"], load, tags=lambda item: [f"{view.name}:{item}"]) for _ in range(readers))
        )
        return {value for [value] in found}

    assert await values(1) == {1}
    assert await values(50) == {1}
    # Throws of the dice that look ahead by 36 times what the load took: from 2 s on at the latest, of at least 16 s.
    monkeypatch.setattr(view_values.random, "random", lambda: 1 - 2**-53)
    await asyncio.sleep(2.1)
    assert await values(50) == {1}
    nobody_waits.set()
    started = time.monotonic()
    while await values(1) == {1}:
        await asyncio.sleep(0.01)
        assert time.monotonic() - started < 10
    assert loads == 2
    assert views.counters[view.name].refreshed == 1


async def test_a_flush_hides_no_invalidation(redis: RedisStore, views: JoinedViews, view: View, source: Source) -> None:
    """A tag without a version before the load and after it: it was raised and forgotten in between. Nobody follows."""
    await redis.send([("DEL", GENERATION)])
    source.gate.clear()
    early = asyncio.create_task(read(views, view, source, "a"))
    await source.started.wait()
    source.values["a"] = "new"
    await invalidate(views, view, "a-tag")
    await redis.send([("FLUSHDB",)])
    source.gate.set()
    await early
    for process in (views, JoinedViews(redis)):
        assert await read(process, view, source, "a") == ["new"]


async def test_an_evicted_version_gives_its_values_up(redis: RedisStore, view: View, source: Source) -> None:
    await read(JoinedViews(redis), view, source, "a")
    await redis.send([("DEL", tag_key(f"{view.name}:a-tag"))])
    await read(JoinedViews(redis), view, source, "a")
    assert len(source.loads) == 2


async def test_what_is_at_hand_is_confirmed_unless_the_reader_bears_its_age(
    redis: RedisStore, views: JoinedViews, view: View, source: Source
) -> None:
    bearing = views.within(30)
    await read(views, view, source, "a")
    with command_log() as log:
        await read(views, view, source, "a")
    assert log.sent["redis"] == ["MGET"]
    source.values["a"] = "new"
    await invalidate(JoinedViews(redis), view, "a-tag")  # by another process
    with command_log() as log:
        assert await read(bearing, view, source, "a") == ["value of a"]
    assert log.count("redis") == 0
    assert await read(views, view, source, "a") == ["new"]
    assert await read(bearing, view, source, "a") == ["new"]
    source.values["a"] = "newer"
    await invalidate(views, view, "a-tag")  # by this process: it does not bear its own
    assert await read(bearing, view, source, "a") == ["newer"]


async def test_that_there_is_nothing_is_remembered_for_a_shorter_time(
    redis: RedisStore, views: JoinedViews, view: View, source: Source
) -> None:
    source.values = {"nothing": None}
    assert await read(views, view, source, "nothing", "something") == [None, "value of something"]
    assert await read(JoinedViews(redis), view, source, "nothing") == [None]
    assert len(source.loads) == 1
    nothing, something = await redis.send([("PTTL", view.key("nothing")), ("PTTL", view.key("something"))])
    assert int(str(nothing)) <= joined_views.NOTHING_LIFETIME * 1000 < int(str(something))


async def test_large_values_are_kept_compressed(
    redis: RedisStore, views: JoinedViews, view: View, source: Source
) -> None:
    source.values["a"] = [{"period": f"2026-01-{day:02}", "total": "1234.50", "ğ": None} for day in range(400)]
    await read(views, view, source, "a")
    [stored] = await redis.send([("STRLEN", view.key("a"))])
    assert 0 < int(str(stored)) < 4000 < len(orjson.dumps(source.values["a"])) // 4
    assert await read(JoinedViews(redis), view, source, "a") == [source.values["a"]]
    assert len(source.loads) == 1


async def test_memory_is_bounded(redis: RedisStore, view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined_views, "MOST_IN_MEMORY", 20)
    views, source = JoinedViews(redis), Source()
    for n in range(5):
        await read(views, view, source, *(f"item {n} {m}" for m in range(10)))
        assert len(views._state.memory) <= 20
    source.values["large"] = [str(uuid4()) for _ in range(5000)]
    await read(views, view, source, "large")
    assert view.key("large") not in views._state.memory
