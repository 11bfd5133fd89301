"""`updateProfile`: what a person says about themselves, in every role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity import payloads
from nexfit.api.identity.types import User
from nexfit.api.inputs import given, values_of
from nexfit.api.relay import local_id
from nexfit.domains.errors import NotFound
from nexfit.domains.identity import people, profiles
from nexfit.domains.identity.contact import MAX_EMAIL
from nexfit.domains.identity.documents import FitnessLevel
from nexfit.domains.identity.profiles import (
    EARLIEST_BIRTH,
    MAX_ADDRESS,
    MAX_BIO,
    MAX_EXPERIENCE,
    MAX_HEIGHT,
    MAX_LANGUAGES,
    MAX_LINES,
    MAX_WEIGHT,
    MIN_HEIGHT,
    MIN_WEIGHT,
    ProfileChange,
)
from nexfit.domains.identity.validation import MAX_LINE, MAX_NAME, checked

_LINE = f"1 to {MAX_LINE} characters"
_LINES = f"At most {MAX_LINES}, each of {_LINE}."
_PHONE = "In E.164, such as `+902121234567`."


@strawberry.input(description="A client's part. Null forgets a field.")
class ClientProfileInput:
    """Part of `UpdateProfileInput`."""

    date_of_birth: date | None = given(f"From {EARLIEST_BIRTH} to today.")
    height: float | None = given(f"Centimetres, {MIN_HEIGHT} to {MAX_HEIGHT}. Kept encrypted.")
    weight: float | None = given(f"Kilograms, {MIN_WEIGHT} to {MAX_WEIGHT}. Kept encrypted.")
    fitness_goals: list[str] | None = given(_LINES)
    fitness_level: FitnessLevel | None = given("How trained the client is.")
    dietary_restrictions: list[str] | None = given(f"What is not eaten. {_LINES} Kept encrypted.")
    medical_conditions: list[str] | None = given(f"What a trainer should know. {_LINES} Kept encrypted.")


@strawberry.input(description="A certificate. One whose fields all stay as they were stays verified.")
class CertificateInput:
    """Part of `FacilityCoachProfileInput`."""

    name: str = strawberry.field(description=f"{_LINE}.")
    issuer: str | None = strawberry.field(default=None, description=f"Who gave it; {_LINE}.")
    expires_on: date | None = strawberry.field(default=None, description="The last day on which it counts.")


@strawberry.input(description="A place on the earth.")
class GeoPointInput:
    """Part of `CoachProfileInput`."""

    latitude: float = strawberry.field(description="Degrees north, -90 to 90.")
    longitude: float = strawberry.field(description="Degrees east, -180 to 180.")


@strawberry.input(description="The part of a coach of a gym or studio; everybody sees it. Null forgets a field.")
class FacilityCoachProfileInput:
    """Part of `UpdateProfileInput`."""

    bio: str | None = given(f"1 to {MAX_BIO} characters, line breaks among them.")
    specializations: list[str] | None = given(_LINES)
    experience: float | None = given(f"Years, 0 to {MAX_EXPERIENCE}.")
    certifications: list[str] | None = given(f"Names of the certificates, instead of these themselves. {_LINES}")
    certificates: list[CertificateInput] | None = given(f"At most {MAX_LINES}, each once.")
    languages: list[str] | None = given(f"Languages you train in: at most {MAX_LANGUAGES} ISO 639 codes, such as `tr`.")


@strawberry.input(description="A price.")
class PriceInput:
    """Part of `CoachProfileInput`."""

    amount: Decimal = strawberry.field(description="0 or more, with no more decimals than the currency has.")
    currency: str = strawberry.field(description="ISO 4217, such as `TRY`.")


@strawberry.input(description="The part of a coach with clients of their own. Null forgets a field.")
class CoachProfileInput(FacilityCoachProfileInput):
    """Part of `UpdateProfileInput`."""

    is_freelance: bool | None = given("Whether the coach works on their own account; for the coach only.")
    hourly_rate: PriceInput | None = given("Price of an hour; everybody sees it and may search by it.")
    workplace: GeoPointInput | None = given("Where you train people besides at facilities; everybody sees it.")


@strawberry.input(description="An owner's part: the business. Null forgets a field.")
class OwnerProfileInput:
    """Part of `UpdateProfileInput`."""

    business_name: str | None = given(f"{_LINE}.")
    business_address: str | None = given(f"In one line, {_LINE}.")
    business_phone_number: str | None = given(_PHONE)
    business_email: str | None = given(f"At most {MAX_EMAIL} characters.")
    tax_id: str | None = given("5 to 20 letters, digits, spaces, dots and dashes. Kept encrypted.")


@strawberry.input(description="The part of a gym's member or a studio's client. Null forgets a field.")
class VisitorProfileInput:
    """Part of `UpdateProfileInput`."""

    home_facility_id: strawberry.ID | None = given("Global id of the facility the person usually trains at.")
    emergency_contact_name: str | None = given(f"Who is called when something happens; {_LINE}.")
    emergency_contact_phone_number: str | None = given(_PHONE)


@strawberry.input(description="What changes; what is left out stays. Parts are for roles the person holds.")
class UpdateProfileInput:
    """Input of `updateProfile`."""

    first_name: str | None = given(f"Given name, 1 to {MAX_NAME} characters; cannot be null.")
    last_name: str | None = given(f"Family name, 1 to {MAX_NAME} characters; cannot be null.")
    profile_image: str | None = given(
        f"An http or https address of at most {MAX_ADDRESS} characters; null takes the picture away."
    )
    client: ClientProfileInput | None = given("As a client.")
    coach: CoachProfileInput | None = given("As a coach with clients of their own.")
    gym_owner: OwnerProfileInput | None = given("As an owner of gyms.")
    gym_member: VisitorProfileInput | None = given("As a gym's member.")
    gym_coach: FacilityCoachProfileInput | None = given("As a coach of a gym.")
    studio_owner: OwnerProfileInput | None = given("As an owner of studios.")
    studio_coach: FacilityCoachProfileInput | None = given("As a coach of a studio.")
    studio_client: VisitorProfileInput | None = given("As a studio's client.")


@strawberry.type(description="The person with the new profile, or why nothing changed.")
class UpdateProfilePayload:
    """Payload of `updateProfile`."""

    viewer: User | None = column(description="As it is now.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateProfileArgs(Args):
    """Arguments of `updateProfile`."""

    input: Annotated[UpdateProfileInput, strawberry.argument(description="What changes.")]


def _change(asked: UpdateProfileInput) -> ProfileChange:
    values = values_of(asked)
    for part, name in (("gym_member", "gymMember"), ("studio_client", "studioClient")):
        facility = (values.get(part) or {}).get("home_facility_id")
        if facility is not None:
            values[part]["home_facility_id"] = local_id(facility, "Facility")
            if values[part]["home_facility_id"] is None:
                raise NotFound("There is no such facility.", path=(name, "homeFacilityId"))
    return checked(ProfileChange, **values)


async def _update(args: UpdateProfileArgs, context: Context) -> Mapping[str, Any]:
    user_id = context.actor.require()
    await profiles.update(
        context.services.accounts,
        _change(args.input),
        user_id,
        device=payloads.device(context),
        now=context.now,
    )
    found = await people.by_ids(context.stores.mongo, [user_id], args.selection.at("viewer").columns)
    return {"viewer": found.get(user_id)}


@strawberry.type
class UpdateProfileMutation:
    """Profiles."""

    update_profile: UpdateProfilePayload = batch(
        answering(_update),
        args=UpdateProfileArgs,
        description="Change the viewer's own profile, all that is given or nothing.",
    )
