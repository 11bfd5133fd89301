"""A second factor: codes of an authenticator app, each used once, and recovery codes for a lost app.

The secret is kept encrypted and the recovery codes as keyed hashes. The period of the newest code used is kept, so a
code that was seen by somebody else is of no use to them.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bson import ObjectId

from nexfit.domains.errors import InvalidCode, SecondFactorExists, SecondFactorRequired
from nexfit.domains.identity import totp
from nexfit.domains.identity.accounts import Accounts
from nexfit.domains.identity.events import SecondFactorChanged
from nexfit.domains.identity.password_change import require_password
from nexfit.domains.identity.sessions import Device
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork
from nexfit.stores.field_encryption import KeyRing, Place
from nexfit.stores.mongo import Document, Mongo

FACTORS = "second_factors"
RECOVERY_CODES = 10
_COLUMNS = ("secret", "confirmedAt", "lastPeriod", "recoveryHashes")


@dataclass(frozen=True, slots=True)
class Started:
    """What an authenticator app is told, shown once."""

    secret: str
    address: str


async def enabled_for(mongo: Mongo, ids: Iterable[ObjectId]) -> set[ObjectId]:
    """Which of these people sign in with a second factor, in one command."""
    rows = await mongo.find(FACTORS, {"_id": {"$in": list(ids)}, "confirmedAt": {"$exists": True}}, ())
    return {row["_id"] for row in rows}


async def start(accounts: Accounts, user_id: ObjectId, password: str, *, device: Device, now: datetime) -> Started:
    """A secret for an app; it counts once `confirm` is given a code of it.

    Raises InvalidCredentials, TooOften, SecondFactorExists.
    """
    await require_password(accounts, user_id, password, device=device, field="password")
    secret = totp.new_secret()
    kept = accounts.stores.keys.encrypt(_place(user_id), base64.b64encode(secret).decode())

    async def body(work: MongoWork) -> str:
        found = await work.mongo.find_one(FACTORS, {"_id": user_id}, ("confirmedAt",))
        if found is not None and "confirmedAt" in found:
            raise SecondFactorExists("There is a second factor already. Remove it first.")
        await work.mongo.update(
            FACTORS,
            {"_id": user_id, "confirmedAt": {"$exists": False}},
            {"$set": {"secret": kept, "lastPeriod": 0, "recoveryHashes": [], "createdAt": now}},
            upsert=True,
        )
        user = await work.mongo.find_one("users", {"_id": user_id}, ("email",))
        work.audit(_audit("second_factor.started", user_id, device))
        email: str = (user or {})["email"]
        return email

    email = await accounts.units.mongo("start_second_factor").run(body)
    return Started(totp.spelled(secret), totp.address(secret, email))


async def confirm(accounts: Accounts, user_id: ObjectId, code: str, *, device: Device, now: datetime) -> list[str]:
    """Turn the second factor on; the recovery codes, shown this once. Raises InvalidCode, TooOften."""
    await accounts.attempts.check("second_factor", account=str(user_id), address=device.address or "")
    recovery = [_new_recovery_code() for _ in range(RECOVERY_CODES)]

    async def body(work: MongoWork) -> None:
        found = await work.mongo.find_one(FACTORS, {"_id": user_id, "confirmedAt": {"$exists": False}}, _COLUMNS)
        period = None if found is None else _period(accounts.stores.keys, found, code, now)
        if period is None:
            raise InvalidCode("The code is not right, was used, or is too old.", path=("code",))
        await work.mongo.update(
            FACTORS,
            {"_id": user_id},
            {
                "$set": {
                    "confirmedAt": now,
                    "lastPeriod": period,
                    "recoveryHashes": [accounts.hashes.of_code(user_id, one) for one in recovery],
                }
            },
        )
        work.emit(SecondFactorChanged(user_id=str(user_id), enabled=True))
        work.audit(_audit("second_factor.enabled", user_id, device))

    await accounts.units.mongo("confirm_second_factor").run(body)
    return recovery


async def remove(
    accounts: Accounts, user_id: ObjectId, password: str, code: str, *, device: Device, now: datetime
) -> None:
    """Turn the second factor off. Raises InvalidCredentials, InvalidCode, TooOften."""
    await require_password(accounts, user_id, password, device=device, field="password")
    await accounts.attempts.check("second_factor", account=str(user_id), address=device.address or "")

    async def body(work: MongoWork) -> None:
        await require(work, accounts, user_id, code, now)
        if not await work.mongo.delete(FACTORS, {"_id": user_id, "confirmedAt": {"$exists": True}}):
            raise InvalidCode("The code is not right, was used, or is too old.", path=("code",))
        work.emit(SecondFactorChanged(user_id=str(user_id), enabled=False))
        work.audit(_audit("second_factor.removed", user_id, device))

    await accounts.units.mongo("remove_second_factor").run(body)


async def require(work: MongoWork, accounts: Accounts, user_id: ObjectId, code: str | None, now: datetime) -> None:
    """Use up a code of the user's, should the unit commit; nothing for who has no second factor.

    Raises SecondFactorRequired without a code and InvalidCode for one that is wrong or was used.
    """
    found = await work.mongo.find_one(FACTORS, {"_id": user_id, "confirmedAt": {"$exists": True}}, _COLUMNS)
    if found is None:
        return
    if code is None:
        raise SecondFactorRequired("This account needs a code of its authenticator app as well.", path=("code",))
    period = _period(accounts.stores.keys, found, code.strip(), now)
    if period is not None:
        # Of two at the same time MongoDB refuses one, which is run again and finds the code used.
        await work.mongo.update(FACTORS, {"_id": user_id}, {"$set": {"lastPeriod": period}})
        return
    hash_ = accounts.hashes.of_code(user_id, _normalized(code))
    if not await work.mongo.update(
        FACTORS, {"_id": user_id, "recoveryHashes": hash_}, {"$pull": {"recoveryHashes": hash_}}
    ):
        raise InvalidCode("The code is not right, was used, or is too old.", path=("code",))


def _period(keys: KeyRing, found: Document, code: str, now: datetime) -> int | None:
    secret = base64.b64decode(keys.decrypt(_place(found["_id"]), found["secret"]))
    return totp.matching_period(secret, code.strip(), now, found["lastPeriod"])


def _place(user_id: ObjectId) -> Place:
    return Place(FACTORS, user_id, "secret")


def _new_recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(10)).decode().lower()
    return f"{text[:8]}-{text[8:]}"


def _normalized(code: str) -> str:
    text = code.replace("-", "").replace(" ", "").lower()[:100]
    return f"{text[:8]}-{text[8:]}"


def _audit(action: str, user_id: ObjectId, device: Device) -> Audit:
    return Audit(
        action=action,
        entity_type="user",
        entity_id=str(user_id),
        user_id=str(user_id),
        ip_address=device.address,
    )
