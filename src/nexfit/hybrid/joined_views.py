"""Joined views: values put together from several stores, kept in Redis and in this process under versions of tags.

A stored value carries the versions its tags had when its load began, and counts only while they are those of now
(`nexfit.hybrid.versions`). A reader that raced with an invalidation stores a value that is already out of date and
therefore never read. Every read asks Redis for the versions, also for values that this process has at hand, so that
nobody is served what is older than an invalidation he knows of; who says that he bears `within` some seconds is
answered from memory meanwhile.

One load per key and versions is in flight in a process, and one among all processes while a lease on it lasts. Values
that expire are loaded anew a little earlier by one of many readers (XFetch, Vattani et al. 2015), so that an expiry
keeps nobody waiting. Without Redis every view is loaded.
"""

from __future__ import annotations

import asyncio
import copy
import random
import secrets
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import structlog

from nexfit.hybrid.versions import PREFIX, Versions
from nexfit.hybrid.view_values import Counters, Moment, Stored, View
from nexfit.stores.errors import StoreError, StoreUnavailable
from nexfit.stores.redis import Command, RedisStore

LEASE = 1.0
"""Seconds a process may take for a load while the others wait."""

WAIT = 0.2
"""Seconds the others wait for it; then they load for themselves."""

LOOK = 0.01
"""Seconds between two looks at whether it is there."""

NOTHING_LIFETIME = 5.0
"""Seconds it may be remembered at most that there is nothing."""

MOST_IN_MEMORY = 4096
"""Values this process keeps at hand."""

LARGEST_IN_MEMORY = 65_536
"""Bytes of a value, as Redis holds it, beyond which it is not kept at hand."""

LINGER = 0.05
"""Seconds a lease lasts after its load: for those who have looked before the value was there, and ask for it now."""

# Ends a lease that is still one's own, in some milliseconds.
_END_LEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"

__all__ = ["JoinedViews", "Load", "TagsOf", "View"]

Load = Callable[[Sequence[str]], Awaitable[Mapping[str, Any]]]
"""Loads the values of the missing keys from the stores, all in one batch."""

TagsOf = Callable[[str], Sequence[str]]
"""The tags a key's value depends on; at least one."""

log = structlog.get_logger(__name__)


class _Cancelled(Exception):
    """The request that was loading for others went away; they load again."""


@dataclass(slots=True)
class _State:
    """What a process knows, whoever reads."""

    flights: dict[tuple[str, str], asyncio.Future[Any]] = field(default_factory=dict)
    memory: OrderedDict[str, Stored] = field(default_factory=OrderedDict)
    refreshing: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    counters: defaultdict[str, Counters] = field(default_factory=lambda: defaultdict(Counters))


