"""Private files of a folder, by addresses that are signed and end: who has one sees that one file until then."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from nexfit.settings import Settings
from nexfit.stores.signed_addresses import AddressRefused, SignedAddresses

FILES_PATH, UPLOADS_PATH = "/files", "/uploads"
"""Where files are read from, and sent to: an address of the one is none of the other."""

MOST_UPLOADED = 10_000_000
"""Bytes of a file that is sent."""

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
"""What a file's key looks like: no part begins with a dot, so none leads upwards or to what is hidden."""


class SignedFiles:
    """Addresses of files below a root folder."""

    def __init__(self, root: Path, addresses: SignedAddresses, uploads: SignedAddresses) -> None:
        self._root = root
        self._addresses = addresses
        self._uploads = uploads

    @classmethod
    def of(cls, settings: Settings) -> SignedFiles:
        """The files of the settings."""
        reading, sending = (SignedAddresses.of(settings, path) for path in (FILES_PATH, UPLOADS_PATH))
        return cls(settings.files.root, reading, sending)

    def address(self, key: str, now: datetime) -> str | None:
        """A path with its query, good for the set time from now on; None for what cannot be a file's key."""
        if len(key) > 512 or not _KEY.fullmatch(key):
            return None
        return self._addresses.address(key, now)

    def expiry(self, now: datetime) -> datetime:
        """When an address that is made now ends."""
        return self._addresses.expiry(now)

    def path(self, key: str, expires: str, signature: str, now: datetime) -> Path | None:
        """The file behind an address; None where there is none. Raises AddressRefused and AddressExpired."""
        self._addresses.check(key, expires, signature, now)
        found = (self._root / key).resolve()
        # A signed key leads nowhere else; a link in the folder might.
        if not _KEY.fullmatch(key) or not found.is_relative_to(self._root.resolve()) or not found.is_file():
            return None
        return found

    def upload_address(self, key: str, now: datetime) -> str:
        """Where the file with this new key is sent to, once, within the set time from now on."""
        return self._uploads.address(key, now)

    def check_upload(self, key: str, expires: str, signature: str, now: datetime) -> None:
        """Raises AddressRefused and AddressExpired."""
        self._uploads.check(key, expires, signature, now)
        if not _KEY.fullmatch(key):
            raise AddressRefused

    def keep(self, key: str, content: bytes) -> bool:
        """Write a file whole under its key; False where there is one already."""
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".") as written:
            written.write(content)
            written.flush()
            os.fsync(written.fileno())
            try:
                os.link(written.name, path)
            except FileExistsError:
                return False
        return True

    def read(self, key: str, most: int) -> bytes | None:
        """At most so many bytes of a file that was sent; None where there is none."""
        path = self._root / key
        if not _KEY.fullmatch(key) or not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(most)

    def remove_older(self, folder: str, before: datetime) -> None:
        """Delete the files of a folder that were written before then."""
        for path in (self._root / folder).glob("[!.]*"):
            with suppress(FileNotFoundError):  # somebody else cleans up as well
                if path.stat().st_mtime < before.timestamp():
                    path.unlink()

    def remove(self, keys: Iterable[str]) -> None:
        """Delete files; those that are gone, and what is no key, are passed over."""
        for key in keys:
            if _KEY.fullmatch(key):
                (self._root / key).unlink(missing_ok=True)
