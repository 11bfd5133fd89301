"""Signatures of the local provider's webhooks: HMAC-SHA256 over the time and the body, as Stripe's are."""

from __future__ import annotations

import hmac
from datetime import datetime
from hashlib import sha256

from nexfit.domains.finance.payments import BadSignature

TOLERANCE = 300.0
"""Seconds a webhook may be old, or ahead of this clock; what is older may be a copy somebody sends again."""


def sign(body: bytes, secret: str, at: datetime) -> str:
    """The header's value: `t=seconds,v1=hex`."""
    seconds = int(at.timestamp())
    return f"t={seconds},v1={_mac(body, secret, seconds)}"


def verify(header: str, body: bytes, secret: str, now: datetime) -> None:
    """Raises BadSignature unless this body was signed with the secret, and not long ago."""
    fields = dict(part.partition("=")[::2] for part in header.split(","))
    try:
        seconds = int(fields.get("t", ""))
    except ValueError:
        raise BadSignature("no time in the signature") from None
    if not hmac.compare_digest(_mac(body, secret, seconds).encode(), fields.get("v1", "").encode()):
        raise BadSignature("the signature is not the body's")
    check_age(seconds, now)


def check_age(seconds: int, now: datetime) -> None:
    """Raises BadSignature for a time too far from now."""
    if abs(now.timestamp() - seconds) > TOLERANCE:
        raise BadSignature("the webhook was signed at another time")


def _mac(body: bytes, secret: str, seconds: int) -> str:
    return hmac.new(secret.encode(), f"{seconds}.".encode() + body, sha256).hexdigest()
