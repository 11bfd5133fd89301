"""What a person says as a coach, an owner, a member or a client: for everybody, or for the person alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, column, derived
from nexfit.api.money import Money, money_field
from nexfit.api.scalars import EmailAddress, PhoneNumber
from nexfit.domains.facilities import directory
from nexfit.domains.identity import profiles
from nexfit.domains.identity.documents import FitnessLevel, Role
from nexfit.engine.fields import Record

if TYPE_CHECKING:
    from nexfit.api.facilities.types import Facility

strawberry.enum(Role, description="What a person is on the platform.")
strawberry.enum(FitnessLevel, description="How trained a client is.")


@strawberry.type(description="A certificate of a coach.")
class Certificate:
    """From the `certificates` of a coach's part."""

    name: str = column(description="As the coach names it.")
    issuer: str | None = column(description="Who gave it.")
    expires_on: date | None = column(description="The last day on which it counts; null where it does not end.")
    verified_at: datetime | None = column(description="When an operator saw it; null where nobody has.")


@strawberry.type(description="A place on the earth.")
class GeoPoint:
    """From a GeoJSON point."""

    latitude: float = column(description="Degrees north.")
    longitude: float = column(description="Degrees east.")


def _rounded(mean: float) -> float:
    return round(mean, 2)


def _workplace(record: Record, _args: object, _context: object) -> Any:
    point = record.get("workplace")
    return None if point is None else dict(zip(("longitude", "latitude"), point["coordinates"], strict=True))


@strawberry.type(description="What a coach shows everybody, in one of the roles of coaches.")
class CoachProfile:
    """From `roleSpecificData` of `coach`, `gym_coach` or `studio_coach`."""

    role: Role = column(description="As which kind of coach.")
    bio: str | None = column(description="In the coach's own words.")
    specializations: list[str] | None = column(description="What the coach is good at.")
    experience: float | None = column(description="Years.")
    certifications: list[str] | None = column(description="Names of the certificates.")
    certificates: list[Certificate] | None = column(description="Certificates, as far as the coach tells of them.")
    languages: list[str] | None = column(description="Languages the coach trains in, as ISO 639 codes.")
    hourly_rate: Money | None = money_field(
        "hourlyRate", description="Price of an hour; of coaches with clients of their own."
    )
    workplace: GeoPoint | None = derived(
        _workplace, needs=("workplace",), description="Where the coach trains people besides at facilities."
    )
    rating: float | None = column("ratings", read=_rounded, description="Mean of the reviews, 0 to 5.")
    review_count: int | None = column(description="How many reviews that is the mean of.")


@strawberry.type(description="A client's aims. The body in figures is `User.bodyProfile`.")
class ClientProfile:
    """From `roleSpecificData.client`."""

    fitness_goals: list[str] | None = column(description="What the client trains for.")
    fitness_level: FitnessLevel | None = column(description="How trained the client is.")


@strawberry.type(description="A coach's terms. What everybody sees is `User.coachProfiles`.")
class CoachTerms:
    """From `roleSpecificData.coach`."""

    is_freelance: bool | None = column(description="Whether the coach works on their own account.")
    hourly_rate: Money | None = money_field("hourlyRate", description="Price of an hour.")


@strawberry.type(description="The business of an owner.")
class OwnerProfile:
    """From `roleSpecificData` of `gym_owner` or `studio_owner`."""

    business_name: str | None = column(description="Of the business.")
    business_address: str | None = column(description="In one line.")
    business_phone_number: PhoneNumber | None = column(description="Of the business.")
    business_email: EmailAddress | None = column(description="Of the business.")
    tax_id: str | None = column(description="Kept encrypted.")


async def _home_facilities(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    ids = [parent.get("homeFacilityId") for parent in parents]
    found = await directory.by_ids(context.stores.mongo, (id_ for id_ in ids if id_), args.selection.columns)
    return [found.get(id_) if id_ else None for id_ in ids]


@strawberry.type(description="What a gym's member or a studio's client says.")
class VisitorProfile:
    """From `roleSpecificData` of `gym_member` or `studio_client`."""

    home_facility: Annotated[Facility, strawberry.lazy("nexfit.api.facilities.types")] | None = batch(
        _home_facilities, needs=("homeFacilityId",), description="Where the person usually trains."
    )
    emergency_contact_name: str | None = column(description="Who is called when something happens.")
    emergency_contact_phone_number: PhoneNumber | None = column(description="At which number.")


@strawberry.type(description="A person's own parts by role; null for roles not held and parts that say nothing.")
class RoleProfiles:
    """From `roleSpecificData`."""

    client: ClientProfile | None = column(description="As a client.")
    coach: CoachTerms | None = column(description="As a coach with clients of their own.")
    gym_owner: OwnerProfile | None = column(description="As an owner of gyms.")
    gym_member: VisitorProfile | None = column(description="As a gym's member.")
    studio_owner: OwnerProfile | None = column(description="As an owner of studios.")
    studio_client: VisitorProfile | None = column(description="As a studio's client.")


async def coach_profiles_of_people(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """What each person shows everybody as a coach, in one command."""
    found = await profiles.of_coaches(context.stores.mongo, [parent["_id"] for parent in parents])
    return [found.get(parent["_id"], []) for parent in parents]


_FIELDS = {
    Role.CLIENT: "client",
    Role.COACH: "coach",
    Role.GYM_OWNER: "gymOwner",
    Role.GYM_MEMBER: "gymMember",
    Role.STUDIO_OWNER: "studioOwner",
    Role.STUDIO_CLIENT: "studioClient",
}


async def role_profiles_of_viewer(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The viewer's own parts; a tax id is decrypted only where it is asked for."""
    tax_ids = [role for role, name in _FIELDS.items() if "taxId" in args.selection.at(name).columns]
    parts = await profiles.of_person(context.services.accounts, context.actor.require(), tax_ids)
    return [{name: parts.get(role) for role, name in _FIELDS.items()}] * len(parents)
