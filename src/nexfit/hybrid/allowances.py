"""What each viewer may ask for: points that come back with time, in buckets in Redis that all processes share.

A process takes a slice of a viewer's points at a time and hands it out by itself, so that a busy viewer costs Redis one
command every `LEASE` seconds or every slice, and not one a request. While Redis is away each process counts on its own.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from nexfit.hybrid.buckets import Bucket, take
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.redis import RedisStore

LEASE = 1.0
"""Seconds a slice may be used; what is left of it then is lost to the viewer."""

SLICE = 0.1
"""Of what comes back in a second, taken in advance."""

MOST_VIEWERS = 20_000
"""Viewers a process remembers."""


@dataclass(slots=True)
class _Lease:
    points: float
    until: float
    left: float
    """What was left in the bucket when it was asked."""


class Allowances:
    """Points of all viewers: up to `size`, of which `per_second` come back."""

    def __init__(
        self, redis: RedisStore, *, size: float, per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.size = size
        self.per_second = per_second
        self._redis = redis
        self._clock = clock
        self._leases: OrderedDict[str, _Lease] = OrderedDict()
        self._own: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """While Redis is away: points held, and when."""

    def at_hand(self, viewer: str, points: float) -> bool:
        """Whether the points were there without asking anybody; they are spent then."""
        lease = self._leases.get(viewer)
        if lease is None or lease.points < points or lease.until < self._clock():
            return False
        lease.points -= points
        return True

    async def spend(self, viewer: str, points: float) -> float:
        """Spend points; otherwise the seconds until they are there, with nothing spent."""
        if self.at_hand(viewer, points):
            return 0.0
        held = self._held(viewer)
        least = min(points, self.size) - held
        wanted = Bucket(f"points:{viewer}", self.size, self.per_second, least, least + self.per_second * SLICE)
        try:
            taken = await take(self._redis, [wanted])
        except StoreUnavailable:
            return self._spend_alone(viewer, min(points, self.size))
        if taken.wait:
            return taken.wait
        [(got, left)] = taken.buckets
        # Others may have taken from the lease meanwhile: what they left is what it holds.
        rest = self._held(viewer) + got - points
        self._leases[viewer] = _Lease(max(0.0, rest), self._clock() + LEASE, left)
        self._leases.move_to_end(viewer)
        if len(self._leases) > MOST_VIEWERS:
            self._leases.popitem(last=False)
        return 0.0

    def available(self, viewer: str) -> int:
        """About how many points the viewer has left."""
        lease = self._leases.get(viewer)
        if lease is None:
            held, at = self._own.get(viewer, (self.size, 0.0))
            return int(min(self.size, held + (self._clock() - at) * self.per_second))
        waited = max(0.0, self._clock() - (lease.until - LEASE))
        return int(min(self.size, lease.left + lease.points + waited * self.per_second))

    def _held(self, viewer: str) -> float:
        lease = self._leases.get(viewer)
        return lease.points if lease is not None and lease.until >= self._clock() else 0.0

    def _spend_alone(self, viewer: str, points: float) -> float:
        now = self._clock()
        held, at = self._own.get(viewer, (self.size, now))
        held = min(self.size, held + (now - at) * self.per_second)
        wait = max(0.0, (points - held) / self.per_second)
        self._own[viewer] = (held if wait else held - points, now)
        self._own.move_to_end(viewer)
        if len(self._own) > MOST_VIEWERS:
            self._own.popitem(last=False)
        return wait
