"""Who works at a facility and what they may do: invited by mail, joined by the link, changed and removed.

All of it lies in the facility's document, so that two changes at once meet there, and so that whoever is asked next,
in whichever process, sees it: rights are read from that document each time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from nexfit.domains.errors import Forbidden, InvalidCode, NotFound
from nexfit.domains.facilities.documents import MOST_STAFF, StaffPermission
from nexfit.domains.facilities.editing import COLLECTION, permitted_facility
from nexfit.domains.facilities.errors import OwnerStays, TooManyPeople, WorksHere
from nexfit.domains.facilities.events import StaffChanged, StaffInvited, StaffJoined, StaffRemoved
from nexfit.domains.facilities.inputs import Invitation, StaffChange
from nexfit.domains.identity.access import RIGHTS_COLUMNS, Actor, may
from nexfit.domains.identity.accounts import Accounts
from nexfit.domains.identity.messages import Channel, Message
from nexfit.domains.identity.one_time import new_token
from nexfit.domains.identity.sessions import Device
from nexfit.domains.text import normalize_email
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.mongo import Document

LIFETIME = timedelta(days=7)
"""How long an invitation can be accepted."""

_COLUMNS = ("name", "staff", "staffInvitations")
_WRITE = StaffPermission.STAFF_WRITE


async def invite(
    accounts: Accounts, actor: Actor, facility: ObjectId, invitation: Invitation, *, device: Device, now: datetime
) -> None:
    """Send somebody a link by which they join; it takes the place of an earlier one to the same address.

    Raises Unauthenticated, TooOften, NotFound, Forbidden without `staff_write` or for a permission the actor lacks,
    WorksHere, TooManyPeople; then nothing was written.
    """
    by = actor.require()
    await accounts.attempts.check("invite", account=str(by), address=device.address or "")
    address = normalize_email(invitation.email)
    token = f"{facility}-{new_token()}"

    async def body(work: MongoWork) -> str:
        stored = await permitted_facility(work, actor, facility, _WRITE, _COLUMNS)
        _check_grant(actor, stored, invitation.permissions)
        people = [stored.get("ownerId"), *(entry["userId"] for entry in stored.get("staff") or ())]
        known = await work.mongo.find_one("users", {"emailNormalized": address, "_id": {"$in": people}}, ())
        if known is not None:
            raise WorksHere(path=("email",))
        waiting = [one for one in stored.get("staffInvitations") or () if one["expiresAt"] > now]
        others = [one for one in waiting if one["emailNormalized"] != address]
        if len(others) + len(people) > MOST_STAFF:
            raise TooManyPeople(most=MOST_STAFF)
        made = {
            "email": invitation.email,
            "emailNormalized": address,
            "role": str(invitation.role),
            "permissions": _ordered(invitation.permissions),
            "invitedBy": by,
            "tokenHash": accounts.hashes.of_token(token),
            "invitedAt": now,
            "expiresAt": now + LIFETIME,
        }
        await _store(work, stored, {"staffInvitations": [*others, made]}, now)
        work.emit(StaffInvited(facility_id=str(facility), role=str(invitation.role)))
        work.audit(_audit("staff.invited", facility, by, None, _shown(made) | {"email": invitation.email}))
        return str(stored["name"])

    name = await accounts.units.mongo("invite_staff").run(body)
    link = accounts.link("join-staff", token)
    text = f"You are invited to work at {name} on NexFit. Sign in with this address and join within a week: {link}"
    accounts.post.send(Message(Channel.EMAIL, invitation.email, "staff_invitation", text, token))


async def withdraw(accounts: Accounts, actor: Actor, facility: ObjectId, email: str, *, now: datetime) -> None:
    """Take an invitation back. Raises Unauthenticated, NotFound, Forbidden without `staff_write`."""
    by = actor.require()
    address = normalize_email(email)

    async def body(work: MongoWork) -> None:
        stored = await permitted_facility(work, actor, facility, _WRITE, _COLUMNS)
        waiting = stored.get("staffInvitations") or []
        left = [one for one in waiting if one["emailNormalized"] != address]
        if len(left) == len(waiting):
            raise NotFound("There is no such invitation.", path=("email",))
        await _store(work, stored, {"staffInvitations": left}, now)
        work.emit(StaffChanged(facility_id=str(facility)))
        work.audit(_audit("staff.invitation_withdrawn", facility, by, {"email": email}, None))

    await accounts.units.mongo("withdraw_staff_invitation").run(body)


async def join(accounts: Accounts, actor: Actor, token: str, *, device: Device, now: datetime) -> ObjectId:
    """Accept an invitation as the person it was sent to; the facility.

    It counts as long as who sent it may still give those permissions. Raises Unauthenticated, TooOften, InvalidCode for
    a link that is wrong, used, too old, somebody else's or no longer backed; then nothing was written.
    """
    user = actor.require()
    await accounts.attempts.check("join_staff", account=str(user), address=device.address or "")
    facility, hash_ = token.partition("-")[0], accounts.hashes.of_token(token)
    refused = InvalidCode("The link is not right, was used, or is too old.", path=("token",))
    if not ObjectId.is_valid(facility):
        raise refused

    async def body(work: MongoWork) -> ObjectId:
        columns = (*_COLUMNS, *RIGHTS_COLUMNS)
        stored = await work.mongo.find_one(COLLECTION, {"_id": ObjectId(facility)}, columns)
        person = await work.mongo.find_one("users", {"_id": user, "isActive": True}, ("emailNormalized",))
        if stored is None or person is None:
            raise refused
        waiting = stored.get("staffInvitations") or []
        mine = next((one for one in waiting if one["tokenHash"] == hash_ and one["expiresAt"] > now), None)
        if mine is None or mine["emailNormalized"] != person["emailNormalized"]:
            raise refused
        sender = Actor(mine["invitedBy"])
        if not may(sender, stored, _WRITE) or _lacks(sender, stored, mine["permissions"]):
            raise refused
        staff = stored.get("staff") or []
        if user == stored.get("ownerId") or any(entry["userId"] == user for entry in staff):
            raise WorksHere(path=("token",))
        entry = {"userId": user, "role": mine["role"], "permissions": mine["permissions"], "joinedAt": now}
        left = [one for one in waiting if one is not mine]
        await _store(work, stored, {"staff": [*staff, entry], "staffInvitations": left}, now)
        work.emit(StaffJoined(facility_id=facility, user_id=str(user), role=entry["role"]))
        work.audit(_audit("staff.joined", stored["_id"], user, None, _shown(entry)))
        return ObjectId(stored["_id"])

    return await accounts.units.mongo("join_staff").run(body)


async def change(
    accounts: Accounts, actor: Actor, facility: ObjectId, user: ObjectId, change: StaffChange, *, now: datetime
) -> None:
    """Give somebody who works here another role or other permissions; what is not given stays.

    Raises Unauthenticated, NotFound, Forbidden without `staff_write`, for a permission the actor lacks and for somebody
    who has one that the actor lacks, OwnerStays; then nothing was written.
    """
    by = actor.require()

    async def body(work: MongoWork) -> None:
        stored = await permitted_facility(work, actor, facility, _WRITE, _COLUMNS)
        entry = _entry(stored, user)
        _check_reach(actor, stored, entry)
        given: dict[str, Any] = {}
        if "role" in change.model_fields_set:
            given["role"] = str(change.role)
        if "permissions" in change.model_fields_set:
            given["permissions"] = _ordered(change.permissions)
        _check_grant(actor, stored, given.get("permissions", ()))
        after = {**entry, **given}
        if after == entry:
            return
        staff = [after if one is entry else one for one in stored["staff"]]
        await _store(work, stored, {"staff": staff}, now)
        work.emit(StaffChanged(facility_id=str(facility), user_id=str(user)))
        work.audit(_audit("staff.changed", facility, by, _shown(entry), _shown(after)))

    await accounts.units.mongo("change_staff").run(body)


async def remove(accounts: Accounts, actor: Actor, facility: ObjectId, user: ObjectId, *, now: datetime) -> None:
    """End somebody's work here; everybody may leave by themselves but the owner.

    Raises Unauthenticated, NotFound, OwnerStays, Forbidden without `staff_write` and for somebody who has a permission
    that the actor lacks; then nothing was written.
    """
    by = actor.require()

    async def body(work: MongoWork) -> None:
        leaves = by == user
        columns = (*_COLUMNS, *RIGHTS_COLUMNS)
        stored = await work.mongo.find_one(COLLECTION, {"_id": facility, "staff.userId": user}, columns)
        if stored is None or not leaves:
            stored = await permitted_facility(work, actor, facility, _WRITE, _COLUMNS)
        entry = _entry(stored, user)
        if not leaves:
            _check_reach(actor, stored, entry)
        await _store(work, stored, {"staff": [one for one in stored["staff"] if one is not entry]}, now)
        work.emit(StaffRemoved(facility_id=str(facility), user_id=str(user)))
        work.audit(_audit("staff.left" if leaves else "staff.removed", facility, by, _shown(entry), None))

    await accounts.units.mongo("remove_staff").run(body)


async def leave(units: UnitsOfWork, facility: ObjectId, user: ObjectId, *, now: datetime) -> None:
    """End somebody's work here with their account. Repeating it changes nothing. Raises OwnerStays."""

    async def body(work: MongoWork) -> None:
        stored = await work.mongo.find_one(COLLECTION, {"_id": facility, "staff.userId": user}, _COLUMNS)
        if stored is None:
            return
        entry = _entry(stored, user)
        await _store(work, stored, {"staff": [one for one in stored["staff"] if one is not entry]}, now)
        work.emit(StaffRemoved(facility_id=str(facility), user_id=str(user)))
        work.audit(_audit("staff.left", facility, user, _shown(entry), None))

    await units.mongo("leave_staff").run(body)


