"""Joined views in Redis: values put together from several stores, kept under tags with versions.

A stored value carries the versions its tags had when its load began. It counts only while every tag still has that
version, so a writer invalidates by raising a version and never searches for keys. A reader that raced with an
invalidation stores a value that is already out of date and therefore never read. Without Redis every view is loaded.

Every value also carries the generation of views it was stored in (`nexfit.hybrid.freshness`). While nobody follows the
change feeds, there is none, and a value is trusted for `UNFED` seconds only.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

import orjson

from nexfit.hybrid.freshness import KEY, UNFED
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.redis import Command, RedisStore

PREFIX = "nexfit"
TAG_LIFETIME = 86_400
"""Seconds; far longer than any view lives, so that a forgotten version can only belong to forgotten values."""

Load = Callable[[Sequence[str]], Awaitable[Mapping[str, Any]]]
"""Loads the values of the missing keys from the stores, all in one batch."""


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


def tag_key(tag: str) -> str:
    """The Redis key of a tag's version."""
    return f"{PREFIX}:tag:{tag}"


@dataclass(frozen=True, slots=True)
class _Moment:
    """What Redis said when a reader asked, and when that was (seconds since 1970)."""

    at: float
    generation: str
    versions: Mapping[str, Sequence[str]]
    """Of every item's tags."""

    def confirms(self, item: str, stored: Mapping[str, Any]) -> bool:
        """Whether a stored value of the item still counts."""
        if stored["tags"] != self.versions[item]:
            return False
        return bool(stored["in"] == self.generation if self.generation else self.at - stored["at"] < UNFED)


class _Cancelled(Exception):
    """The request that was loading for others went away; they load again."""


class JoinedViews:
    """Reads views through Redis, with one load per key in flight in this process."""

    def __init__(self, redis: RedisStore) -> None:
        self._redis = redis
        self._flights: dict[tuple[object, ...], asyncio.Future[Any]] = {}

    async def get(
        self, view: View, items: Sequence[str], load: Load, *, tags: Callable[[str], Sequence[str]]
    ) -> list[Any]:
        """The JSON-like values of `items`, in order; a missing one is loaded. `tags` names what a value depends on."""
        distinct = list(dict.fromkeys(items))
        if not distinct:
            return []
        found, moment = await self._read(view, distinct, tags)
        missing = [item for item in distinct if item not in found]
        if missing:
            found |= await self._fill(view, missing, load, tags, moment)
        return [found.get(item) for item in items]

    async def invalidate(self, tags: Sequence[str]) -> None:
        """Make every value under the tags unreadable; raises StoreUnavailable: then old values may still be read."""
        # Never one that was there before, also when Redis forgot the last ones: a number counted up would come again.
        version = secrets.token_hex(8)
        await self._redis.send([("SET", tag_key(tag), version, "EX", TAG_LIFETIME) for tag in tags])

    async def _read(
        self, view: View, items: Sequence[str], tags: Callable[[str], Sequence[str]]
    ) -> tuple[dict[str, Any], _Moment | None]:
        """Valid values, and what Redis says of every item's tags (None without Redis)."""
        tag_keys = {item: [tag_key(tag) for tag in tags(item)] for item in items}
        keys = list(dict.fromkeys(chain((KEY,), map(view.key, items), *tag_keys.values())))
        at = time.time()
        try:
            [answers] = await self._redis.send([("MGET", *keys)])
        except StoreUnavailable:
            return {}, None
        held = dict(zip(keys, cast("list[bytes | None]", answers), strict=True))
        versions = {item: [(held[key] or b"").decode() for key in tag_keys[item]] for item in items}
        moment = _Moment(at, (held[KEY] or b"").decode(), versions)
        found: dict[str, Any] = {}
        for item in items:
            stored = held[view.key(item)]
            if stored is not None:
                value = orjson.loads(stored)
                if moment.confirms(item, value):
                    found[item] = value["value"]
        return found, moment

    async def _fill(
        self,
        view: View,
        missing: Sequence[str],
        load: Load,
        tags: Callable[[str], Sequence[str]],
        moment: _Moment | None,
    ) -> dict[str, Any]:
        """Load what nobody loads yet, wait for what somebody does, and store what was loaded."""
        # Only loads that began at the same versions are shared: one that began earlier may have read what is now old.
        # Without Redis nothing says how old a load is, so every reader loads for itself.
        flight_keys = (
            {item: (view.key(item), moment.generation, *moment.versions[item]) for item in missing} if moment else {}
        )
        waiting = {item: flight for item, key in flight_keys.items() if (flight := self._flights.get(key))}
        mine = [item for item in missing if item not in waiting]
        values: dict[str, Any] = {}
        if mine:
            flights = {item: asyncio.get_running_loop().create_future() for item in mine if item in flight_keys}
            self._flights |= {flight_keys[item]: flight for item, flight in flights.items()}
            try:
                loaded = await load(mine)
            except BaseException as error:
                for flight in flights.values():
                    flight.set_exception(error if isinstance(error, Exception) else _Cancelled())
                    flight.exception()  # nobody may be waiting; that is no fault
                raise
            finally:
                for item in flights:
                    del self._flights[flight_keys[item]]
            values = {item: loaded.get(item) for item in mine}
            for item, flight in flights.items():
                flight.set_result(values[item])
            if moment is not None:
                await self._store(view, values, moment)
        for item, flight in waiting.items():
            try:
                # Shielded: a reader that goes away must not take the load with it that others wait for.
                values[item] = await asyncio.shield(flight)
            except _Cancelled:
                values |= await self._fill(view, [item], load, tags, moment)
        return values

    async def _store(self, view: View, values: Mapping[str, Any], moment: _Moment) -> None:
        known = {"in": moment.generation, "at": moment.at}
        commands: list[Command] = [
            (
                "SET",
                view.key(item),
                orjson.dumps({"tags": moment.versions[item], **known, "value": value}),
                "PX",
                # Values that were stored together must not all expire together.
                int(view.lifetime * 1000 * random.uniform(0.8, 1.0)),  # noqa: S311
            )
            for item, value in values.items()
        ]
        try:
            await self._redis.send(commands)
        except StoreUnavailable:
            return
