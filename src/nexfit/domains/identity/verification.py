"""Proving a phone number: a code by SMS, typed within minutes."""

from __future__ import annotations

from datetime import datetime

from bson import ObjectId

from nexfit.domains.errors import InvalidCode
from nexfit.domains.identity import one_time
from nexfit.domains.identity.accounts import Accounts
from nexfit.domains.identity.documents import CodeKind
from nexfit.domains.identity.events import PhoneVerified
from nexfit.domains.identity.messages import Channel, Message
from nexfit.domains.identity.sessions import Device
from nexfit.domains.identity.validation import Input, PhoneText
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork


class Phone(Input):
    """The number to prove."""

    phone_number: PhoneText


async def request_code(accounts: Accounts, phone: Phone, user_id: ObjectId, *, device: Device, now: datetime) -> None:
    """Send a code to a number that is to become the user's; it replaces an earlier code. Raises TooOften."""
    number = phone.phone_number
    # Messages cost money and wake people: limited for the number as well, whoever asks.
    await accounts.attempts.check("phone", account=str(user_id), address=device.address or "")
    await accounts.attempts.check("phone_number", account=number, address=device.address or "")
    code = one_time.new_code()

    async def body(work: MongoWork) -> None:
        await one_time.add_code(work, accounts.hashes, CodeKind.PHONE, user_id, code, number, now)
        work.audit(_audit("phone.code_requested", user_id, device))

    await accounts.units.mongo("request_phone_code").run(body)
    text = f"Your NexFit code is {code}. It is good for 10 minutes. Tell it nobody."
    accounts.post.send(Message(Channel.SMS, number, "phone_code", text, code))


async def verify_phone(accounts: Accounts, code: str, user_id: ObjectId, *, device: Device, now: datetime) -> None:
    """Make the number the code was sent to the user's own. Raises InvalidCode, TooOften."""
    await accounts.attempts.check("phone_code", account=str(user_id), address=device.address or "")

    async def body(work: MongoWork) -> bool:
        number = await one_time.use_code(work, accounts.hashes, CodeKind.PHONE, user_id, code.strip(), now)
        if number is None:
            return False  # and not raised: the try is to be counted
        await work.mongo.update(
            "users", {"_id": user_id}, {"$set": {"phoneNumber": number, "phoneVerifiedAt": now, "updatedAt": now}}
        )
        work.emit(PhoneVerified(user_id=str(user_id)))
        work.audit(_audit("phone.verified", user_id, device))
        return True

    if not await accounts.units.mongo("verify_phone").run(body):
        raise InvalidCode("The code is not right, was used, or is too old.", path=("code",))


def _audit(action: str, user_id: ObjectId, device: Device) -> Audit:
    return Audit(
        action=action,
        entity_type="user",
        entity_id=str(user_id),
        user_id=str(user_id),
        ip_address=device.address,
    )
