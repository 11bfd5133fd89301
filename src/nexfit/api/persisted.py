"""Persisted operations: which document a request means, over HTTP and over WebSocket alike.

A document is named by the SHA-256 of its text. *Trusted* ones come from a manifest (`nexfit.api.trusted`) and are
always known. Any other one may be registered by sending it together with its hash, and is known by that from then on,
in memory and in Redis. Any client may register, so both are bounded: memory by characters, Redis by `SLOTS`, of which
each holds one document that expires when it is not used. Forgetting one costs the client a second request, nothing
else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from nexfit.api.requests import BadRequest
from nexfit.domains.errors import ErrorCode, Refusal
from nexfit.engine.cache import SegmentedCache
from nexfit.hybrid.versions import PREFIX
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.redis import RedisStore

SLOTS = 16_384
MOST_CHARACTERS = 16_000
"""Length of a document that is kept; SLOTS of that length bound what Redis may have to hold."""

LIFETIME = 86_400
"""Seconds after its last use elsewhere that Redis forgets a document."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


class UnknownOperation(Refusal):
    """No document may be executed for what was sent; the request itself is well-formed."""

    def __init__(self, text: str, code: ErrorCode) -> None:
        super().__init__(text)
        self.code = code


class PersistedOperations:
    """Documents by the hexadecimal SHA-256 of their UTF-8 text.

    `valid` tells whether a document may be registered; with `only_trusted` none is, and no other one is executed.
    """

    def __init__(
        self,
        redis: RedisStore,
        valid: Callable[[str], bool],
        *,
        trusted: Mapping[str, str] | None = None,
        only_trusted: bool = False,
        entries: int = 4096,
        characters: int = 8_000_000,
    ) -> None:
        self._redis = redis
        self._valid = valid
        self._trusted = trusted or {}
        self._trusted_texts = frozenset(self._trusted.values())
        self._only_trusted = only_trusted
        self._known: SegmentedCache[str, str] = SegmentedCache(entries, characters, len)

    async def document(self, query: str | None, extensions: Mapping[str, Any] | None) -> str:
        """The document that a request's `query` and `extensions` mean; one sent with its hash is registered, if valid.

        Raises BadRequest for what no client should send, UnknownOperation for what is not known or not trusted.
        """
        hash_ = _hash_in(extensions)
        if hash_ is None:
            if query is None:
                raise BadRequest("`query` must be a GraphQL document.")
            if self._only_trusted:
                return self._trusted_document(hash_of(query))
            return query
        if query is not None and hash_of(query) != hash_:
            raise BadRequest("`sha256Hash` is not the SHA-256 of `query`.")
        if self._only_trusted:
            return self._trusted_document(hash_)
        found = self._trusted.get(hash_) or (query or await self._find(hash_))
        if found is None:
            # Clients know it by its message or its code, and send the document with its hash then.
            raise UnknownOperation("PersistedQueryNotFound", ErrorCode.PERSISTED_QUERY_NOT_FOUND)
        if query is not None and hash_ not in self._trusted:
            await self._register(query, hash_)
        return found

    def trusts(self, document: str) -> bool:
        """Whether the document is one of the manifest's."""
        return document in self._trusted_texts

    def _trusted_document(self, hash_: str) -> str:
        document = self._trusted.get(hash_)
        if document is None:
            raise UnknownOperation("Only published operations are executed here.", ErrorCode.OPERATION_NOT_TRUSTED)
        return document

    async def _find(self, hash_: str) -> str | None:
        """None where nobody registered it, or it was forgotten, or Redis is away."""
        known = self._known.get(hash_)
        if known is not None:
            return known
        try:
            [found] = await self._redis.send([("GETEX", _slot(hash_), "EX", LIFETIME)])
        except StoreUnavailable:
            return None
        document = found.decode() if isinstance(found, bytes) else ""
        if hash_of(document) != hash_:  # the slot holds another one
            return None
        self._known.put(hash_, document)
        return document

    async def _register(self, document: str, hash_: str) -> None:
        """Keep a document, unless it is long or not valid."""
        if len(document) > MOST_CHARACTERS or self._known.get(hash_) is not None or not self._valid(document):
            return
        self._known.put(hash_, document)
        try:
            await self._redis.send([("SET", _slot(hash_), document, "EX", LIFETIME)])
        except StoreUnavailable:
            return


def hash_of(document: str) -> str:
    """The name of a document."""
    return sha256(document.encode("utf-8", "surrogatepass")).hexdigest()


def _hash_in(extensions: Mapping[str, Any] | None) -> str | None:
    """The hash in `extensions.persistedQuery`; None where the extensions speak of something else."""
    persisted = extensions.get("persistedQuery") if extensions else None
    if persisted is None:
        return None
    if not isinstance(persisted, dict) or persisted.get("version") != 1:
        raise BadRequest("`extensions.persistedQuery` must be an object with `version` 1 and `sha256Hash`.")
    hash_ = persisted.get("sha256Hash")
    if not isinstance(hash_, str) or not _SHA256.fullmatch(hash_):
        raise BadRequest("`sha256Hash` must be the SHA-256 of the document in lower-case hexadecimal.")
    return hash_


def _slot(hash_: str) -> str:
    return f"{PREFIX}:persisted:{int(hash_[:8], 16) % SLOTS}"
