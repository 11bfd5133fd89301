"""Answers whole operations from a cache before any GraphQL work starts; owns nothing but what can be loaded again.

An operation's policy follows from its fields (`nexfit.api.caching`) and is worked out once per document. Whoever asks
for a PRIVATE one is part of the key. A response is kept only when it has no errors, when what it shows is known by
tags, and, for a PUBLIC one, when nothing it ran asked who the viewer is: a field with a wrong hint is then slow, and
never a leak.

Redis is asked whether a kept response still counts, also where this process has it at hand, so that nobody gets what is
older than his own last change, whichever process made it. A guest has changed nothing and is answered from memory for
`TRUSTED` seconds; so is whoever says by `maxStaleness` for how long he bears it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256

import orjson
from graphql import GraphQLError

from nexfit.api.caching import NEVER, Policy, policy_of
from nexfit.api.context import Context
from nexfit.api.execution import Answer, Asked, Operations, Sharing
from nexfit.api.fields import spec_of
from nexfit.domains.identity.access import Actor
from nexfit.engine.cache import SegmentedCache
from nexfit.hybrid.kept_answers import Beginning, KeptAnswer, KeptAnswers
from nexfit.hybrid.versions import Versions

EXECUTOR = "cache"
"""What an answer from the cache names as its executor."""

TRUSTED = 0.1
"""Seconds a guest is answered from this process's memory after Redis said that an answer counts."""

_TRIES = 3
"""Loads of others a reader waits for that come to nothing, before he loads for himself."""


@dataclass(slots=True)
class Counters:
    """What became of operations that may be cached."""

    memory: int = 0
    """Answered without a question to Redis."""
    redis: int = 0
    """Answered after Redis said that the answer counts."""
    shared: int = 0
    """Answered by a load that another request had begun."""
    loaded: int = 0


_Key = tuple[str, str | None, bytes, Actor | None]
"""Everything a response depends on: document, operation name, variables, and the viewer of a PRIVATE one."""


@dataclass(frozen=True, slots=True)
class _Flight:
    """A load under way: when it began (by the monotonic clock), and its answer with whether that was kept.

    The answer is None where it is for nobody else.
    """

    started: float
    landed: asyncio.Future[tuple[Answer | None, bool]]


class ResponseCache:
    """In front of `Operations`. `schema` is part of every name in Redis: an answer of another one is never read."""

    def __init__(self, operations: Operations, kept: KeptAnswers, versions: Versions, *, schema: str) -> None:
        self.counters = Counters()
        self._operations = operations
        self._kept = kept
        self._versions = versions
        self._schema = schema
        self._policies: SegmentedCache[tuple[str, str | None], Policy] = SegmentedCache(2048, 2_000_000, lambda _: 500)
        self._flights: dict[_Key, _Flight] = {}

    async def run(self, asked: Asked, context: Context, *, fresh: bool, keep: bool) -> Answer:
        """The answer to one operation. `fresh` never answers from the cache, without `keep` nothing is kept."""
        policy = self._policy(asked.query, asked.operation_name)
        if policy.max_age and keep:
            key = _key(asked, policy, context)
            if key is not None:
                return await self._cached(key, policy, asked, context, fresh=fresh)
        if not policy.changes:
            return await self._operations.run(asked, context)
        self._versions.distrust()
        try:
            return await self._operations.run(asked, context)
        finally:
            self._versions.distrust()

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
        bears = max(context.max_staleness, TRUSTED if context.is_guest else 0.0)
        asked_at = time.monotonic()
        for _ in range(_TRIES):
            kept: KeptAnswer | None = None
            if fresh:
                beginning = await self._kept.begin()
            else:
                if bears and (kept := self._kept.at_hand(key, bears)) is not None:
                    self.counters.memory += 1
                    return _answer(kept, policy, context)
                kept, beginning = await self._kept.find(key, partial(self._name, key))
            if kept is not None:
                self.counters.redis += 1
                return _answer(kept, policy, context)
            if beginning is None:
                break  # without Redis nothing says how old another's load is
            flight = None if fresh else self._flights.get(key)
            if flight is None:
                return await self._lead(key, policy, asked, context, beginning)
            # Shielded: who leaves must not take the load with him that others wait for.
            answer, is_kept = await asyncio.shield(flight.landed)
            if answer is not None and (is_kept or flight.started >= asked_at):
                self.counters.shared += 1
                return replace(answer, sharing=_sharing(0, policy, context) if is_kept else None)
        self.counters.loaded += 1
        return await self._operations.run(asked, context)

    async def _lead(self, key: _Key, policy: Policy, asked: Asked, context: Context, beginning: Beginning) -> Answer:
        """Load and keep the answer, for everybody who asks for it while it is loaded.

        They may have asked after the load began. What is kept is as good as loaded when it was kept, which is after
        the last of them asked; what is not kept is for those who had asked before it began. So however many ask, and
        whether anything can be kept or not, they wait for two loads at most.
        """
        self.counters.loaded += 1
        flight = _Flight(time.monotonic(), asyncio.get_running_loop().create_future())
        self._flights[key] = flight
        kept: KeptAnswer | None = None
        shared: Answer | None = None
        try:
            context.touched = set()
            try:
                answer = await self._operations.run(asked, context)
            finally:
                if self._flights.get(key) is flight:
                    del self._flights[key]
            tags = context.touched
            if answer.failed or tags is None or context.speech.spoken or (context.actor_read and not policy.private):
                return answer
            shared = answer
            kept = await self._kept.keep(key, self._name(key), answer.body, tags, policy.max_age, beginning)
            return answer if kept is None else replace(answer, sharing=_sharing(0, policy, context))
        finally:
            flight.landed.set_result((shared, kept is not None))

    def _name(self, key: _Key) -> str:
        query, operation_name, variables, viewer = key
        parts = (self._schema, repr(viewer), operation_name, query, variables.decode())
        return sha256(orjson.dumps(parts)).hexdigest()


def _key(asked: Asked, policy: Policy, context: Context) -> _Key | None:
    try:
        variables = orjson.dumps(asked.variables or {}, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # nested deeper than JSON is written
        return None
    return asked.query, asked.operation_name, variables, context.viewer if policy.private else None


def _answer(kept: KeptAnswer, policy: Policy, context: Context) -> Answer:
    return Answer(kept.body, EXECUTOR, executed=True, sharing=_sharing(int(kept.age()), policy, context))


def _sharing(age: int, policy: Policy, context: Context) -> Sharing:
    return Sharing(age, policy.max_age, private=policy.private or not context.is_guest)


def version_of(schema_text: str) -> str:
    """A short name of a schema: answers made by another one differ in it."""
    return sha256(schema_text.encode()).hexdigest()[:16]
