"""Why a migration was refused or failed; each message says what to do about it."""

from __future__ import annotations


class MigrationError(Exception):
    """Migrating stopped. What had been applied or undone before stays so."""


class InvalidMigrations(MigrationError):
    """The folder's files do not form a list of migrations."""


class UnknownTarget(MigrationError):
    """No file has the version asked for."""

    def __init__(self, target: str) -> None:
        super().__init__(f"there is no migration {target}; `nexfit migrate status` lists them")


class MigratorBusy(MigrationError):
    """Another migrator holds the database's lock."""

    def __init__(self, waited: float) -> None:
        super().__init__(f"another migrator is still at work after {waited:g} s; try again when it is done")


class ChangedMigration(MigrationError):
    """An applied file was edited afterwards."""

    def __init__(self, version: str) -> None:
        super().__init__(
            f"migration {version} was edited after it was applied; restore the file and add a new migration"
        )


class MissingMigration(MigrationError):
    """The database has a version the folder has no file for."""

    def __init__(self, version: str) -> None:
        super().__init__(
            f"migration {version} is applied but its file is missing; this database belongs to a newer release"
        )


class UnorderedMigration(MigrationError):
    """A pending version is older than an applied one."""

    def __init__(self, version: str, newest: str) -> None:
        super().__init__(f"migration {version} is pending but {newest} is applied already; give it a newer number")


class HalfAppliedMigration(MigrationError):
    """A migration that runs outside a transaction did not finish."""

    def __init__(self, version: str) -> None:
        super().__init__(
            f"migration {version} was begun and not finished; undo it with `nexfit migrate down`, then repeat"
        )


class IrreversibleMigration(MigrationError):
    """There is no way back from a version."""

    def __init__(self, version: str) -> None:
        super().__init__(f"migration {version} has no .down.sql; nothing was undone")


class WouldLoseData(MigrationError):
    """Going back would drop rows that nothing can rebuild."""

    def __init__(self, version: str, error: Exception) -> None:
        super().__init__(f"migration {version} is kept: {error}; back up first, then repeat with --lose-data")


class FailedMigration(MigrationError):
    """The database refused a migration's SQL; `__cause__` is the driver's error."""

    def __init__(self, version: str, direction: str, error: Exception) -> None:
        super().__init__(f"migration {version} {direction} failed: {error}")
        self.version = version