def _entry(stored: Mapping[str, Any], user: ObjectId) -> Document:
    if user == stored.get("ownerId"):
        raise OwnerStays
    for entry in stored.get("staff") or ():
        if entry["userId"] == user:
            found: Document = entry
            return found
    raise NotFound("Nobody like that works here.", path=("user",))


def _lacks(actor: Actor, stored: Mapping[str, Any], permissions: Collection[str]) -> bool:
    return not all(may(actor, stored, permission) for permission in permissions)


def _check_grant(actor: Actor, stored: Mapping[str, Any], permissions: Collection[str]) -> None:
    if _lacks(actor, stored, permissions):
        raise Forbidden("You can give permissions only that you have yourself.", path=("permissions",))


def _check_reach(actor: Actor, stored: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
    """Else whoever may change staff could be rid of everybody above them."""
    if _lacks(actor, stored, entry.get("permissions") or ()):
        raise Forbidden("This person has permissions that you do not have yourself.", path=("user",))


def _ordered(permissions: Collection[str]) -> list[str]:
    return [str(one) for one in StaffPermission if one in permissions]


async def _store(work: MongoWork, stored: Mapping[str, Any], values: Mapping[str, Any], now: datetime) -> None:
    await work.mongo.update(COLLECTION, {"_id": stored["_id"]}, {"$set": {**values, "updatedAt": now}})


def _shown(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry or invitation as the audit keeps it."""
    person = {"userId": str(entry["userId"])} if "userId" in entry else {}
    return {**person, "role": entry["role"], "permissions": list(entry.get("permissions") or ())}


def _audit(
    action: str, facility: ObjectId, by: ObjectId, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> Audit:
    id_ = str(facility)
    return Audit(action, "facility", id_, facility_id=id_, user_id=str(by), before=before, after=after)
