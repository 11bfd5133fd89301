"""A bounded cache that a stream of never-repeated keys cannot empty. Lives in the process; owns nothing else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SegmentedCache(Generic[K, V]):
    """Least recently used in two segments: entries asked for twice outlive entries asked for once.

    A new entry starts in probation and is promoted by its first hit, so a client that sends an endless stream of new
    operations only evicts its own. `entries` bounds the number of entries, `weight` the sum of `weigh(value)` over all
    of them; an entry heavier than the whole bound is not kept.
    """

    def __init__(self, entries: int, weight: int, weigh: Callable[[V], int]) -> None:
        self._entries = max(1, entries)
        self._most_protected = max(1, self._entries * 4 // 5)
        self._weight_limit = weight
        self._weigh = weigh
        self._weights: dict[K, int] = {}
        self._probation: OrderedDict[K, V] = OrderedDict()
        self._protected: OrderedDict[K, V] = OrderedDict()
        self.weight = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._probation) + len(self._protected)

    def get(self, key: K) -> V | None:
        """The cached value, or None; a hit makes the entry the last to go."""
        value = self._protected.get(key)
        if value is not None:
            self._protected.move_to_end(key)
            return value
        value = self._probation.pop(key, None)
        if value is not None:
            self._protected[key] = value
            if len(self._protected) > self._most_protected:
                demoted, demoted_value = self._protected.popitem(last=False)
                self._probation[demoted] = demoted_value
        return value

    def put(self, key: K, value: V) -> None:
        """Keep a value that `get` did not find."""
        weight = self._weigh(value)
        if weight > self._weight_limit:
            return
        self._probation[key] = value
        self._weights[key] = weight
        self.weight += weight
        while len(self) > self._entries or self.weight > self._weight_limit:
            segment = self._probation if len(self._probation) > 1 or not self._protected else self._protected
            dropped, _ = segment.popitem(last=False)
            self.weight -= self._weights.pop(dropped)
            self.evicted += 1
