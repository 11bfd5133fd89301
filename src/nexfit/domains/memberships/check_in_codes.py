"""Codes that members show at the door: signed, for one person, and another one every half minute.

A photograph of one is worth nothing a minute later. The code says whose it is and when it was made, and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from bson import ObjectId

from nexfit.domains.errors import InvalidCode
from nexfit.settings import Settings

STEP = 30
"""Seconds a code is shown."""

_TAG = 16
"""Bytes of the signature that are kept."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Who shows a code, and the number of its half minute."""

    user: ObjectId
    step: int


class CheckInCodes:
    """Makes and reads codes; the key is derived from the secret that signs access tokens."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"nexfit check-in codes", sha256)

    @classmethod
    def of(cls, settings: Settings) -> CheckInCodes:
        """The codes of the settings."""
        return cls(settings.auth.secret.get_secret_value())

    def make(self, user: ObjectId, now: datetime) -> tuple[str, datetime]:
        """The code of this moment, of letters that every scanner reads, and when the next one is due."""
        step = int(now.timestamp()) // STEP
        body = user.binary + step.to_bytes(6, "big")
        text = base64.b32encode(body + self._tag(body)).decode().rstrip("=")
        return f"NX{text}", datetime.fromtimestamp((step + 1) * STEP, UTC)

    def read(self, code: str, now: datetime) -> Shown:
        """Who shows it. Raises InvalidCode for one made elsewhere, or not in this half minute or the ones beside it."""
        refused = InvalidCode("The code is not right, was used, or is too old.", path=("code",))
        text = code.strip().removeprefix("NX")
        try:
            raw = base64.b32decode(text + "=" * (-len(text) % 8))
        except (binascii.Error, ValueError):
            raise refused from None
        body, tag = raw[:18], raw[18:]
        if len(raw) != 18 + _TAG or not hmac.compare_digest(tag, self._tag(body)):
            raise refused
        shown = Shown(ObjectId(body[:12]), int.from_bytes(body[12:], "big"))
        if abs(shown.step - int(now.timestamp()) // STEP) > 1:
            raise refused
        return shown

    def _tag(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, sha256)[:_TAG]


def visit_of(shown: Shown, facility: ObjectId) -> ObjectId:
    """The id of the visit a scan makes: scanned again, by whichever desk, it is the same visit."""
    named = sha256(b"nexfit visit" + facility.binary + shown.user.binary + shown.step.to_bytes(6, "big")).digest()
    return ObjectId((shown.step * STEP).to_bytes(4, "big") + named[:8])
