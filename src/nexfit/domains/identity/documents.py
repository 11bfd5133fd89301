"""Who a person is: profile, password, push devices and consents, all in MongoDB.

Reviews are in `review_documents`.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from nexfit.domains.text import fold, normalize_email
from nexfit.stores.documents import (
    Amount,
    CalendarDate,
    Count,
    Currency,
    Email,
    Embedded,
    Encrypted,
    GeoPoint,
    Id,
    Instant,
    Line,
    MeanRating,
    Phone,
    StoredDocument,
    Text,
    Url,
    Word,
    check_money,
    derived,
)


class Role(StrEnum):
    """What a person is on the platform; what they may do in one facility is that facility's staff entry."""

    CLIENT = "client"
    COACH = "coach"
    GYM_OWNER = "gym_owner"
    GYM_MEMBER = "gym_member"
    GYM_COACH = "gym_coach"
    STUDIO_OWNER = "studio_owner"
    STUDIO_COACH = "studio_coach"
    STUDIO_CLIENT = "studio_client"


class FitnessLevel(StrEnum):
    """How trained a client is."""

    BEGINNER = "beginner"
    INTERMEDIATE = "intermediate"
    ADVANCED = "advanced"


class ClientData(Embedded):
    """Body and aims: height in cm, weight in kg, kept encrypted as what else tells of health.

    ``assigned_coach_id`` mirrors the live coach_clients row.
    """

    date_of_birth: CalendarDate | None = None
    height: Encrypted | None = None
    weight: Encrypted | None = None
    fitness_goals: list[Line] = Field(default_factory=list, max_length=50)
    fitness_level: FitnessLevel | None = None
    dietary_restrictions: Encrypted | None = None
    medical_conditions: Encrypted | None = None
    assigned_coach_id: Id | None = None


class Certificate(Embedded):
    """A certificate as the coach names it; `verified_at` is an operator's word, and ends with any change of it."""

    name: Line
    issuer: Line | None = None
    expires_on: CalendarDate | None = None
    verified_at: Instant | None = None


class FacilityCoachData(Embedded):
    """A coach employed by a gym or studio: experience in years, rating derived from reviews.

    `certifications` are the names of the certificates; languages are ISO 639 codes.
    """

    specializations: list[Line] = Field(default_factory=list, max_length=50)
    bio: Text | None = None
    experience: Annotated[float, Field(ge=0, le=80)] | None = None
    certifications: list[Line] = Field(default_factory=list, max_length=50)
    certificates: list[Certificate] = Field(default_factory=list, max_length=50)
    languages: list[Word] = Field(default_factory=list, max_length=20)
    ratings: MeanRating | None = None
    review_count: Count = 0


class CoachData(FacilityCoachData):
    """A coach with clients of their own; the workplace is where they train people besides at facilities."""

    is_freelance: bool | None = None
    hourly_rate: Amount | None = None
    currency: Currency | None = None
    workplace: GeoPoint | None = None

    @model_validator(mode="after")
    def _money(self) -> Self:
        check_money(self.hourly_rate, self.currency)
        return self


class OwnerData(Embedded):
    """The business behind a gym or studio owner. The index finds a tax id without knowing any."""

    business_name: Line | None = None
    business_address: Line | None = None
    business_phone_number: Phone | None = None
    business_email: Email | None = None
    tax_id: Encrypted | None = None
    tax_id_index: Annotated[bytes, Field(min_length=32, max_length=32)] | None = None


class VisitorData(Embedded):
    """A gym's member or a studio's client."""

    home_facility_id: Id | None = None
    emergency_contact_name: Line | None = None
    emergency_contact_phone_number: Phone | None = None


class RoleSpecificData(Embedded):
    """One part per role a person holds; the keys are the roles' own words."""

    client: ClientData | None = None
    coach: CoachData | None = None
    gym_owner: OwnerData | None = Field(default=None, alias="gym_owner")
    gym_member: VisitorData | None = Field(default=None, alias="gym_member")
    gym_coach: FacilityCoachData | None = Field(default=None, alias="gym_coach")
    studio_owner: OwnerData | None = Field(default=None, alias="studio_owner")
    studio_coach: FacilityCoachData | None = Field(default=None, alias="studio_coach")
    studio_client: VisitorData | None = Field(default=None, alias="studio_client")


class CoachPlace(Embedded):
    """Where a coach works; an index takes several points only as parts of objects."""

    point: GeoPoint


class CoachListing(Embedded):
    """What a coach is searched by: derived from the person's parts, reviews and facilities (`coach_listing`)."""

    words: list[Word] = Field(default_factory=list, max_length=100)
    specializations: list[Line] = Field(default_factory=list, max_length=150)
    languages: list[Word] = Field(default_factory=list, max_length=60)
    facility_ids: list[Id] = Field(default_factory=list, max_length=50)
    places: list[CoachPlace] = Field(default_factory=list, max_length=51)
    rating: MeanRating = Field(default=0.0, json_schema_extra={"required": True})
    reviews: Count = 0


class UserType(StrEnum):
    """Whether an account is a person's or a company's."""

    INDIVIDUAL = "individual"
    CORPORATE = "corporate"


class Company(Embedded):
    """The company behind a corporate account."""

    name: Line
    tax_id: Encrypted
    tax_id_index: Annotated[bytes, Field(min_length=32, max_length=32)] | None = None


