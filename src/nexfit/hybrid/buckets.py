"""Token buckets in Redis: each holds up to `size` tokens and gets `per_second` back.

Redis owns them and its clock counts, so all processes see one bucket. A bucket that is full is not stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from nexfit.hybrid.versions import PREFIX
from nexfit.stores.redis import RedisStore

_TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local held, wait = {}, 0
for i, key in ipairs(KEYS) do
  local size, rate, least = tonumber(ARGV[i * 4 - 3]), tonumber(ARGV[i * 4 - 2]), tonumber(ARGV[i * 4 - 1])
  local saved = redis.call('HMGET', key, 'held', 'at')
  held[i] = size
  if saved[1] then
    held[i] = math.min(size, tonumber(saved[1]) + math.max(0, now - tonumber(saved[2])) * rate)
  end
  if held[i] < least then wait = math.max(wait, (least - held[i]) / rate) end
end
if wait > 0 then return {tostring(wait)} end
local answer = {'0'}
for i, key in ipairs(KEYS) do
  local size, rate, most = tonumber(ARGV[i * 4 - 3]), tonumber(ARGV[i * 4 - 2]), tonumber(ARGV[i * 4])
  local taken = math.min(most, held[i])
  local left = math.min(size, held[i] - taken)
  if left < size then
    redis.call('HSET', key, 'held', tostring(left), 'at', tostring(now))
    redis.call('PEXPIRE', key, math.ceil((size - left) / rate * 1000) + 1000)
  else
    redis.call('DEL', key)
  end
  answer[#answer + 1] = tostring(taken)
  answer[#answer + 1] = tostring(left)
end
return answer
"""
"""Answers the seconds to wait, nothing taken; or 0, and for each bucket what was taken and what is left."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket by name, and what is wanted of it: at least `least` tokens, `most` if they are there.

    A negative amount gives back.
    """

    name: str
    size: float
    per_second: float
    least: float = 1
    most: float = 1


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a request to buckets: `wait` seconds and nothing taken, or `(taken, left)` for each of them."""

    wait: float
    buckets: tuple[tuple[float, float], ...]


async def take(redis: RedisStore, buckets: Sequence[Bucket]) -> Taken:
    """Take from all buckets or from none, in one round trip. Raises StoreUnavailable."""
    # The braces keep all buckets in one slot of a Redis Cluster, so that one script may look into several.
    keys = [f"{PREFIX}:{{buckets}}:{bucket.name}" for bucket in buckets]
    wanted = [amount for bucket in buckets for amount in (bucket.size, bucket.per_second, bucket.least, bucket.most)]
    [answer] = await redis.send([("EVAL", _TAKE, len(keys), *keys, *wanted)])
    wait, *parts = map(float, cast("list[bytes]", answer))
    return Taken(wait, tuple(zip(parts[::2], parts[1::2], strict=True)))
