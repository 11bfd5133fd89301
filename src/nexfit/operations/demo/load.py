"""Bulk writing into both stores: batches for MongoDB, COPY for PostgreSQL, with progress."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, Protocol, TypeVar

from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres import Postgres, set_codecs

T = TypeVar("T")

Progress = Callable[[str, int, int], None]
"""Called with the step's name, how many rows of it are written, and how many are expected (settled at its end)."""

DOCUMENTS_PER_BATCH = 2_000
ROWS_PER_COPY = 20_000
"""Statement triggers see this many rows at once."""

HOUR = 3600.0


class BulkConnection(Protocol):
    """What a load needs of a driver connection."""

    async def copy_records_to_table(
        self,
        table_name: str,
        *,
        records: Any,
        columns: Any,
        schema_name: str,
        timeout: float,  # noqa: ASYNC109
    ) -> Any: ...
    async def execute(self, query: str, *args: Any) -> Any: ...


class Tally:
    """Counts what was written, by collection or `schema.table`, and tells the caller how far the present step is."""

    def __init__(self, on_progress: Progress | None) -> None:
        self.rows: dict[str, int] = {}
        self._on_progress = on_progress
        self._step = ""
        self._done = 0
        self._planned = 0

    def begin(self, step: str, planned: int) -> None:
        """Start a step of about `planned` rows."""
        self._step, self._done, self._planned = step, 0, planned
        self._tell()

    def wrote(self, target: str, count: int) -> None:
        """Add written rows."""
        self.rows[target] = self.rows.get(target, 0) + count
        self._done += count
        self._tell()

    def end(self) -> None:
        """The step is complete, however many rows it took."""
        self._planned = self._done
        self._tell()

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._step, self._done, max(self._planned, self._done))


@asynccontextmanager
async def bulk_transaction(postgres: Postgres) -> AsyncIterator[BulkConnection]:
    """A connection inside one transaction: all rows or none, without the time limits of a request."""
    async with postgres.connection() as connection:
        await connection.execute(
            "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET synchronous_commit = on"
        )
        # COPY is binary, and the pool's JSON codec is text only: here JSON columns take ready-made text.
        for name in ("json", "jsonb"):
            await connection.reset_type_codec(name, schema="pg_catalog")
        try:
            async with connection.transaction():
                yield connection
        finally:
            if not connection.is_closed():
                await set_codecs(connection)


def batches(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` rows."""
    iterator = iter(rows)
    while batch := list(islice(iterator, size)):
        yield batch


async def insert(mongo: Mongo, collection: str, documents: Iterable[Mapping[str, Any]], tally: Tally) -> None:
    """Insert documents in batches; raises StoreError when the store refuses one."""
    for batch in batches(documents, DOCUMENTS_PER_BATCH):
        with mongo.unhurried() as database:
            await database[collection].insert_many(batch)  # type: ignore[arg-type]  # a list of documents
        tally.wrote(collection, len(batch))


async def copy(
    connection: BulkConnection, table: str, columns: Sequence[str], records: Iterable[Sequence[object]], tally: Tally
) -> None:
    """Copy rows into `schema.table`, a chunk per statement."""
    schema, _, name = table.partition(".")
    for batch in batches(records, ROWS_PER_COPY):
        await connection.copy_records_to_table(name, schema_name=schema, columns=columns, records=batch, timeout=HOUR)
        tally.wrote(table, len(batch))
