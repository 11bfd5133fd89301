"""`python -m bench guard`: what guard, limits, points, rights and the log line add to a small query.

One process calls the endpoint as the server would, over real stores with a small demo. Each variant leaves one thing
out; variants take turns, and what is compared is CPU time, so a busy machine changes the ratios little.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import orjson
from rich.console import Console
from rich.table import Table

from nexfit.api.context import Context
from nexfit.api.execution import Asked
from nexfit.app import create_app
from nexfit.domains.identity.access import Actor
from nexfit.embedded import EmbeddedServers
from nexfit.local_servers import set_encryption_keys, variables
from nexfit.operations.demo import seed
from nexfit.operations.setup import migrate_up
from nexfit.settings import HttpSettings, LimitSettings, Settings
from nexfit.stores.connections import open_stores

QUERY = "query Small($id: ID!) { facility(id: $id) { name staff { role } } }"
"""One facility, and a list that needs a right there."""

EVERYTHING = "everything"
BARE = "nothing of it: engine and answer"


async def measure(requests: int, rounds: int) -> dict[str, float]:
    """Microseconds of CPU per request by variant."""
    with TemporaryDirectory(prefix="nexfit-bench-") as home, EmbeddedServers(Path(home), durable=False) as servers:
        set_encryption_keys(Path(home))
        os.environ |= variables(servers.urls)
        http = HttpSettings(response_cache=False)
        limits = LimitSettings(points=10**9, points_per_second=10**6)  # counted as ever, never used up
        settings = Settings(http=http, limits=limits, background=False)
        await migrate_up(settings)
        async with open_stores(settings) as stores:
            await seed(stores, scale=0.1)
        app = create_app(settings)
        async with app.router.lifespan_context(app):
            return await _variants(app.state.endpoint, requests, rounds)


async def _variants(endpoint: Any, requests: int, rounds: int) -> dict[str, float]:
    token, owner, facility = await _subject(endpoint)
    body = orjson.dumps({"query": QUERY, "variables": {"id": facility}})
    operations, services = endpoint._operations, endpoint._services

    async def whole() -> bytes:
        return await posted(endpoint, body, token)

    async def bare() -> bytes:
        context = Context(services, datetime.now(UTC), Actor(owner))
        return bytes((await operations.run(Asked(QUERY, {"id": facility}), context)).body)

    async def all_yes(_: object, __: object, records: Sequence[object], ___: object) -> list[bool]:
        return [True] * len(records)

    async def no_cost(*_: object) -> None:
        return None

    @contextmanager
    def without(name: str) -> Iterator[None]:
        with ExitStack() as stack:
            if name in ("the log line", BARE):
                stack.enter_context(patch.object(endpoint, "_observers", ()))
            if name in ("points", BARE):
                allowances = services.allowances
                object.__setattr__(services, "allowances", None)
                stack.callback(object.__setattr__, services, "allowances", allowances)
            if name in ("cost and points of the operation", BARE):
                stack.enter_context(patch.object(operations, "refused_by_cost", no_cost))
            if name in ("rights", BARE):
                stack.enter_context(patch("nexfit.api.guarding.permitted", all_yes))
            yield

    runs: dict[str, Callable[[], Any]] = {
        EVERYTHING: whole,
        "the log line": whole,
        "points": whole,
        "cost and points of the operation": whole,
        "rights": whole,
        BARE: bare,
    }
    expected = await whole()
    assert b"role" in expected, expected
    taken: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for turn in range(rounds):
        for name in (*names[turn % len(names) :], *names[: turn % len(names)]):  # none always follows the same one
            run = runs[name]
            with without(name):
                assert await run() == expected
                gc.collect()
                started = time.process_time()
                for _ in range(requests):
                    await run()
                taken[name].append((time.process_time() - started) / requests * 1e6)
    return {name: median(times) for name, times in taken.items()}


async def _subject(endpoint: Any) -> tuple[str, Any, str]:
    """The owner's token and id, and one of its facilities."""
    query = """mutation ($i: LoginInput!) { login(input: $i) {
                 accessToken viewer { facilities(first: 1) { nodes { id } } } } }"""
    given = {"email": "owner@demo.nexfit.app", "password": "nexfit-demo"}
    answer = orjson.loads(await posted(endpoint, orjson.dumps({"query": query, "variables": {"i": given}}), None))
    login = answer["data"]["login"]
    owner = endpoint._services.tokens.verify(login["accessToken"], datetime.now(UTC)).user_id
    return login["accessToken"], owner, login["viewer"]["facilities"]["nodes"][0]["id"]


async def posted(endpoint: Any, body: bytes, token: str | None) -> bytes:
    """The endpoint's answer, called as the server calls it."""
    headers = [(b"host", b"bench"), (b"content-type", b"application/json"), (b"accept", b"*/*")]
    if token:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
    }
    answer = b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        nonlocal answer
        answer = message.get("body", answer)

    await endpoint(scope, receive, send)
    return answer


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench guard", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look: 3 rounds of 100 requests")
    given = parser.parse_args(arguments)
    requests, rounds = (100, 3) if given.quick else (300, 24)
    console = Console() if sys.stdout.isatty() else Console(width=120)
    written, sys.stderr = sys.stderr, open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - where the log goes
    try:
        taken = asyncio.run(measure(requests, rounds))
    finally:
        sys.stderr.close()
        sys.stderr = written
    table = Table(title="A small query over real stores, without one thing at a time")
    for name in ("without", "CPU µs", "of the whole", "of the bare one"):
        table.add_column(name, justify="left" if name == "without" else "right")
    for name, microseconds in taken.items():
        whole, bare = microseconds / taken[EVERYTHING], microseconds / taken[BARE]
        shown = "nothing: as it is" if name == EVERYTHING else name
        table.add_row(shown, f"{microseconds:.0f}", f"{whole:.2f}", f"{bare:.2f}")
    console.print(table)
    return 0
