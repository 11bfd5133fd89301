"""Keys of single people, for what tells of their health: a file each, in a folder that is in no backup of a database.

    folder/<last two digits of the id>/<id>    the key, encrypted with the ring's active key; empty once it is destroyed

Who is erased loses the key, and with it every copy of what it encrypted, also those in backups made before. An empty
file stays, so that no other key is ever made for that person.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import orjson
from bson import ObjectId
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
REMEMBERED = 60.0
"""Seconds a process uses a key without looking whether it is destroyed meanwhile."""

MOST = 10_000
"""Keys a process remembers."""


class PersonKeyFiles:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waits = True
        self._known: dict[ObjectId, tuple[float, AESGCM]] = {}

    def read(self, person: ObjectId) -> bytes | None:
        """What the person's file holds: nothing once the key is destroyed, None where there never was one."""
        try:
            return self._path(person).read_bytes()
        except FileNotFoundError:
            return None

    def add(self, person: ObjectId, wrapped: bytes) -> bytes:
        """Keep a new key; what the file holds then, which is another one's if that was faster."""
        path = self._path(person)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._written(path.parent, wrapped) as made:
            try:
                os.link(made, path)
            except FileExistsError:
                return path.read_bytes()
        self._settle(path.parent)
        return wrapped

    @contextmanager
    def in_bulk(self) -> Iterator[None]:
        """Do not wait until keys are on the disk: for loads that are begun anew if they fail."""
        self._waits = False
        try:
            yield
        finally:
            self._waits = True

    def destroy(self, person: ObjectId) -> bool:
        """Leave an empty file; False if it was destroyed before."""
        self._known.pop(person, None)
        with self._alone():
            if self.read(person) == b"":
                return False
            self._replace(self._path(person), b"")
        return True

    def people(self) -> Iterator[ObjectId]:
        """Everybody who has a file, in the order of the folders."""
        for path in sorted(self._folder.glob("[0-9a-f][0-9a-f]/" + "[0-9a-f]" * 24)):
            yield ObjectId(path.name)

    def replace(self, person: ObjectId, before: bytes, after: bytes) -> bool:
        """Wrap a key anew, unless it was destroyed or wrapped by somebody else meanwhile."""
        with self._alone():
            if self.read(person) != before:
                return False
            self._replace(self._path(person), after)
        return True

    def remembered(self, person: ObjectId) -> AESGCM | None:
        """The cipher used a moment ago."""
        known = self._known.get(person)
        return known[1] if known is not None and monotonic() - known[0] < REMEMBERED else None

    def remember(self, person: ObjectId, cipher: AESGCM) -> None:
        """Use the cipher for a while."""
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[person] = (monotonic(), cipher)

    def _path(self, person: ObjectId) -> Path:
        text = str(person)
        return self._folder / text[-2:] / text

    def _replace(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._written(path.parent, content) as made:
            os.link(made, f"{made}.new")
            os.replace(f"{made}.new", path)
        self._settle(path.parent)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _written(self, folder: Path, content: bytes) -> Iterator[str]:
        """A file that is on the disk, gone afterwards."""
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".") as file:
            file.write(content)
            file.flush()
            if self._waits:
                os.fsync(file.fileno())
            yield file.name

    def _settle(self, folder: Path) -> None:
        """What stands in the folder is on the disk."""
        if self._waits:
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def new_key() -> bytes:
    """A random key."""
    return secrets.token_bytes(KEY_BYTES)


def packed(envelope: dict[str, object]) -> bytes:
    """An envelope as its file holds it."""
    return orjson.dumps({name: value.hex() if isinstance(value, bytes) else value for name, value in envelope.items()})


def unpacked(content: bytes) -> dict[str, object]:
    """The envelope in a file."""
    found = orjson.loads(content)
    return {name: value if name == "keyId" else bytes.fromhex(value) for name, value in found.items()}
