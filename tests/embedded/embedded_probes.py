"""What the tests of the local servers share: a value written to and read from each store, and looks at processes."""

import asyncio
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import asyncpg
from pymongo import MongoClient, WriteConcern
from pymongo.collection import Collection
from redis import Redis

from nexfit.embedded import ServerName, ServerUrls

NAMES: tuple[ServerName, ...] = ("mongo", "postgres", "redis")


def write(name: ServerName, urls: ServerUrls, value: str) -> None:
    """Write a value to one store; on return it is acknowledged."""
    if name == "mongo":
        client: MongoClient[dict[str, Any]]
        with MongoClient(urls.mongo) as client:
            values: Collection[dict[str, Any]] = client.probe.get_collection(
                "values", write_concern=WriteConcern("majority", j=True)
            )
            values.insert_one({"_id": value})
    elif name == "postgres":
        query(urls.postgres, "CREATE TABLE IF NOT EXISTS probe (value text PRIMARY KEY)")
        query(urls.postgres, "INSERT INTO probe VALUES ($1)", value)
    else:
        with Redis.from_url(urls.redis) as redis:
            redis.sadd("probe", value)


def read(name: ServerName, urls: ServerUrls) -> set[str]:
    """All values written to one store."""
    if name == "mongo":
        client: MongoClient[dict[str, Any]]
        with MongoClient(urls.mongo, serverSelectionTimeoutMS=5000) as client:
            rows: list[dict[str, Any]] = list(client.probe["values"].find())
            return {row["_id"] for row in rows}
    if name == "postgres":
        return {row["value"] for row in query(urls.postgres, "SELECT value FROM probe")}
    with Redis.from_url(urls.redis, decode_responses=True) as redis:
        return set(redis.smembers("probe"))


def query(url: str, sql: str, *arguments: object) -> list[asyncpg.Record]:
    """Run one statement on a connection of its own."""

    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return await connection.fetch(sql, *arguments)
        finally:
            await connection.close()

    return asyncio.run(run())


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def seconds_until_gone(pids: list[int], within: float) -> float:
    """Wait until none of the processes is left; fails after `within` seconds."""
    started = monotonic()
    while left := [pid for pid in pids if alive(pid)]:
        assert monotonic() - started < within, f"still running after {within} s: {left}"
        sleep(0.02)
    return monotonic() - started


def python(source: str, *arguments: object, prefix: Sequence[str] = (), **options: Any) -> subprocess.Popen[str]:
    """Run a piece of Python in a process of its own, with its output as a pipe; `prefix` is a command that runs it."""
    command = [*prefix, sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


HOLDER = """
    import json, signal, sys
    from pathlib import Path
    from nexfit.embedded import EmbeddedServers

    servers = EmbeddedServers(Path(sys.argv[1]))
    servers.start()
    names = [name for name in ("mongo", "postgres", "redis") if name in sys.argv[2:]]
    owner = json.loads((Path(sys.argv[1]) / "lock").read_text())
    print(json.dumps({
        "urls": {name: getattr(servers.urls, name) for name in ("mongo", "postgres", "redis")},
        "pids": {name: servers.server(name).pid for name in names},
        "supervisor": owner["supervisor"],
    }), flush=True)
    signal.pause()
"""
