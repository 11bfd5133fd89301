"""Plain-SQL migrations of PostgreSQL, up and down; owns the table `platform.schema_versions`.

A migration is `NNNN_name.up.sql` and, where it can be undone, `NNNN_name.down.sql`. Each runs in a transaction of its
own together with its row in the table, so it is applied or it never was. A file that begins with `-- no-transaction`
(for CREATE INDEX CONCURRENTLY and the like) holds one statement and runs outside; its row is written first, so a crash
shows.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from nexfit.operations.migration_errors import (
    ChangedMigration,
    FailedMigration,
    HalfAppliedMigration,
    InvalidMigrations,
    IrreversibleMigration,
    MigrationError,
    MigratorBusy,
    MissingMigration,
    UnknownTarget,
    UnorderedMigration,
    WouldLoseData,
)

Direction = Literal["up", "down"]
State = Literal["applied", "pending", "changed", "missing", "half_applied"]

_FILE = re.compile(r"^(\d{4})_([a-z0-9_]+)\.(up|down)\.sql$")
_NO_TRANSACTION = "-- no-transaction"
_LOCK = 7_305_613_946_012_301  # any number, as long as every migrator of a database uses the same
_DATA_LOSS = "NXD01"  # raised by platform.refuse_data_loss
_LONGEST = 3600.0  # seconds: pooled connections come with limits made for requests

_BOOTSTRAP = """
CREATE SCHEMA IF NOT EXISTS platform;
CREATE TABLE IF NOT EXISTS platform.schema_versions (
  version varchar(50) PRIMARY KEY,
  description text NOT NULL,
  up_checksum text NOT NULL,
  down_checksum text,  -- NULL: there is no known way back
  applied_by text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  applied_at timestamptz  -- NULL: begun outside a transaction and not finished
)
"""


class Connection(Protocol):
    """What is used of an asyncpg connection."""

    async def execute(self, query: str, /, *args: Any, timeout: float | None = None) -> str: ...  # noqa: ASYNC109
    async def fetch(self, query: str, /, *args: Any) -> Sequence[Mapping[str, Any]]: ...
    async def fetchval(self, query: str, /, *args: Any) -> Any: ...
    def transaction(self) -> AbstractAsyncContextManager[Any]: ...


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration as its files say."""

    version: str
    name: str
    up: str
    down: str | None

    def checksum(self, direction: Direction) -> str | None:
        """SHA-256 of the file, in hexadecimal; None without a file."""
        text = self.up if direction == "up" else self.down
        return None if text is None else hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """One version; where it is applied, everything but the state is what was recorded then."""

    version: str
    name: str
    state: State
    reversible: bool
    applied_at: datetime | None = None
    applied_by: str | None = None


Progress = Callable[[Direction, Migration, int, int], None]
"""Called before each migration with its direction, itself, its place (from 1) and how many there are."""


def read_folder(folder: Path) -> list[Migration]:
    """The migrations of a folder, oldest first. Raises InvalidMigrations."""
    texts: dict[str, dict[str, str]] = {}
    names: dict[str, str] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.match(path.name)
        if match is None:
            raise InvalidMigrations(f"{path.name} is not named NNNN_name.up.sql or NNNN_name.down.sql")
        version, name, direction = match.groups()
        if names.setdefault(version, name) != name:
            raise InvalidMigrations(f"version {version} is used twice: {names[version]} and {name}")
        # read_text makes every line end with \n: a checkout on Windows has the same checksum.
        texts.setdefault(version, {})[direction] = path.read_text(encoding="utf-8")
    if not texts:
        raise InvalidMigrations(f"{folder} holds no migration")
    for version, found in texts.items():
        if "up" not in found:
            raise InvalidMigrations(f"{version}_{names[version]} has no .up.sql")
    return [Migration(version, names[version], found["up"], found.get("down")) for version, found in texts.items()]


