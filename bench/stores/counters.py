"""What the stores themselves say they received, and the bench's own hands on them.

MongoDB: `serverStatus().metrics.commands` and, while two answers are compared, its profiler. PostgreSQL:
`pg_stat_statements`. Valkey or Redis: `INFO commandstats`. What drivers say to keep a connection is not counted.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import asyncpg
import redis
from bson import ObjectId
from pymongo import MongoClient

from bench.stores.errors import CannotMeasure
from nexfit.hybrid import freshness
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.settings import MongoSettings, PostgresSettings, RedisSettings
from nexfit.stores.redis import RedisStore

NAME = "nexfit-bench"

_MONGO_KEEPING = frozenset(
    ("hello", "isMaster", "ismaster", "ping", "endSessions", "saslStart", "saslContinue", "serverStatus", "buildInfo")
)
_SESSION = (
    r"^(SELECT pg_advisory_unlock_all|CLOSE ALL|UNLISTEN|RESET ALL|SET |BEGIN|COMMIT|ROLLBACK"
    r"|WITH RECURSIVE typeinfo_tree|SELECT current_setting)"
)
"""Statements about the session itself: a pool that resets connections sends four of them with each use, and a new
connection asks for types."""
_REDIS_KEEPING = re.compile(r"client|hello|auth|select|ping|info|command|config")

_LOOKING_ON = 3.0
"""Seconds."""

_STATEMENTS = f"""
SELECT queryid, query, calls, rows, query ~ '{_SESSION}' AS session FROM pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND toplevel AND query NOT LIKE '%pg_stat_statements%'
"""


@dataclass(frozen=True, slots=True)
class Received:
    """Commands the stores have received; `session` are PostgreSQL statements about the session itself."""

    mongo: int
    postgres: int
    session: int
    redis: int

    def since(self, before: Received) -> Received:
        """What was received between two looks."""
        return Received(
            self.mongo - before.mongo,
            self.postgres - before.postgres,
            self.session - before.session,
            self.redis - before.redis,
        )


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with how often it was called and the rows it brought in all."""

    text: str
    calls: int
    rows: int


@dataclass(frozen=True, slots=True)
class Footprint:
    """The commands of one request, each with the number of rows it brought, as the stores saw them."""

    mongo: Sequence[str]
    postgres: Mapping[int, Statement]
    redis: Mapping[str, int]


