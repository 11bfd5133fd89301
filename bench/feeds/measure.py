"""Writes as other programs would, with drivers of its own, while another process follows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import quantiles
from time import perf_counter
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import orjson
from bson import ObjectId
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from redis.asyncio import Redis

from bench.stores.errors import CannotMeasure
from nexfit.hybrid.versions import GENERATION, tag_key
from nexfit.operations.member_facts import rebuild_member_facts
from nexfit.operations.reconcile import reconcile
from nexfit.settings import Settings
from nexfit.stores.connections import open_stores

LOOK = 0.001
"""Seconds between two looks at whether an effect is there."""

LONGEST = 60.0
"""Seconds after which an effect counts as missing."""

_PAY = """
INSERT INTO finance.transactions (transaction_id, business_id, facility_id, user_id, amount, currency, payment_method,
  transaction_type, status) VALUES ($1, $2, $2, $3, $4, 'TRY', 'cash', 'manual_payment', 'succeeded')
"""
_LAST_VISIT = "SELECT last_visit_at FROM platform.member_facts WHERE facility_id = $1 AND user_id = $2"
_SET_STATUS = "UPDATE finance.subscriptions SET status = $2 WHERE subscription_id = $1"
_FOLLOWED_TO = "SELECT position->'time' FROM platform.feed_positions WHERE name = 'documents'"


@dataclass(frozen=True, slots=True)
class Lag:
    """From the answer to a write until its effect can be read, in milliseconds, next to what the write itself took."""

    name: str
    writes: int
    write_ms: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Rate:
    """How much was done, and how much of it in a second."""

    name: str
    done: int
    per_second: float


@dataclass(frozen=True, slots=True)
class Writers:
    """The stores as another program has them."""

    settings: Settings
    mongo: Any
    postgres: asyncpg.Connection
    redis: Redis
    members: list[dict[str, Any]]
    """Contracts."""

    async def version(self, tag: str) -> bytes | None:
        """The version of a tag."""
        return cast("bytes | None", await self.redis.get(tag_key(tag)))


@asynccontextmanager
async def writers(settings: Settings) -> AsyncIterator[Writers]:
    """Connections of their own for as long as the block runs."""
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(
        settings.mongo.url.get_secret_value(), tz_aware=True, w="majority", journal=True
    ) as client:
        database: AsyncDatabase[dict[str, Any]] = client[settings.mongo.database]
        members = await database.member_subscriptions.find({"status": "active"}).to_list()
        postgres = await asyncpg.connect(settings.postgres.url.get_secret_value())
        redis = Redis.from_url(settings.redis.url.get_secret_value())
        try:
            yield Writers(settings, database, postgres, redis, members)
        finally:
            await redis.aclose()
            await postgres.close()


async def until_followed(them: Writers) -> None:
    """Wait for the follower's promise that views are fresh. Raises CannotMeasure."""
    await _until("a follower of the changes", lambda: them.redis.exists(GENERATION))


