"""Private files of a folder, by addresses that are signed and end: who has one sees that one file until then."""

from __future__ import annotations

import base64
import hmac
import re
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, urlencode

from nexfit.settings import Settings

FILES_PATH = "/files"

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
"""What a file's key looks like: no part begins with a dot, so none leads upwards or to what is hidden."""


class FileRefused(Exception):
    """The address was not made here, or was changed."""


class FileExpired(FileRefused):
    """The address was made here and has ended."""


class SignedFiles:
    """Signs and checks addresses; the key is derived from the secret that signs access tokens."""

    def __init__(self, root: Path, secret: str, seconds: int) -> None:
        self._root = root
        self._key = hmac.digest(secret.encode(), b"nexfit file addresses", sha256)
        self._seconds = seconds

    @classmethod
    def of(cls, settings: Settings) -> SignedFiles:
        """The files of the settings."""
        return cls(settings.files.root, settings.auth.secret.get_secret_value(), settings.files.address_seconds)

    def address(self, key: str, now: datetime) -> str | None:
        """A path with its query, good for the set time from now on; None for what cannot be a file's key."""
        if len(key) > 512 or not _KEY.fullmatch(key):
            return None
        expires = int(now.timestamp()) + self._seconds
        query = urlencode({"expires": expires, "signature": self._signature(key, str(expires))})
        return f"{FILES_PATH}/{quote(key)}?{query}"

    def path(self, key: str, expires: str, signature: str, now: datetime) -> Path | None:
        """The file behind an address; None where there is none. Raises FileRefused and FileExpired."""
        if not hmac.compare_digest(self._signature(key, expires).encode(), signature.encode()):
            raise FileRefused
        if int(expires) <= now.timestamp():
            raise FileExpired
        found = (self._root / key).resolve()
        # A signed key leads nowhere else; a link in the folder might.
        if not _KEY.fullmatch(key) or not found.is_relative_to(self._root.resolve()) or not found.is_file():
            return None
        return found

    def _signature(self, key: str, expires: str) -> str:
        made = hmac.digest(self._key, f"{key}\n{expires}".encode(errors="surrogateescape"), sha256)
        return base64.urlsafe_b64encode(made).decode().rstrip("=")
