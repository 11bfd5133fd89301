"""What owners and staff say of a facility: the one model each input is held to, with its limits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from nexfit.domains.errors import BadInput
from nexfit.domains.facilities.documents import (
    MOST_AMENITIES,
    MOST_EQUIPMENTS,
    MOST_IMAGES,
    MOST_OPENINGS,
    MOST_ROOMS,
    MOST_SPECIAL_DAYS,
    Day,
    FacilityType,
    StaffPermission,
    StaffRole,
)
from nexfit.domains.identity.profiles import WebAddress
from nexfit.domains.identity.validation import EmailText, Input, LineText, NameText, PhoneText
from nexfit.domains.text import fold
from nexfit.stores.documents import Latitude, LocalTime, Longitude

MOST_DAY_OPENINGS = 10
MOST_QUANTITY = 100_000
MOST_SEATS = 10_000
DAYS = tuple(Day)


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise PydanticCustomError("time_zone", "not an IANA time zone")
    return name


ZoneText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64), AfterValidator(_known_zone)]
Words = Annotated[list[NameText], Field(max_length=MOST_AMENITIES)]


class AddressChange(Input):
    """Where a facility is; degrees north and east are given together."""

    street: LineText | None = None
    city: NameText | None = None
    state: NameText | None = None
    zip_code: NameText | None = None
    country: NameText | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None

    @model_validator(mode="after")
    def _both(self) -> AddressChange:
        given = {"latitude", "longitude"} & self.model_fields_set
        if len(given) == 1 or (self.latitude is None) != (self.longitude is None):
            raise PydanticCustomError("half_place", "latitude and longitude belong together")
        return self


class ContactChange(Input):
    """How to reach a facility."""

    phone_number: PhoneText | None = None
    email: EmailText | None = None
    website: WebAddress | None = None


class MediaChange(Input):
    """Pictures and the virtual tour."""

    logo: WebAddress | None = None
    images: Annotated[list[WebAddress], Field(max_length=MOST_IMAGES)] | None = None
    virtual_tour: WebAddress | None = None


class Picture(Input):
    """A picture that was sent, and what it shows."""

    key: Annotated[str, StringConstraints(pattern=r"^facilities/[0-9a-f]{24}/[0-9a-f]{32}\.(jpg|png|webp)$")]
    alt: LineText | None = None


class Pictures(Input):
    """All pictures of a facility, in their order."""

    pictures: Annotated[list[Picture], Field(max_length=MOST_IMAGES)]

    @model_validator(mode="after")
    def _distinct(self) -> Pictures:
        if len({one.key for one in self.pictures}) < len(self.pictures):
            raise PydanticCustomError("repeated", "named twice", {"name": "pictures"})
        return self


class EquipmentEntry(Input):
    """A kind of machine or tool."""

    name: LineText
    category: NameText | None = None
    quantity: Annotated[int, Field(ge=0, le=MOST_QUANTITY)] = 1
    brand: NameText | None = None


class RoomEntry(Input):
    """A room classes are held in."""

    name: NameText
    capacity: Annotated[int, Field(ge=1, le=MOST_SEATS)] | None = None


class PolicyChange(Input):
    """When dates of classes can be booked and left, and how far ahead they are made."""

    opens_days_before: Annotated[int, Field(ge=1, le=365)] | None = None
    cancel_minutes_before: Annotated[int, Field(ge=0, le=10_080)] | None = None
    freeze_minutes_before: Annotated[int, Field(ge=0, le=1440)] | None = None
    no_show_minutes_after: Annotated[int, Field(ge=0, le=1440)] | None = None
    planned_days_ahead: Annotated[int, Field(ge=7, le=400)] | None = None
    waitlist_limit: Annotated[int, Field(ge=0, le=1000)] | None = None
    late_cancel_uses_quota: bool | None = None
    no_show_uses_quota: bool | None = None
    most_no_shows: Annotated[int, Field(ge=1, le=100)] | None = None
    no_show_days: Annotated[int, Field(ge=1, le=365)] | None = None


class FacilityChange(Input):
    """What changes of a facility. A part that is left out stays; one given as None is forgotten."""

    name: LineText = ""
    type: FacilityType = FacilityType.GYM
    timezone: ZoneText = ""
    address: AddressChange | None = None
    contact: ContactChange | None = None
    media: MediaChange | None = None
    amenities: Words | None = None
    features: Words | None = None
    equipments: Annotated[list[EquipmentEntry], Field(max_length=MOST_EQUIPMENTS)] | None = None
    rooms: Annotated[list[RoomEntry], Field(max_length=MOST_ROOMS)] | None = None
    booking_policy: PolicyChange | None = None

    @model_validator(mode="after")
    def _distinct(self) -> FacilityChange:
        for name in ("amenities", "features"):
            if _repeats(getattr(self, name) or ()):
                raise PydanticCustomError("repeated", "named twice", {"name": name})
        if _repeats([room.name for room in self.rooms or ()]):
            raise PydanticCustomError("repeated", "named twice", {"name": "rooms"})
        return self


class NewFacility(FacilityChange):
    """A facility as it begins."""

    name: LineText
    type: FacilityType
    timezone: ZoneText


def _repeats(names: Sequence[str]) -> bool:
    return len({fold(name) for name in names}) < len(names)


class Invitation(Input):
    """Who is invited to work at a facility."""

    email: EmailText
    role: StaffRole
    permissions: frozenset[StaffPermission] = frozenset()


class StaffChange(Input):
    """What changes of somebody who works there."""

    role: StaffRole = StaffRole.COACH
    permissions: frozenset[StaffPermission] = frozenset()


class OpeningEntry(Input):
    """From when to when, HH:MM; a close at or before the open is on the next day."""

    open_time: LocalTime
    close_time: LocalTime


class WeekdayOpening(OpeningEntry):
    """An opening of every such weekday."""

    day: Day


class SpecialDayEntry(Input):
    """A day with openings of its own, or none."""

    date: date
    name: LineText | None = None
    openings: Annotated[list[OpeningEntry], Field(max_length=MOST_DAY_OPENINGS)] = Field(default_factory=list)


class HoursChange(Input):
    """Opening hours. A part that is left out stays; one that is given takes the place of what is stored."""

    hours: Annotated[list[WeekdayOpening], Field(max_length=MOST_OPENINGS)] | None = None
    special_days: Annotated[list[SpecialDayEntry], Field(max_length=MOST_SPECIAL_DAYS)] | None = None


_DAY = 1440


def check_hours(change: HoursChange) -> None:
    """Refuse openings that overlap and days that are named twice. Raises BadInput."""
    spans = [
        (DAYS.index(one.day) * _DAY + start, DAYS.index(one.day) * _DAY + end)
        for one in change.hours or ()
        for start, end in [_minutes(one)]
    ]
    # The week goes round: what runs past Sunday's end meets Monday.
    spans += [(start - 7 * _DAY, end - 7 * _DAY) for start, end in spans if end > 7 * _DAY]
    if _overlap(spans):
        raise BadInput("Two openings overlap.", path=("hours",))
    days = [one.date for one in change.special_days or ()]
    if len(set(days)) < len(days):
        raise BadInput("A day is named twice.", path=("specialDays",))
    for place, one in enumerate(change.special_days or ()):
        if _overlap([_minutes(opening) for opening in one.openings]):
            raise BadInput("Two openings overlap.", path=("specialDays", str(place), "openings"))


def _minutes(opening: OpeningEntry) -> tuple[int, int]:
    start, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in (opening.open_time, opening.close_time))
    return start, end if end > start else end + _DAY


def _overlap(spans: list[tuple[int, int]]) -> bool:
    return any(later[0] < earlier[1] for earlier, later in pairwise(sorted(spans)))
