"""A person's data as one ZIP file: `export.json`, whose schema is docs/person-export.schema.json, and their files.

Documents and rows pass through in batches, so that ten years of a person need no more memory than a day.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import orjson
from bson import Decimal128, ObjectId

from nexfit.operations.mongo_schema import ALL_DOCUMENTS
from nexfit.operations.mongo_validators import collection_name, encrypted_fields
from nexfit.operations.people import registry
from nexfit.operations.people.places import Documents, Person, Rows, documents_of, rows_of
from nexfit.settings import Settings
from nexfit.stores.connections import Stores
from nexfit.stores.field_encryption import FieldEncryptionError, KeyRing, Place
from nexfit.stores.postgres import maintenance_connection

FORMAT, VERSION = "nexfit-person-export", 1
BATCH = 500
PIECE = 1_000_000
"""Bytes of a file that are held at a time."""

Progress = Callable[[str, int, int], None]
"""Called with a section's name, which one it is, and how many there are."""

ENCRYPTED = {collection_name(model): encrypted_fields(model) for model in ALL_DOCUMENTS}


async def write_export(
    settings: Settings,
    stores: Stores,
    person: Person,
    target: Path,
    *,
    now: datetime,
    on_progress: Progress = lambda *_: None,
) -> int:
    """Write the file whole, in place of an earlier one; its size in bytes. Raises StoreError, OSError.

    A value that cannot be decrypted is null: its key is gone, or somebody tampered with it.
    """
    documents = [one for one in await documents_of(stores, person) if one.rule.exported]
    rows = [one for one in rows_of() if one.rule.exported]
    sections = [
        *((one.section, _documents(stores, person, one)) for one in documents),
        *((one.section, _rows(settings, person, one)) for one in rows),
    ]
    with _replacing(target) as written:
        with ZipFile(written, "w", ZIP_DEFLATED) as archive:
            manifest = await asyncio.to_thread(_add_files, archive, settings.files.root, person)
            on_progress("files", 1, len(sections) + 1)
            with archive.open("export.json", "w", force_zip64=True) as out:
                head = {"format": FORMAT, "version": VERSION, "person": person.text, "madeAt": _plain(now)}
                out.write(orjson.dumps(head)[:-1] + b',"files":' + orjson.dumps(manifest) + b',"sections":{')
                for number, (name, batches) in enumerate(sections):
                    out.write((b"," if number else b"") + orjson.dumps(name) + b":[")
                    await _write_items(out, batches)
                    out.write(b"]")
                    on_progress(name, number + 2, len(sections) + 1)
                out.write(b"}}")
        return written.seek(0, os.SEEK_END)


@contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file that takes the target's place once it is whole, and leaves nothing otherwise."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as written:
        try:
            yield written
            written.flush()
            os.fsync(written.fileno())
            os.replace(written.name, target)
        except BaseException:
            os.unlink(written.name)
            raise


async def _write_items(out: IO[bytes], batches: AsyncIterator[list[dict[str, Any]]]) -> None:
    is_first = True
    async for batch in batches:
        text = b",".join(orjson.dumps(item) for item in batch)
        await asyncio.to_thread(out.write, text if is_first else b"," + text)  # deflating takes its time
        is_first = False


async def _documents(stores: Stores, person: Person, one: Documents) -> AsyncIterator[list[dict[str, Any]]]:
    shown: dict[str, Any] = {"_id": "_id" in one.rule.exported}
    for name in one.rule.exported:
        outer, _, inner = one.path.partition(".")
        # Of a list that holds other people, too, the person's own entry.
        shown[name] = {"$elemMatch": {inner: person.id}} if inner and name == outer else True
    with stores.mongo.unhurried() as database:
        cursor = database[one.collection].find(one.filter, {**shown, "_id": True}, batch_size=BATCH)
        batch: list[dict[str, Any]] = []
        async for document in cursor:
            batch.append(_document(stores.keys, person, one, document))
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch


def _document(keys: KeyRing, person: Person, one: Documents, document: dict[str, Any]) -> dict[str, Any]:
    for path in ENCRYPTED[one.collection]:
        *outer, last = path.split(".")
        held: Any = document
        for name in outer:
            held = held.get(name) if isinstance(held, dict) else None
        if isinstance(held, dict) and last in held:
            try:
                held[last] = keys.of_person(person.id).decrypt(Place(one.collection, document["_id"], path), held[last])
            except FieldEncryptionError:
                held[last] = None
    if "_id" not in one.rule.exported:
        del document["_id"]
    made: dict[str, Any] = _plain(document)
    return made


async def _rows(settings: Settings, person: Person, one: Rows) -> AsyncIterator[list[dict[str, Any]]]:
    columns = ", ".join(one.rule.exported)
    statement = f"SELECT {columns} FROM {one.table} WHERE {one.condition}"  # noqa: S608 - names of the registry
    async with maintenance_connection(settings.postgres) as connection, connection.transaction(readonly=True):
        cursor = await connection.cursor(statement, person.text)
        while batch := await cursor.fetch(BATCH):
            yield [_plain(dict(row)) for row in batch]


def files_of(root: Path, person: Person) -> Iterable[tuple[str, Path]]:
    """A person's private files by their keys, exports apart."""
    for pattern in registry.folders():
        folder = root / pattern.format(id=person.text)
        if pattern.startswith("people/") or not folder.is_dir():
            continue
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path.relative_to(root).as_posix(), path


def _add_files(archive: ZipFile, root: Path, person: Person) -> list[dict[str, Any]]:
    manifest = []
    for key, path in files_of(root, person):
        digest, size = hashlib.sha256(), 0
        archive.compression = ZIP_STORED  # pictures are compressed already
        with path.open("rb") as source, archive.open(f"files/{key}", "w", force_zip64=True) as out:
            while piece := source.read(PIECE):
                digest.update(piece)
                size += len(piece)
                out.write(piece)
        manifest.append({"key": key, "path": f"files/{key}", "bytes": size, "sha256": digest.hexdigest()})
    archive.compression = ZIP_DEFLATED
    return manifest


def _plain(value: Any) -> Any:
    """The value as JSON has it; decimals as text, bytes in base64, moments in UTC."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal128):
        return f"{value.to_decimal():f}"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, ObjectId | UUID):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
