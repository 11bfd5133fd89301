"""Persisted operations: a document sent once is known by its SHA-256 from then on; kept in memory and in Redis.

Any client may register, so both are bounded: memory by characters, Redis by `SLOTS`, of which each holds one document
that expires when it is not used. Forgetting one costs the client a second request, nothing else.
"""

from __future__ import annotations

from hashlib import sha256

from nexfit.engine.cache import SegmentedCache
from nexfit.hybrid.joined_views import PREFIX
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.redis import RedisStore

SLOTS = 16_384
MOST_CHARACTERS = 16_000
"""Length of a document that is kept; SLOTS of that length bound what Redis may have to hold."""

LIFETIME = 86_400
"""Seconds after its last use elsewhere that Redis forgets a document."""


class PersistedOperations:
    """Documents by the hexadecimal SHA-256 of their UTF-8 text."""

    def __init__(self, redis: RedisStore, *, entries: int = 4096, characters: int = 8_000_000) -> None:
        self._redis = redis
        self._known: SegmentedCache[str, str] = SegmentedCache(entries, characters, len)

    async def find(self, hash_: str) -> str | None:
        """The document; None where nobody registered it, or it was forgotten, or Redis is away."""
        known = self._known.get(hash_)
        if known is not None:
            return known
        try:
            [found] = await self._redis.send([("GETEX", _slot(hash_), "EX", LIFETIME)])
        except StoreUnavailable:
            return None
        document = found.decode() if isinstance(found, bytes) else ""
        if not fits(document, hash_):  # the slot holds another one
            return None
        self._known.put(hash_, document)
        return document

    async def register(self, document: str, hash_: str) -> None:
        """Keep a valid document under its hash, which the caller has checked; longer ones are not kept."""
        if len(document) > MOST_CHARACTERS or self._known.get(hash_) is not None:
            return
        self._known.put(hash_, document)
        try:
            await self._redis.send([("SET", _slot(hash_), document, "EX", LIFETIME)])
        except StoreUnavailable:
            return


def fits(document: str, hash_: str) -> bool:
    """Whether the hash is that of the document."""
    return sha256(document.encode()).hexdigest() == hash_


def _slot(hash_: str) -> str:
    return f"{PREFIX}:persisted:{int(hash_[:8], 16) % SLOTS}"
