"""The migration files go up, down and up to the same schema; the runner refuses whatever would leave an unknown one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from ledger_rows import new_id, open_account, pay

from nexfit.operations import migrations
from nexfit.operations.migration_errors import (
    ChangedMigration,
    FailedMigration,
    HalfAppliedMigration,
    InvalidMigrations,
    IrreversibleMigration,
    MigratorBusy,
    MissingMigration,
    UnknownTarget,
    UnorderedMigration,
    WouldLoseData,
)

MIGRATIONS = Path(__file__).parents[2] / "migrations_pg"
VERSIONS = [migration.version for migration in migrations.read_folder(MIGRATIONS)]

# Everything a migration can make in our schemas, in words that hold no object id. Privileges that were given and taken
# back again leave the owner's own written out: they are compared with the defaults filled in.
CATALOG = """
WITH ours AS (SELECT oid, nspname, nspacl, nspowner FROM pg_namespace WHERE nspname IN ('finance', 'platform', 'shop'))
SELECT 'schema ' || nspname || ' ' || coalesce(nspacl, acldefault('n', nspowner))::text FROM ours
UNION ALL SELECT 'extension ' || extname || ' ' || extversion FROM pg_extension
UNION ALL SELECT format('relation %s.%s %s %s %s %s', o.nspname, c.relname, c.relkind,
    pg_get_expr(c.relpartbound, c.oid), c.reloptions,
    coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)))
  FROM pg_class c JOIN ours o ON o.oid = c.relnamespace
UNION ALL SELECT format('column %s.%s.%s %s %s null=%s %s %s %s %s acl=%s', o.nspname, c.relname, a.attname,
    -- its place among the columns that are there: a dropped one leaves a hole that nobody sees
    row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum),
    format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
    a.attgenerated, a.attidentity, l.collname, a.attacl)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN ours o ON o.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
  WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(k.oid))
  FROM pg_constraint k JOIN ours o ON o.oid = k.connamespace
UNION ALL SELECT 'index ' || indexdef FROM pg_indexes JOIN ours o ON o.nspname = schemaname
UNION ALL SELECT format('trigger %s %s', pg_get_triggerdef(t.oid), t.tgenabled)
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN ours o ON o.oid = c.relnamespace WHERE NOT t.tgisinternal
UNION ALL SELECT format('function %s %s', pg_get_functiondef(p.oid), coalesce(p.proacl, acldefault('f', p.proowner)))
  FROM pg_proc p JOIN ours o ON o.oid = p.pronamespace
ORDER BY 1
"""


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the module's database, emptied of our schemas."""
    connection = await asyncpg.connect(postgres_url)
    await _wipe(connection)
    yield connection
    await connection.close()


async def _wipe(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "DROP SCHEMA IF EXISTS finance, platform, shop CASCADE; DROP SCHEMA IF EXISTS trial CASCADE"
    )
    await connection.execute("DROP EXTENSION IF EXISTS pg_trgm CASCADE; DROP EXTENSION IF EXISTS btree_gin CASCADE")


async def _catalog(connection: asyncpg.Connection) -> list[str]:
    return [row[0] for row in await connection.fetch(CATALOG)]


def _folder(path: Path, **files: str) -> Path:
    """A folder of migrations: `_0001_first_up="SQL"` becomes `0001_first.up.sql`."""
    for name, sql in files.items():
        stem, direction = name.removeprefix("_").rsplit("_", 1)
        (path / f"{stem}.{direction}.sql").write_text(sql, encoding="utf-8")
    return path


def _two(path: Path) -> Path:
    return _folder(
        path,
        _0001_first_up="CREATE SCHEMA trial; CREATE TABLE trial.one (a integer)",
        _0001_first_down="DROP SCHEMA trial CASCADE",
        _0002_second_up="CREATE TABLE trial.two (b integer)",
        _0002_second_down="DROP TABLE trial.two",
    )


