"""Events of the stream to everybody who follows them: each executed and encoded once for all who get the same bytes.

Whoever has the same operation gets the same result, as long as making it did not ask who the viewer is; where it did,
it is made once per viewer. Rights are read from MongoDB after an event was written and before it is handed out, one
read for all facilities and followers of a passage, and several times a second while nothing happens: what is withdrawn
is withdrawn in every process within a second, whoever wrote it. Should they not be readable, nothing is handed out.

A follower that does not keep up is passed over, and told so as soon as it takes something again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import structlog
from bson import ObjectId

from nexfit.api.context import Context, Services
from nexfit.api.execution import given_out
from nexfit.api.fields import feed_of
from nexfit.api.language import Speech
from nexfit.api.live.feeds import Feed, FeedState
from nexfit.domains.errors import Refusal, Unauthenticated
from nexfit.domains.facilities import directory
from nexfit.domains.identity.access import RIGHTS_COLUMNS, Actor, may, refusal
from nexfit.domains.identity.session_watch import SessionsUnknown
from nexfit.engine.subscription import Subscription
from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.hybrid.event_reader import EventReader, Passage, a_moment_ago, is_possible, is_retained
from nexfit.hybrid.event_stream import Entry
from nexfit.stores.errors import StoreError, StoreUnavailable

EVERY = 0.4
"""Seconds between two looks at rights, and at who keeps up again."""

RETRY = 0.2
"""Seconds after which is tried again what a store or a client could not do."""

PATIENCE = 5.0
"""Seconds in which the stream gets back an end that it lost, before a follower is told to begin anew."""

AT_ONCE = 200
"""Followers that get an event before others in the process have their turn."""

READY = 2.0
"""Seconds a follower waits for the reader to know where the stream ends."""

CATCHING_UP = 8
"""Followers whose past is read and executed at the same time."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Counters:
    """What a process has done for its followers."""

    executed: int = 0
    """Events executed and encoded."""
    sent: int = 0
    """Results handed to a follower."""
    missed: int = 0
    """How often a follower began to miss events because it did not keep up."""


class Outlet(Protocol):
    """Where the results of one subscription go."""

    def send(self, result: bytes) -> bool:
        """Take a result to send it; False, and it is not taken, while too much waits to be sent."""
        ...

    def end(self, why: Refusal) -> None:
        """Nothing follows, for this reason."""
        ...


class Follower:
    """One subscription of one client."""

    __slots__ = ("actor", "after", "facility", "group", "is_behind", "is_live", "last", "outlet")

    def __init__(self, outlet: Outlet, actor: Actor, facility: str, group: _Group, after: int | None) -> None:
        self.outlet = outlet
        self.actor = actor
        self.facility = facility
        self.group = group
        self.after = after
        self.last = 0
        """Number up to which it has everything."""
        self.is_live = False
        """Whether it takes part in what the reader hands on; it has caught up."""
        self.is_behind = False
        """Whether entries after `last` were left out because it did not keep up."""


class _Group:
    """Followers of one facility with the same operation in the same language."""

    def __init__(self, subscription: Subscription, feed: Feed, language: str) -> None:
        self.subscription = subscription
        self.feed = feed
        self.language = language
        self.followers: set[Follower] = set()
        self.is_personal = False
        """Whether its results depend on who is asking."""


class _Facility:
    def __init__(self) -> None:
        self.rights: Mapping[str, Any] | None = None
        """As they were last read, for everybody who followed then."""
        self.is_newly_followed = False
        """Whether somebody follows who was not looked at with `rights`."""
        self.groups: dict[Hashable, _Group] = {}

    def followers(self) -> list[Follower]:
        return [follower for group in self.groups.values() for follower in group.followers]


