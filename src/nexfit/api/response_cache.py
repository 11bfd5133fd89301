"""Answers whole operations from a cache before any GraphQL work starts; owns nothing but what can be loaded again.

An operation's policy follows from its fields (`nexfit.api.caching`) and is worked out once per document. Whoever asks
for a PRIVATE one is part of the key. A response is kept only when it has no errors, when what it shows is known by
tags, and, for a PUBLIC one, when nothing it ran asked who the viewer is: a field with a wrong hint is then slow, and
never a leak.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from hashlib import sha256

import orjson
from graphql import GraphQLError

from nexfit.api.caching import NEVER, Policy, policy_of
from nexfit.api.context import Context
from nexfit.api.execution import Answer, Asked, Operations, Sharing
from nexfit.api.fields import spec_of
from nexfit.engine.cache import SegmentedCache
from nexfit.hybrid.kept_answers import KeptAnswer, KeptAnswers

EXECUTOR = "cache"
"""What an answer from the cache names as its executor."""


@dataclass(slots=True)
class Counters:
    """What became of operations that may be cached."""

    memory: int = 0
    redis: int = 0
    shared: int = 0
    """Answered by a load that another request had begun."""
    loaded: int = 0


_Key = tuple[str, str | None, bytes, str]
"""Everything a response depends on: document, operation name, variables, and the viewer of a PRIVATE one."""


class _GaveUp(Exception):
    """The load that others waited for came to nothing they may have."""


class ResponseCache:
    """In front of `Operations`. `version` is part of every name in Redis: an answer of another schema is never read."""

    def __init__(self, operations: Operations, kept: KeptAnswers, *, version: str) -> None:
        self.counters = Counters()
        self._operations = operations
        self._kept = kept
        self._version = version
        self._policies: SegmentedCache[tuple[str, str | None], Policy] = SegmentedCache(2048, 2_000_000, lambda _: 500)
        self._flights: dict[tuple[_Key, int], asyncio.Future[Answer]] = {}
        self._changes = 0
        """Mutations this process has begun or ended: who asks after one does not join a load from before it."""

    async def run(self, asked: Asked, context: Context, *, fresh: bool, keep: bool) -> Answer:
        """The answer to one operation. `fresh` never answers from the cache, without `keep` nothing is kept."""
        policy = self._policy(asked.query, asked.operation_name)
        if policy.max_age and keep:
            key = _key(asked, policy, context)
            if key is not None:
                return await self._cached(key, policy, asked, context, fresh=fresh)
        if not policy.changes:
            return await self._operations.run(asked, context)
        self._changed()
        try:
            return await self._operations.run(asked, context)
        finally:
            self._changed()

    def _changed(self) -> None:
        self._changes += 1
        self._kept.distrust()

    def _policy(self, query: str, operation_name: str | None) -> Policy:
        policy = self._policies.get((query, operation_name))
        if policy is None:
            engine = self._operations.engine
            prepared = engine.prepare(query)
            operation = None if prepared.errors else prepared.operation(operation_name)
            if operation is None or isinstance(operation, GraphQLError):
                return NEVER
            policy = policy_of(engine.schema, operation.node, prepared.fragments, spec_of)
            self._policies.put((query, operation_name), policy)
        return policy

    async def _cached(self, key: _Key, policy: Policy, asked: Asked, context: Context, *, fresh: bool) -> Answer:
        if not fresh:
            kept = self._kept.at_hand(key)
            if kept is not None:
                self.counters.memory += 1
                return _answer(kept, policy)
            flight = self._flights.get((key, self._changes))
            if flight is not None:
                try:
                    # Shielded: who leaves must not take the load with him that others wait for.
                    answer = await asyncio.shield(flight)
                except _GaveUp:
                    return await self._operations.run(asked, context)
                self.counters.shared += 1
                return answer
        return await self._lead(key, policy, asked, context, fresh=fresh)

    async def _lead(self, key: _Key, policy: Policy, asked: Asked, context: Context, *, fresh: bool) -> Answer:
        """Find or load the answer, for everybody who asks for it meanwhile."""
        flight: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        place = (key, self._changes)
        self._flights[place] = flight
        answer: Answer | None = None
        try:
            answer = await self._found_or_loaded(key, policy, asked, context, fresh=fresh)
        finally:
            if self._flights.get(place) is flight:
                del self._flights[place]
            if answer is not None and answer.sharing is not None:
                flight.set_result(answer)
            else:
                flight.set_exception(_GaveUp())
                flight.exception()  # nobody may be waiting; that is no fault
        return answer

    async def _found_or_loaded(
        self, key: _Key, policy: Policy, asked: Asked, context: Context, *, fresh: bool
    ) -> Answer:
        name = self._name(key)
        kept: KeptAnswer | None = None
        if fresh:
            beginning = await self._kept.begin()
        else:
            kept, beginning = await self._kept.find(key, name)
        if kept is not None:
            self.counters.redis += 1
            return _answer(kept, policy)
        self.counters.loaded += 1
        context.touched = set()
        answer = await self._operations.run(asked, context)
        tags = context.touched
        if answer.failed or tags is None or (context.actor_read and not policy.private):
            return answer
        if beginning is not None:
            await self._kept.keep(key, name, answer.body, tags, policy.max_age, beginning)
        return replace(answer, sharing=Sharing(0, policy.max_age, private=policy.private))

    def _name(self, key: _Key) -> str:
        query, operation_name, variables, viewer = key
        parts = (self._version, viewer, operation_name, query, variables.decode())
        return sha256(orjson.dumps(parts)).hexdigest()


def _key(asked: Asked, policy: Policy, context: Context) -> _Key | None:
    try:
        variables = orjson.dumps(asked.variables or {}, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # nested deeper than JSON is written
        return None
    return asked.query, asked.operation_name, variables, context.viewer if policy.private else ""


def _answer(kept: KeptAnswer, policy: Policy) -> Answer:
    age = int(kept.age())
    return Answer(kept.body, EXECUTOR, executed=True, sharing=Sharing(age, policy.max_age, private=policy.private))


def version_of(schema_text: str) -> str:
    """A short name of a schema: answers made by another one differ in it."""
    return sha256(schema_text.encode()).hexdigest()[:16]