async def up(
    connection: Connection,
    folder: Path,
    target: str | None = None,
    *,
    applied_by: str | None = None,
    progress: Progress | None = None,
    lock_timeout: float = 5.0,
    wait: float = 60.0,
) -> list[Migration]:
    """Apply what is pending, up to and including version `target`; answers what was applied.

    `lock_timeout` (seconds) bounds each wait for a table, `wait` the wait for another migrator. `applied_by` defaults
    to the session's user. Raises MigrationError; what was applied before the failing migration stays.
    """
    migrations = read_folder(folder)
    if target is not None and target not in {migration.version for migration in migrations}:
        raise UnknownTarget(target)
    async with _only_migrator(connection, wait):
        recorded = await _recorded(connection)
        _refuse_disagreement(migrations, recorded)
        pending = [m for m in migrations if m.version not in recorded and (target is None or m.version <= target)]
        newest = max(recorded, default="")
        for migration in pending:
            if migration.version < newest:
                raise UnorderedMigration(migration.version, newest)
        for place, migration in enumerate(pending, start=1):
            if progress is not None:
                progress("up", migration, place, len(pending))
            await _apply(connection, migration, applied_by, lock_timeout)
    return pending


async def down(
    connection: Connection,
    folder: Path,
    steps: int = 1,
    *,
    lose_data: bool = False,
    progress: Progress | None = None,
    lock_timeout: float = 5.0,
    wait: float = 60.0,
) -> list[Migration]:
    """Undo the newest `steps` versions, newest first, a half-applied one included; answers what was undone.

    Raises IrreversibleMigration before anything is undone when one of them has no way back, WouldLoseData at a version
    whose tables hold rows that cannot be rebuilt, unless `lose_data` says that they may go; else as `up`.
    """
    migrations = {migration.version: migration for migration in read_folder(folder)}
    async with _only_migrator(connection, wait):
        recorded = await _recorded(connection)
        chosen = sorted(recorded, reverse=True)[: max(steps, 0)]
        for version in chosen:
            if version not in migrations:
                raise MissingMigration(version)
            if migrations[version].down is None:
                raise IrreversibleMigration(version)
        for place, version in enumerate(chosen, start=1):
            if progress is not None:
                progress("down", migrations[version], place, len(chosen))
            await _undo(connection, migrations[version], lock_timeout, lose_data=lose_data)
    return [migrations[version] for version in chosen]


async def status(connection: Connection, folder: Path) -> list[MigrationStatus]:
    """Every version the folder or the database knows, oldest first. Changes nothing, not even in an empty database."""
    migrations = {migration.version: migration for migration in read_folder(folder)}
    recorded = await _recorded(connection)
    pending = [
        MigrationStatus(version, migration.name, "pending", migration.down is not None)
        for version, migration in migrations.items()
        if version not in recorded
    ]
    known = [
        MigrationStatus(
            version,
            row["description"],
            _state(migrations.get(version), row),
            row["down_checksum"] is not None,
            row["applied_at"],
            row["applied_by"],
        )
        for version, row in recorded.items()
    ]
    return sorted(pending + known, key=lambda one: one.version)


async def verify(connection: Connection, folder: Path) -> list[MigrationStatus]:
    """The versions that are not applied exactly as their files say; empty when database and folder agree."""
    return [one for one in await status(connection, folder) if one.state != "applied"]


@asynccontextmanager
async def _only_migrator(connection: Connection, wait: float) -> AsyncIterator[None]:
    """Hold the advisory lock, with the version table in place."""
    deadline = asyncio.get_running_loop().time() + wait
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
        if asyncio.get_running_loop().time() >= deadline:
            raise MigratorBusy(wait)
        await asyncio.sleep(0.1)
    try:
        await connection.execute(_BOOTSTRAP)
        yield
    finally:
        # A connection that broke has given the lock back already, and its own error is the one to tell.
        with suppress(Exception):
            await connection.fetchval("SELECT pg_advisory_unlock($1)", _LOCK)


