"""A forgotten password: a link by mail that sets a new one, once."""

from __future__ import annotations

from datetime import datetime

from bson import ObjectId

from nexfit.domains.errors import InvalidCode
from nexfit.domains.identity import one_time
from nexfit.domains.identity.accounts import Accounts
from nexfit.domains.identity.documents import CodeKind, SessionEnd
from nexfit.domains.identity.events import PasswordChanged
from nexfit.domains.identity.messages import Channel, Message
from nexfit.domains.identity.sessions import Device
from nexfit.domains.identity.validation import Input, NewPassword
from nexfit.domains.text import normalize_email
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork


class Reset(Input):
    """The new password."""

    new_password: NewPassword


async def request_reset(accounts: Accounts, email: str, *, device: Device, now: datetime) -> None:
    """Send a link to an account's address. For an unknown one nothing is sent, after the same work. Raises TooOften."""
    account = normalize_email(email)
    await accounts.attempts.check("reset", account=account, address=device.address or "")
    token = one_time.new_token()

    async def body(work: MongoWork) -> str | None:
        user = await work.mongo.find_one("users", {"emailNormalized": account}, ("email",))
        id_ = user["_id"] if user else None
        await one_time.add_link(work, accounts.hashes, CodeKind.PASSWORD_RESET, id_, token, now)
        work.audit(_audit("password.reset_requested", id_, device))
        return user["email"] if user else None

    address = await accounts.units.mongo("request_password_reset").run(body)
    if address is not None:
        link = accounts.link("reset-password", token)
        text = f"Set a new NexFit password within an hour: {link}\nIf this was not you, do nothing."
        accounts.post.send(Message(Channel.EMAIL, address, "password_reset", text, token))


async def reset(accounts: Accounts, new: Reset, *, token: str, device: Device, now: datetime) -> None:
    """Set the password of the link's account and end all its sessions. Raises InvalidCode, TooOften."""
    hash_ = accounts.hashes.of_token(token)
    await accounts.attempts.check("reset_password", account=hash_.hex(), address=device.address or "")
    password_hash = await accounts.passwords.hash(new.new_password)

    async def body(work: MongoWork) -> tuple[ObjectId, str, list[ObjectId]]:
        user_id = await one_time.use_link(work, accounts.hashes, CodeKind.PASSWORD_RESET, token, now)
        user = await work.mongo.find_one("users", {"_id": user_id}, ("email", "emailVerifiedAt")) if user_id else None
        if user_id is None or user is None:
            raise InvalidCode("The link is not right, was used, or is too old.", path=("token",))
        await work.mongo.update(
            "credentials",
            {"_id": user_id},
            {"$set": {"passwordHash": password_hash, "updatedAt": now}},
            upsert=True,
        )
        if "emailVerifiedAt" not in user:  # the link came by mail
            await work.mongo.update("users", {"_id": user_id}, {"$set": {"emailVerifiedAt": now}})
        ended = await accounts.sessions.end_others(work, user_id, None, SessionEnd.PASSWORD_RESET, now)
        work.emit(PasswordChanged(user_id=str(user_id)))
        work.audit(_audit("password.reset", user_id, device))
        return user_id, user["email"], ended

    _, address, ended = await accounts.units.mongo("reset_password").run(body)
    await accounts.sessions.forget(ended, now)
    accounts.post.send(password_notice(address))


def password_notice(address: str) -> Message:
    """Tells the owner of an account, who may not have done it."""
    text = "The password of your NexFit account was changed. If this was not you, ask for a new password at once."
    return Message(Channel.EMAIL, address, "password_changed", text)


def _audit(action: str, user_id: ObjectId | None, device: Device) -> Audit:
    return Audit(
        action=action,
        entity_type="user",
        entity_id=str(user_id or ObjectId()),
        user_id=str(user_id) if user_id else None,
        ip_address=device.address,
        user_agent=(device.user_agent or "")[:1000] or None,
    )
