"""Tokens of sessions and of guest sessions: JWT signed with HS256, one explicit algorithm, each for one use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from bson import ObjectId
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.session_watch import SessionWatch
from nexfit.settings import AuthSettings

ISSUER = "nexfit"
_ACCESS, _GUEST = "access", "guest"
_GUEST_ID = re.compile(r"[A-Za-z0-9_-]{22,64}")

MOST_REMEMBERED = 4096
"""Tokens whose signature is not checked again while they last: a check costs more than a cached answer."""


class InvalidToken(Exception):
    """The token is forged, malformed, expired, of an ended session or for another purpose; which one is not told."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A signed token and the instant it stops working."""

    value: str
    expires_at: datetime


class Tokens:
    """Issues and verifies access tokens."""

    def __init__(self, settings: AuthSettings, watch: SessionWatch) -> None:
        self._key = OctKey.import_key(settings.secret.get_secret_value())
        self._lifetime = timedelta(minutes=settings.access_token_minutes)
        self._watch = watch
        self._verified: dict[str, tuple[Actor, int]] = {}

    def issue(self, user_id: ObjectId, session_id: ObjectId, now: datetime) -> AccessToken:
        """A token for a user's session, valid from `now` for the configured minutes."""
        expires_at = (now + self._lifetime).replace(microsecond=0)
        claims = {
            "iss": ISSUER,
            "sub": str(user_id),
            "sid": str(session_id),
            "use": _ACCESS,
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
            "jti": uuid4().hex,
        }
        return AccessToken(jwt.encode({"alg": "HS256"}, claims, self._key), expires_at)

    def issue_guest(self, guest_id: str, now: datetime, expires_at: datetime) -> str:
        """A token that names a guest session until then; whether that has ended is `Guests`' to know."""
        issued, expires = int(now.timestamp()), int(expires_at.timestamp())
        claims = {"iss": ISSUER, "sub": guest_id, "use": _GUEST, "iat": issued, "exp": expires}
        return jwt.encode({"alg": "HS256"}, claims, self._key)

    def guest_in(self, token: str) -> str:
        """The guest session a token names, whether or not it is over; raises InvalidToken."""
        actor, _ = self._decoded(token)
        if actor.guest_id is None:
            raise InvalidToken
        return actor.guest_id

    def expiry(self, token: str) -> float:
        """When a token that was verified stops working, in seconds since 1970."""
        known = self._verified.get(token)
        return (known or self._decoded(token))[1]

    def verify(self, token: str, now: datetime) -> Actor:
        """The actor a token stands for; raises InvalidToken, SessionsUnknown.

        Of a guest's token only the signature and the time are looked at: ask `Guests.require_live` as well.
        """
        known = self._verified.get(token)
        if known is None:
            known = self._decoded(token)
            if len(self._verified) >= MOST_REMEMBERED:
                del self._verified[next(iter(self._verified))]
            self._verified[token] = known
        actor, expires = known
        seconds = now.timestamp()
        if expires <= seconds or self._watch.has_ended(actor.session_id):
            raise InvalidToken
        self._watch.used(actor.session_id, seconds)
        return actor

    def still_holds(self, actor: Actor) -> bool:
        """Whether the actor's session has not been ended meanwhile; raises SessionsUnknown. A guest always holds.

        For streams that outlive their request; the token's own end is theirs to watch.
        """
        return not self._watch.has_ended(actor.session_id)

    def _decoded(self, token: str) -> tuple[Actor, int]:
        """What a token with a right signature says: who, and until when in seconds since 1970. Raises InvalidToken."""
        if len(token) > 4096:
            raise InvalidToken
        try:
            claims = jwt.decode(token, self._key, algorithms=["HS256"]).claims
        except (JoseError, ValueError, TypeError):
            raise InvalidToken from None
        expires = claims.get("exp")
        subject, session = claims.get("sub"), claims.get("sid")
        if claims.get("iss") != ISSUER or not isinstance(expires, int):
            raise InvalidToken
        if claims.get("use") == _GUEST and isinstance(subject, str) and _GUEST_ID.fullmatch(subject):
            return Actor(guest_id=subject), expires
        if claims.get("use") != _ACCESS:
            raise InvalidToken
        if not ObjectId.is_valid(subject) or not ObjectId.is_valid(session):
            raise InvalidToken
        return Actor(ObjectId(subject), ObjectId(session)), expires
