"""Joined views in Redis: values put together from several stores, kept under tags with versions.

A stored value carries the versions its tags had when its load began. It counts only while every tag still has that
version, so a writer invalidates by raising a version and never searches for keys. A reader that raced with an
invalidation stores a value that is already out of date and therefore never read. Without Redis every view is loaded.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

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
    """Seconds a value may be served without an invalidation having been heard of."""

    def key(self, item: str) -> str:
        """The Redis key of one value."""
        return f"{PREFIX}:view:{self.name}:{self.version}:{item}"


def _tag_key(tag: str) -> str:
    return f"{PREFIX}:tag:{tag}"


class JoinedViews:
    """Reads views through Redis, with one load per key in flight in this process."""

    def __init__(self, redis: RedisStore) -> None:
        self._redis = redis
        self._flights: dict[str, asyncio.Future[Any]] = {}

    async def get(
        self, view: View, items: Sequence[str], load: Load, *, tags: Callable[[str], Sequence[str]]
    ) -> list[Any]:
        """The JSON-like values of `items`, in order; a missing one is loaded. `tags` names what a value depends on."""
        distinct = list(dict.fromkeys(items))
        found, versions = await self._read(view, distinct, tags)
        missing = [item for item in distinct if item not in found]
        if missing:
            found |= await self._fill(view, missing, load, tags, versions)
        return [found.get(item) for item in items]

    async def invalidate(self, tags: Sequence[str]) -> None:
        """Make every value under the tags unreadable; raises StoreUnavailable, because then old values may still be read."""
        commands: list[Command] = []
        for tag in tags:
            commands += [("INCR", _tag_key(tag)), ("EXPIRE", _tag_key(tag), TAG_LIFETIME)]
        await self._redis.send(commands)

    async def _read(
        self, view: View, items: Sequence[str], tags: Callable[[str], Sequence[str]]
    ) -> tuple[dict[str, Any], dict[str, list[int]] | None]:
        """Valid values, and the current versions of every item's tags (None without Redis)."""
        commands: list[Command] = []
        for item in items:
            commands.append(("GET", view.key(item)))
            commands += [("GET", _tag_key(tag)) for tag in tags(item)]
        try:
            answers = iter(await self._redis.send(commands))
        except StoreUnavailable:
            return {}, None
        found: dict[str, Any] = {}
        versions: dict[str, list[int]] = {}
        for item in items:
            stored = next(answers)
            versions[item] = [int(version) if isinstance(version := next(answers), bytes) else 0 for _ in tags(item)]
            if isinstance(stored, bytes):
                value = orjson.loads(stored)
                if value["tags"] == versions[item]:
                    found[item] = value["value"]
        return found, versions

    async def _fill(
        self,
        view: View,
        missing: Sequence[str],
        load: Load,
        tags: Callable[[str], Sequence[str]],
        versions: dict[str, list[int]] | None,
    ) -> dict[str, Any]:
        """Load what nobody loads yet, wait for what somebody does, and store what was loaded."""
        loop = asyncio.get_running_loop()
        waiting = {item: flight for item in missing if (flight := self._flights.get(view.key(item)))}
        mine = [item for item in missing if item not in waiting]
        values: dict[str, Any] = {}
        if mine:
            flights = {item: loop.create_future() for item in mine}
            for item, flight in flights.items():
                self._flights[view.key(item)] = flight
            try:
                loaded = await load(mine)
            except BaseException as error:
                for flight in flights.values():
                    flight.set_exception(
                        error if isinstance(error, Exception) else StoreUnavailable("redis", "cancelled")
                    )
                    flight.exception()  # nobody may be waiting; that is no fault
                raise
            else:
                for item, flight in flights.items():
                    values[item] = loaded.get(item)
                    flight.set_result(values[item])
            finally:
                for item in mine:
                    self._flights.pop(view.key(item), None)
            if versions is not None:
                await self._store(view, values, versions)
        for item, flight in waiting.items():
            values[item] = await flight
        return values

    async def _store(self, view: View, values: Mapping[str, Any], versions: Mapping[str, list[int]]) -> None:
        commands: list[Command] = [
            (
                "SET",
                view.key(item),
                orjson.dumps({"tags": versions[item], "value": value}),
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
