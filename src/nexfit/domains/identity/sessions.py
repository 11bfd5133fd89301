"""Sessions: who is signed in on which device. MongoDB's `sessions` is the truth, Redis has copies."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson
import structlog
from bson import ObjectId

from nexfit.domains.errors import InvalidRefreshToken
from nexfit.domains.identity.documents import SessionEnd
from nexfit.domains.identity.events import SessionOpened, SessionsEnded
from nexfit.domains.identity.refresh_tokens import RefreshToken, RefreshTokens
from nexfit.domains.identity.session_watch import SESSIONS, SessionWatch, session_key
from nexfit.domains.identity.tokens import AccessToken, Tokens
from nexfit.hybrid import documents_paging
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.paging import Key, Page, PageRequest, instant, object_id
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.settings import AuthSettings
from nexfit.stores.errors import StoreError
from nexfit.stores.mongo import Document, Mongo
from nexfit.stores.redis import RedisStore

ORDER = "sessions:CREATED_AT:DESC"
_KEYS = (Key("createdAt", instant, descending=True), Key("_id", object_id, descending=True))

_LAST_USES = """
local found = {}
for i, key in ipairs(KEYS) do found[i] = redis.call('HGET', key, 'lastActivity') end
return found
"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Device:
    """Where somebody signs in from, as far as it is known."""

    name: str | None = None
    user_agent: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A session with the tokens its device keeps from now on."""

    user_id: ObjectId
    session_id: ObjectId
    access: AccessToken
    refresh: str
    refresh_expires_at: datetime


class Sessions:
    """Opens and ends sessions, and keeps Redis' copies of them."""

    def __init__(self, redis: RedisStore, tokens: Tokens, watch: SessionWatch, settings: AuthSettings) -> None:
        self.refresh_tokens = RefreshTokens(settings)
        self.grace = timedelta(seconds=settings.refresh_grace_seconds)
        self._redis = redis
        self._tokens = tokens
        self._watch = watch
        self._lifetime = timedelta(days=settings.session_days)

    def expiry(self, now: datetime) -> datetime:
        """When a session that was refreshed now ends by itself."""
        return now + self._lifetime

    async def open(self, work: MongoWork, user_id: ObjectId, device: Device, now: datetime) -> Opened:
        """A new session for a user, should the unit commit; call `remember` after it."""
        id_, salt = ObjectId(), secrets.token_bytes(16)
        user_agent = (device.user_agent or "")[:1000] or None
        session: Document = {
            "_id": id_,
            "userId": user_id,
            "generation": 0,
            "salt": salt,
            "deviceName": device.name,
            "userAgent": user_agent,
            "ipAddress": device.address,
            "createdAt": now,
            "rotatedAt": now,
            "expiresAt": self.expiry(now),
        }
        await work.mongo.insert(SESSIONS, {name: value for name, value in session.items() if value is not None})
        work.emit(SessionOpened(user_id=str(user_id), session_id=str(id_)))
        work.audit(
            Audit(
                action="session.opened",
                entity_type="session",
                entity_id=str(id_),
                user_id=str(user_id),
                after={"deviceName": device.name},
                ip_address=device.address,
                user_agent=user_agent,
            )
        )
        return self.issued(user_id, RefreshToken(id_, 0, salt), now)

    def issued(self, user_id: ObjectId, token: RefreshToken, now: datetime) -> Opened:
        """The tokens of a session's generation."""
        return Opened(
            user_id,
            token.session_id,
            self._tokens.issue(user_id, token.session_id, now),
            self.refresh_tokens.write(token),
            self.expiry(now),
        )

    async def end(
        self,
        work: MongoWork,
        user_id: ObjectId,
        ids: Sequence[ObjectId],
        because: SessionEnd,
        now: datetime,
    ) -> None:
        """End sessions of a user, should the unit commit; call `forget` after it."""
        if not ids:
            return
        await work.mongo.update(
            SESSIONS,
            {"_id": {"$in": list(ids)}, "userId": user_id, "revokedAt": {"$exists": False}},
            {"$set": {"revokedAt": now, "revokedBecause": str(because)}},
        )
        texts = [str(id_) for id_ in ids]
        work.emit(SessionsEnded(user_id=str(user_id), session_ids=texts, because=because))
        work.audit(
            Audit(
                action="session.ended",
                entity_type="user",
                entity_id=str(user_id),
                user_id=str(user_id),
                after={"sessions": texts, "because": str(because)},
            )
        )

    async def end_others(
        self, work: MongoWork, user_id: ObjectId, keep: ObjectId | None, because: SessionEnd, now: datetime
    ) -> list[ObjectId]:
        """End all live sessions of a user but one, should the unit commit; call `forget` with the answer after it."""
        live = await work.mongo.find(SESSIONS, _live(user_id, now), ())
        ids = [session["_id"] for session in live if session["_id"] != keep]
        await self.end(work, user_id, ids, because, now)
        return ids

    async def remember(self, opened: Opened, now: datetime, device: Device | None = None) -> None:
        """After a commit: give Redis its copy of a session, if it takes it."""
        key = session_key(opened.session_id)
        fields: list[str | int] = ["userId", str(opened.user_id), "lastActivity", int(now.timestamp() * 1000)]
        if device is not None:
            fields += ["deviceInfo", orjson.dumps({"name": device.name, "userAgent": device.user_agent}).decode()]
        seconds = int((opened.refresh_expires_at - now).total_seconds())
        try:
            await self._redis.send([("HSET", key, *fields), ("EXPIRE", key, seconds)])
        except StoreError as error:
            log.info("a session is not copied", error=str(error))

    async def forget(self, ids: Iterable[ObjectId], now: datetime) -> None:
        """After a commit: these sessions have ended; this process refuses them from now on, others within a second."""
        await self._watch.tell(ids, now)

    async def last_uses(self, sessions: Sequence[Mapping[str, Any]]) -> list[datetime]:
        """When each session was last used, in one round trip; its last refresh where Redis does not know better."""
        # Paged rows come without a zone, and every stored instant is UTC.
        refreshed: list[datetime] = [session["rotatedAt"].replace(tzinfo=UTC) for session in sessions]
        try:
            keys = [session_key(session["_id"]) for session in sessions]
            [found] = await self._redis.send([("EVAL", _LAST_USES, len(keys), *keys)])
        except StoreError:
            return refreshed
        return [
            max(at, datetime.fromtimestamp(int(bytes(used)) / 1000, UTC)) if isinstance(used, bytes) else at
            for at, used in zip(refreshed, cast("list[object]", found), strict=True)
        ]


