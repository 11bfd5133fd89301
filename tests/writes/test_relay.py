"""Events reach the stream once and in order, and a stream that lost something is given exactly that."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from redis.asyncio import Redis

from nexfit.hybrid import relay as relay_module
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.event_stream import RETAINED, STREAM, Entry, entry_id, number_of, read_entry
from nexfit.hybrid.relay import RelayReplaced, relay
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.settings import Settings
from nexfit.stores.connections import open_stores
from tests.stores.conftest import proxying

from .conftest import Database, PairFiled, Purged, through, until, upstream, write_document, write_row

Task = asyncio.Task[None]


class PairNoted(PairFiled):
    """Somebody wrote something."""

    value: int = 0
    note: str


@asynccontextmanager
async def relaying(settings: Settings, purged: Purged, news: asyncio.Event | None = None) -> AsyncIterator[Task]:
    """Events are relayed while the block runs."""
    async with open_stores(settings) as stores:
        work = asyncio.create_task(relay(stores, purged, news))
        try:
            yield work
        finally:
            if work.done() and not isinstance(work.exception(), RelayReplaced):
                work.result()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


@pytest.fixture
async def cache(settings: Settings) -> AsyncIterator[Redis]:
    """Redis as another program has it."""
    async with Redis.from_url(settings.redis.url.get_secret_value()) as client:
        yield client


async def entries(cache: Redis, after: int = 0) -> list[Entry]:
    """What the stream holds after a number."""
    found = await cache.xrange(STREAM, min=f"({entry_id(after)}" if after else "-")
    return [read_entry(id_, [part for pair in fields.items() for part in pair]) for id_, fields in found]


async def told_of(cache: Redis, name: str) -> list[int]:
    """The values the stream tells of a pair, in order."""
    return [one.envelope.payload["value"] for one in await entries(cache) if one.envelope.aggregate_id == name]


async def _write(units: UnitsOfWork, kind: str, name: str, value: int) -> None:
    async def body(work: Any) -> None:
        if kind != "mongo":
            await write_row(work, name, value)
        if kind != "postgres":
            await write_document(work, f"{name} document", value)

    await getattr(units, kind)("test").run(body)


async def test_every_event_comes_once_and_in_the_order_of_its_aggregate(
    settings: Settings,
    units: UnitsOfWork,
    postgres: asyncpg.Connection,
    mongo: Database,
    cache: Redis,
    purged: Purged,
) -> None:
    names = [f"ordered {uuid4().hex}" for _ in range(6)]

    async def write(name: str) -> None:
        for value in range(12):
            await _write(units, ("postgres", "mongo", "both")[value % 3], name, value)

    async with relaying(settings, purged):
        await asyncio.gather(*(write(name) for name in names))
        told: dict[str, list[int]] = defaultdict(list)

        async def all_are_there() -> bool:
            told.clear()
            for entry in await entries(cache):
                if entry.envelope.aggregate_id.startswith("ordered"):
                    told[entry.envelope.aggregate_id].append(entry.envelope.payload["value"])
            return sum(map(len, told.values())) >= len(names) * 16

        await until(all_are_there)
        await asyncio.sleep(0.2)
        await all_are_there()
    assert told == {
        **{name: [value for value in range(12) if value % 3 != 1] for name in names},
        **{f"{name} document": [value for value in range(12) if value % 3 != 0] for name in names},
    }
    assert await mongo.outbox.count_documents({}) == 0
    assert {f"pair:{name}" for name in told} <= set(purged.tags)
    numbers = [entry.number for entry in await entries(cache)]
    assert numbers == sorted(set(numbers))


async def test_audit_entries_of_mongo_are_copied_once(
    settings: Settings,
    units: UnitsOfWork,
    postgres: asyncpg.Connection,
    mongo: Database,
    purged: Purged,
    name: str,
) -> None:
    async with units.mongo("test") as work:
        work.audit(Audit("set", "pair", name, after={"value": 1}, ip_address="10.0.0.1"))
        work.audit(Audit("unset", "pair", name))
    kept = await mongo.audit_entries.find().to_list()

    async def is_empty() -> bool:
        return bool(await mongo.audit_entries.count_documents({}) == 0)

    async with relaying(settings, purged):
        await until(is_empty)
        await mongo.audit_entries.insert_many(kept)  # as after a death between the copy and the deletion
        await until(is_empty)
    rows = await postgres.fetch(
        "SELECT action, new_state, host(ip_address) AS address, created_at FROM finance.audit_logs"
        " WHERE entity_id = $1 ORDER BY audit_id",
        name,
    )
    assert [(row["action"], row["new_state"], row["address"]) for row in rows] == [
        ("set", '{"value": 1}', "10.0.0.1"),
        ("unset", None, None),
    ]
    assert rows[0]["created_at"] == kept[0]["createdAt"]


async def test_text_that_postgres_cannot_hold_goes_on_without_it(
    settings: Settings, units: UnitsOfWork, cache: Redis, postgres: asyncpg.Connection, purged: Purged, name: str
) -> None:
    async with units.mongo("test") as work:
        work.emit(PairNoted(name=name, note="a\0b"))
        work.audit(Audit("note", "pair", name, after={"no\0te": "a\0b"}, ip_address="fe80::1%eth0", user_agent="x\0"))

    async def is_there() -> bool:
        return any(one.envelope.aggregate_id == name for one in await entries(cache))

    async with relaying(settings, purged):
        await until(is_there)
    (found,) = [one.envelope for one in await entries(cache) if one.envelope.aggregate_id == name]
    assert found.payload["note"] == "a\ufffdb"
    kept = await postgres.fetchrow("SELECT * FROM finance.audit_logs WHERE entity_id = $1", name)
    assert (kept["new_state"], kept["user_agent"]) == ('{"no\ufffdte": "a\ufffdb"}', "x\ufffd")


async def test_one_that_postgres_refuses_keeps_no_other_one_back(
    settings: Settings, units: UnitsOfWork, mongo: Database, cache: Redis, purged: Purged, name: str
) -> None:
    async with units.mongo("test") as work:
        await write_document(work, name, 1)
    bad = await mongo.outbox.find_one({"aggregateId": name})
    await mongo.outbox.insert_one(bad | {"_id": "no uuid"})
    await mongo.outbox.insert_one(bad | {"_id": str(uuid4()), "payload": b"[]"})
    async with units.mongo("test") as work:
        await write_document(work, name, 2)

    async def all_are_there() -> bool:
        return await told_of(cache, name) == [1, 2]

    async with relaying(settings, purged):
        await until(all_are_there)
        assert await mongo.outbox.count_documents({"aggregateId": name}) == 2
        await mongo.outbox.delete_many({"aggregateId": name})


async def test_an_event_waits_until_postgres_has_followed_and_later_ones_wait_behind_it(
    settings: Settings,
    units: UnitsOfWork,
    postgres: asyncpg.Connection,
    mongo: Database,
    cache: Redis,
    purged: Purged,
    name: str,
) -> None:
    async with units.both("test") as work:
        await write_document(work, name, 1)
    await mongo.pairs.find_one({"_id": name})
    # As it is between the decision and the second phase.
    await postgres.execute(f"BEGIN; INSERT INTO pairs VALUES ('{name}', 1); PREPARE TRANSACTION 'nexfit:{work.xid}'")
    await _write(units, "mongo", name, 0)
    async with units.mongo("test") as later:
        await write_document(later, name, 2)
    async with relaying(settings, purged):

        async def other_is_there() -> bool:
            return await told_of(cache, f"{name} document") == [0]

        await until(other_is_there)
        assert await told_of(cache, name) == []
        await postgres.execute(f"COMMIT PREPARED 'nexfit:{work.xid}'")

        async def both_are_there() -> bool:
            return await told_of(cache, name) == [1, 2]

        await until(both_are_there)


async def _some(units: UnitsOfWork, cache: Redis, name: str, values: range) -> list[Entry]:
    """Write so many values and wait until they are told; the whole stream then."""
    for value in values:
        await _write(units, "postgres", name, value)

    async def all_are_there() -> bool:
        return (await told_of(cache, name))[-1:] == [values[-1]]

    await until(all_are_there)
    return await entries(cache)


@pytest.mark.parametrize("lost", ["everything", "the end"])
@pytest.mark.parametrize("while_it_relays", [True, False])
async def test_a_stream_gets_back_exactly_what_it_lost(
    settings: Settings,
    units: UnitsOfWork,
    cache: Redis,
    purged: Purged,
    name: str,
    lost: str,
    while_it_relays: bool,
) -> None:
    async def lose(held: list[Entry]) -> None:
        await cache.flushdb()
        for entry in held[: len(held) - 5] if lost == "the end" else []:
            fields = entry.fields()
            await cache.xadd(STREAM, dict(zip(fields[::2], fields[1::2], strict=True)), id=entry_id(entry.number))

    async def is_as(held: list[Entry]) -> bool:
        return await entries(cache) == held

    async with relaying(settings, purged):
        held = await _some(units, cache, name, range(10))
        if while_it_relays:
            await lose(held)
            await until(lambda: is_as(held))
    if not while_it_relays:
        await lose(held)
        async with relaying(settings, purged):
            await until(lambda: is_as(held))
    async with relaying(settings, purged):
        more = await _some(units, cache, name, range(10, 12))
    assert more[: len(held)] == held
    assert await told_of(cache, name) == [*range(12)]


async def test_flushes_under_load_lose_and_repeat_nothing(
    settings: Settings, units: UnitsOfWork, cache: Redis, purged: Purged, name: str
) -> None:
    async with relaying(settings, purged):
        writing = asyncio.create_task(_some(units, cache, name, range(150)))
        seen: dict[int, Any] = {}
        last = number_of((await cache.xinfo_stream(STREAM))["last-generated-id"]) if await cache.exists(STREAM) else 0
        while not writing.done():
            for entry in await entries(cache, last):
                assert entry.number not in seen
                seen[entry.number] = entry
                last = entry.number
            await cache.flushdb()
            await asyncio.sleep(0.05)
        await writing
        for entry in await entries(cache, last):
            seen[entry.number] = entry
    # A reader that goes on after the last number it saw has missed nothing and was told nothing twice.
    told = [entry.envelope.payload["value"] for entry in seen.values() if entry.envelope.aggregate_id == name]
    assert told == [*range(150)]


async def test_what_a_dead_relay_had_given_a_place_is_written_under_it(
    settings: Settings, units: UnitsOfWork, postgres: asyncpg.Connection, cache: Redis, purged: Purged, name: str
) -> None:
    await _write(units, "postgres", name, 1)
    number = time.time_ns() // 1000
    await postgres.execute("UPDATE platform.relay SET entry = $1", number)
    await postgres.execute(
        "UPDATE finance.outbox SET entry = $1, published_at = now() WHERE aggregate_id = $2", number, name
    )
    async with relaying(settings, purged):
        await _some(units, cache, name, range(2, 4))
    found = [one for one in await entries(cache) if one.envelope.aggregate_id == name]
    assert [one.envelope.payload["value"] for one in found] == [1, 2, 3]
    assert found[0].number == number


async def test_a_later_relay_replaces_an_earlier_one(
    settings: Settings, units: UnitsOfWork, cache: Redis, purged: Purged, name: str
) -> None:
    async with relaying(settings, purged) as first:
        await _some(units, cache, name, range(3))
        async with relaying(settings, purged):
            writing = [_write(units, kind, name, 10 + n) for n in range(20) for kind in ("postgres", "mongo")]
            await asyncio.gather(*writing)

            async def all_are_there() -> bool:
                documents = await told_of(cache, f"{name} document")
                return len(await told_of(cache, name)) >= 23 and len(documents) >= 20

            await until(all_are_there)
            with pytest.raises(RelayReplaced):
                await asyncio.wait_for(first, 5)
        assert sorted(await told_of(cache, name)) == [0, 1, 2, *range(10, 30)]


async def test_without_redis_events_wait_and_numbers_go_on_rising(
    settings: Settings, units: UnitsOfWork, postgres: asyncpg.Connection, cache: Redis, purged: Purged, name: str
) -> None:
    async with proxying(upstream(settings.redis.url)) as proxy:
        url = through(settings.redis.url, proxy)
        way = settings.model_copy(update={"redis": settings.redis.model_copy(update={"url": url, "retry_after": 0.1})})
        async with relaying(way, purged):
            await _some(units, cache, name, range(2))
            proxy.stall()
            for value in range(2, 6):
                await _write(units, "postgres", name, value)
            await asyncio.sleep(0.6)
            # At most what was under way when it went has a place.
            waiting = await postgres.fetchval(
                "SELECT count(*) FROM finance.outbox WHERE published_at IS NULL AND aggregate_id = $1", name
            )
            assert waiting >= 3
            proxy.cut()
            proxy.resume()
            await _some(units, cache, name, range(6, 7))
    assert await told_of(cache, name) == [*range(7)]


async def test_postgres_brought_back_to_an_earlier_moment_gives_no_number_again(
    settings: Settings, units: UnitsOfWork, postgres: asyncpg.Connection, cache: Redis, purged: Purged, name: str
) -> None:
    async with relaying(settings, purged):
        held = await _some(units, cache, name, range(3))
    await postgres.execute("UPDATE platform.relay SET entry = 1")
    await postgres.execute("DELETE FROM finance.outbox WHERE aggregate_id = $1", name)
    async with relaying(settings, purged):
        more = await _some(units, cache, name, range(3, 5))
    assert more[: len(held)] == held
    assert more[-1].number > held[-1].number


async def test_what_is_old_goes_and_ten_minutes_stay(
    settings: Settings,
    units: UnitsOfWork,
    postgres: asyncpg.Connection,
    cache: Redis,
    purged: Purged,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "PRUNE_EVERY", 0.1)
    await cache.flushdb()
    await postgres.execute("UPDATE finance.outbox SET published_at = now() - interval '2 hours'")
    await postgres.execute("UPDATE platform.relay SET entry = 0")
    now = time.time_ns() // 1000
    blank = PairFiled(name=name, value=0)
    envelope = Entry(1, read_entry(b"1-0", _fields(blank)).envelope)
    fields = dict(zip(envelope.fields()[::2], envelope.fields()[1::2], strict=True))
    for age in (3000.0, 2000.0, *(float(seconds) for seconds in range(600, 0, -5))):
        for part in range(3):  # the server removes whole blocks of entries only
            await cache.xadd(STREAM, fields, id=entry_id(now - int(age * 1_000_000) + part))
    old = uuid4()
    await postgres.execute(
        "INSERT INTO finance.outbox (event_id, aggregate_type, aggregate_id, event_type, published_at)"
        " VALUES ($1, 'pair', 'old', 'Old', now() - interval '25 hours')",
        old,
    )

    async def is_gone() -> bool:
        return not await postgres.fetchval("SELECT EXISTS (SELECT FROM finance.outbox WHERE event_id = $1)", old)

    async with relaying(settings, purged):
        await _some(units, cache, name, range(1, 3))
        await until(is_gone)
    ages = [(now - entry.number) / 1_000_000 for entry in await entries(cache)]
    assert sum(age > 0 for age in ages) >= 360
    assert RETAINED >= 600


def _fields(event: PairFiled) -> list[bytes]:
    import datetime as dt

    from nexfit.hybrid.event_stream import Envelope

    envelope = Envelope(
        event.event_id, "PairFiled", event.aggregate, event.aggregate_id, None, dt.datetime.now(dt.UTC), {"value": 0}
    )
    return [*Entry(1, envelope).fields()]


async def test_news_reach_the_stream_at_once(
    settings: Settings, stores: Any, cache: Redis, purged: Purged, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "POLL", 60.0)
    news = asyncio.Event()
    units = UnitsOfWork(stores, purged, news.set)
    async with relaying(settings, purged, news):
        await _some(units, cache, name, range(1))
        for kind in ("postgres", "mongo"):
            started = time.perf_counter()
            await _write(units, kind, f"{name} {kind}", 1)

            async def is_there(kind: str = kind) -> bool:
                return len(await told_of(cache, f"{name} {kind}" + (" document" if kind == "mongo" else ""))) == 1

            await until(is_there)
            assert time.perf_counter() - started < 30  # a look would come after up to 60 s
