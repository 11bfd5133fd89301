"""Gyms and studios, their place, hours and staff, in MongoDB."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from nexfit.domains.text import fold
from nexfit.stores.documents import (
    Amount,
    CalendarDate,
    Count,
    Currency,
    Email,
    Embedded,
    GeoPoint,
    Id,
    Instant,
    Line,
    LocalTime,
    MeanRating,
    Phone,
    StoredDocument,
    TimeZone,
    Url,
    Word,
    derived,
)

MOST_IMAGES = 100
MOST_OPENINGS = 50
MOST_SPECIAL_DAYS = 400
MOST_AMENITIES = 100
MOST_EQUIPMENTS = 500
MOST_ROOMS = 100
MOST_STAFF = 500


class FacilityType(StrEnum):
    """Kind of facility."""

    GYM = "gym"
    STUDIO = "studio"


class Day(StrEnum):
    """Day of the week."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


class StaffRole(StrEnum):
    """What somebody does in one facility."""

    MANAGER = "manager"
    COACH = "coach"
    RECEPTION = "reception"
    ACCOUNTANT = "accountant"


class StaffPermission(StrEnum):
    """What a staff entry allows in its facility; the owner may do everything."""

    FACILITY_WRITE = "facility_write"
    STAFF_WRITE = "staff_write"
    MEMBERS_READ = "members_read"
    MEMBERS_WRITE = "members_write"
    PLANS_WRITE = "plans_write"
    CLASSES_WRITE = "classes_write"
    CHECK_IN = "check_in"
    FINANCE_READ = "finance_read"
    FINANCE_WRITE = "finance_write"
    ANALYTICS_READ = "analytics_read"
    AUDIT_READ = "audit_read"
    SHOP_READ = "shop_read"
    SHOP_WRITE = "shop_write"


class Address(Embedded):
    """Where a facility is; ``coordinates`` is GeoJSON, longitude first."""

    street: Line | None = None
    city: Word | None = None
    city_folded: Word | None = None
    state: Word | None = None
    zip_code: Word | None = None
    country: Word | None = None
    coordinates: GeoPoint | None = None

    @model_validator(mode="after")
    def _derive(self) -> Self:
        self.city_folded = fold(self.city) if self.city else None
        return self


class Contact(Embedded):
    """How to reach a facility."""

    phone_number: Phone | None = None
    email: Email | None = None
    website: Url | None = None


class FacilityPicture(Embedded):
    """A picture that was sent, by its file's key, and what it shows."""

    key: Url
    alt: Line | None = None


class FacilityMedia(Embedded):
    """Pictures and the virtual tour."""

    logo: Url | None = None
    images: list[Url] = Field(default_factory=list, max_length=MOST_IMAGES)
    pictures: list[FacilityPicture] = Field(default_factory=list, max_length=MOST_IMAGES)
    virtual_tour: Url | None = None


class OperatingHours(Embedded):
    """One opening on one weekday, on the facility's wall clock; a close at or before the open is on the next day."""

    day: Day
    open_time: LocalTime | None = None
    close_time: LocalTime | None = None
    is_closed: bool = False

    @model_validator(mode="after")
    def _times(self) -> Self:
        if not self.is_closed and (self.open_time is None or self.close_time is None):
            raise ValueError("an open day needs openTime and closeTime")
        return self


class Opening(Embedded):
    """From when to when; a close at or before the open is on the next day."""

    open_time: LocalTime
    close_time: LocalTime


class SpecialDay(Embedded):
    """A day whose openings take the place of its weekday's, such as a holiday; without any it is closed."""

    date: CalendarDate
    name: Line | None = None
    openings: list[Opening] = Field(default_factory=list, max_length=10)


class Room(Embedded):
    """A room classes are held in, and how many it holds."""

    name: Word
    capacity: Annotated[int, Field(ge=1, le=10_000)] | None = None


class Equipment(Embedded):
    """A kind of machine or tool and how many there are."""

    name: Line
    category: Word | None = None
    quantity: Count = 1
    brand: Word | None = None


