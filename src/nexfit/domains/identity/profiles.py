"""What people say about themselves: names, picture, and one part for each role they hold.

A field that is not given stays as it is; one given as None is forgotten. Health data and tax ids are stored encrypted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from bson import Decimal128, ObjectId
from pydantic import AfterValidator, Field, HttpUrl, StringConstraints, TypeAdapter, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from nexfit.domains.errors import BadInput, NotFound, Unauthenticated
from nexfit.domains.identity import coach_listing
from nexfit.domains.identity.accounts import Accounts
from nexfit.domains.identity.certificates import (
    CertificateChange,
    LanguageCode,
    check_certificates,
    stored_certificates,
)
from nexfit.domains.identity.documents import FitnessLevel, Role
from nexfit.domains.identity.events import ProfileUpdated
from nexfit.domains.identity.people import COACHES, by_ids
from nexfit.domains.identity.protected import encrypt_client_field, encrypt_tax_id, tax_id
from nexfit.domains.identity.sessions import Device
from nexfit.domains.identity.validation import EmailText, Input, LineText, NameText, PhoneText, TaxIdText
from nexfit.domains.text import fold
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork
from nexfit.stores.documents import Amount, Currency, Id, Latitude, Longitude, check_money
from nexfit.stores.errors import ConstraintViolated
from nexfit.stores.field_encryption import KeyRing
from nexfit.stores.mongo import Document, Mongo

MAX_LINES = 50
MAX_LANGUAGES = 20
MAX_BIO = 10_000
MAX_ADDRESS = 2048
MAX_EXPERIENCE = 80
MIN_HEIGHT, MAX_HEIGHT = 30, 300
MIN_WEIGHT, MAX_WEIGHT = 1, 700
EARLIEST_BIRTH = date(1900, 1, 1)
_ENCRYPTED = {"height", "weight", "dietary_restrictions", "medical_conditions"}
_HTTP = TypeAdapter(HttpUrl)


def _web_address(text: str) -> str:
    try:
        _HTTP.validate_python(text)
    except ValidationError:
        raise PydanticCustomError("web_address", "not a web address") from None
    return text


WebAddress = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=MAX_ADDRESS), AfterValidator(_web_address)
]
BioText = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=MAX_BIO, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+$"
    ),
]
Lines = Annotated[list[LineText], Field(max_length=MAX_LINES)]


class ClientChange(Input):
    """What a client changes: height in cm, weight in kg."""

    date_of_birth: date | None = None
    height: Annotated[float, Field(ge=MIN_HEIGHT, le=MAX_HEIGHT, allow_inf_nan=False)] | None = None
    weight: Annotated[float, Field(ge=MIN_WEIGHT, le=MAX_WEIGHT, allow_inf_nan=False)] | None = None
    fitness_goals: Lines | None = None
    fitness_level: FitnessLevel | None = None
    dietary_restrictions: Lines | None = None
    medical_conditions: Lines | None = None


class FacilityCoachChange(Input):
    """What a coach of a gym or studio changes: experience in years."""

    bio: BioText | None = None
    specializations: Lines | None = None
    experience: Annotated[float, Field(ge=0, le=MAX_EXPERIENCE, allow_inf_nan=False)] | None = None
    certifications: Lines | None = None
    certificates: Annotated[list[CertificateChange], Field(max_length=MAX_LINES)] | None = None
    languages: Annotated[list[LanguageCode], Field(max_length=MAX_LANGUAGES)] | None = None


class Price(Input):
    """An amount that its currency can express."""

    amount: Amount
    currency: Currency

    @model_validator(mode="after")
    def _money(self) -> Price:
        check_money(self.amount, self.currency)
        return self


class Point(Input):
    """A place on the earth."""

    latitude: Latitude
    longitude: Longitude


class CoachChange(FacilityCoachChange):
    """What a coach with clients of their own changes."""

    is_freelance: bool | None = None
    hourly_rate: Price | None = None
    workplace: Point | None = None


class OwnerChange(Input):
    """What an owner changes of the business."""

    business_name: LineText | None = None
    business_address: LineText | None = None
    business_phone_number: PhoneText | None = None
    business_email: EmailText | None = None
    tax_id: TaxIdText | None = None


class VisitorChange(Input):
    """What a gym's member or a studio's client changes."""

    home_facility_id: Id | None = None
    emergency_contact_name: LineText | None = None
    emergency_contact_phone_number: PhoneText | None = None


class ProfileChange(Input):
    """What a person changes; a part for each role."""

    first_name: NameText = ""
    last_name: NameText = ""
    profile_image: WebAddress | None = None
    client: ClientChange = ClientChange()
    coach: CoachChange = CoachChange()
    gym_owner: OwnerChange = OwnerChange()
    gym_member: VisitorChange = VisitorChange()
    gym_coach: FacilityCoachChange = FacilityCoachChange()
    studio_owner: OwnerChange = OwnerChange()
    studio_coach: FacilityCoachChange = FacilityCoachChange()
    studio_client: VisitorChange = VisitorChange()

    def parts(self) -> Iterator[tuple[Role, Input]]:
        """The parts that are given."""
        return ((role, getattr(self, role)) for role in Role if role in self.model_fields_set)


async def update(
    accounts: Accounts, change: ProfileChange, user_id: ObjectId, *, device: Device, now: datetime
) -> None:
    """Change a person's profile, all of it or nothing. The audit entry names the fields and none of their values.

    Raises BadInput for a part of a role the person does not hold, an impossible day of birth and a tax id that another
    account has, NotFound for an unknown facility, TooOften, FieldEncryptionError.
    """
    born = change.client.date_of_birth
    if born is not None and not EARLIEST_BIRTH <= born <= now.date():
        raise BadInput("{name} has a value that is not possible.", path=("client", "dateOfBirth"), name="dateOfBirth")

    if any(isinstance(part, OwnerChange) and part.tax_id for _, part in change.parts()):
        # Whether a tax id is taken shows in the answer: nobody is to try out many.
        await accounts.attempts.check("tax_id", account=str(user_id), address=device.address or "")

    async def body(work: MongoWork) -> None:
        user = await work.mongo.find_one("users", {"_id": user_id, "isActive": True}, _CHANGED_BY)
        if user is None:
            raise Unauthenticated("Sign in to ask for this.")
        for role, part in change.parts():
            if role not in user["role"]:
                name = to_camel(role)
                raise BadInput("{name} is the part of a role that you do not have.", path=(name,), name=name)
            facility = part.home_facility_id if isinstance(part, VisitorChange) else None
            if facility is not None and await work.mongo.find_one("facilities", {"_id": facility}, ()) is None:
                raise NotFound("There is no such facility.", path=(to_camel(role), "homeFacilityId"))
            if isinstance(part, FacilityCoachChange):
                check_certificates(part.certifications, part.certificates, to_camel(role))
        values = {**_names(change, user), **_parts(accounts.stores.keys, user, change)}
        if not values:
            return
        kept = {path: value for path, value in values.items() if value is not None}
        forgotten = {path: "" for path, value in values.items() if value is None}
        changes: dict[str, Any] = {"$set": {**kept, "updatedAt": now}}
        await work.mongo.update("users", {"_id": user_id}, {**changes, "$unset": forgotten} if forgotten else changes)
        if not set(user["role"]).isdisjoint(COACHES):
            await coach_listing.refresh(work.mongo, user_id)
        work.emit(ProfileUpdated(user_id=str(user_id)))
        work.audit(
            Audit(
                action="profile.updated",
                entity_type="user",
                entity_id=str(user_id),
                user_id=str(user_id),
                after={"fields": sorted(values)},
                ip_address=device.address,
                user_agent=device.user_agent,
            )
        )

    try:
        await accounts.units.mongo("update_profile").run(body)
    except ConstraintViolated as error:
        role = next((role for role in Role if error.constraint == f"{role}_tax_id_unique"), None)
        if role is None:
            raise
        raise BadInput("Another account has this tax id.", path=(to_camel(role), "taxId")) from error


def _names(change: ProfileChange, user: Mapping[str, Any]) -> dict[str, Any]:
    given = {to_camel(name): getattr(change, name) for name in _COMMON & change.model_fields_set}
    if "firstName" in given or "lastName" in given:
        now = {**user, **given}
        given["nameFolded"] = fold(f"{now['firstName']} {now['lastName']}")
    return given


_CHANGED_BY = ("firstName", "lastName", "role", *(f"roleSpecificData.{role}.certificates" for role in COACHES))
"""What of a person a change of the profile depends on."""

_COMMON = {"first_name", "last_name", "profile_image"}


def _parts(keys: KeyRing, user: Mapping[str, Any], change: ProfileChange) -> dict[str, Any]:
    """What each stored path of the given parts holds from now on; None where it is forgotten."""
    return {
        f"roleSpecificData.{role}.{path}": value
        for role, part in change.parts()
        for name in part.model_fields_set
        for path, value in _stored(keys, user, role, name, getattr(part, name)).items()
    }


def _stored(keys: KeyRing, user: Mapping[str, Any], role: Role, name: str, value: Any) -> dict[str, Any]:
    path, user_id = to_camel(name), user["_id"]
    match value:
        case _ if name in ("certifications", "certificates"):
            return stored_certificates(value, (user.get("roleSpecificData") or {}).get(role) or {})
        case Point():
            return {path: {"type": "Point", "coordinates": [value.longitude, value.latitude]}}
        case _ if name == "tax_id":
            return encrypt_tax_id(keys, user_id, role, value) if value else {"taxId": None, "taxIdIndex": None}
        case _ if name == "hourly_rate":
            return {"hourlyRate": Decimal128(value.amount) if value else None, "currency": value and value.currency}
        case None:
            return {path: None}
        case _ if name in _ENCRYPTED:
            return {path: encrypt_client_field(keys, user_id, path, value)}
        case FitnessLevel():
            return {path: str(value)}
        case date():
            return {path: datetime.combine(value, time(), UTC)}
        case _:
            return {path: value}


PUBLIC_OF_COACH = (
    *("bio", "specializations", "experience", "certifications", "certificates", "languages", "ratings", "reviewCount"),
    *("hourlyRate", "currency", "workplace"),  # of coaches with clients of their own
)


async def of_coaches(mongo: Mongo, ids: Iterable[ObjectId]) -> dict[ObjectId, list[Document]]:
    """What each person shows everybody as a coach, one entry with its `role` for each such role; in one command."""
    columns = ("role", *(f"roleSpecificData.{role}.{name}" for role in COACHES for name in PUBLIC_OF_COACH))
    return {
        id_: [{"role": role, **part} for role, part in _held(user).items()]
        for id_, user in (await by_ids(mongo, ids, columns)).items()
    }


async def of_person(accounts: Accounts, user_id: ObjectId, tax_ids: Iterable[Role]) -> dict[Role, Document]:
    """A person's own parts by role, those asked for with the tax id. Raises FieldEncryptionError."""
    columns = ("role", *(f"roleSpecificData.{role}.{name}" for role, names in _READ.items() for name in names))
    found = await by_ids(accounts.stores.mongo, [user_id], columns)
    parts = _held(found.get(user_id, {"role": []}))
    for role in tax_ids:
        kept = parts.get(role, {}).get("taxId")
        if kept is not None:
            parts[role]["taxId"] = tax_id(accounts.stores.keys, user_id, role, kept)
    return parts


_OWNER = ("businessName", "businessAddress", "businessPhoneNumber", "businessEmail", "taxId")
_VISITOR = ("homeFacilityId", "emergencyContactName", "emergencyContactPhoneNumber")
_READ: Mapping[Role, tuple[str, ...]] = {
    Role.CLIENT: ("fitnessGoals", "fitnessLevel"),
    Role.COACH: ("isFreelance", "hourlyRate", "currency"),
    Role.GYM_OWNER: _OWNER,
    Role.STUDIO_OWNER: _OWNER,
    Role.GYM_MEMBER: _VISITOR,
    Role.STUDIO_CLIENT: _VISITOR,
}


def _held(user: Mapping[str, Any]) -> dict[Role, Document]:
    """The parts of the roles a person holds now."""
    parts = user.get("roleSpecificData") or {}
    return {Role(role): dict(parts[role]) for role in user["role"] if role in parts}
