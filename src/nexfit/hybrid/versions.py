"""Versions of cache tags, in Redis: what a cached value must still agree with to count.

A value carries the versions its tags had when its load began. Whoever changes what is under a tag raises its version
after the commit, so values are given up without anybody searching for keys. A version is a random word that never comes
again, and a tag without one gets one before anything is loaded: when Redis forgets it, by FLUSHALL or eviction, values
that agreed with it count no more.

All versions live in one slot of a Redis Cluster, so that one MGET reads them; values are spread over all slots.

While Redis is away nothing is cached. What could not be raised then is raised by this process before it uses Redis
again; other processes leave the cache alone for `SETTLE` seconds after their own connection came back. That time is for
them, and for the follower of the change feeds (`nexfit.hybrid.freshness`), to raise what was missed.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Collection, Sequence
from typing import cast

import structlog

from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.redis import Command, RedisStore
from nexfit.stores.redis_connection import Packed, packed

PREFIX = "nexfit"
_SLOT = PREFIX + ":{versions}:"
"""The braces are Redis Cluster's: keys with the same word in them are in the same slot."""

GENERATION = _SLOT + "feeds"
"""Key of the generation of views, the lease of who follows the change feeds."""

UNFED = 0.8
"""Seconds a value is trusted while nobody follows the feeds and so nobody tells what changed elsewhere."""

RAISED_LIFETIME = 86_400
"""Seconds a raised version is kept; far longer than any value lives."""

GIVEN_LIFETIME = 43_200
"""Seconds a version is kept that a reader gave: less, so that its age never looks like that of a raised one."""

SETTLE = 1.0
"""Seconds after a connection to Redis came back in which nothing is read from it."""

AGAIN = 0.1
"""Seconds between two tries to raise what could not be raised."""

_CLOCKS_DIFFER = 0.1
"""Seconds by which a tag's age, as Redis tells it, may be less than it is."""

log = structlog.get_logger(__name__)


def tag_key(tag: str) -> str:
    """The Redis key of a tag's version."""
    return f"{_SLOT}tag:{tag}"


def question(tags: Sequence[str]) -> Packed:
    """What `Versions.ask` sends for these tags, made once for all times it is asked."""
    return packed(("MGET", GENERATION, *map(tag_key, tags)))


class Versions:
    """Reads and raises versions for one process. Raises StoreUnavailable where nothing may be cached now."""

    def __init__(self, redis: RedisStore) -> None:
        self._redis = redis
        self._unraised: set[str] = set()
        self._catching_up: asyncio.Task[None] | None = None
        self.changed_at = 0.0
        """When this process last raised a tag or changed anything, by the monotonic clock."""
        self.raised = 0
        """How many tags this process has raised."""

    def check(self) -> None:
        """Raise StoreUnavailable while Redis may hold what should have been raised."""
        if self._unraised:
            raise StoreUnavailable("redis", "tags are still to be raised")
        if time.monotonic() - self._redis.came_back_at < SETTLE:
            raise StoreUnavailable("redis", "it came back a moment ago")

    def distrust(self) -> None:
        """Ask Redis again for whatever it said before now: this process has changed something."""
        self.changed_at = time.monotonic()

    async def read(self, tags: Sequence[str], *commands: Command) -> tuple[str, list[str], list[object]]:
        """The generation, the tags' versions (empty where there is none) and the answers to `commands`, all at once."""
        self.check()
        [versions, *answers] = await self._redis.send([("MGET", GENERATION, *map(tag_key, tags)), *commands])
        self.check()  # it may be the first answer since it came back
        generation, *found = map(_text, cast("list[object]", versions))
        return generation, found, answers

    async def ask(self, question: Packed) -> tuple[str, list[object]]:
        """The generation, and the tags' versions as Redis has them, of a question that `question` made."""
        self.check()
        [answer] = await self._redis.send([question])
        self.check()
        generation, *versions = cast("list[object]", answer)
        return _text(generation), versions

    async def give(self, tags: Sequence[str]) -> list[str]:
        """Versions for tags that have none; somebody else's where that was quicker."""
        made = [secrets.token_hex(8) for _ in tags]
        answers = await self._redis.send(
            [
                ("SET", tag_key(tag), version, "NX", "GET", "EX", GIVEN_LIFETIME)
                for tag, version in zip(tags, made, strict=True)
            ]
        )
        return [_text(there) or version for there, version in zip(answers, made, strict=True)]

    async def read_since(self, tags: Sequence[str], started: float) -> tuple[str, list[str], bool]:
        """The generation, the versions, and whether one was raised after `started` (by the monotonic clock)."""
        self.check()
        took = time.monotonic() - started + _CLOCKS_DIFFER
        lifetimes: list[Command] = [("PTTL", tag_key(tag)) for tag in tags]
        generation, versions, left = await self.read(tags, *lifetimes)
        # A tag lives RAISED_LIFETIME from when it was raised, so what is left of that tells when it was.
        raised = any(cast("int", one) > (RAISED_LIFETIME - took) * 1000 for one in left)
        return generation, versions, raised

    async def raise_(self, tags: Collection[str]) -> None:
        """Make every value under the tags unreadable. Raises StoreUnavailable: then it is done later.

        Until then this process reads nothing from the cache, and others trust no feed that could not raise them either.
        """
        self.distrust()
        try:
            await self._redis.send(_raising(tags))
        except BaseException:  # cancelled, too: nobody knows whether it was done
            self._unraised |= {*tags}
            if self._catching_up is None or self._catching_up.done():
                self._catching_up = asyncio.create_task(self._catch_up(), name="raise tags")
            raise
        finally:
            self.distrust()
        self.raised += len(tags)

    def close(self) -> None:
        """Try no more; the change feeds tell what was left."""
        if self._catching_up is not None:
            self._catching_up.cancel()

    async def _catch_up(self) -> None:
        while self._unraised:
            stop_if_cancelled()
            await asyncio.sleep(AGAIN)
            tags = {*self._unraised}
            try:
                await self._redis.ping()  # also right after a failure, when it would not be tried otherwise
                await self._redis.send(_raising(tags))
            except StoreUnavailable:
                continue
            self._unraised -= tags
            self.raised += len(tags)
        log.info("raised the tags that could not be raised while redis was away")


def trusted(value_generation: str, generation: str, age: float) -> bool:
    """Whether a value of some age (seconds) counts, as far as the feeds are concerned."""
    return value_generation == generation and (generation != "" or age < UNFED)


def _raising(tags: Collection[str]) -> list[Command]:
    # Never a version that was there before, also when Redis forgot the last ones: a number counted up would come again.
    version = secrets.token_hex(8)
    return [("SET", tag_key(tag), version, "EX", RAISED_LIFETIME) for tag in tags]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else ""
