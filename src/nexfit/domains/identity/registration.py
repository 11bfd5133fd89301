"""Becoming somebody here: an account waits in `registrations` until its e-mail address is proven.

Whoever registers is told the same, whether the address is free or taken; its owner reads the difference in a mail. The
link in it needs the password as well, so nobody is made to confirm an account whose password a stranger chose.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from bson import ObjectId
from pydantic import model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from nexfit.domains.errors import EmailTaken, InvalidCode
from nexfit.domains.identity.accounts import Accounts
from nexfit.domains.identity.documents import Role, UserType
from nexfit.domains.identity.events import AccountRegistered
from nexfit.domains.identity.messages import Channel, Message
from nexfit.domains.identity.one_time import new_token
from nexfit.domains.identity.protected import tax_id_index
from nexfit.domains.identity.sessions import Device, Opened
from nexfit.domains.identity.validation import (
    EmailText,
    Input,
    LineText,
    NameText,
    NewPassword,
    PhoneText,
    TaxIdText,
)
from nexfit.domains.text import fold, normalize_email
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork
from nexfit.stores.errors import ConstraintViolated
from nexfit.stores.field_encryption import Place
from nexfit.stores.mongo import Document

REGISTRATIONS = "registrations"
LIFETIME = timedelta(days=1)
SelfChosen = Literal[Role.CLIENT, Role.COACH, Role.GYM_OWNER, Role.STUDIO_OWNER]
"""Roles somebody can register with; the others are given by a facility."""

_COMPANY_TAX_ID = "company.taxId"


class NewAccount(Input):
    """Who registers. A corporate account names its company and tax id."""

    email: EmailText
    password: NewPassword
    first_name: NameText
    last_name: NameText
    phone_number: PhoneText | None = None
    role: SelfChosen = Role.CLIENT
    user_type: UserType = UserType.INDIVIDUAL
    company_name: LineText | None = None
    tax_id: TaxIdText | None = None

    @model_validator(mode="after")
    def _complete(self) -> NewAccount:
        if self.user_type is UserType.CORPORATE:
            missing = [
                InitErrorDetails(type=PydanticCustomError("missing_company", "missing"), loc=(name,), input=None)
                for name, value in (("companyName", self.company_name), ("taxId", self.tax_id))
                if value is None
            ]
            if missing:
                raise ValidationError.from_exception_data("NewAccount", missing)
        return self


async def register(accounts: Accounts, new: NewAccount, *, device: Device, now: datetime) -> None:
    """Let an account wait for its address to be proven, and send the link. Raises TooOften."""
    account = normalize_email(new.email)
    await accounts.attempts.check("register", account=account, address=device.address or "")
    password_hash = await accounts.passwords.hash(new.password)
    token, id_ = new_token(), ObjectId()
    document: Document = {
        "_id": id_,
        "email": new.email,
        "emailNormalized": account,
        "firstName": new.first_name,
        "lastName": new.last_name,
        "phoneNumber": new.phone_number,
        "role": [str(new.role)],
        "userType": str(new.user_type),
        "passwordHash": password_hash,
        "tokenHash": accounts.hashes.of_token(token),
        "createdAt": now,
        "expiresAt": now + LIFETIME,
    }
    if new.user_type is UserType.CORPORATE and new.tax_id is not None:
        keys = accounts.stores.keys
        document["company"] = {
            "name": new.company_name,
            "taxId": keys.encrypt(Place(REGISTRATIONS, id_, _COMPANY_TAX_ID), new.tax_id),
            "taxIdIndex": tax_id_index(keys, new.tax_id),
        }

    async def body(work: MongoWork) -> bool:
        owner = await work.mongo.find_one("users", {"emailNormalized": account}, ())
        kept = {**document, "isTaken": owner is not None}
        await work.mongo.insert(REGISTRATIONS, {name: value for name, value in kept.items() if value is not None})
        work.audit(_audit("registration.requested", id_, device))
        return owner is not None

    is_taken = await accounts.units.mongo("register").run(body)
    accounts.post.send(_taken(accounts, new.email) if is_taken else _welcome(accounts, new.email, token))


async def resend(accounts: Accounts, email: str, *, device: Device, now: datetime) -> None:
    """Send a waiting account's link again, a new one; nothing where none waits, which is not told. Raises TooOften."""
    account = normalize_email(email)
    await accounts.attempts.check("register", account=account, address=device.address or "")
    token = new_token()

    async def body(work: MongoWork) -> str | None:
        waiting = await work.mongo.claim(
            REGISTRATIONS,
            {"emailNormalized": account, "isTaken": False, "expiresAt": {"$gt": now}},
            {"$set": {"tokenHash": accounts.hashes.of_token(token)}},
            ("email",),
            sort=[("createdAt", -1)],
        )
        # Written in either case: a commit that writes nothing is faster.
        work.audit(_audit("registration.resent", waiting["_id"] if waiting else ObjectId(), device))
        return waiting["email"] if waiting else None

    address = await accounts.units.mongo("resend_verification").run(body)
    if address is not None:
        accounts.post.send(_welcome(accounts, address, token))


