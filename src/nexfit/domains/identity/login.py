"""Signing in with e-mail and password. Credentials live in MongoDB's `credentials`, apart from every profile read."""

from __future__ import annotations

from datetime import datetime

from nexfit.domains.errors import InvalidCredentials
from nexfit.domains.identity import deactivation, second_factor
from nexfit.domains.identity.accounts import Accounts
from nexfit.domains.identity.passwords import needs_rehash
from nexfit.domains.identity.sessions import Device, Opened
from nexfit.domains.text import normalize_email
from nexfit.hybrid.unit_of_work import MongoWork


async def login(
    accounts: Accounts, *, email: str, password: str, code: str | None, device: Device, now: datetime
) -> Opened:
    """Sign in, waking an account its owner put to sleep.

    Raises InvalidCredentials with the same words after the same work for unknown, wrong and inactive; only with the
    right password SecondFactorRequired and InvalidCode; TooOften after too many tries.
    """
    mongo, attempts = accounts.stores.mongo, accounts.attempts
    account, address = normalize_email(email), device.address or ""
    await attempts.check("login", account=account, address=address)
    users = await mongo.find("users", {"emailNormalized": account}, ("isActive", "deactivatedAt"), limit=1)
    user = users[0] if users else None
    credentials = await mongo.find("credentials", {"_id": user["_id"] if user else None}, ("passwordHash",), limit=1)
    stored: str | None = credentials[0]["passwordHash"] if credentials else None
    matches = await accounts.passwords.verify(password, stored)
    days = accounts.settings.reactivation_days
    if user is None or stored is None or not matches or not deactivation.may_sign_in(user, now, days):
        raise InvalidCredentials("The e-mail address or the password is wrong.", path=("email",))
    user_id = user["_id"]
    if code is not None:  # guessing codes is limited for the person, however many passwords are right
        await attempts.check("second_factor", account=str(user_id), address=address)
    better = await accounts.passwords.hash(password) if needs_rehash(stored) else None

    async def body(work: MongoWork) -> Opened:
        current = {"_id": user_id, "passwordHash": stored}
        if not await work.mongo.find_one("credentials", current, ()):  # it was changed while we compared
            raise InvalidCredentials("The e-mail address or the password is wrong.", path=("email",))
        await second_factor.require(work, accounts, user_id, code, now)
        if better is not None:
            await work.mongo.update("credentials", current, {"$set": {"passwordHash": better, "updatedAt": now}})
        if not user["isActive"]:
            await deactivation.wake(work, user_id, device, now)
        return await accounts.sessions.open(work, user_id, device, now)

    opened = await accounts.units.mongo("login").run(body)
    await attempts.succeeded("login", account=account, address=address)
    if code is not None:
        await attempts.succeeded("second_factor", account=str(user_id), address=address)
    await accounts.sessions.remember(opened, now, device)
    return opened
