"""The demo's ids and its luck: they come from the seed alone, so one seed and one day always make the same data."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import TypeVar
from uuid import UUID

from bson import ObjectId

T = TypeVar("T")

# Ids of people and places must not change with the day a demo is loaded on, so their time part is fixed.
_OBJECT_ID_TIME = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()).to_bytes(4)


class Chance:
    """Streams of random numbers and ids, one per purpose, so that adding rows of one kind moves no other kind."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._given: defaultdict[str, int] = defaultdict(int)
        self._marks: dict[str, bytes] = {}

    def stream(self, purpose: str) -> Random:
        """A generator of its own for the purpose."""
        return Random(f"{self._seed}:{purpose}")  # noqa: S311 - demo data, not secrets

    def object_id(self, kind: str) -> ObjectId:
        """The next id of a kind; rising, so that MongoDB appends to its index."""
        self._given[kind] += 1
        return ObjectId(_OBJECT_ID_TIME + self._mark(kind)[:3] + self._given[kind].to_bytes(5))

    def uuid(self, kind: str, at: datetime) -> UUID:
        """The next id of a kind as a UUID of version 7, ordered by its moment (RFC 9562)."""
        self._given[kind] += 1
        milliseconds = int(at.timestamp() * 1000)
        mark = int.from_bytes(self._mark(kind)[:4]) & 0x3FFFFFFF
        tail = (mark << 32) | self._given[kind]
        return UUID(int=(milliseconds << 80) | (0x7 << 76) | ((mark & 0xFFF) << 64) | (0x2 << 62) | tail)

    def _mark(self, kind: str) -> bytes:
        mark = self._marks.get(kind)
        if mark is None:
            mark = self._marks[kind] = hashlib.blake2b(f"{self._seed}:{kind}".encode(), digest_size=4).digest()
        return mark


def weighted(random: Random, options: Sequence[tuple[T, float]]) -> T:
    """One of the options, each as likely as its weight."""
    mark = random.random() * sum(weight for _, weight in options)
    for option, weight in options:
        mark -= weight
        if mark < 0:
            return option
    return options[-1][0]
