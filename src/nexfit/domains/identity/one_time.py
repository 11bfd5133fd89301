"""One-time links and codes: random, kept as keyed hashes, good for one use and a short time.

A link's token has 256 bits and is its own proof. A code has six digits, so its hash is keyed with the signing secret
and with the document it belongs to, and it stands few tries.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from bson import ObjectId

from nexfit.domains.identity.documents import CodeKind
from nexfit.hybrid.unit_of_work import MongoWork
from nexfit.settings import AuthSettings
from nexfit.stores.mongo import Document

CODES = "one_time_codes"
DIGITS = 6
MOST_TRIES = 5
LIFETIMES = {CodeKind.PASSWORD_RESET: timedelta(hours=1), CodeKind.PHONE: timedelta(minutes=10)}


def new_token() -> str:
    """A token for a link."""
    return secrets.token_urlsafe(32)


def new_code() -> str:
    """A code to be typed."""
    return f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"


@dataclass(frozen=True, slots=True)
class Hashes:
    """Hashes of what is sent, keyed with the signing secret."""

    settings: AuthSettings

    def of_token(self, token: str) -> bytes:
        """Of a link's token."""
        return self._keyed(b"link", token)

    def of_code(self, id_: ObjectId, code: str) -> bytes:
        """Of a code that belongs to a document."""
        return self._keyed(id_.binary, code)

    def _keyed(self, scope: bytes, text: str) -> bytes:
        key = self.settings.secret.get_secret_value().encode()
        return hmac.digest(key, b"nexfit one time " + scope + text.encode("utf-8", "surrogatepass"), sha256)


async def add_link(
    work: MongoWork, hashes: Hashes, kind: CodeKind, user_id: ObjectId | None, token: str, now: datetime
) -> None:
    """Keep a link for a user, in place of earlier ones; without a user one that opens nothing."""
    if user_id is not None:
        await forget(work, kind, user_id)
    await work.mongo.insert(CODES, _document(ObjectId(), kind, user_id, hashes.of_token(token), None, now))


async def add_code(
    work: MongoWork, hashes: Hashes, kind: CodeKind, user_id: ObjectId, code: str, target: str, now: datetime
) -> None:
    """Keep a code for a user and what it proves, in place of earlier ones."""
    await forget(work, kind, user_id)
    id_ = ObjectId()
    await work.mongo.insert(CODES, _document(id_, kind, user_id, hashes.of_code(id_, code), target, now))


async def use_link(work: MongoWork, hashes: Hashes, kind: CodeKind, token: str, now: datetime) -> ObjectId | None:
    """Whose link it is, used up should the unit commit; None when it is unknown, used or too old."""
    found = await work.mongo.find_one(
        CODES, {"codeHash": hashes.of_token(token), "kind": str(kind), "expiresAt": {"$gt": now}}, ("userId",)
    )
    user_id: ObjectId | None = found.get("userId") if found else None
    if user_id is not None:
        await forget(work, kind, user_id)
    return user_id


async def use_code(
    work: MongoWork, hashes: Hashes, kind: CodeKind, user_id: ObjectId, code: str, now: datetime
) -> str | None:
    """What a user's code proves, used up should the unit commit. A wrong one is counted (commit that, too): None."""
    live = {"userId": user_id, "kind": str(kind), "expiresAt": {"$gt": now}, "tries": {"$lt": MOST_TRIES}}
    found = await work.mongo.claim(CODES, live, {"$inc": {"tries": 1}}, ("codeHash", "target"))
    if found is None or not hmac.compare_digest(found["codeHash"], hashes.of_code(found["_id"], code)):
        return None
    await forget(work, kind, user_id)
    target: str = found["target"]
    return target


async def forget(work: MongoWork, kind: CodeKind, user_id: ObjectId) -> None:
    """Forget a user's links or codes of a kind."""
    await work.mongo.delete(CODES, {"userId": user_id, "kind": str(kind)})


def _document(
    id_: ObjectId, kind: CodeKind, user_id: ObjectId | None, hash_: bytes, target: str | None, now: datetime
) -> Document:
    made: Document = {
        "_id": id_,
        "userId": user_id,
        "kind": str(kind),
        "codeHash": hash_,
        "target": target,
        "tries": 0,
        "createdAt": now,
        "expiresAt": now + LIFETIMES[kind],
    }
    return {name: value for name, value in made.items() if value is not None}