class JoinedViews:
    """Reads views. Their values are shared by all readers of a process: nobody changes one."""

    def __init__(self, redis: RedisStore) -> None:
        self.versions = Versions(redis)
        self._redis = redis
        self._state = _State()
        self._bears = 0.0

    @property
    def counters(self) -> Mapping[str, Counters]:
        """What became of reads, by the view's name."""
        return self._state.counters

    def within(self, seconds: float) -> JoinedViews:
        """The same views for a reader who bears what Redis confirmed at most so long ago."""
        if seconds == self._bears:
            return self
        other = copy.copy(self)
        other._bears = seconds
        return other

    async def get(self, view: View, items: Sequence[str], load: Load, *, tags: TagsOf) -> list[Any]:
        """The JSON-like values of `items`, in order; a missing one is loaded. `tags` names what a value depends on."""
        distinct = list(dict.fromkeys(items))
        if not distinct:
            return []
        counters = self._state.counters[view.name]
        found = self._at_hand(view, distinct) if self._bears else {}
        counters.memory += len(found)
        rest = [item for item in distinct if item not in found]
        if rest:
            stored, moment = await self._read(view, rest, tags)
            found |= {item: one.value for item, one in stored.items()}
            missing = [item for item in rest if item not in stored]
            if missing:
                found |= await self._fill(view, missing, load, tags, moment)
            if moment is not None:
                self._refresh(view, [item for item, one in stored.items() if one.is_due(moment.at)], load, tags, moment)
        return [found.get(item) for item in items]

    async def invalidate(self, tags: Collection[str]) -> None:
        """Make every value under the tags unreadable. Raises StoreUnavailable: then it is done when Redis is back."""
        await self.versions.raise_(tags)

    def close(self) -> None:
        """Leave what goes on beside readers."""
        self.versions.close()
        for task in self._state.refreshing.values():
            task.cancel()

    def _at_hand(self, view: View, items: Sequence[str]) -> dict[str, Any]:
        """Values that were confirmed a moment ago, and not before this process changed something."""
        since = max(time.monotonic() - self._bears, self.versions.changed_at)
        now = time.time()
        return {
            item: held.value
            for item in items
            if (held := self._state.memory.get(view.key(item))) and held.confirmed >= since and now < held.until
        }

    async def _read(self, view: View, items: Sequence[str], tags: TagsOf) -> tuple[dict[str, Stored], Moment | None]:
        """Valid values, and what Redis says of every item's tags (None without Redis)."""
        if self._redis.is_away:
            return {}, None
        counters = self._state.counters[view.name]
        tags_of = {item: tags(item) for item in items}
        names = list(dict.fromkeys(tag for some in tags_of.values() for tag in some))
        at, clock = time.time(), time.monotonic()
        memory = self._state.memory
        held = {item: one for item in items if (one := memory.get(view.key(item))) is not None and at < one.until}
        asked = [item for item in items if item not in held]
        try:
            generation, versions, answers = await self.versions.read(
                names, *(("GET", view.key(item)) for item in asked)
            )
            known = dict(zip(names, versions, strict=True))
            if unknown := [name for name in names if not known[name]]:
                known |= zip(unknown, await self.versions.give(unknown), strict=True)
        except StoreUnavailable:
            return {}, None
        moment = Moment(at, clock, generation, {item: [known[tag] for tag in some] for item, some in tags_of.items()})
        found: dict[str, Stored] = {}
        for item, one in held.items():
            if moment.confirms(item, one):
                found[item] = one
                one.confirmed = clock
                if view.key(item) in memory:  # another reader may have put it out meanwhile
                    memory.move_to_end(view.key(item))
                counters.memory += 1
        for item, written in zip(asked, cast("list[bytes | None]", answers), strict=True):
            if written is None:
                continue
            one = Stored.read(written)
            if moment.confirms(item, one):
                found[item] = one
                self._remember(view.key(item), one, clock, len(written))
                counters.redis += 1
        if outdated := [item for item in held if item not in found]:
            # Another process may have loaded it meanwhile: that is in Redis.
            for item in outdated:
                memory.pop(view.key(item), None)
            more, _ = await self._read(view, outdated, tags)
            found |= more
        return found, moment

    async def _fill(
        self, view: View, missing: Sequence[str], load: Load, tags: TagsOf, moment: Moment | None
    ) -> dict[str, Any]:
        """Load what nobody loads yet, wait for what somebody does, and store what was loaded."""
        counters = self._state.counters[view.name]
        if moment is None:
            # Nothing says how old another's load is, so every reader loads for itself.
            counters.loaded += len(missing)
            loaded = await load(missing)
            return {item: loaded.get(item) for item in missing}
        # Only loads that began at the same versions are shared: one that began earlier may have read what is now old.
        places = {item: (view.key(item), moment.beginning(item)) for item in missing}
        waiting = {item: flight for item, place in places.items() if (flight := self._state.flights.get(place))}
        mine = [item for item in missing if item not in waiting]
        values = await self._lead(view, mine, load, tags, moment) if mine else {}
        for item, flight in waiting.items():
            try:
                # Shielded: a reader that goes away must not take the load with it that others wait for.
                values[item] = await asyncio.shield(flight)
                counters.shared += 1
            except _Cancelled:
                values |= await self._fill(view, [item], load, tags, moment)
        return values

    async def _lead(self, view: View, mine: Sequence[str], load: Load, tags: TagsOf, moment: Moment) -> dict[str, Any]:
        """Load for every reader of this process, unless another process is at it."""
        flights = {item: asyncio.get_running_loop().create_future() for item in mine}
        places = {item: (view.key(item), moment.beginning(item)) for item in mine}
        self._state.flights |= {places[item]: flight for item, flight in flights.items()}
        try:
            values = await self._load_or_await(view, mine, load, tags, moment)
        except BaseException as error:
            for flight in flights.values():
                flight.set_exception(error if isinstance(error, Exception) else _Cancelled())
                flight.exception()  # nobody may be waiting; that is no fault
            raise
        finally:
            for place in places.values():
                del self._state.flights[place]
        for item, flight in flights.items():
            flight.set_result(values[item])
        return values

    async def _load_or_await(
        self, view: View, items: Sequence[str], load: Load, tags: TagsOf, moment: Moment
    ) -> dict[str, Any]:
        token = secrets.token_hex(8)
        leases = {item: f"{PREFIX}:fill:{view.key(item)}:{moment.beginning(item)}" for item in items}
        try:
            taken = await self._redis.send(
                [("SET", lease, token, "NX", "PX", int(LEASE * 1000)) for lease in leases.values()]
            )
        except StoreUnavailable:
            taken = [b"OK"] * len(items)
        mine = [item for item, answer in zip(items, taken, strict=True) if answer is not None]
        values: dict[str, Any] = {}
        if mine:
            try:
                values = await self._load_and_store(
                    view, mine, load, tags, moment, [_ending(leases[item], token, LINGER) for item in mine]
                )
            except BaseException:
                await self._send_if_there([_ending(leases[item], token, 0) for item in mine])
                raise
        left = [item for item in items if item not in values]
        if left:
            values |= await self._awaited(view, left, tags)
            left = [item for item in left if item not in values]
            if left:
                values |= await self._load_and_store(view, left, load, tags, moment)
        return values

    async def _load_and_store(
        self, view: View, items: Sequence[str], load: Load, tags: TagsOf, moment: Moment, also: Sequence[Command] = ()
    ) -> dict[str, Any]:
        """`also` is sent with what is stored."""
        self._state.counters[view.name].loaded += len(items)
        started = time.monotonic()
        loaded = await load(items)
        values = {item: loaded.get(item) for item in items}
        await self._store(view, values, tags, moment, time.monotonic() - started, also)
        return values

    async def _awaited(self, view: View, items: Sequence[str], tags: TagsOf) -> dict[str, Any]:
        """What other processes load meanwhile, as far as it comes in time."""
        deadline = time.monotonic() + WAIT
        values: dict[str, Any] = {}
        while len(values) < len(items) and time.monotonic() < deadline:
            await asyncio.sleep(LOOK)
            left = [item for item in items if item not in values]
            found, moment = await self._read(view, left, tags)
            values |= {item: one.value for item, one in found.items()}
            if moment is None:
                break
        self._state.counters[view.name].awaited += len(values)
        return values

    async def _store(
        self,
        view: View,
        values: Mapping[str, Any],
        tags: TagsOf,
        moment: Moment,
        took: float,
        also: Sequence[Command] = (),
    ) -> None:
        """Keep what was loaded, under the versions its load began at."""
        commands: list[Command] = []
        for item, value in values.items():
            # Values that were stored together must not all expire together.
            lifetime = view.lifetime * random.uniform(0.8, 1.0)  # noqa: S311
            if value is None:
                lifetime = min(lifetime, NOTHING_LIFETIME)
            until = moment.at + lifetime
            one = Stored(value, moment.versions[item], moment.generation, moment.at, until, took)
            left = int((until - time.time()) * 1000)
            if left > 0:
                written = one.written()
                self._remember(view.key(item), one, moment.clock, len(written))
                commands.append(("SET", view.key(item), written, "PX", left))
        tags_of = {item: tags(item) for item in values}
        names = list(dict.fromkeys(tag for some in tags_of.values() for tag in some))
        try:
            # Asked beside: that the load raced with a writer changes nothing, but it should be seen how often.
            _, versions, _ = await self.versions.read(names, *commands, *also)
        except StoreUnavailable:
            return
        now = dict(zip(names, versions, strict=True))
        raced = sum([now[tag] for tag in some] != moment.versions[item] for item, some in tags_of.items())
        self._state.counters[view.name].races += raced

    def _refresh(self, view: View, items: Sequence[str], load: Load, tags: TagsOf, moment: Moment) -> None:
        """Load ahead of the end, beside the readers, who have what still counts."""
        refreshing = self._state.refreshing
        for item in items:
            key = view.key(item)
            if key not in refreshing:
                refreshing[key] = asyncio.create_task(self._refresh_one(view, item, load, tags, moment), name=key)
                refreshing[key].add_done_callback(lambda task: refreshing.pop(task.get_name(), None))

    async def _refresh_one(self, view: View, item: str, load: Load, tags: TagsOf, moment: Moment) -> None:
        lease = f"{PREFIX}:fill:{view.key(item)}:{moment.beginning(item)}"
        try:
            [taken] = await self._redis.send([("SET", lease, "refresh", "NX", "PX", int(LEASE * 1000))])
            if taken is not None:
                self._state.counters[view.name].refreshed += 1
                await self._load_and_store(view, [item], load, tags, moment)
        except StoreError:
            return  # whoever needs it next loads it
        except Exception:
            log.exception("a view could not be refreshed", view=view.name)

    async def _send_if_there(self, commands: Sequence[Command]) -> None:
        try:
            await self._redis.send(commands)
        except StoreUnavailable:
            return

    def _remember(self, key: str, one: Stored, confirmed: float, size: int) -> None:
        if size > LARGEST_IN_MEMORY:
            return
        one.confirmed = confirmed
        memory = self._state.memory
        memory[key] = one
        memory.move_to_end(key)
        while len(memory) > MOST_IN_MEMORY:
            memory.popitem(last=False)


def _ending(lease: str, token: str, seconds: float) -> Command:
    return "EVAL", _END_LEASE, 1, lease, token, int(seconds * 1000)