async def lags(them: Writers, writes: int) -> list[Lag]:
    """Each way from a write in one store to its effect elsewhere. Raises CannotMeasure where there is none."""
    chance = random.Random(7)

    async def pay() -> Callable[[], Awaitable[Any]]:
        member = chance.choice(them.members)
        tag = f"user:{member['userId']}:money"
        before = await them.version(tag)

        async def is_raised() -> bool:
            return await them.version(tag) != before

        written.append(
            await _timed(
                them.postgres.execute(_PAY, uuid4(), str(member["facilityId"]), str(member["userId"]), Decimal(10))
            )
        )
        return is_raised

    async def rename() -> Callable[[], Awaitable[Any]]:
        user = chance.choice(them.members)["userId"]
        before = await them.version(f"user:{user}")

        async def is_raised() -> bool:
            return await them.version(f"user:{user}") != before

        name = {"$set": {"lastName": f"Name {chance.randrange(10**9)}"}}
        written.append(await _timed(them.mongo.users.update_one({"_id": user}, name)))
        return is_raised

    async def visit() -> Callable[[], Awaitable[Any]]:
        member = chance.choice(them.members)
        pair = (str(member["facilityId"]), str(member["userId"]))
        entry = _visit(member, await them.postgres.fetchval(_LAST_VISIT, *pair))

        async def is_projected() -> bool:
            return bool(await them.postgres.fetchval(_LAST_VISIT, *pair) == entry["at"])

        written.append(await _timed(them.mongo.visits.insert_one(entry)))
        return is_projected

    async def freeze() -> Callable[[], Awaitable[Any]]:
        member = chance.choice(them.members)
        contract = await them.mongo.member_subscriptions.find_one({"_id": member["_id"]}, {"status": 1})
        status = "active" if contract["status"] == "frozen" else "frozen"

        async def is_mirrored() -> bool:
            found = await them.mongo.member_subscriptions.find_one({"_id": member["_id"]}, {"status": 1})
            return bool(found["status"] == status)

        written.append(await _timed(them.postgres.execute(_SET_STATUS, UUID(member["subscriptionId"]), status)))
        return is_mirrored

    found = []
    for name, write in (
        ("row in PostgreSQL → tag raised", pay),
        ("document in MongoDB → tag raised", rename),
        ("document in MongoDB → member facts", visit),
        ("subscription in PostgreSQL → contract in MongoDB", freeze),
    ):
        written: list[float] = []
        seen = []
        for _ in range(writes):
            arrived = await write()
            seen.append(await _until(name, arrived))
            # Readers look at fixed intervals: writes must not fall into step with them.
            await asyncio.sleep(chance.uniform(0, 0.15))
        found.append(Lag(name, writes, _percentile(written, 50), _percentile(seen, 50), _percentile(seen, 99)))
    return found


async def rates(them: Writers, changes: int) -> list[Rate]:
    """What the feed follows of a burst, what a rebuild writes and what a comparison looks at, in a second.

    Raises CannotMeasure.
    """
    chance = random.Random(7)
    # Written as fast as the server takes them, so that it is the follower who is waited for.
    visits = them.mongo.visits.with_options(write_concern=WriteConcern(1, j=False))
    entries = [_visit(chance.choice(them.members), None) for _ in range(changes)]
    begun = perf_counter()
    async with them.mongo.client.start_session() as session:
        for start in range(0, changes, 5000):
            await visits.insert_many(entries[start : start + 5000], session=session)
        last = session.operation_time

    async def is_followed() -> bool:
        position = orjson.loads(await them.postgres.fetchval(_FOLLOWED_TO))
        return tuple(position) >= (last.time, last.inc)

    await _until(f"the end of a burst of {changes} changes", is_followed, 0.01)
    found = [Rate("changes followed, of a burst", changes, changes / (perf_counter() - begun))]
    async with open_stores(them.settings) as stores:
        await them.postgres.execute("UPDATE platform.member_facts SET name_folded = ''")
        begun = perf_counter()
        rebuilt = await rebuild_member_facts(stores)
        found.append(Rate("member facts rebuilt", rebuilt, rebuilt / (perf_counter() - begun)))
        report = await reconcile(stores, repair=False)
        checked = sum(report.checked.values())
        found.append(Rate("rows and documents compared", checked, checked / report.seconds))
    return found


def _visit(member: dict[str, Any], last: datetime | None) -> dict[str, Any]:
    """An entry that is later than the last one."""
    at = max(datetime.now(UTC), (last or datetime.now(UTC)) + timedelta(milliseconds=1))
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    place = {"facilityId": member["facilityId"], "userId": member["userId"]}
    return {"_id": ObjectId(), **place, "at": at, "source": "import"}


async def _timed(work: Awaitable[Any]) -> float:
    begun = perf_counter()
    await work
    return perf_counter() - begun


async def _until(what: str, holds: Callable[[], Awaitable[Any]], every: float = LOOK) -> float:
    """Seconds until it holds. Raises CannotMeasure, which says what did not come."""
    begun = perf_counter()
    try:
        async with asyncio.timeout(LONGEST):
            while not await holds():  # noqa: ASYNC110 - nothing tells when
                await asyncio.sleep(every)
    except TimeoutError as error:
        raise CannotMeasure(f"waited {LONGEST:.0f} s in vain for: {what}") from error
    return perf_counter() - begun


def _percentile(seconds: list[float], percent: int) -> float:
    """In milliseconds."""
    return 1000 * (quantiles(seconds, n=100, method="inclusive")[percent - 1] if len(seconds) > 1 else seconds[0])
