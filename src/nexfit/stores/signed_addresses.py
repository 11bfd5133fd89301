"""Addresses that are signed and end: who has one may fetch the one thing it names until then."""

from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote, urlencode

from nexfit.settings import Settings


class AddressRefused(Exception):
    """The address was not made here, or was changed."""


class AddressExpired(AddressRefused):
    """The address was made here and has ended."""


class SignedAddresses:
    """Signs and checks addresses below one path; each path's key is derived from the secret of access tokens."""

    def __init__(self, path: str, secret: str, seconds: int) -> None:
        self.path = path
        self._key = hmac.digest(secret.encode(), f"nexfit addresses {path}".encode(), sha256)
        self._seconds = seconds

    @classmethod
    def of(cls, settings: Settings, path: str) -> SignedAddresses:
        """The addresses of the settings below a path."""
        return cls(path, settings.auth.secret.get_secret_value(), settings.files.address_seconds)

    def address(self, key: str, now: datetime) -> str:
        """A path with its query, good for the set time from now on."""
        expires = int(now.timestamp()) + self._seconds
        query = urlencode({"expires": expires, "signature": self._signature(key, str(expires))})
        return f"{self.path}/{quote(key)}?{query}"

    def expiry(self, now: datetime) -> datetime:
        """When an address that is made now ends."""
        return datetime.fromtimestamp(int(now.timestamp()) + self._seconds, UTC)

    def check(self, key: str, expires: str, signature: str, now: datetime) -> None:
        """Raises AddressRefused and AddressExpired."""
        if not hmac.compare_digest(self._signature(key, expires).encode(), signature.encode()):
            raise AddressRefused
        if int(expires) <= now.timestamp():
            raise AddressExpired

    def _signature(self, key: str, expires: str) -> str:
        made = hmac.digest(self._key, f"{key}\n{expires}".encode(errors="surrogateescape"), sha256)
        return base64.urlsafe_b64encode(made).decode().rstrip("=")