class User(StoredDocument):
    """A person. The password is in ``credentials``, push tokens are in ``devices``. Erased, it is a pseudonym."""

    email: Email
    email_normalized: str = derived()
    first_name: Word
    last_name: Word
    name_folded: str = derived()
    profile_image: Url | None = None
    phone_number: Phone | None = None
    role: Annotated[list[Role], Field(min_length=1, max_length=8)]
    is_active: bool
    user_type: UserType | None = None
    company: Company | None = None
    email_verified_at: Instant | None = None
    phone_verified_at: Instant | None = None
    deactivated_at: Instant | None = None
    erased_at: Instant | None = None
    role_specific_data: RoleSpecificData = RoleSpecificData()
    coach_listing: CoachListing | None = None
    created_at: Instant
    updated_at: Instant

    @model_validator(mode="after")
    def _derive(self) -> Self:
        self.email_normalized = normalize_email(self.email)
        self.name_folded = fold(f"{self.first_name} {self.last_name}")
        return self

    class Settings(StoredDocument.Settings):
        name = "users"


class Credential(StoredDocument):
    """The password of the person with the same ``_id``; no read of a profile touches it."""

    id: Id = Field()
    password_hash: Annotated[str, Field(min_length=20, max_length=512)]
    updated_at: Instant

    class Settings(StoredDocument.Settings):
        name = "credentials"


class Registration(StoredDocument):
    """An account that becomes one once the e-mail address is proven; its `_id` is then the person's.

    Many may wait for one address: the first whose link and password come back gets it. ``is_taken``: the address had an
    account already, so its owner was told and the link went nowhere.
    """

    email: Email
    email_normalized: Line
    first_name: Word
    last_name: Word
    phone_number: Phone | None = None
    role: Annotated[list[Role], Field(min_length=1, max_length=8)]
    user_type: UserType
    company: Company | None = None
    password_hash: Annotated[str, Field(min_length=20, max_length=512)]
    token_hash: Annotated[bytes, Field(min_length=32, max_length=32)]
    is_taken: bool
    created_at: Instant
    expires_at: Instant

    class Settings(StoredDocument.Settings):
        name = "registrations"


class SecondFactor(StoredDocument):
    """The authenticator app of the person with the same ``_id``: on once confirmed; ``last_period`` is used up."""

    id: Id = Field()
    secret: Encrypted
    last_period: Annotated[int, Field(ge=0, le=2**53)]
    recovery_hashes: Annotated[list[Annotated[bytes, Field(min_length=32, max_length=32)]], Field(max_length=20)]
    created_at: Instant
    confirmed_at: Instant | None = None

    class Settings(StoredDocument.Settings):
        name = "second_factors"


class CodeKind(StrEnum):
    """What a one-time code is good for."""

    PASSWORD_RESET = "password_reset"  # noqa: S105 - a kind
    PHONE = "phone"


class OneTimeCode(StoredDocument):
    """A code or link sent to somebody, as a keyed hash. Without ``user_id`` it was asked for an unknown address."""

    user_id: Id | None = None
    kind: CodeKind
    code_hash: Annotated[bytes, Field(min_length=32, max_length=32)]
    target: Annotated[str, Field(min_length=3, max_length=320)] | None = None
    tries: Count = 0
    created_at: Instant
    expires_at: Instant

    class Settings(StoredDocument.Settings):
        name = "one_time_codes"


class SessionEnd(StrEnum):
    """Why a session ended before its time."""

    LOGOUT = "logout"
    REVOKED = "revoked"
    TOKEN_REUSED = "token_reused"  # noqa: S105 - a reason
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    PASSWORD_RESET = "password_reset"  # noqa: S105
    ACCOUNT_DEACTIVATED = "account_deactivated"


class Session(StoredDocument):
    """One device somebody is signed in on: a family of refresh tokens, of which the newest is the only valid one.

    `generation` and `salt` name that one; without the signing key no token can be made from them.
    """

    user_id: Id
    generation: Count = 0
    salt: Annotated[bytes, Field(min_length=16, max_length=16)]
    retry_key: Annotated[bytes, Field(min_length=32, max_length=32)] | None = None
    device_name: Line | None = None
    user_agent: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    ip_address: Annotated[str, Field(min_length=2, max_length=45)] | None = None
    created_at: Instant
    rotated_at: Instant
    expires_at: Instant
    revoked_at: Instant | None = None
    revoked_because: SessionEnd | None = None

    class Settings(StoredDocument.Settings):
        name = "sessions"


class DevicePlatform(StrEnum):
    """Where the app runs."""

    ANDROID = "android"
    IOS = "ios"
    WEB = "web"


class Device(StoredDocument):
    """One installation of the app that receives push messages; forgotten when unseen for 270 days."""

    user_id: Id
    fcm_token: Annotated[str, Field(min_length=1, max_length=4096)]
    platform: DevicePlatform | None = None
    name: Line | None = None
    created_at: Instant
    last_seen_at: Instant

    class Settings(StoredDocument.Settings):
        name = "devices"


class ConsentScope(StrEnum):
    """A kind of personal data a client may open to somebody."""

    MEASUREMENTS = "measurements"
    PHOTOS = "photos"
    WORKOUTS = "workouts"
    NUTRITION = "nutrition"
    MEDICAL = "medical"
    NOTES = "notes"


class Consent(StoredDocument):
    """What ``user_id`` currently lets ``grantee_id`` see. No scopes, or an end, means nothing."""

    user_id: Id
    grantee_id: Id
    scopes: Annotated[list[ConsentScope], Field(max_length=6)]
    granted_at: Instant
    updated_at: Instant
    ended_at: Instant | None = None

    class Settings(StoredDocument.Settings):
        name = "consents"
