"""Redis or Valkey over redis-py: short time limits and a circuit breaker, because everything here can be rebuilt."""

from __future__ import annotations

import time
from collections.abc import Sequence

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from nexfit.settings import RedisSettings
from nexfit.stores import commands
from nexfit.stores.errors import StoreUnavailable

Command = tuple[str | bytes | int | float, ...]


class RedisStore:
    """Sends commands in pipelines of one round trip; after a failure it refuses at once for `retry_after` seconds."""

    def __init__(self, settings: RedisSettings) -> None:
        self._retry_after = settings.retry_after
        self._refused_until = 0.0
        self._client = Redis(
            connection_pool=BlockingConnectionPool.from_url(
                settings.url.get_secret_value(),
                max_connections=settings.pool_size,
                timeout=settings.timeout,
                socket_timeout=settings.timeout,
                socket_connect_timeout=settings.connect_timeout,
                retry=Retry(NoBackoff(), 0),
                protocol=3,
                client_name="nexfit",
            )
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def ping(self) -> None:
        """One round trip, tried even after a failure a moment ago; raises StoreUnavailable."""
        await self._send([("PING",)])

    async def send(self, batch: Sequence[Command]) -> list[object]:
        """Answers of a batch of commands in one round trip (bytes, ints, None); raises StoreUnavailable."""
        if time.monotonic() < self._refused_until:
            raise StoreUnavailable("redis", "not tried: it failed a moment ago")
        return await self._send(batch)

    async def _send(self, batch: Sequence[Command]) -> list[object]:
        for command in batch:
            commands.record("redis", str(command[0]))
        try:
            pipeline = self._client.pipeline(transaction=False)
            for command in batch:
                pipeline.execute_command(*command)
            answers: list[object] = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._refused_until = time.monotonic() + self._retry_after
            raise StoreUnavailable("redis", repr(error)) from error
        self._refused_until = 0.0
        return answers
