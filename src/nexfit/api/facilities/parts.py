"""Parts of a facility as clients see them: where it is, when it is open, what it has."""

from __future__ import annotations

from datetime import date
from typing import Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import column, derived
from nexfit.domains.facilities import documents as stored
from nexfit.domains.facilities.documents import Day, FacilityType, StaffPermission, StaffRole
from nexfit.engine.fields import Record
from nexfit.stores.signed_files import SignedFiles

strawberry.enum(FacilityType, description="Kinds of facility.")
strawberry.enum(Day, description="Days of the week.")
strawberry.enum(StaffRole, description="What somebody does at a facility.")
strawberry.enum(StaffPermission, description="What somebody may do at a facility; the owner may do everything.")


def _coordinate(place: int) -> Any:
    def compute(record: Record, _args: object, _context: object) -> float | None:
        point = record.get("coordinates")
        return point["coordinates"][place] if point else None

    return compute


@strawberry.type(description="Where a facility is.")
class Address:
    """Embedded in a facility; the position is stored as a GeoJSON point."""

    street: str | None = column(description="Street and number.")
    city: str | None = column(description="City.")
    state: str | None = column(description="State or province.")
    zip_code: str | None = column(description="Postal code.")
    country: str | None = column(description="Country.")
    latitude: float | None = derived(_coordinate(1), needs=("coordinates",), description="Degrees north.")
    longitude: float | None = derived(_coordinate(0), needs=("coordinates",), description="Degrees east.")


@strawberry.type(description="How to reach a facility.")
class Contact:
    """Embedded in a facility."""

    phone_number: str | None = column(description="E.164.")
    email: str | None = column(description="E-mail address.")
    website: str | None = column(description="Address of the web site.")


def _address_of(value: str, context: Context) -> str | None:
    """A web address as it is; for the key of a stored file an address that ends."""
    return value if "://" in value else SignedFiles.of(context.services.settings).address(value, context.now)


def _shown_file(name: str) -> Any:
    def compute(record: Record, _args: object, context: Context) -> str | None:
        value = record.get(name)
        return _address_of(value, context) if value else None

    return compute


def _shown_images(record: Record, _args: object, context: Context) -> list[str] | None:
    images = record.get("images")
    if images is None:
        return None
    return [shown for value in images if (shown := _address_of(value, context)) is not None]


def _shown_pictures(record: Record, _args: object, context: Context) -> list[Record]:
    return [{**one, "url": _address_of(one["key"], context)} for one in record.get("pictures") or ()]


@strawberry.type(description="A picture of a facility.")
class FacilityPicture:
    """Embedded in a facility's media."""

    key: str = column(description="Names it in `setFacilityPictures`.")
    url: str = column(description="An address that ends after some minutes.")
    alt: str | None = column(description="What it shows, for who cannot see it.")


@strawberry.type(description="A facility's pictures.")
class FacilityMedia:
    """Embedded in a facility."""

    logo: str | None = derived(_shown_file("logo"), needs=("logo",), description="Address of the logo.")
    images: list[str] | None = derived(_shown_images, needs=("images",), description="Addresses of pictures.")
    pictures: list[FacilityPicture] = derived(
        _shown_pictures, needs=("pictures",), description="Pictures that were sent, in their order."
    )
    virtual_tour: str | None = derived(
        _shown_file("virtualTour"), needs=("virtualTour",), description="Address of the virtual tour."
    )


@strawberry.type(description="An opening on a weekday; a close at or before the open is on the next day.")
class OperatingHours:
    """Embedded in a facility."""

    day: Day = column(description="The weekday.")
    open_time: str | None = column(description="HH:MM on the facility's wall clock.")
    close_time: str | None = column(description="HH:MM on the facility's wall clock.")
    is_closed: bool = column(description="Whether the facility stays closed.", read=bool)


@strawberry.type(description="From when to when; a close at or before the open is on the next day.")
class Opening:
    """Embedded in a special day."""

    open_time: str = column(description="HH:MM on the facility's wall clock.")
    close_time: str = column(description="HH:MM on the facility's wall clock.")


@strawberry.type(description="A day whose openings take the place of its weekday's; without any it is closed.")
class SpecialDay:
    """Embedded in a facility."""

    date: date = column(description="The day, on the facility's calendar.")
    name: str | None = column(description="What is special, such as a holiday.")
    openings: list[Opening] | None = column(description="When it is open on that day.")


@strawberry.type(description="A room classes are held in.")
class Room:
    """Embedded in a facility."""

    name: str = column(description="Name.")
    capacity: int | None = column(description="Seats.")


@strawberry.type(description="When dates of a facility's classes can be booked and left.")
class BookingPolicy:
    """Embedded in a facility; what the facility does not say is the platform's default."""

    opens_days_before: int = column(description="Booking opens so many days before a date.")
    cancel_minutes_before: int = column(description="Leaving is free until so many minutes before the start.")
    freeze_minutes_before: int = column(description="A seat freed later than this promotes nobody.")
    no_show_minutes_after: int = column(description="Who has not come is a no-show so many minutes after the end.")
    planned_days_ahead: int = column(description="Dates of classes that repeat are made so many days ahead.")
    waitlist_limit: int = column(description="Who may wait for a date of a class that was planned without a number.")
    late_cancel_uses_quota: bool = column(description="Whether leaving late uses up the week's quota.")
    no_show_uses_quota: bool = column(description="Whether not coming uses up the week's quota.")
    most_no_shows: int | None = column(
        description="Who has not come so often within `noShowDays` books nothing; null blocks nobody."
    )
    no_show_days: int = column(description="How many days a no-show counts.")


def policy_of(record: Record, _args: object, _context: object) -> Record:
    """The policy of a facility, with the platform's default for what it does not say."""
    return stored.BookingPolicy.model_validate(record.get("bookingPolicy") or {}).model_dump(by_alias=True)


@strawberry.type(description="A kind of machine or tool.")
class Equipment:
    """Embedded in a facility."""

    name: str = column(description="Name.")
    category: str | None = column(description="Kind.")
    quantity: int | None = column(description="How many.")
    brand: str | None = column(description="Maker.")