async def verify_email(accounts: Accounts, *, token: str, password: str, device: Device, now: datetime) -> Opened:
    """Make the account of a link, and sign in. Of any number for one address the first becomes one.

    Raises InvalidCode for a wrong link or password, EmailTaken, TooOften.
    """
    hash_ = accounts.hashes.of_token(token)
    await accounts.attempts.check("verify", account=hash_.hex(), address=device.address or "")
    live = {"tokenHash": hash_, "isTaken": False, "expiresAt": {"$gt": now}}
    found = await accounts.stores.mongo.find(REGISTRATIONS, live, ("passwordHash",), limit=1)
    if not await accounts.passwords.verify(password, found[0]["passwordHash"] if found else None):
        raise InvalidCode("The link or the password is not right, or the link is too old.", path=("token",))

    async def body(work: MongoWork) -> Opened:
        waiting = await work.mongo.find_one(REGISTRATIONS, live, _ALL)
        if waiting is None:
            raise InvalidCode("The link or the password is not right, or the link is too old.", path=("token",))
        await work.mongo.delete(REGISTRATIONS, {"emailNormalized": waiting["emailNormalized"]})
        user = _user(accounts, waiting, now)
        await work.mongo.insert("users", user)
        await work.mongo.insert(
            "credentials", {"_id": user["_id"], "passwordHash": waiting["passwordHash"], "updatedAt": now}
        )
        work.emit(AccountRegistered(user_id=str(user["_id"]), roles=user["role"]))
        work.audit(_audit("account.registered", user["_id"], device, entity="user"))
        return await accounts.sessions.open(work, user["_id"], device, now)

    try:
        opened = await accounts.units.mongo("verify_email").run(body)
    except ConstraintViolated as error:
        if error.constraint != "email_unique":
            raise
        raise EmailTaken("There is an account with this e-mail address already.", path=("token",)) from error
    await accounts.sessions.remember(opened, now, device)
    return opened


_ALL = (
    *("email", "emailNormalized", "firstName", "lastName", "phoneNumber", "role", "userType", "company"),
    "passwordHash",
)


def _user(accounts: Accounts, waiting: Document, now: datetime) -> Document:
    """The person's document; what is encrypted moves to its new place."""
    user: dict[str, Any] = {
        "_id": waiting["_id"],
        "email": waiting["email"],
        "emailNormalized": waiting["emailNormalized"],
        "firstName": waiting["firstName"],
        "lastName": waiting["lastName"],
        "nameFolded": fold(f"{waiting['firstName']} {waiting['lastName']}"),
        "role": waiting["role"],
        "userType": waiting["userType"],
        "isActive": True,
        "emailVerifiedAt": now,
        "roleSpecificData": {},
        "createdAt": now,
        "updatedAt": now,
    }
    if "phoneNumber" in waiting:
        user["phoneNumber"] = waiting["phoneNumber"]
    if "company" in waiting:
        keys, id_ = accounts.stores.keys, waiting["_id"]
        tax_id = keys.decrypt(Place(REGISTRATIONS, id_, _COMPANY_TAX_ID), waiting["company"]["taxId"])
        moved = keys.encrypt(Place("users", id_, _COMPANY_TAX_ID), tax_id)
        user["company"] = {**waiting["company"], "taxId": moved}
    return user


def _audit(action: str, id_: ObjectId, device: Device, entity: str = "registration") -> Audit:
    return Audit(
        action=action,
        entity_type=entity,
        entity_id=str(id_),
        user_id=str(id_) if entity == "user" else None,
        ip_address=device.address,
        user_agent=(device.user_agent or "")[:1000] or None,
    )


def _welcome(accounts: Accounts, email: str, token: str) -> Message:
    link = accounts.link("verify-email", token)
    text = f"Confirm your NexFit account within a day: {link}\nIf this was not you, do nothing."
    return Message(Channel.EMAIL, email, "verify_email", text, token)


def _taken(accounts: Accounts, email: str) -> Message:
    text = (
        "Somebody, perhaps you, wanted to open a NexFit account with this address. You have one already: sign in, or "
        "ask for a new password if you forgot it. If this was not you, do nothing."
    )
    return Message(Channel.EMAIL, email, "email_taken", text)