async def test_every_migration_goes_up_down_and_up_to_the_same_schema(connection: asyncpg.Connection) -> None:
    await migrations.down(connection, MIGRATIONS, steps=0)  # makes the version table only
    empty = await _catalog(connection)
    for version in VERSIONS:
        before = await _catalog(connection)
        await migrations.up(connection, MIGRATIONS, target=version)
        after = await _catalog(connection)
        assert after != before
        await migrations.down(connection, MIGRATIONS)
        assert await _catalog(connection) == before
        await migrations.up(connection, MIGRATIONS, target=version)
        assert await _catalog(connection) == after
    full = await _catalog(connection)
    undone = await migrations.down(connection, MIGRATIONS, steps=len(VERSIONS))
    assert [migration.version for migration in undone] == VERSIONS[::-1]
    assert await _catalog(connection) == empty
    await migrations.up(connection, MIGRATIONS)
    assert await _catalog(connection) == full


async def test_up_records_who_and_when_reports_progress_and_does_nothing_twice(connection: asyncpg.Connection) -> None:
    seen: list[tuple[str, str, int, int]] = []
    applied = await migrations.up(
        connection,
        MIGRATIONS,
        applied_by="deploy 7",
        progress=lambda way, one, n, of: seen.append((way, one.version, n, of)),
    )
    assert [migration.version for migration in applied] == VERSIONS
    assert seen == [("up", version, n, len(VERSIONS)) for n, version in enumerate(VERSIONS, start=1)]
    assert await migrations.up(connection, MIGRATIONS) == []
    rows = await migrations.status(connection, MIGRATIONS)
    assert {(row.state, row.applied_by, row.reversible) for row in rows} == {("applied", "deploy 7", True)}
    assert all(row.applied_at is not None for row in rows)
    assert await migrations.verify(connection, MIGRATIONS) == []


async def test_status_of_an_empty_database_lists_what_is_pending_and_makes_nothing(
    connection: asyncpg.Connection,
) -> None:
    rows = await migrations.status(connection, MIGRATIONS)
    assert [(row.version, row.state) for row in rows] == [(version, "pending") for version in VERSIONS]
    assert await connection.fetchval("SELECT to_regnamespace('platform')") is None


async def test_target_stops_there_and_an_unknown_one_is_refused(connection: asyncpg.Connection, tmp_path: Path) -> None:
    folder = _two(tmp_path)
    with pytest.raises(UnknownTarget):
        await migrations.up(connection, folder, target="0003")
    assert [one.version for one in await migrations.up(connection, folder, target="0001")] == ["0001"]
    assert [one.version for one in await migrations.verify(connection, folder)] == ["0002"]


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_an_edited_file_is_noticed(connection: asyncpg.Connection, tmp_path: Path, direction: str) -> None:
    folder = _two(tmp_path)
    await migrations.up(connection, folder, target="0001")
    path = folder / f"0001_first.{direction}.sql"
    path.write_text(path.read_text(encoding="utf-8") + " -- a word more", encoding="utf-8")
    assert [(row.version, row.state) for row in await migrations.verify(connection, folder)] == [
        ("0001", "changed"),
        ("0002", "pending"),
    ]
    with pytest.raises(ChangedMigration, match="0001"):
        await migrations.up(connection, folder)
    assert await connection.fetchval("SELECT to_regclass('trial.two')") is None


async def test_a_file_with_other_line_ends_is_the_same_file(connection: asyncpg.Connection, tmp_path: Path) -> None:
    folder = _folder(tmp_path, _0001_first_up="CREATE SCHEMA trial;\nCREATE TABLE trial.one (a integer);\n")
    await migrations.up(connection, folder)
    (folder / "0001_first.up.sql").write_bytes(b"CREATE SCHEMA trial;\r\nCREATE TABLE trial.one (a integer);\r\n")
    assert await migrations.verify(connection, folder) == []