class Fanout:
    """All followers of a process."""

    def __init__(self, services: Services) -> None:
        self.counters = Counters()
        self._services = services
        self._facilities: dict[str, _Facility] = {}
        self._reader = EventReader(services.stores.redis, self._facilities, self._hand_on)
        self._position = 0
        """Number of the last entry that was handed on, or is being handed on."""
        self._is_ready = asyncio.Event()
        self._catching_up = asyncio.Semaphore(CATCHING_UP)

    @property
    def following(self) -> int:
        """How many follow now."""
        return sum(len(group.followers) for facility in self._facilities.values() for group in facility.groups.values())

    @asynccontextmanager
    async def feeding(self) -> AsyncIterator[None]:
        """Feed the followers while the block runs."""
        tasks = [asyncio.create_task(self._reader.run()), asyncio.create_task(self._look_after())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def follow(self, subscription: Subscription, context: Context, outlet: Outlet) -> Follower:
        """Begin to follow, until `leave`; `feed` is to be run then. Raises Refusal, StoreError, GraphQLError."""
        feed: Feed = feed_of(subscription.definition)
        place = feed.place(subscription.arguments())
        actor, language = context.actor, context.speech.language
        actor.require()
        id_ = str(place.facility)
        rights = (await self._rights([id_])).get(id_)
        if rights is None or not may(actor, rights, feed.permission):
            raise refusal(actor)
        with suppress(TimeoutError):
            async with asyncio.timeout(READY):
                await self._is_ready.wait()
        if not self._is_ready.is_set():
            raise StoreUnavailable("redis", "where the event stream ends is not known yet")
        facility = self._facilities.setdefault(id_, _Facility())
        facility.is_newly_followed = True
        key = (subscription.key(), feed, language)
        group = facility.groups.setdefault(key, _Group(subscription, feed, language))
        follower = Follower(outlet, actor, id_, group, place.after)
        group.followers.add(follower)
        return follower

    def leave(self, follower: Follower) -> None:
        """Stop following; nothing happens where it did not."""
        follower.is_live = False
        follower.group.followers.discard(follower)
        facility = self._facilities.get(follower.facility)
        if facility is not None and not follower.group.followers:
            facility.groups = {key: group for key, group in facility.groups.items() if group.followers}
            if not facility.groups:
                del self._facilities[follower.facility]

    async def feed(self, follower: Follower) -> None:
        """Send a notice of how it begins, then what the follower missed; from then on it is fed with all others."""
        after = follower.after
        if after is not None and is_possible(after) and is_retained(after):
            follower.last = after
            await self._notify(follower, after, FeedState.RESUMED)
            await self._catch_up(follower)
        else:
            state = FeedState.STARTED if after is None else FeedState.RESTARTED
            await self._notify(follower, max(self._position, a_moment_ago()), state)
            self._go_live(follower)

    def _go_live(self, follower: Follower) -> None:
        follower.last = max(follower.last, self._position)
        follower.is_live = follower in follower.group.followers

    async def _catch_up(self, follower: Follower) -> None:
        """Hand a follower what it missed. When that is all, its turn with the others begins before anything can happen.

        A stream that ends before the entry that was handed on last has lost its end. The relay brings it back; should
        it not come, the follower is told to begin anew.
        """
        group, lost = follower.group, 0
        while follower in group.followers:
            async with self._catching_up:
                passage = await self._past(follower)
                shown = [(entry.number, await self._result(group, entry, follower.actor)) for entry in passage.entries]
            for number, result in shown:
                if result is not None:
                    await self._send(follower, result)
                follower.last = number
            follower.last = passage.end
            if follower.last >= self._position:
                break
            if passage.is_last:
                lost += 1
                if lost * RETRY > PATIENCE:
                    await self._notify(follower, a_moment_ago(), FeedState.RESTARTED)
                    break
                await asyncio.sleep(RETRY)
        self._go_live(follower)

    async def _past(self, follower: Follower) -> Passage:
        """The passage after what the follower has, with its rights read after that; nothing for one that left."""
        while follower in follower.group.followers:
            try:
                passage = await self._reader.history(follower.facility, follower.last)
                await self._check([follower.facility])
            except (StoreError, SessionsUnknown) as error:
                log.info("a follower waits for what it missed", error=str(error))
                await asyncio.sleep(RETRY)
            else:
                return passage
        return Passage((), follower.last, is_last=True)

    async def _send(self, follower: Follower, result: bytes) -> None:
        """Wait until the follower takes the result, or left."""
        while follower in follower.group.followers and not follower.outlet.send(result):  # noqa: ASYNC110
            await asyncio.sleep(RETRY)

    async def _hand_on(self, passage: Passage) -> None:
        if concerned := {entry.envelope.facility_id for entry in passage.entries}:
            await self._check_until_known([id_ for id_ in concerned if id_])
        for entry in passage.entries:
            self._position = entry.number
            facility = self._facilities.get(entry.envelope.facility_id or "")
            for group in list(facility.groups.values()) if facility else ():
                try:
                    await self._give(group, entry)
                except Exception:  # an entry nobody can make sense of must not hold up those behind it
                    log.exception("an event was not handed on", number=entry.number)
        self._position = passage.end
        self._is_ready.set()

    async def _give(self, group: _Group, entry: Entry) -> None:
        """An entry to all followers of a group that take part."""
        results: dict[ObjectId | None, bytes | None] = {}
        number, handed = entry.number, 0
        for follower in list(group.followers):
            if not follower.is_live or follower.is_behind or follower.last >= number:
                continue
            viewer = follower.actor.user_id if group.is_personal else None
            if viewer not in results:
                made = await self._result(group, entry, follower.actor)
                results[follower.actor.user_id if group.is_personal else None] = made
                if not follower.is_live:  # while the result was made
                    continue
            else:
                made = results[viewer]
            if made is None:
                return
            if follower.outlet.send(made):
                follower.last = number
                self.counters.sent += 1
            else:
                follower.is_behind = True
                self.counters.missed += 1
            handed += 1
            if handed % AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _result(self, group: _Group, entry: Entry, actor: Actor) -> bytes | None:
        """An entry as the followers of a group get it, or this one alone where `is_personal` is set by it."""
        record = group.feed.show(entry)
        return None if record is None else await self._executed(group, record, actor)

    async def _executed(self, group: _Group, record: Mapping[str, Any], actor: Actor) -> bytes:
        context = Context(self._services, self._services.clock(), actor, speech=Speech(group.language))
        result = await group.subscription.execute({group.subscription.name: record}, context)
        group.is_personal = group.is_personal or context.actor_read
        self.counters.executed += 1
        return (await given_out(result, context)).body

    async def _notify(self, follower: Follower, number: int, state: FeedState) -> None:
        group = follower.group
        notice = await self._executed(group, group.feed.notice(number, state), follower.actor)
        await self._send(follower, notice)

    async def _look_after(self) -> NoReturn:
        while True:
            stop_if_cancelled()
            await asyncio.sleep(EVERY)
            try:
                if self._facilities:
                    await self._check(list(self._facilities))
                for facility in list(self._facilities.values()):
                    for follower in facility.followers():
                        if follower.is_behind:
                            await self._bring_back(follower)
            except (StoreError, SessionsUnknown) as error:
                log.info("the rights of followers are not known", error=str(error))
            except Exception:
                log.exception("looking after followers failed")

    async def _bring_back(self, follower: Follower) -> None:
        """Tell a follower that it missed something, if it takes that; then it is fed again."""
        group = follower.group
        notice = await self._executed(group, group.feed.notice(follower.last, FeedState.MISSED), follower.actor)
        if follower.is_live and follower.outlet.send(notice):
            follower.last = self._position
            follower.is_behind = False

    async def _check_until_known(self, ids: list[str]) -> None:
        while True:
            stop_if_cancelled()
            try:
                await self._check(ids)
            except (StoreError, SessionsUnknown) as error:
                log.info("events wait until the rights of followers are known", error=str(error))
                await asyncio.sleep(RETRY)
            else:
                return

    async def _check(self, ids: list[str]) -> None:
        """End the following of those who may no longer, by one read for all. Raises StoreError, SessionsUnknown."""
        found = await self._rights(ids)
        for id_ in ids:
            facility = self._facilities.get(id_)
            if facility is None:
                continue
            rights = found.get(id_)
            is_changed = rights != facility.rights or facility.is_newly_followed
            facility.rights, facility.is_newly_followed = rights, False
            for follower in facility.followers():
                if not self._services.tokens.still_holds(follower.actor):
                    self._end(follower, Unauthenticated("Sign in to ask for this."))
                elif is_changed and (rights is None or not may(follower.actor, rights, follower.group.feed.permission)):
                    self._end(follower, refusal(follower.actor))

    def _end(self, follower: Follower, why: Refusal) -> None:
        self.leave(follower)
        follower.outlet.end(why)

    async def _rights(self, ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        found = await directory.by_ids(self._services.stores.mongo, map(ObjectId, ids), RIGHTS_COLUMNS)
        return {str(id_): rights for id_, rights in found.items()}
