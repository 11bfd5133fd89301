"""The form of refresh tokens: which session, which generation of it, a salt, and a signature over all three."""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from dataclasses import dataclass
from hashlib import sha256

from bson import ObjectId

from nexfit.domains.errors import InvalidRefreshToken
from nexfit.settings import AuthSettings

_FORM = struct.Struct(">12sI16s")
_SIGNED = _FORM.size + sha256().digest_size
_PURPOSE = b"nexfit refresh token"


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A token taken apart. The session keeps generation and salt of its newest one."""

    session_id: ObjectId
    generation: int
    salt: bytes


class RefreshTokens:
    """Writes and reads refresh tokens with a key of their own, derived from the signing secret."""

    def __init__(self, settings: AuthSettings) -> None:
        self._key = hmac.digest(settings.secret.get_secret_value().encode(), _PURPOSE, sha256)

    def write(self, token: RefreshToken) -> str:
        """The token as clients keep it."""
        body = _FORM.pack(token.session_id.binary, token.generation, token.salt)
        return base64.urlsafe_b64encode(body + hmac.digest(self._key, body, sha256)).decode().rstrip("=")

    def read(self, text: str) -> RefreshToken:
        """A token this server wrote; raises InvalidRefreshToken for anything else."""
        refused = InvalidRefreshToken()
        if len(text) > 200:
            raise refused
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise refused from None
        body, signature = raw[: _FORM.size], raw[_FORM.size :]
        if len(raw) != _SIGNED or not hmac.compare_digest(signature, hmac.digest(self._key, body, sha256)):
            raise refused
        session_id, generation, salt = _FORM.unpack(body)
        return RefreshToken(ObjectId(session_id), generation, salt)