async def test_a_missing_file_and_an_older_pending_one_are_refused(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    folder = _two(tmp_path)
    await migrations.up(connection, folder)
    (folder / "0002_second.up.sql").unlink()
    (folder / "0002_second.down.sql").unlink()
    assert [(row.version, row.state) for row in await migrations.verify(connection, folder)] == [("0002", "missing")]
    with pytest.raises(MissingMigration, match="0002"):
        await migrations.up(connection, folder)
    with pytest.raises(MissingMigration, match="0002"):
        await migrations.down(connection, folder)
    _folder(tmp_path, _0002_second_up="CREATE TABLE trial.two (b integer)", _0002_second_down="DROP TABLE trial.two")
    _folder(tmp_path, _0000_late_up="SELECT 1")
    with pytest.raises(UnorderedMigration, match="0000"):
        await migrations.up(connection, folder)


async def test_a_failing_migration_leaves_nothing_of_itself_and_keeps_those_before(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    folder = _two(tmp_path)
    _folder(tmp_path, _0002_second_up="CREATE TABLE trial.two (b integer); SELECT 1 / 0")
    with pytest.raises(FailedMigration, match="0002 up failed: division by zero") as failure:
        await migrations.up(connection, folder)
    assert isinstance(failure.value.__cause__, asyncpg.DivisionByZeroError)
    assert [(row.version, row.state) for row in await migrations.status(connection, folder)] == [
        ("0001", "applied"),
        ("0002", "pending"),
    ]
    assert await connection.fetchval("SELECT to_regclass('trial.two')") is None


async def test_down_without_a_way_back_undoes_nothing(connection: asyncpg.Connection, tmp_path: Path) -> None:
    folder = _two(tmp_path)
    (folder / "0001_first.down.sql").unlink()
    await migrations.up(connection, folder)
    with pytest.raises(IrreversibleMigration, match="0001"):
        await migrations.down(connection, folder, steps=2)
    assert await connection.fetchval("SELECT to_regclass('trial.two')") is not None


async def test_down_keeps_tables_with_rows_unless_they_may_be_lost(connection: asyncpg.Connection) -> None:
    await migrations.up(connection, MIGRATIONS)
    await pay(connection, await open_account(connection), new_id())
    with pytest.raises(WouldLoseData, match=r"0002 is kept: table finance\.facility_accounts holds rows"):
        await migrations.down(connection, MIGRATIONS, steps=len(VERSIONS))
    assert await connection.fetchval("SELECT count(*) FROM finance.transactions") == 1
    states = {row.version: row.state for row in await migrations.status(connection, MIGRATIONS)}
    assert (states["0002"], states["0003"]) == ("applied", "pending")
    undone = await migrations.down(connection, MIGRATIONS, steps=2, lose_data=True)
    assert [one.version for one in undone] == ["0002", "0001"]


async def test_two_migrators_at_once_apply_each_version_once(connection: asyncpg.Connection, postgres_url: str) -> None:
    others = [await asyncpg.connect(postgres_url) for _ in range(3)]
    try:
        applied = await asyncio.gather(*(migrations.up(one, MIGRATIONS) for one in (connection, *others)))
    finally:
        for one in others:
            await one.close()
    assert sorted(len(one) for one in applied) == [0, 0, 0, len(VERSIONS)]
    assert await migrations.verify(connection, MIGRATIONS) == []


async def test_a_migrator_gives_up_when_another_holds_the_lock_for_long(
    connection: asyncpg.Connection, postgres_url: str, tmp_path: Path
) -> None:
    folder = _folder(tmp_path, _0001_slow_up="SELECT pg_advisory_xact_lock(1)")
    other = await asyncpg.connect(postgres_url)
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
    try:
        await connection.execute("SELECT pg_advisory_lock(1)")
        running = asyncio.create_task(migrations.up(other, folder, lock_timeout=60))
        while not await connection.fetchval(waits):  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.02)
        with pytest.raises(MigratorBusy):
            await migrations.up(connection, folder, wait=0.2)
        await connection.execute("SELECT pg_advisory_unlock(1)")
        assert len(await running) == 1
    finally:
        await other.close()


async def test_a_locked_table_stops_a_migration_within_the_lock_time_out(
    connection: asyncpg.Connection, postgres_url: str, tmp_path: Path
) -> None:
    folder = _two(tmp_path)
    _folder(tmp_path, _0002_second_up="ALTER TABLE trial.one ADD COLUMN c integer")
    await migrations.up(connection, folder, target="0001")
    reader = await asyncpg.connect(postgres_url)
    try:
        async with reader.transaction():
            await reader.execute("SELECT * FROM trial.one")
            async with asyncio.timeout(30):
                with pytest.raises(FailedMigration, match="lock timeout"):
                    await migrations.up(connection, folder, lock_timeout=0.2)
        assert len(await migrations.up(connection, folder)) == 1
    finally:
        await reader.close()


async def test_a_connection_lost_in_a_migration_leaves_it_pending_and_the_lock_free(
    connection: asyncpg.Connection, postgres_url: str, tmp_path: Path
) -> None:
    folder = _two(tmp_path)
    _folder(tmp_path, _0002_second_up="CREATE TABLE trial.two (b integer); SELECT pg_sleep(30)")
    lost = await asyncpg.connect(postgres_url)
    running = asyncio.create_task(migrations.up(lost, folder))
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE $1"
    while not await connection.fetchval(kill, "%trial.two%pg_sleep(30)"):  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(0.05)
    with pytest.raises(FailedMigration, match="0002 up failed"):
        await running
    _folder(tmp_path, _0002_second_up="CREATE TABLE trial.two (b integer)")
    assert [one.version for one in await migrations.up(connection, folder, wait=0)] == ["0002"]


async def test_outside_a_transaction_success_is_recorded_and_a_failure_shows_as_half_applied(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    folder = _folder(
        tmp_path,
        _0001_first_up="CREATE SCHEMA trial; CREATE TABLE trial.one (a integer); INSERT INTO trial.one VALUES (1), (1)",
        _0001_first_down="DROP SCHEMA trial CASCADE",
        _0002_index_up="-- no-transaction\nCREATE INDEX CONCURRENTLY one_a ON trial.one (a)",
        _0002_index_down="-- no-transaction\nDROP INDEX CONCURRENTLY IF EXISTS trial.one_a",
        _0003_unique_up="-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY one_key ON trial.one (a)",
        _0003_unique_down="-- no-transaction\nDROP INDEX CONCURRENTLY IF EXISTS trial.one_key",
    )
    with pytest.raises(FailedMigration, match="0003 up failed"):
        await migrations.up(connection, folder)
    assert [(row.version, row.state) for row in await migrations.verify(connection, folder)] == [
        ("0003", "half_applied")
    ]
    with pytest.raises(HalfAppliedMigration, match="0003"):
        await migrations.up(connection, folder)
    # The way out the message names: undo it (here: drop the invalid index), put the data right, repeat.
    assert [one.version for one in await migrations.down(connection, folder)] == ["0003"]
    await connection.execute("TRUNCATE trial.one")
    assert [one.version for one in await migrations.up(connection, folder)] == ["0003"]
    assert await connection.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'trial.one_key'::regclass")
    assert [one.version for one in await migrations.down(connection, folder, steps=2)] == ["0003", "0002"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no migration"),
        (["0001_a.up.sql", "1_b.up.sql"], "1_b.up.sql is not named"),
        (["0001_a.up.sql", "0001_b.up.sql"], "version 0001 is used twice"),
        (["0001_a.down.sql"], "0001_a has no .up.sql"),
    ],
)
def test_a_folder_that_is_no_list_of_migrations_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1", encoding="utf-8")
    with pytest.raises(InvalidMigrations, match=message):
        migrations.read_folder(tmp_path)
