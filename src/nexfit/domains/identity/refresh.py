"""Refresh tokens: a session renewed by its newest token, and ended by one that was used before.

A token names its session and generation and is signed; the session holds the salt of the newest one. So a token that
was never issued is refused without asking a store, an old one is known as old without keeping all of them, and what
the store holds makes no token without the signing key.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum, auto
from hashlib import sha256
from typing import Any

from bson import ObjectId

from nexfit.domains.errors import InvalidRefreshToken
from nexfit.domains.identity.documents import SessionEnd
from nexfit.domains.identity.refresh_tokens import RefreshToken
from nexfit.domains.identity.session_watch import SESSIONS
from nexfit.domains.identity.sessions import Opened, Sessions
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork

_COLUMNS = ("userId", "generation", "salt", "retryKey", "rotatedAt", "expiresAt", "revokedAt")


class Use(Enum):
    """What the use of a genuine token amounts to."""

    ROTATE = auto()
    REPEAT = auto()
    """The client asks again for the answer it did not get."""
    RACE = auto()
    """Another request used the token a moment ago: refused, and no reason to think of a thief."""
    THEFT = auto()
    """An old token comes back: somebody has a copy."""
    ENDED = auto()


def judge(
    session: Mapping[str, Any] | None,
    token: RefreshToken,
    retry_key: bytes | None,
    now: datetime,
    grace: timedelta,
) -> Use:
    """What a token means for its session as it is stored; None where it is not stored any more."""
    if session is None or session.get("revokedAt") is not None or session["expiresAt"] <= now:
        return Use.ENDED
    newest: int = session["generation"]
    if token.generation == newest:
        return Use.ROTATE if hmac.compare_digest(token.salt, session["salt"]) else Use.THEFT
    if token.generation == newest - 1 and now - session["rotatedAt"] <= grace:
        kept = session.get("retryKey")
        same = kept is not None and retry_key is not None and hmac.compare_digest(kept, retry_key)
        return Use.REPEAT if same else Use.RACE
    return Use.THEFT


async def refresh(
    units: UnitsOfWork, sessions: Sessions, *, token: str, retry_key: str | None, now: datetime
) -> Opened:
    """The session's next tokens. The given token works no more; with the same retry key it repeats its answer.

    Raises InvalidRefreshToken; a token that was used before ends its session and all tokens of it.
    """
    given = sessions.refresh_tokens.read(token)
    key = sha256(retry_key.encode("utf-8", "surrogatepass")).digest() if retry_key else None

    async def body(work: MongoWork) -> tuple[Use, ObjectId | None, RefreshToken | None]:
        session = await work.mongo.find_one(SESSIONS, {"_id": given.session_id}, _COLUMNS)
        use = judge(session, given, key, now, sessions.grace)
        if session is None or use in (Use.ENDED, Use.RACE):
            return use, None, None
        user_id: ObjectId = session["userId"]
        if use is Use.REPEAT:
            return use, user_id, RefreshToken(given.session_id, session["generation"], session["salt"])
        if use is Use.THEFT or not await _may_go_on(work, user_id):
            because = SessionEnd.TOKEN_REUSED if use is Use.THEFT else SessionEnd.ACCOUNT_DEACTIVATED
            await sessions.end(work, user_id, [given.session_id], because, now)
            return Use.THEFT, user_id, None
        following = RefreshToken(given.session_id, given.generation + 1, secrets.token_bytes(16))
        changes: dict[str, Any] = {
            "generation": following.generation,
            "salt": following.salt,
            "rotatedAt": now,
            "expiresAt": sessions.expiry(now),
        }
        # Of two at the same time MongoDB refuses one, which is run again and then finds a newer generation.
        await work.mongo.update(
            SESSIONS,
            {"_id": given.session_id, "generation": given.generation},
            {"$set": {**changes, "retryKey": key}} if key else {"$set": changes, "$unset": {"retryKey": ""}},
        )
        return use, user_id, following

    use, user_id, following = await units.mongo("refresh_token").run(body)
    if use is Use.THEFT:
        await sessions.forget([given.session_id], now)
    if user_id is None or following is None:
        raise InvalidRefreshToken
    opened = sessions.issued(user_id, following, now)
    await sessions.remember(opened, now)
    return opened


async def _may_go_on(work: MongoWork, user_id: ObjectId) -> bool:
    user = await work.mongo.find_one("users", {"_id": user_id}, ("isActive",))
    return user is not None and bool(user["isActive"])
