"""Both stores' schemas brought up, down, or looked at together: PostgreSQL first, then MongoDB."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import nexfit
from nexfit.operations import migrations, mongo_schema, partitions, vocabulary, workout_figures
from nexfit.operations.migrations import Migration, MigrationStatus
from nexfit.operations.mongo_schema import Change, CollectionStatus
from nexfit.settings import Settings
from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres import maintenance_connection

MINUTES = 600.0
"""Seconds one schema command on MongoDB may take: an index over a large collection needs more than a request does."""

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Where both stores' schemas stand."""

    postgres: list[MigrationStatus]
    mongo: list[CollectionStatus]


@dataclass(frozen=True, slots=True)
class Drift:
    """What differs between the files and the stores; empty when they agree."""

    postgres: list[MigrationStatus]
    mongo: list[Change]

    def __bool__(self) -> bool:
        return bool(self.postgres or self.mongo)


def migrations_folder() -> Path:
    """`migrations_pg` inside the installed package, or at the root of the checkout. Raises FileNotFoundError."""
    package = Path(nexfit.__file__).resolve().parent
    for folder in (package / "migrations_pg", package.parent.parent / "migrations_pg"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError("no migrations_pg folder in the package or in the checkout")


@asynccontextmanager
async def _postgres(settings: Settings) -> AsyncIterator[migrations.Connection]:
    async with maintenance_connection(settings.postgres) as connection:
        yield cast("migrations.Connection", connection)


@asynccontextmanager
async def _mongo(settings: Settings) -> AsyncIterator[Mongo]:
    mongo = Mongo(settings.mongo.model_copy(update={"timeout": MINUTES}))
    try:
        yield mongo
    finally:
        await mongo.close()


async def migrate_up(settings: Settings, *, on_step: Report = lambda _: None) -> None:
    """Apply what is missing in both stores; raises MigrationError, SchemaNotApplied or a store's error."""

    def progress(_: str, migration: Migration, place: int, total: int) -> None:
        on_step(f"postgres: {migration.version} {migration.name} ({place} of {total})")

    async with _postgres(settings) as connection:
        await migrations.up(connection, migrations_folder(), progress=progress)
        made = await partitions.ensure_ahead(connection, datetime.now(UTC).date())
    if made:
        on_step(f"postgres: {len(made)} partitions made ahead")
    async with _mongo(settings) as mongo:
        changes = await mongo_schema.up(mongo.database)
        filled = await vocabulary.fill(mongo, {one.collection for one in changes if one.target == "words"})
        if any(one.collection == "workout_logs" for one in changes):
            filled += await workout_figures.fill(mongo)
    if changes:
        collections = len({change.collection for change in changes})
        on_step(f"mongo: {len(changes)} changes in {collections} collections")
    if filled:
        on_step(f"mongo: {filled} older documents brought up to date")


async def migrate_down(
    settings: Settings, steps: int, *, lose_data: bool = False, on_step: Report = lambda _: None
) -> None:
    """Undo the newest PostgreSQL migrations; MongoDB's validators and indexes go with the last of them.

    Without `lose_data` a migration whose tables hold rows that nothing else holds is not undone.
    """

    def progress(_: str, migration: Migration, place: int, total: int) -> None:
        on_step(f"postgres: undo {migration.version} {migration.name} ({place} of {total})")

    async with _postgres(settings) as connection:
        await migrations.down(connection, migrations_folder(), steps, lose_data=lose_data, progress=progress)
        applied = [row for row in await migrations.status(connection, migrations_folder()) if row.applied_at]
    if not applied:
        async with _mongo(settings) as mongo:
            for change in await mongo_schema.down(mongo.database):
                on_step(f"mongo: {change}")


async def schema_status(settings: Settings) -> SchemaStatus:
    """Every migration and every collection, and what is pending. Changes nothing."""
    async with _postgres(settings) as connection, _mongo(settings) as mongo:
        return SchemaStatus(
            await migrations.status(connection, migrations_folder()), await mongo_schema.status(mongo.database)
        )


async def schema_drift(settings: Settings) -> Drift:
    """What differs between the files and the stores. Changes nothing."""
    async with _postgres(settings) as connection, _mongo(settings) as mongo:
        return Drift(
            await migrations.verify(connection, migrations_folder()), await mongo_schema.verify(mongo.database)
        )