class Counters:
    """Connections to look at the stores with; none of them is the targets'."""

    def __init__(
        self, mongo: MongoSettings, postgres: PostgresSettings, redis_urls: Mapping[str, RedisSettings]
    ) -> None:
        """`redis_urls` names each target's own database, so that none finds the other's views."""
        self._runner = asyncio.Runner()
        self._mongo: MongoClient[dict[str, Any]] = MongoClient(mongo.url.get_secret_value(), appname=NAME)
        self._database = self._mongo[mongo.database]
        self._redis = {
            target: redis.Redis.from_url(settings.url.get_secret_value()) for target, settings in redis_urls.items()
        }
        self._redis_settings = redis_urls
        self.unasked: Mapping[str, float] = {}
        self._postgres: asyncpg.Connection[Any] = self._runner.run(_connect(postgres.url.get_secret_value()))

    def close(self) -> None:
        """Close every connection."""
        self._runner.run(self._postgres.close())
        self._runner.close()
        self._mongo.close()
        for client in self._redis.values():
            client.close()

    def settle(self) -> None:
        """Let the stores finish what a load leaves behind, so that they do not do it while they are measured."""
        self._runner.run(self._postgres.execute("VACUUM (ANALYZE)", timeout=600))
        self._runner.run(self._postgres.execute("CHECKPOINT", timeout=600))
        self._mongo.admin.command("fsync")

    def invalidate(self, target: str, tags: Sequence[str]) -> int:
        """Make a target's joined views unreadable, through the product's own invalidation; the commands that took."""
        before = self._redis_commands()
        self._runner.run(_invalidate(self._redis_settings[target], tags))
        return self._redis_commands().total() - before.total()

    def promise_freshness(self, target: str) -> None:
        """Say for a target that every change is heard of, as long as nobody says so who follows the change feeds.

        Nobody writes during a run, so it is true; unsaid, a view would be trusted for two seconds only.
        """
        self._redis[target].set(freshness.KEY, "0 bench", nx=True)

    def members(self) -> int:
        """Members in the read model."""
        count: int = self._runner.run(
            self._postgres.fetchval("SELECT count(DISTINCT user_id) FROM platform.member_facts")
        )
        return count

    def received(self) -> Received:
        """Commands since the servers started."""
        rows = self._runner.run(self._postgres.fetch(_STATEMENTS))
        return Received(
            mongo=self._mongo_commands(),
            postgres=sum(row["calls"] for row in rows if not row["session"]),
            session=sum(row["calls"] for row in rows if row["session"]),
            redis=sum(self._redis_commands().values()),
        )

    def watch(self) -> None:
        """Begin to note every single command; it costs, so only while nothing is measured. End with `footprint`."""
        self._runner.run(
            self._postgres.execute(
                "SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database WHERE datname = current_database()"
            )
        )
        self._redis_before = self._redis_commands()
        self._database.drop_collection("system.profile")
        self._database.command("profile", 2)

    def look_on(self) -> None:
        """Find out how many commands come each second while nobody asks for anything: the API also works by itself."""
        before = asdict(self.received())
        time.sleep(_LOOKING_ON)
        self.unasked = {name: (count - before[name]) / _LOOKING_ON for name, count in asdict(self.received()).items()}

    def footprint(self) -> Footprint:
        """What was received since `watch`."""
        self._database.command("profile", 0)
        mongo = sorted(
            f"{_command(found['command'])} -> {found.get('nreturned', 0)} documents"
            for found in self._database["system.profile"].find({"appName": {"$ne": NAME}, "command": {"$exists": True}})
        )
        self._database.drop_collection("system.profile")
        rows = self._runner.run(self._postgres.fetch(_STATEMENTS))
        redis_commands = self._redis_commands()
        redis_commands.subtract(self._redis_before)
        return Footprint(
            mongo,
            {
                # The id stands for the parsed statement, whatever its blanks.
                row["queryid"]: Statement(" ".join(row["query"].split()), row["calls"], row["rows"])
                for row in rows
                if not row["session"]
            },
            {name: calls for name, calls in redis_commands.items() if calls},
        )

    def _mongo_commands(self) -> int:
        commands = self._database.command("serverStatus")["metrics"]["commands"]
        return sum(
            counts["total"]
            for name, counts in commands.items()
            if isinstance(counts, dict) and "total" in counts and name not in _MONGO_KEEPING
        )

    def _redis_commands(self) -> Counter[str]:
        client = next(iter(self._redis.values()))  # statistics are the server's, whatever the database
        found: Counter[str] = Counter()
        for name, counts in client.info("commandstats").items():
            command = name.removeprefix("cmdstat_")
            if not _REDIS_KEEPING.match(command):
                found[command] = counts["calls"]
        return found


async def _connect(url: str) -> asyncpg.Connection[Any]:
    connection = await asyncpg.connect(url, server_settings={"application_name": NAME})
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        await connection.fetchval("SELECT count(*) FROM pg_stat_statements")
    except asyncpg.PostgresError as error:
        await connection.close()
        raise CannotMeasure(f"PostgreSQL must be started with pg_stat_statements: {error}") from error
    return connection


async def _invalidate(settings: RedisSettings, tags: Sequence[str]) -> None:
    store = RedisStore(settings)
    try:
        await JoinedViews(store).invalidate(tags)
    finally:
        await store.close()


_HOW_NOT_WHAT = frozenset(("lsid", "$clusterTime", "$db", "$readPreference", "batchSize", "cursor", "maxTimeMS"))
"""Parts of a command that change nothing of its answer."""


def _command(command: Mapping[str, Any]) -> str:
    """A command as text that is the same for the same command, sent at another moment or put together otherwise."""
    (name, collection), *rest = ((key, value) for key, value in command.items() if key not in _HOW_NOT_WHAT)
    parts = {key: _written(dict(sorted(value.items())) if key == "projection" else value) for key, value in rest}
    return f"{name} {collection} " + ", ".join(f"{key}: {parts[key]}" for key in sorted(parts))


def _written(value: Any) -> str:
    if isinstance(value, dict):  # the order of keys has a meaning: in a sort, for one
        return "{" + ", ".join(f"{key}: {_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        if all(isinstance(item, ObjectId) for item in value):  # the order of a set's members is no one's choice
            value = sorted(value)
        return "[" + ", ".join(map(_written, value)) + "]"
    return "an instant" if isinstance(value, datetime) else str(value)
