"""What clients say of a facility. Limits are those of `nexfit.domains.facilities.inputs`, which checks them."""

from __future__ import annotations

from datetime import date

import strawberry

from nexfit.api.facilities import parts  # noqa: F401  # its enums become the schema's there
from nexfit.api.inputs import given
from nexfit.domains.facilities.documents import (
    MOST_AMENITIES,
    MOST_EQUIPMENTS,
    MOST_IMAGES,
    MOST_OPENINGS,
    MOST_ROOMS,
    MOST_SPECIAL_DAYS,
    Day,
    FacilityType,
)
from nexfit.domains.facilities.inputs import MOST_DAY_OPENINGS, MOST_QUANTITY, MOST_SEATS
from nexfit.domains.identity.profiles import MAX_ADDRESS
from nexfit.domains.identity.validation import MAX_LINE, MAX_NAME

_LINE = f"1 to {MAX_LINE} characters."
_WORD = f"1 to {MAX_NAME} characters."
_WORDS = f"At most {MOST_AMENITIES}, each of 1 to {MAX_NAME} characters, none twice."
_WEB = f"An http or https address of at most {MAX_ADDRESS} characters."
_CLOCK = "HH:MM on the facility's wall clock."
_ZONE = "IANA time zone, such as `Europe/Istanbul`."


@strawberry.input(description="Where a facility is. Null forgets a field.")
class AddressInput:
    """Part of a facility's inputs."""

    street: str | None = given(f"Street and number. {_LINE}")
    city: str | None = given(_WORD)
    state: str | None = given(f"State or province. {_WORD}")
    zip_code: str | None = given(f"Postal code. {_WORD}")
    country: str | None = given(f"Country; its rules say which tax is on invoices. {_WORD}")
    latitude: float | None = given("Degrees north, -90 to 90; together with `longitude`.")
    longitude: float | None = given("Degrees east, -180 to 180; together with `latitude`.")


@strawberry.input(description="How to reach a facility. Null forgets a field.")
class ContactInput:
    """Part of a facility's inputs."""

    phone_number: str | None = given("In E.164, such as `+902121234567`.")
    email: str | None = given("An e-mail address.")
    website: str | None = given(_WEB)


@strawberry.input(description="A facility's pictures. Null forgets a field.")
class FacilityMediaInput:
    """Part of a facility's inputs."""

    logo: str | None = given(_WEB)
    images: list[str] | None = given(f"At most {MOST_IMAGES}, in the order they are shown. Each: {_WEB}")
    virtual_tour: str | None = given(_WEB)


@strawberry.input(description="A kind of machine or tool.")
class EquipmentInput:
    """Part of a facility's inputs."""

    name: str = strawberry.field(description=_LINE)
    category: str | None = given(_WORD)
    quantity: int = strawberry.field(default=1, description=f"How many, 0 to {MOST_QUANTITY}.")
    brand: str | None = given(f"Maker. {_WORD}")


@strawberry.input(description="A room classes are held in.")
class RoomInput:
    """Part of a facility's inputs."""

    name: str = strawberry.field(description=f"{_WORD} No two rooms have the same, whatever the case and marks.")
    capacity: int | None = given(f"Seats, 1 to {MOST_SEATS}; no class held there may have more.")


@strawberry.input(description="When dates of classes can be booked and left. Null takes the platform's default.")
class BookingPolicyInput:
    """Part of a facility's inputs."""

    opens_days_before: int | None = given("Booking opens so many days before a date, 1 to 365.")
    cancel_minutes_before: int | None = given("Leaving is free until so many minutes before the start, 0 to 10080.")
    freeze_minutes_before: int | None = given("A seat freed later than this promotes nobody; 0 to 1440 minutes.")
    no_show_minutes_after: int | None = given("Who has not come is a no-show so long after the end; 0 to 1440 minutes.")
    planned_days_ahead: int | None = given("Dates of classes that repeat are made so far ahead, 7 to 400 days.")
    waitlist_limit: int | None = given("Who may wait for a date of a class planned without a number, 0 to 1000.")
    late_cancel_uses_quota: bool | None = given("Whether leaving late uses up the week's quota, as it does by default.")
    no_show_uses_quota: bool | None = given("Whether not coming uses up the week's quota, as it does by default.")
    most_no_shows: int | None = given(
        "Who has not come so often within `noShowDays` books nothing, but by staff; 1 to 100, null blocks nobody."
    )
    no_show_days: int | None = given("How many days a no-show counts, 1 to 365.")


