"""Leaving: an account that is put to sleep, and woken by signing in for a while afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.accounts import Accounts
from nexfit.domains.identity.documents import SessionEnd
from nexfit.domains.identity.events import AccountDeactivated, AccountReactivated
from nexfit.domains.identity.messages import Channel, Message
from nexfit.domains.identity.password_change import require_password
from nexfit.domains.identity.sessions import Device
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork


def may_sign_in(user: Mapping[str, Any], now: datetime, days: int) -> bool:
    """Whether an account is active, or its owner put it to sleep less than so many days ago."""
    if user["isActive"]:
        return True
    since: datetime | None = user.get("deactivatedAt")
    return since is not None and now < since + timedelta(days=days)


async def deactivate(accounts: Accounts, actor: Actor, password: str, *, device: Device, now: datetime) -> None:
    """Put the viewer's account to sleep and end all its sessions. Raises InvalidCredentials, TooOften."""
    user_id = actor.require()
    await require_password(accounts, user_id, password, device=device, field="password")

    async def body(work: MongoWork) -> tuple[str | None, list[ObjectId]]:
        user = await work.mongo.claim(
            "users",
            {"_id": user_id, "isActive": True},
            {"$set": {"isActive": False, "deactivatedAt": now, "updatedAt": now}},
            ("email",),
        )
        ended = await accounts.sessions.end_others(work, user_id, None, SessionEnd.ACCOUNT_DEACTIVATED, now)
        if user is not None:
            work.emit(AccountDeactivated(user_id=str(user_id)))
            work.audit(_audit("account.deactivated", user_id, device))
        return user["email"] if user else None, ended

    email, ended = await accounts.units.mongo("deactivate_account").run(body)
    await accounts.sessions.forget(ended, now)
    if email is not None:
        days = accounts.settings.reactivation_days
        text = f"Your NexFit account sleeps from now on. Sign in within {days} days to wake it."
        accounts.post.send(Message(Channel.EMAIL, email, "account_deactivated", text))


async def wake(work: MongoWork, user_id: ObjectId, device: Device, now: datetime) -> None:
    """Make a sleeping account active again, should the unit commit."""
    if await work.mongo.update(
        "users",
        {"_id": user_id, "isActive": False, "deactivatedAt": {"$exists": True}},
        {"$set": {"isActive": True, "updatedAt": now}, "$unset": {"deactivatedAt": ""}},
    ):
        work.emit(AccountReactivated(user_id=str(user_id)))
        work.audit(_audit("account.reactivated", user_id, device))


def _audit(action: str, user_id: ObjectId, device: Device) -> Audit:
    return Audit(
        action=action,
        entity_type="user",
        entity_id=str(user_id),
        user_id=str(user_id),
        ip_address=device.address,
    )