async def of_user(mongo: Mongo, user_id: ObjectId, request: PageRequest, columns: Iterable[str], now: datetime) -> Page:
    """A page of a user's live sessions, newest first."""
    return await documents_paging.page(mongo, SESSIONS, _live(user_id, now), _KEYS, request, columns)


async def live_by_ids(
    mongo: Mongo, user_id: ObjectId, ids: Iterable[ObjectId], columns: Iterable[str], now: datetime
) -> dict[ObjectId, Document]:
    """A user's live sessions among those with these ids."""
    rows = await mongo.find(SESSIONS, {"_id": {"$in": list(set(ids))}, **_live(user_id, now)}, columns)
    return {row["_id"]: row for row in rows}


async def end_one(
    units: UnitsOfWork, sessions: Sessions, user_id: ObjectId, session_id: ObjectId, because: SessionEnd, now: datetime
) -> bool:
    """End a live session of a user; False where there is none such."""

    async def body(work: MongoWork) -> bool:
        found = await work.mongo.find_one(SESSIONS, {"_id": session_id, **_live(user_id, now)}, ())
        if found is not None:
            await sessions.end(work, user_id, [session_id], because, now)
        return found is not None

    ended = await units.mongo("end_session").run(body)
    if ended:
        await sessions.forget([session_id], now)
    return ended


async def end_by_token(units: UnitsOfWork, sessions: Sessions, token: str, now: datetime) -> None:
    """End the session of its newest refresh token; raises InvalidRefreshToken."""
    given = sessions.refresh_tokens.read(token)

    async def body(work: MongoWork) -> bool:
        newest = {"_id": given.session_id, "generation": given.generation, "salt": given.salt}
        found = await work.mongo.find_one(SESSIONS, {**newest, "revokedAt": {"$exists": False}}, ("userId",))
        if found is not None:
            await sessions.end(work, found["userId"], [given.session_id], SessionEnd.LOGOUT, now)
        return found is not None

    if not await units.mongo("logout").run(body):
        raise InvalidRefreshToken
    await sessions.forget([given.session_id], now)


async def end_all(
    units: UnitsOfWork, sessions: Sessions, user_id: ObjectId, now: datetime, *, keep: ObjectId | None = None
) -> int:
    """End every live session of a user but the one to keep; how many."""

    async def body(work: MongoWork) -> list[ObjectId]:
        return await sessions.end_others(work, user_id, keep, SessionEnd.REVOKED, now)

    ended = await units.mongo("end_all_sessions").run(body)
    await sessions.forget(ended, now)
    return len(ended)


def _live(user_id: ObjectId, now: datetime) -> dict[str, Any]:
    return {"userId": user_id, "revokedAt": {"$exists": False}, "expiresAt": {"$gt": now}}
