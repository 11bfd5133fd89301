"""Signing in with e-mail and password. Credentials live in MongoDB's `credentials`, apart from every profile read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bson import ObjectId

from nexfit.domains.errors import InvalidCredentials
from nexfit.domains.identity.attempts import Attempts
from nexfit.domains.identity.passwords import Passwords, needs_rehash
from nexfit.domains.identity.tokens import AccessToken, Tokens
from nexfit.domains.text import normalize_email
from nexfit.stores.mongo import Mongo


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who signed in, and the token to show from now on."""

    user_id: ObjectId
    token: AccessToken


async def login(
    mongo: Mongo,
    passwords: Passwords,
    tokens: Tokens,
    attempts: Attempts,
    *,
    email: str,
    password: str,
    address: str,
    now: datetime,
) -> SignedIn:
    """Sign in; raises InvalidCredentials with the same words after the same work for unknown, wrong and inactive.

    `address` is where the request comes from. Raises TooOften after too many tries.
    """
    account = normalize_email(email)
    await attempts.check("login", account=account, address=address)
    users = await mongo.find("users", {"emailNormalized": account}, ("isActive",), limit=1)
    user = users[0] if users else None
    credentials = await mongo.find("credentials", {"_id": user["_id"] if user else None}, ("passwordHash",), limit=1)
    stored: str | None = credentials[0]["passwordHash"] if credentials else None
    matches = await passwords.verify(password, stored)
    if user is None or stored is None or not matches or not user["isActive"]:
        raise InvalidCredentials("The e-mail address or the password is wrong.", path=("email",))
    if needs_rehash(stored):
        await mongo.update_one(
            "credentials",
            {"_id": user["_id"], "passwordHash": stored},
            {"$set": {"passwordHash": await passwords.hash(password), "updatedAt": now}},
        )
    await attempts.succeeded("login", account=account, address=address)
    return SignedIn(user["_id"], tokens.issue(user["_id"], now))
