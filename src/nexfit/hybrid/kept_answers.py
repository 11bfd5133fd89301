"""Whole answers in Redis and in this process, kept under the tags of everything they show.

The rules are those of joined views (`nexfit.hybrid.joined_views`): an answer counts while its tags have the versions
they had when it was kept, in the same generation. What an answer shows is known only after it was loaded, so versions
are read then, and an answer is not kept when a tag was raised while it was loaded. Without Redis nothing is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import cast

import orjson

from nexfit.hybrid.cached_values import packed, unpacked
from nexfit.hybrid.versions import PREFIX, Versions, question, trusted
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.redis import RedisStore
from nexfit.stores.redis_connection import Packed

MOST_TAGS = 500
MOST_BYTES = 1_000_000
"""What one answer may have; a larger one is not kept."""


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
    question: Packed | None = None
    """What asks Redis whether it counts, and the versions that must be answered; made at the first time."""
    expected: Sequence[object] = ()
    followers: list[asyncio.Future[bool]] | None = None
    """Who wants to know the same before the question is sent, and is told with the one who asks."""

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return 500 + len(self.body) + sum(150 + 3 * len(tag) for tag in self.tags)

    def age(self) -> float:
        """Seconds since its load began."""
        return max(0.0, time.time() - self.at)


@dataclass(frozen=True, slots=True)
class Beginning:
    """When a load began (seconds since 1970, and by the monotonic clock), and in which generation of views."""

    at: float
    started: float
    generation: str


class KeptAnswers:
    """Keeps answers within `entries` and `size` bytes of this process, and in Redis until their lifetime is over."""

    def __init__(self, redis: RedisStore, versions: Versions, *, entries: int = 5000, size: int = 32_000_000) -> None:
        self._redis = redis
        self._versions = versions
        self._entries = entries
        self._most = size
        self._size = 0
        self._memory: OrderedDict[Hashable, KeptAnswer] = OrderedDict()

    def at_hand(self, key: Hashable, within: float) -> KeptAnswer | None:
        """The answer, if memory has it and Redis confirmed it at most `within` seconds ago.

        Not what was confirmed before this process changed something.
        """
        kept = self._memory.get(key)
        if kept is None or kept.confirmed <= self._versions.changed_at:
            return None
        if time.monotonic() - kept.confirmed > within or kept.age() >= kept.lifetime:
            return None
        return kept

    async def begin(self) -> Beginning | None:
        """The moment a load begins; None without Redis."""
        begun = time.time(), time.monotonic()
        try:
            generation, _, _ = await self._versions.read(())
        except StoreUnavailable:
            return None
        return Beginning(*begun, generation)

    async def find(self, key: Hashable, name: Callable[[], str]) -> tuple[KeptAnswer | None, Beginning | None]:
        """The answer, if it counts, and the moment a load begins otherwise (None without Redis).

        `name` gives what `key` is called in Redis.
        """
        if self._redis.is_away:
            return None, None
        begun = time.time(), time.monotonic()
        try:
            kept = self._memory.get(key)
            if kept is not None:
                if await self._counts(kept, begun[1]):
                    if key in self._memory:
                        self._memory.move_to_end(key)
                    return kept, None
                self._forget(key)
            # Another process may have kept a later one.
            generation, _, [found] = await self._versions.read((), ("GET", _key(name())))
            kept = _unpacked(cast("bytes | None", found))
            if kept is not None and await self._counts(kept, begun[1]):
                self._remember(key, kept)
                return kept, None
        except StoreUnavailable:
            return None, None
        return None, Beginning(*begun, generation)

    async def keep(
        self, key: Hashable, name: str, body: bytes, tags: Collection[str], lifetime: float, beginning: Beginning
    ) -> KeptAnswer | None:
        """Keep an answer for `lifetime` seconds at most; None where it must not be kept.

        An answer that is kept is as good as one that was loaded now.
        """
        if len(tags) > MOST_TAGS or len(body) > MOST_BYTES:
            return None
        ordered = sorted(tags)
        asked = time.monotonic()
        try:
            generation, versions, raised = await self._versions.read_since(ordered, beginning.started)
            if generation != beginning.generation or raised:
                return None
            unknown = [place for place, version in enumerate(versions) if not version]
            if unknown:
                given = await self._versions.give([ordered[place] for place in unknown])
                for place, version in zip(unknown, given, strict=True):
                    versions[place] = version
                if not generation:
                    return None  # a tag may have been raised and forgotten since, and no generation would tell
            kept = KeptAnswer(body, ordered, versions, generation, beginning.at, lifetime, asked)
            remaining = int((lifetime - kept.age()) * 1000)
            if remaining <= 0:
                return None
            await self._redis.send([("SET", _key(name), _packed(kept), "PX", remaining)])
        except StoreUnavailable:
            return None
        self._remember(key, kept)
        return kept

    async def _counts(self, kept: KeptAnswer, asked: float) -> bool:
        """Whether the answer counts, as Redis says. Everybody who asks within a turn of the event loop asks once."""
        loop = asyncio.get_running_loop()
        if kept.followers is not None:
            told: asyncio.Future[bool] = loop.create_future()
            kept.followers.append(told)
            return await told
        followers: list[asyncio.Future[bool]] = []
        kept.followers = followers
        # The question leaves in the next turn, before or behind this: whoever joins it until then came before it left.
        loop.call_soon(setattr, kept, "followers", None)
        try:
            counts = await self._ask(kept, asked)
        except BaseException as error:
            kept.followers = None  # it may have failed at once
            failed = error if isinstance(error, StoreUnavailable) else StoreUnavailable("redis", "who asked has left")
            for follower in followers:
                if not follower.done():
                    follower.set_exception(failed)
            raise
        for follower in followers:
            if not follower.done():
                follower.set_result(counts)
        return counts

    async def _ask(self, kept: KeptAnswer, asked: float) -> bool:
        if kept.question is None:
            kept.question, kept.expected = question(kept.tags), [version.encode() for version in kept.versions]
        generation, versions = await self._versions.ask(kept.question)
        age = kept.age()
        if not trusted(kept.generation, generation, age) or age >= kept.lifetime or versions != kept.expected:
            return False
        kept.confirmed = asked
        return True

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


def _packed(kept: KeptAnswer) -> bytes:
    head = orjson.dumps([kept.tags, kept.versions, kept.generation, kept.at, kept.lifetime])
    return packed(head, kept.body)


def _unpacked(stored: bytes | None) -> KeptAnswer | None:
    if stored is None:
        return None
    head, body = unpacked(stored)
    return KeptAnswer(body, *orjson.loads(head))
