"""Signing in with e-mail and password. Credentials live in MongoDB's `credentials`, apart from every profile read."""

from __future__ import annotations

from datetime import datetime

from nexfit.domains.errors import InvalidCredentials
from nexfit.domains.identity.attempts import Attempts
from nexfit.domains.identity.passwords import Passwords, needs_rehash
from nexfit.domains.identity.sessions import Device, Opened, Sessions
from nexfit.domains.text import normalize_email
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.mongo import Mongo


async def login(
    mongo: Mongo,
    units: UnitsOfWork,
    passwords: Passwords,
    sessions: Sessions,
    attempts: Attempts,
    *,
    email: str,
    password: str,
    device: Device,
    now: datetime,
) -> Opened:
    """Sign in; raises InvalidCredentials with the same words after the same work for unknown, wrong and inactive.

    Raises TooOften after too many tries.
    """
    account, address = normalize_email(email), device.address or ""
    await attempts.check("login", account=account, address=address)
    users = await mongo.find("users", {"emailNormalized": account}, ("isActive",), limit=1)
    user = users[0] if users else None
    credentials = await mongo.find("credentials", {"_id": user["_id"] if user else None}, ("passwordHash",), limit=1)
    stored: str | None = credentials[0]["passwordHash"] if credentials else None
    matches = await passwords.verify(password, stored)
    if user is None or stored is None or not matches or not user["isActive"]:
        raise InvalidCredentials("The e-mail address or the password is wrong.", path=("email",))
    better = await passwords.hash(password) if needs_rehash(stored) else None

    async def body(work: MongoWork) -> Opened:
        if better is not None:
            await work.mongo.update(
                "credentials",
                {"_id": user["_id"], "passwordHash": stored},
                {"$set": {"passwordHash": better, "updatedAt": now}},
            )
        return await sessions.open(work, user["_id"], device, now)

    await attempts.succeeded("login", account=account, address=address)
    opened = await units.mongo("login").run(body)
    await sessions.remember(opened, now, device)
    return opened