@strawberry.input(description="A new facility.")
class CreateFacilityInput:
    """Input of `createFacility`."""

    name: str = strawberry.field(description=_LINE)
    type: FacilityType = strawberry.field(description="Its kind; the viewer needs the role of an owner of that kind.")
    timezone: str = strawberry.field(description=_ZONE)
    idempotency_key: str = strawberry.field(
        description="Chosen by the client, 1 to 255 characters, new for every intention; sent again with the same "
        "input it gives the first facility again."
    )
    address: AddressInput | None = given("Where it is.")
    contact: ContactInput | None = given("How to reach it.")
    media: FacilityMediaInput | None = given("Pictures.")
    amenities: list[str] | None = given(f"What it offers, such as a sauna. {_WORDS}")
    features: list[str] | None = given(f"What is special about it. {_WORDS}")
    equipments: list[EquipmentInput] | None = given(f"Machines and tools, at most {MOST_EQUIPMENTS}.")
    rooms: list[RoomInput] | None = given(
        f"Rooms, at most {MOST_ROOMS}; when there are some, classes are held in them."
    )
    booking_policy: BookingPolicyInput | None = given("How classes are booked.")


@strawberry.input(description="What changes of a facility; what is left out stays, lists are replaced, null forgets.")
class UpdateFacilityInput:
    """Input of `updateFacility`."""

    facility: strawberry.ID = strawberry.field(description="Which one.")
    name: str | None = given(f"{_LINE} Cannot be null.")
    type: FacilityType | None = given("Its kind; cannot be null.")
    timezone: str | None = given(
        f"{_ZONE} Cannot be null, and not change once there are classes, visits or members: their days depend on it."
    )
    address: AddressInput | None = given("Where it is; null forgets all of it.")
    contact: ContactInput | None = given("How to reach it; null forgets all of it.")
    media: FacilityMediaInput | None = given("Pictures; null forgets all of them.")
    amenities: list[str] | None = given(f"What it offers, such as a sauna. {_WORDS}")
    features: list[str] | None = given(f"What is special about it. {_WORDS}")
    equipments: list[EquipmentInput] | None = given(f"Machines and tools, at most {MOST_EQUIPMENTS}.")
    rooms: list[RoomInput] | None = given(f"Rooms, at most {MOST_ROOMS}; dates that exist keep theirs.")
    booking_policy: BookingPolicyInput | None = given("How classes are booked; null takes the defaults for all of it.")


@strawberry.input(description="From when to when; a close at or before the open is on the next day.")
class OpeningInput:
    """Part of `SpecialDayInput`."""

    open_time: str = strawberry.field(description=_CLOCK)
    close_time: str = strawberry.field(description=_CLOCK)


@strawberry.input(description="An opening of every such weekday; a close at or before the open is on the next day.")
class WeekdayOpeningInput(OpeningInput):
    """Part of `SetFacilityHoursInput`."""

    day: Day = strawberry.field(description="The weekday.")


@strawberry.input(description="A day whose openings take the place of its weekday's, such as a holiday.")
class SpecialDayInput:
    """Part of `SetFacilityHoursInput`."""

    date: date = strawberry.field(description="On the facility's calendar; no day is named twice.")
    name: str | None = given(f"What is special. {_LINE}")
    openings: list[OpeningInput] = strawberry.field(
        default_factory=list, description=f"At most {MOST_DAY_OPENINGS} that do not overlap; none when it stays closed."
    )


@strawberry.input(description="When a facility is open. A part that is left out stays, one that is given replaces.")
class SetFacilityHoursInput:
    """Input of `setFacilityHours`."""

    facility: strawberry.ID = strawberry.field(description="Which one.")
    hours: list[WeekdayOpeningInput] | None = given(
        f"Every opening of the week, at most {MOST_OPENINGS} that do not overlap; a day without any is closed."
    )
    special_days: list[SpecialDayInput] | None = given(f"Holidays and other special days, at most {MOST_SPECIAL_DAYS}.")
