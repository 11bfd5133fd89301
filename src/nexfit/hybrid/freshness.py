"""The promise that cached views hear of every change within a second, kept as a lease in Redis.

The process that follows the change feeds renews the lease while it has handled all changes it can see and raised
their tags. Its value is a *generation*: a view counts only in the generation it was stored in. Whenever a tag may not
have been raised (Redis was away, was emptied or lost its last moments, a feed lost its history, another process took
over) the generation changes, and with it every view is given up at once. Nobody has to remember what was not raised.

A lease that is not renewed ends by itself: readers then trust a view for a moment only (`versions.UNFED`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

import structlog

from nexfit.hybrid import feed_metrics
from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.hybrid.versions import GENERATION
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.redis import RedisStore

KEY = GENERATION

LEASE = 1.0
"""Seconds the lease lasts when it is not renewed. A busy process renews it late."""

TICK = 0.1
"""Seconds between two renewals."""

RECENT = 1.0
"""Seconds a feed may have been silent and still count as followed."""

# Answers -1 when a later follower holds the lease, 0 when it is renewed, 1 when it was not as this follower left it:
# then it begins anew, or ends where there is nothing to begin with.
# ARGV: own term, the value left there, the one to begin anew with, milliseconds.
_RENEW = """
local held = redis.call('GET', KEYS[1])
if held and tonumber(string.match(held, '^%d+')) > tonumber(ARGV[1]) then return -1 end
if held and held == ARGV[2] then redis.call('PEXPIRE', KEYS[1], ARGV[4]) return 0 end
if ARGV[3] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) end
return 1
"""

log = structlog.get_logger(__name__)


class LeaseTaken(Exception):
    """A process that began later follows the feeds."""


class Freshness:
    """Raises tags, and renews the lease while the named feeds are followed. `term` rises with every follower."""

    def __init__(
        self,
        redis: RedisStore,
        invalidate: Callable[[Collection[str]], Awaitable[None]],
        feeds: Collection[str],
        term: int,
    ) -> None:
        self._redis = redis
        self._invalidate = invalidate
        self._followed = dict.fromkeys(feeds, float("-inf"))
        self._term = term
        self._begun = 0
        self._held = ""
        self._wrongs = 1
        self._righted = 0

    def caught_up(self, feed: str, at: float) -> None:
        """The feed has handled everything that was committed before `at`, by the event loop's clock."""
        self._followed[feed] = at

    def give_up_everything(self) -> None:
        """Something changed and nobody knows what: no view stored so far counts any more, from the next tick."""
        self._wrongs += 1

    async def raise_tags(self, tags: Collection[str]) -> None:
        """Make the views under the tags unreadable: now, or, when Redis is away, before it can be read with trust."""
        if not tags:
            return
        try:
            await self._invalidate(tags)
        except StoreUnavailable:
            self.give_up_everything()

    async def run(self) -> None:
        """Renew the lease until cancelled. Raises LeaseTaken."""
        while True:
            stop_if_cancelled()
            try:
                await self._tick()
            except StoreUnavailable as error:
                if self._wrongs == self._righted:
                    log.warning("redis is away: views will be given up when it is back", error=str(error))
                # It may come back as it was before the last tags were raised.
                self.give_up_everything()
            await asyncio.sleep(TICK)

    async def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        followed = all(now - at <= RECENT for at in self._followed.values())
        wrongs = self._wrongs
        if wrongs != self._righted:
            await self._redis.ping()  # also right after a failure, when it would not be tried otherwise
            self._held = ""
        elif not followed:
            return  # the lease ends by itself, unless the feeds are followed again before
        anew = f"{self._term}:{self._begun + 1}" if followed else ""
        arguments = (str(self._term), self._held, anew, int(LEASE * 1000))
        (answer,) = await self._redis.send([("EVAL", _RENEW, 1, KEY, *arguments)])
        if answer == -1:
            raise LeaseTaken
        if answer == 1:
            self._begun += 1
            self._held = anew
            feed_metrics.GENERATIONS.inc()
        self._righted = wrongs
