"""Which sessions have ended, known in every process within a second and asked without a round trip.

MongoDB is where a session ends; each process asks it several times a second for what ended since. While it does not
answer, Redis' copy is asked instead: nobody else can end a session then but who still reaches MongoDB, and they copy.
See docs/decisions/0013-sessions.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from time import monotonic

import structlog
from bson import ObjectId

from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.settings import AuthSettings
from nexfit.stores.errors import StoreError
from nexfit.stores.mongo import Mongo
from nexfit.stores.redis import Command, RedisStore

SESSIONS = "sessions"

EVERY = 0.3
"""Seconds between two questions."""

PATIENCE = 0.4
"""Seconds MongoDB has to answer before Redis is asked."""

TOLERANCE = 5.0
"""Seconds after which a process that reaches neither store lets nobody in on what it knew."""

OVERLAP = timedelta(seconds=90)
"""How much earlier than the last answer is asked for: a transaction may take a minute, and clocks differ."""

FLUSH_EVERY = 5.0
"""Seconds after which sessions' last use is copied to Redis."""

BLACKLIST = "blacklist"
"""Redis' sorted set of ended sessions by the moment they ended; kept as long as their access tokens could last."""

log = structlog.get_logger(__name__)


class SessionsUnknown(Exception):
    """Neither store has told for some seconds which sessions ended: nobody can be let in, nor told to go."""


class SessionWatch:
    """The ended sessions, followed by `run`; and which sessions are used, copied to Redis now and then."""

    def __init__(self, mongo: Mongo, redis: RedisStore, settings: AuthSettings) -> None:
        self._mongo = mongo
        self._redis = redis
        self._lifetime = timedelta(minutes=settings.access_token_minutes)
        self._ended: dict[ObjectId, datetime] = {}
        self._used: dict[ObjectId, float] = {}
        self._asked: datetime | None = None
        self._known_at = float("-inf")
        self._flushed_at = monotonic()

    def has_ended(self, session_id: ObjectId | None) -> bool:
        """Whether the session has ended; raises SessionsUnknown."""
        if session_id is None:
            return False
        if monotonic() - self._known_at > TOLERANCE:
            raise SessionsUnknown
        return session_id in self._ended

    def used(self, session_id: ObjectId | None, at: float) -> None:
        """Remember that a session is in use, in seconds since 1970."""
        if session_id is not None:
            self._used[session_id] = at

    async def tell(self, ended: Iterable[ObjectId], now: datetime) -> None:
        """After a commit: this process knows at once, and Redis has a copy as soon as it can."""
        ids = list(ended)
        if not ids:
            return
        self._ended.update(dict.fromkeys(ids, now))
        score = f"{now.timestamp():.3f}"
        batch: list[Command] = [
            ("ZADD", BLACKLIST, *(part for id_ in ids for part in (score, str(id_)))),
            ("ZREMRANGEBYSCORE", BLACKLIST, "-inf", f"{(now - self._lifetime - OVERLAP).timestamp():.3f}"),
            ("EXPIRE", BLACKLIST, int((self._lifetime + OVERLAP).total_seconds())),
            ("DEL", *map(session_key, ids)),
        ]
        try:
            await self._redis.send(batch)
        except StoreError as error:
            log.info("ended sessions are not copied", error=str(error))

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            stop_if_cancelled()
            try:
                await self.look()
                if monotonic() - self._flushed_at > FLUSH_EVERY:
                    await self._flush()
            except Exception:
                log.exception("looking for ended sessions failed")
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Ask once what ended."""
        began, now = monotonic(), datetime.now(UTC)
        since = (self._asked or now - self._lifetime) - OVERLAP
        try:
            async with asyncio.timeout(PATIENCE if self._asked else PATIENCE * 5):
                rows = await self._mongo.find(SESSIONS, {"revokedAt": {"$gt": since}}, ("revokedAt",))
        except (StoreError, TimeoutError):
            # A process that never heard MongoDB does not know enough to trust a copy that may have been emptied.
            if self._asked is None or not await self._look_at_copy(since):
                return
        else:
            self._ended.update((row["_id"], row["revokedAt"]) for row in rows)
            self._asked = now
        self._known_at = began
        forgotten = now - self._lifetime - OVERLAP
        if len(self._ended) > 100:
            self._ended = {id_: at for id_, at in self._ended.items() if at > forgotten}

    async def _look_at_copy(self, since: datetime) -> bool:
        try:
            [found] = await self._redis.send(
                [("ZRANGEBYSCORE", BLACKLIST, f"{since.timestamp():.3f}", "+inf", "WITHSCORES")]
            )
        except StoreError:
            return False
        for member, score in _pairs(found):
            self._ended[ObjectId(member)] = datetime.fromtimestamp(score, UTC)
        return True

    async def _flush(self) -> None:
        self._flushed_at = monotonic()
        used, self._used = self._used, {}
        # A hash that is not there belongs to a session whose copy was lost: it comes back with the next refresh.
        batch: list[Command] = [
            ("EVAL", _TOUCH, 1, session_key(id_), int(at * 1000)) for id_, at in used.items() if id_ not in self._ended
        ]
        if batch:
            try:
                await self._redis.send(batch)
            except StoreError as error:
                log.info("last uses are not copied", error=str(error))


@asynccontextmanager
async def following(watch: SessionWatch) -> AsyncIterator[None]:
    """Asked once before the block begins, then followed for as long as it runs."""
    await watch.look()
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


_TOUCH = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'lastActivity', ARGV[1]) end"


def session_key(session_id: ObjectId) -> str:
    """Redis' hash of a session."""
    return f"session:{session_id}"


def _pairs(found: object) -> list[tuple[str, float]]:
    if not isinstance(found, list):
        return []
    if found and isinstance(found[0], list):  # RESP3 answers pairs
        return [(bytes(member).decode(), float(score)) for member, score in found]
    return [(bytes(found[at]).decode(), float(found[at + 1])) for at in range(0, len(found) - 1, 2)]
