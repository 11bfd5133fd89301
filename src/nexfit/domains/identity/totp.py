"""Time-based one-time passwords, RFC 6238 over RFC 4226, as authenticator apps make them: SHA-1, 30 s, 6 digits."""

from __future__ import annotations

import base64
import hmac
import secrets
import struct
from datetime import datetime
from hashlib import sha1
from urllib.parse import quote, urlencode

PERIOD = 30
DIGITS = 6
SECRET_BYTES = 20
DRIFT = 1
"""Periods a clock may be ahead or behind."""


def new_secret() -> bytes:
    """A secret as long as the hash, as RFC 4226 recommends."""
    return secrets.token_bytes(SECRET_BYTES)


def period_at(now: datetime) -> int:
    """The number of the period an instant is in."""
    return int(now.timestamp()) // PERIOD


def code_of(secret: bytes, period: int, digits: int = DIGITS) -> str:
    """The code of a period."""
    digest = hmac.digest(secret, struct.pack(">Q", period), sha1)
    start = digest[-1] & 15
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}}"


def matching_period(secret: bytes, code: str, now: datetime, after: int) -> int | None:
    """The period whose code this is, among those around now and later than `after`; None where there is none."""
    current = period_at(now)
    found = None
    for period in range(max(0, current - DRIFT), current + DRIFT + 1):
        same = hmac.compare_digest(code_of(secret, period).encode(), code.encode("utf-8", "surrogatepass"))
        if same and period > after:
            found = period
    return found


def spelled(secret: bytes) -> str:
    """The secret as people type it into an app."""
    return base64.b32encode(secret).decode().rstrip("=")


def address(secret: bytes, account: str) -> str:
    """The secret as apps read it from a QR code."""
    query = urlencode({"secret": spelled(secret), "issuer": "NexFit", "digits": DIGITS, "period": PERIOD})
    return f"otpauth://totp/{quote(f'NexFit:{account}')}?{query}"
