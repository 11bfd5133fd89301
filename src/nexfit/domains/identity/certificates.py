"""Certificates of coaches: what they say of them, and an operator's word that one was seen.

A certificate is known by its name, issuer and last day: a coach who changes one of them has another certificate, which
nobody has verified. `certifications`, the names alone, follow the certificates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from functools import cache
from typing import Annotated, Any

from babel import Locale
from bson import ObjectId
from pydantic import AfterValidator, StringConstraints
from pydantic_core import PydanticCustomError

from nexfit.domains.errors import BadInput, NotFound
from nexfit.domains.identity.events import ProfileUpdated
from nexfit.domains.identity.people import COACHES
from nexfit.domains.identity.validation import Input, LineText
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.mongo import Document, Mongo


@cache
def _languages() -> frozenset[str]:
    return frozenset(map(str, Locale("en").languages))


def _language(code: str) -> str:
    if code.lower() not in _languages():
        raise PydanticCustomError("language", "not a language")
    return code.lower()


LanguageCode = Annotated[str, StringConstraints(strip_whitespace=True, max_length=3), AfterValidator(_language)]
"""ISO 639."""


class CertificateChange(Input):
    """A certificate as its coach names it, and the last day on which it counts."""

    name: LineText
    issuer: LineText | None = None
    expires_on: date | None = None

    def stored(self) -> Document:
        """As it is kept, not verified."""
        kept: Document = {"name": self.name}
        if self.issuer is not None:
            kept["issuer"] = self.issuer
        if self.expires_on is not None:
            kept["expiresOn"] = datetime.combine(self.expires_on, time(), UTC)
        return kept


def check_certificates(
    names: Sequence[str] | None, certificates: Sequence[CertificateChange] | None, part: str
) -> None:
    """Raises BadInput for both at once, and for a certificate named twice."""
    if names is not None and certificates is not None:
        raise BadInput("Give certificates or their names, not both.", path=(part, "certificates"))
    known = [(one.name, one.issuer) for one in certificates or ()]
    if len(set(known)) < len(known):
        raise BadInput("{name} must not name anything twice.", path=(part, "certificates"), name="certificates")


def stored_certificates(given: Sequence[str | CertificateChange] | None, part: Mapping[str, Any]) -> dict[str, Any]:
    """What a coach's part keeps of the certificates given; one that stays as it was stays verified."""
    if given is None:
        return {"certificates": None, "certifications": None}
    known = {_identity(one): one for one in part.get("certificates") or ()}
    named = {one["name"]: one for one in reversed(part.get("certificates") or ())}
    kept = []
    for one in given:
        if isinstance(one, CertificateChange):
            stored = one.stored()
            kept.append(known.get(_identity(stored), stored))
        else:
            kept.append(named.get(one, {"name": one}))
    return {"certificates": kept, "certifications": [one["name"] for one in kept]}


async def unverified(mongo: Mongo, limit: int) -> list[Document]:
    """Certificates that nobody has verified, with who has them, in the order of the coaches' ids."""
    paths = [f"roleSpecificData.{role}.certificates" for role in COACHES]
    open_ = {"$elemMatch": {"name": {"$exists": True}, "verifiedAt": {"$exists": False}}}
    # Only an operator asks, so coaches are looked through, and there is no index for it.
    query = {"role": {"$in": COACHES}, "isActive": True, "$or": [{path: open_} for path in paths]}
    users = await mongo.find("users", query, ("firstName", "lastName", *paths), sort=[("_id", 1)], limit=limit)
    found: dict[tuple[Any, ...], Document] = {}
    for user in users:
        for certificate in _certificates(user):
            if "verifiedAt" not in certificate:
                name = f"{user['firstName']} {user['lastName']}"
                found[user["_id"], _identity(certificate)] = {**certificate, "coach": user["_id"], "coachName": name}
    return list(found.values())[:limit]


async def decide(
    units: UnitsOfWork, coach: ObjectId, name: str, issuer: str | None, *, verified: bool, now: datetime
) -> None:
    """An operator has seen a coach's certificate, or takes that back, in every part that names it.

    Repeating it changes nothing. Raises NotFound.
    """

    async def body(work: MongoWork) -> None:
        columns = [f"roleSpecificData.{role}.certificates" for role in COACHES]
        user = await work.mongo.find_one("users", {"_id": coach}, columns)
        found = [one for one in _certificates(user or {}) if (one["name"], one.get("issuer")) == (name, issuer)]
        if user is None or not found:
            raise NotFound("There is no such {name}.", path=("certificate",), name="certificate")
        if all(("verifiedAt" in one) == verified for one in found):
            return
        for one in found:
            if verified:
                one["verifiedAt"] = now
            else:
                one.pop("verifiedAt", None)
        parts = {
            role: part["certificates"] for role, part in user["roleSpecificData"].items() if "certificates" in part
        }
        values = {f"roleSpecificData.{role}.certificates": kept for role, kept in parts.items()}
        await work.mongo.update("users", {"_id": coach}, {"$set": {**values, "updatedAt": now}})
        work.emit(ProfileUpdated(user_id=str(coach)))
        action = "certificate.verified" if verified else "certificate.unverified"
        work.audit(Audit(action, "user", str(coach), after={"name": name, "issuer": issuer}))

    await units.mongo("decide_certificate").run(body)


def _identity(certificate: Mapping[str, Any]) -> tuple[Any, ...]:
    return certificate["name"], certificate.get("issuer"), certificate.get("expiresOn")


def _certificates(user: Mapping[str, Any]) -> list[Document]:
    """Those of every part a person has as a coach; the entries themselves."""
    parts = user.get("roleSpecificData") or {}
    return [one for role in COACHES for one in (parts.get(role) or {}).get("certificates") or ()]
