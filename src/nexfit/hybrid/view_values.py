"""One value of a joined view, as Redis holds it, and when it still counts."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from nexfit.hybrid.cached_values import packed, unpacked
from nexfit.hybrid.versions import PREFIX, trusted


@dataclass(frozen=True, slots=True)
class View:
    """A kind of joined view. `version` changes with the value's shape, so that a deploy never reads an older one."""

    name: str
    version: int
    lifetime: float
    """Seconds a value may be served at most, however often it is confirmed that nothing under its tags changed."""

    def key(self, item: str) -> str:
        """The Redis key of one value."""
        return f"{PREFIX}:view:{self.name}:{self.version}:{item}"


@dataclass(slots=True)
class Counters:
    """What became of the reads of one view."""

    memory: int = 0
    redis: int = 0
    loaded: int = 0
    shared: int = 0
    """Answered by a load of the same process that had begun at the same versions."""
    awaited: int = 0
    """Answered by the load of another process."""
    refreshed: int = 0
    """Loads ahead of an expiry."""
    races: int = 0
    """Loads that a tag was raised during: what they stored is never read."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What Redis said when a reader asked, and when that was (seconds since 1970, and by the monotonic clock)."""

    at: float
    clock: float
    generation: str
    versions: Mapping[str, Sequence[str]]
    """Of every item's tags."""

    def beginning(self, item: str) -> str:
        """A name for the state a load of the item begins in; loads of one state see the same or later data."""
        return blake2b("/".join((self.generation, *self.versions[item])).encode(), digest_size=8).hexdigest()

    def confirms(self, item: str, stored: Stored) -> bool:
        """Whether a stored value of the item still counts."""
        return (
            stored.tags == self.versions[item]
            and self.at < stored.until
            and trusted(stored.generation, self.generation, self.at - stored.at)
        )


@dataclass(slots=True)
class Stored:
    """A value and what it depends on. `at` and `until` are seconds since 1970, `took` is how long its load was."""

    value: Any
    tags: Sequence[str]
    generation: str
    at: float
    until: float
    took: float
    confirmed: float = 0.0
    """When Redis last said that it counts, by the monotonic clock."""

    def is_due(self, now: float) -> bool:
        """Whether this reader should load it ahead of its end: seldom early, likely at the end, one among many."""
        return now - self.took * math.log(1.0 - random.random()) >= self.until  # noqa: S311

    def written(self) -> bytes:
        """As Redis holds it."""
        head = orjson.dumps([self.tags, self.generation, self.at, self.until, self.took])
        return packed(head, orjson.dumps(self.value))

    @classmethod
    def read(cls, written: bytes) -> Stored:
        """From what Redis holds."""
        head, body = unpacked(written)
        return cls(orjson.loads(body), *orjson.loads(head))