async def _recorded(connection: Connection) -> dict[str, Mapping[str, Any]]:
    if await connection.fetchval("SELECT to_regclass('platform.schema_versions')") is None:
        return {}
    rows = await connection.fetch("SELECT * FROM platform.schema_versions")
    return {row["version"]: row for row in rows}


def _state(migration: Migration | None, row: Mapping[str, Any]) -> State:
    if row["applied_at"] is None:
        return "half_applied"
    if migration is None:
        return "missing"
    checksums = (migration.checksum("up"), migration.checksum("down"))
    return "applied" if checksums == (row["up_checksum"], row["down_checksum"]) else "changed"


def _refuse_disagreement(migrations: list[Migration], recorded: dict[str, Mapping[str, Any]]) -> None:
    """Applied history must be what the files say before anything is added to it."""
    refusals = {"half_applied": HalfAppliedMigration, "missing": MissingMigration, "changed": ChangedMigration}
    known = {migration.version: migration for migration in migrations}
    for version, row in sorted(recorded.items()):
        refusal = refusals.get(_state(known.get(version), row))
        if refusal is not None:
            raise refusal(version)


async def _apply(connection: Connection, migration: Migration, applied_by: str | None, lock_timeout: float) -> None:
    record = """
        INSERT INTO platform.schema_versions (version, description, up_checksum, down_checksum, applied_by, applied_at)
        VALUES ($1, $2, $3, $4, coalesce($5, session_user), CASE WHEN $6 THEN clock_timestamp() END)"""
    row = (migration.version, migration.name, migration.checksum("up"), migration.checksum("down"), applied_by)
    if migration.up.startswith(_NO_TRANSACTION):
        await connection.execute(record, *row, False)
        await _run_outside(connection, migration, "up", lock_timeout)
        await connection.execute(
            "UPDATE platform.schema_versions SET applied_at = clock_timestamp() WHERE version = $1", migration.version
        )
    else:
        await _run_inside(connection, migration, "up", lock_timeout, record, (*row, True))


async def _undo(connection: Connection, migration: Migration, lock_timeout: float, *, lose_data: bool) -> None:
    await connection.execute("SELECT set_config('nexfit.lose_data', $1, false)", "on" if lose_data else "off")
    forget = "DELETE FROM platform.schema_versions WHERE version = $1"
    if (migration.down or "").startswith(_NO_TRANSACTION):
        await _run_outside(connection, migration, "down", lock_timeout)
        await connection.execute(forget, migration.version)
    else:
        await _run_inside(connection, migration, "down", lock_timeout, forget, (migration.version,))


async def _run_inside(
    connection: Connection,
    migration: Migration,
    direction: Direction,
    lock_timeout: float,
    record: str,
    row: tuple[object, ...],
) -> None:
    try:
        async with connection.transaction():
            await connection.execute(
                f"SET LOCAL lock_timeout = {int(lock_timeout * 1000)}; SET LOCAL statement_timeout = 0"
            )
            await connection.execute(_text(migration, direction), timeout=_LONGEST)
            await connection.execute(record, *row)
    except Exception as error:
        raise _failure(migration, direction, error) from error


async def _run_outside(connection: Connection, migration: Migration, direction: Direction, lock_timeout: float) -> None:
    try:
        await connection.execute(f"SET lock_timeout = {int(lock_timeout * 1000)}; SET statement_timeout = 0")
        await connection.execute(_text(migration, direction), timeout=_LONGEST)
    except Exception as error:
        raise _failure(migration, direction, error) from error
    finally:
        # Back to what the connection was opened with; a broken one has nothing left to reset.
        with suppress(Exception):
            await connection.execute("RESET lock_timeout; RESET statement_timeout")


def _failure(migration: Migration, direction: Direction, error: Exception) -> MigrationError:
    if getattr(error, "sqlstate", None) == _DATA_LOSS:
        return WouldLoseData(migration.version, error)
    return FailedMigration(migration.version, direction, error)


def _text(migration: Migration, direction: Direction) -> str:
    text = migration.up if direction == "up" else migration.down
    if text is None:
        raise IrreversibleMigration(migration.version)
    return text
