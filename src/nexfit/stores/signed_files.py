"""Private files of a folder, by addresses that are signed and end: who has one sees that one file until then."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from nexfit.settings import Settings
from nexfit.stores.signed_addresses import SignedAddresses

FILES_PATH = "/files"

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
"""What a file's key looks like: no part begins with a dot, so none leads upwards or to what is hidden."""


class SignedFiles:
    """Addresses of files below a root folder."""

    def __init__(self, root: Path, addresses: SignedAddresses) -> None:
        self._root = root
        self._addresses = addresses

    @classmethod
    def of(cls, settings: Settings) -> SignedFiles:
        """The files of the settings."""
        return cls(settings.files.root, SignedAddresses.of(settings, FILES_PATH))

    def address(self, key: str, now: datetime) -> str | None:
        """A path with its query, good for the set time from now on; None for what cannot be a file's key."""
        if len(key) > 512 or not _KEY.fullmatch(key):
            return None
        return self._addresses.address(key, now)

    def path(self, key: str, expires: str, signature: str, now: datetime) -> Path | None:
        """The file behind an address; None where there is none. Raises AddressRefused and AddressExpired."""
        self._addresses.check(key, expires, signature, now)
        found = (self._root / key).resolve()
        # A signed key leads nowhere else; a link in the folder might.
        if not _KEY.fullmatch(key) or not found.is_relative_to(self._root.resolve()) or not found.is_file():
            return None
        return found
