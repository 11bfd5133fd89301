"""Serves the work in memory from a bare ASGI handler: `python -m bench.peers.memory_server EXECUTOR PORT`.

The handler is the same for every executor: Strawberry as it comes (`stock`), with its caches (`caches`), the engine.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import strawberry
import uvicorn

from bench.peers import memory
from bench.peers.memory_compiled import compiled
from bench.stores.http import HOST
from nexfit.api.fields import spec_of
from nexfit.engine.engine import Engine

Json = dict[str, Any]
Receive = Callable[[], Awaitable[Json]]
Send = Callable[[Json], Awaitable[None]]
Execute = Callable[[Json], Awaitable[bytes]]
"""A request's JSON to the response's."""


def by_strawberry(schema: strawberry.Schema) -> Execute:
    """Execute by Strawberry's own executor."""

    async def execute(asked: Json) -> bytes:
        result = await schema.execute(asked["query"], variable_values=asked.get("variables"), root_value=None)
        if result.errors:
            return orjson.dumps({"data": result.data, "errors": [error.formatted for error in result.errors]})
        return orjson.dumps({"data": result.data})

    return execute


def by_engine() -> Execute:
    """Execute by compiled plans."""
    engine = Engine(compiled(), spec_of)

    async def execute(asked: Json) -> bytes:
        result = await engine.execute(asked["query"], variables=asked.get("variables"), root={})
        return result.to_json()

    return execute


EXECUTORS: dict[str, Callable[[], Execute]] = {
    "stock": lambda: by_strawberry(memory.stock(caches=False)),
    "caches": lambda: by_strawberry(memory.stock(caches=True)),
    "engine": by_engine,
}


def app(execute: Execute) -> Callable[[Json, Receive, Send], Awaitable[None]]:
    """The ASGI application around an executor."""

    async def serve(scope: Json, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        answer = await execute(orjson.loads(body)) if scope["method"] == "POST" else b"{}"
        length = (b"content-length", str(len(answer)).encode())
        headers = [(b"content-type", b"application/json; charset=utf-8"), length]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return serve


if __name__ == "__main__":
    uvicorn.run(
        app(EXECUTORS[sys.argv[1]]()),
        host=HOST,
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
    )
