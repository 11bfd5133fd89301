"""A new password in place of the current one."""

from __future__ import annotations

from datetime import datetime

from bson import ObjectId

from nexfit.domains.errors import InvalidCredentials
from nexfit.domains.identity import one_time
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.accounts import Accounts
from nexfit.domains.identity.documents import CodeKind, SessionEnd
from nexfit.domains.identity.events import PasswordChanged
from nexfit.domains.identity.password_reset import password_notice
from nexfit.domains.identity.sessions import Device
from nexfit.domains.identity.validation import Input, NewPassword
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork


class Change(Input):
    """The new password."""

    new_password: NewPassword


async def require_password(accounts: Accounts, user_id: ObjectId, password: str, *, device: Device, field: str) -> str:
    """The stored hash of the user, whose password this is; raises InvalidCredentials and TooOften."""
    account, address = str(user_id), device.address or ""
    await accounts.attempts.check("password", account=account, address=address)
    found = await accounts.stores.mongo.find("credentials", {"_id": user_id}, ("passwordHash",), limit=1)
    stored: str | None = found[0]["passwordHash"] if found else None
    if not await accounts.passwords.verify(password, stored) or stored is None:
        raise InvalidCredentials("The current password is wrong.", path=(field,))
    await accounts.attempts.succeeded("password", account=account, address=address)
    return stored


async def change(accounts: Accounts, new: Change, *, actor: Actor, current: str, device: Device, now: datetime) -> None:
    """Change the viewer's password and end all sessions but this one. Raises InvalidCredentials, TooOften."""
    user_id = actor.require()
    stored = await require_password(accounts, user_id, current, device=device, field="currentPassword")
    password_hash = await accounts.passwords.hash(new.new_password)

    async def body(work: MongoWork) -> tuple[str, list[ObjectId]]:
        changed = await work.mongo.update(
            "credentials",
            {"_id": user_id, "passwordHash": stored},
            {"$set": {"passwordHash": password_hash, "updatedAt": now}},
        )
        if not changed:  # somebody else changed it in the meantime
            raise InvalidCredentials("The current password is wrong.", path=("currentPassword",))
        await one_time.forget(work, CodeKind.PASSWORD_RESET, user_id)
        ended = await accounts.sessions.end_others(work, user_id, actor.session_id, SessionEnd.PASSWORD_CHANGED, now)
        work.emit(PasswordChanged(user_id=str(user_id)))
        work.audit(
            Audit(
                action="password.changed",
                entity_type="user",
                entity_id=str(user_id),
                user_id=str(user_id),
                ip_address=device.address,
            )
        )
        user = await work.mongo.find_one("users", {"_id": user_id}, ("email",))
        return (user or {})["email"], ended

    address, ended = await accounts.units.mongo("change_password").run(body)
    await accounts.sessions.forget(ended, now)
    accounts.post.send(password_notice(address))
