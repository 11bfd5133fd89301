"""Whole answers in Redis and in this process, kept under the tags of everything they show.

The rules are those of joined views (`nexfit.hybrid.joined_views`): an answer counts while all its tags have the
versions they had when its load began, in the same generation. What an answer shows is known only after it was loaded,
so versions are read then, and an answer is not kept when a tag was raised while it was loaded. Without Redis nothing is
kept.

An answer that Redis has just confirmed is trusted for `TRUSTED` seconds without asking again.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import cast

import orjson

from nexfit.hybrid.freshness import KEY, UNFED
from nexfit.hybrid.joined_views import PREFIX, TAG_LIFETIME, tag_key
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.redis import RedisStore

TRUSTED = 0.1
"""Seconds an answer is served from this process's memory after Redis said that it counts."""

MOST_TAGS = 500
MOST_BYTES = 1_000_000
"""What one answer may have; a larger one is not kept."""

_CLOCKS_DIFFER = 0.1
"""Seconds by which a tag's age, as Redis tells it, may be less than it is."""


@dataclass(slots=True)
class KeptAnswer:
    """An answer with what it depends on. `at` is when its load began, in seconds since 1970."""

    body: bytes
    tags: Sequence[str]
    versions: Sequence[str]
    generation: str
    at: float
    lifetime: float
    confirmed: float = 0.0
    """When Redis said that it counts, by the monotonic clock."""

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return 500 + len(self.body) + sum(60 + 2 * len(tag) for tag in self.tags)

    def age(self) -> float:
        """Seconds since its load began."""
        return max(0.0, time.time() - self.at)


@dataclass(frozen=True, slots=True)
class Beginning:
    """When a load began, and in which generation of views."""

    at: float
    started: float
    generation: str


class KeptAnswers:
    """Keeps answers within `entries` and `size` bytes of this process, and in Redis until their lifetime is over."""

    def __init__(self, redis: RedisStore, *, entries: int = 5000, size: int = 32_000_000) -> None:
        self._redis = redis
        self._entries = entries
        self._most = size
        self._size = 0
        self._memory: OrderedDict[Hashable, KeptAnswer] = OrderedDict()
        self._distrusted = 0.0

    def at_hand(self, key: Hashable) -> KeptAnswer | None:
        """The answer, if memory has it and Redis confirmed it a moment ago."""
        kept = self._memory.get(key)
        if kept is None or kept.confirmed < self._distrusted:
            return None
        if time.monotonic() - kept.confirmed > TRUSTED or kept.age() >= kept.lifetime:
            return None
        return kept

    def distrust(self) -> None:
        """Ask Redis again before anything is served: this process has changed something."""
        self._distrusted = time.monotonic()

    async def begin(self) -> Beginning | None:
        """The moment a load begins; None without Redis."""
        begun = time.time(), time.monotonic()
        try:
            [generation] = await self._redis.send([("GET", KEY)])
        except StoreUnavailable:
            return None
        return Beginning(*begun, _text(generation))

    async def find(self, key: Hashable, name: str) -> tuple[KeptAnswer | None, Beginning | None]:
        """The answer, if it counts, and the moment a load begins otherwise (None without Redis).

        `name` is what `key` is called in Redis.
        """
        kept = self._memory.get(key)
        begun = time.time(), time.monotonic()
        try:
            if kept is None:
                found, generation = await self._redis.send([("GET", _key(name)), ("GET", KEY)])
                kept = _unpacked(cast("bytes | None", found))
                if kept is None:
                    return None, Beginning(*begun, _text(generation))
            [read] = await self._redis.send([("MGET", KEY, *map(tag_key, kept.tags))])
        except StoreUnavailable:
            return None, None
        current, *versions = [_text(version) for version in cast("list[object]", read)]
        beginning = Beginning(*begun, current)
        age = kept.age()
        trusted = kept.generation == beginning.generation if beginning.generation else age < UNFED
        if not trusted or age >= kept.lifetime or versions != list(kept.versions):
            self._forget(key)
            return None, beginning
        kept.confirmed = beginning.started
        self._remember(key, kept)
        return kept, beginning

    async def keep(
        self, key: Hashable, name: str, body: bytes, tags: Collection[str], lifetime: float, beginning: Beginning
    ) -> KeptAnswer | None:
        """Keep an answer for `lifetime` seconds at most; None where it must not be kept."""
        if len(tags) > MOST_TAGS or len(body) > MOST_BYTES:
            return None
        ordered = sorted(tags)
        keys = [tag_key(tag) for tag in ordered]
        asked = time.monotonic()
        try:
            [generation, *versions], *left = cast(
                "list[list[object]]", await self._redis.send([("MGET", KEY, *keys), *(("PTTL", key) for key in keys)])
            )
            # A tag lives TAG_LIFETIME from when it was raised, so what is left of that tells when it was.
            took = time.monotonic() - beginning.started + _CLOCKS_DIFFER
            raised_after = (TAG_LIFETIME - took) * 1000
            if _text(generation) != beginning.generation or any(cast("int", one) > raised_after for one in left):
                return None
            kept = KeptAnswer(
                body, ordered, [_text(one) for one in versions], beginning.generation, beginning.at, lifetime, asked
            )
            remaining = int((lifetime - kept.age()) * 1000)
            if remaining <= 0:
                return None
            await self._redis.send([("SET", _key(name), _packed(kept), "PX", remaining)])
        except StoreUnavailable:
            return None
        self._remember(key, kept)
        return kept

    def _remember(self, key: Hashable, kept: KeptAnswer) -> None:
        self._forget(key)
        self._memory[key] = kept
        self._size += kept.size
        while len(self._memory) > self._entries or self._size > self._most:
            _, dropped = self._memory.popitem(last=False)
            self._size -= dropped.size

    def _forget(self, key: Hashable) -> None:
        known = self._memory.pop(key, None)
        if known is not None:
            self._size -= known.size


def _key(name: str) -> str:
    return f"{PREFIX}:answer:{name}"


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else ""


def _packed(kept: KeptAnswer) -> bytes:
    head = [kept.tags, kept.versions, kept.generation, kept.at, kept.lifetime]
    return orjson.dumps(head) + b"\n" + kept.body


def _unpacked(stored: bytes | None) -> KeptAnswer | None:
    if stored is None:
        return None
    head, _, body = stored.partition(b"\n")
    return KeptAnswer(body, *orjson.loads(head))