class StaffMember(Embedded):
    """Somebody who works here and what they may do here."""

    user_id: Id
    role: StaffRole
    permissions: list[StaffPermission] = Field(default_factory=list, max_length=50)
    joined_at: Instant


class StaffInvitation(Embedded):
    """Somebody who may join the staff by a link sent to an address; ``token_hash`` is the keyed hash of its token."""

    email: Email
    email_normalized: Email
    role: StaffRole
    permissions: list[StaffPermission] = Field(default_factory=list, max_length=50)
    invited_by: Id
    token_hash: Annotated[bytes, Field(min_length=32, max_length=32)]
    invited_at: Instant
    expires_at: Instant


class SubscriptionPlan(Embedded):
    """The facility's own plan on the platform, mirrored from Postgres."""

    plan_id: Word
    start_date: Instant
    end_date: Instant | None = None
    is_active: bool


class BookingPolicy(Embedded):
    """When a facility's classes can be booked and left. Minutes and days before a date's start, and after its end.

    Booking opens `opens_days_before`; leaving is free until `cancel_minutes_before`; a seat that is freed later than
    `freeze_minutes_before` promotes nobody; who has not come is marked `no_show_minutes_after` the end. Dates of
    classes that repeat are made `planned_days_ahead`, with `waitlist_limit` places for who waits unless their class
    says otherwise. Leaving late and not coming use up the week's quota or do not; who has not come `most_no_shows`
    times within `no_show_days` books nothing until one of them is longer ago.
    """

    opens_days_before: Annotated[int, Field(ge=1, le=365)] = 14
    cancel_minutes_before: Annotated[int, Field(ge=0, le=10_080)] = 120
    freeze_minutes_before: Annotated[int, Field(ge=0, le=1440)] = 30
    no_show_minutes_after: Annotated[int, Field(ge=0, le=1440)] = 30
    planned_days_ahead: Annotated[int, Field(ge=7, le=400)] = 60
    waitlist_limit: Annotated[int, Field(ge=0, le=1000)] = 0
    late_cancel_uses_quota: bool = True
    no_show_uses_quota: bool = True
    most_no_shows: Annotated[int, Field(ge=1, le=100)] | None = None
    no_show_days: Annotated[int, Field(ge=1, le=365)] = 30


class Listing(Embedded):
    """What lists are ordered by: the cheapest plan's price, and the mean and number of reviews; derived from those."""

    price: Amount | None = None
    currency: Currency | None = None
    rating: MeanRating | None = None
    reviews: Count = 0


class Facility(StoredDocument):
    """A gym or studio. ``source`` and ``source_id`` name the imported record it came from."""

    name: Line
    name_folded: str = derived()
    type: FacilityType
    timezone: TimeZone
    address: Address
    contact: Contact = Contact()
    media: FacilityMedia = FacilityMedia()
    operating_hours: list[OperatingHours] = Field(default_factory=list, max_length=MOST_OPENINGS)
    special_days: list[SpecialDay] = Field(default_factory=list, max_length=MOST_SPECIAL_DAYS)
    amenities: list[Word] = Field(default_factory=list, max_length=MOST_AMENITIES)
    features: list[Word] = Field(default_factory=list, max_length=MOST_AMENITIES)
    equipments: list[Equipment] = Field(default_factory=list, max_length=MOST_EQUIPMENTS)
    rooms: list[Room] = Field(default_factory=list, max_length=MOST_ROOMS)
    owner_id: Id | None = None
    staff: list[StaffMember] = Field(default_factory=list, max_length=MOST_STAFF)
    staff_invitations: list[StaffInvitation] = Field(default_factory=list, max_length=MOST_STAFF)
    subscription_plan: SubscriptionPlan | None = None
    booking_policy: BookingPolicy = BookingPolicy()
    listing: Listing = Listing()
    source: Word | None = None
    source_id: Word | None = None
    created_at: Instant
    updated_at: Instant

    @model_validator(mode="after")
    def _derive(self) -> Self:
        self.name_folded = fold(self.name)
        return self

    class Settings(StoredDocument.Settings):
        name = "facilities"
