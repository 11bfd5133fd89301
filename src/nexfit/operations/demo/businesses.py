"""The demo's owners, staff, facilities and plans as `users`, `facilities` and `memberships` documents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from bson import Decimal128, ObjectId

from nexfit.domains.identity.protected import encrypt_tax_id
from nexfit.domains.text import fold, normalize_email
from nexfit.operations.demo.calendar import Calendar, stored_date
from nexfit.operations.demo.chance import Chance
from nexfit.operations.demo.content.people import BIOS, CERTIFICATIONS, SPECIALIZATIONS
from nexfit.operations.demo.content.places import (
    COUNTRY,
    CURRENCY,
    DAYS,
    OWNERS,
    PEOPLE,
    PLACES,
    TIMEZONE,
    Place,
    Plan,
)
from nexfit.operations.demo.content.timetable import HOLIDAYS, TIMETABLE
from nexfit.stores.field_encryption import KeyRing

Row = dict[str, Any]

LOGIN_EMAILS = {
    "chain": "owner@demo.nexfit.app",
    "studio": "studio@demo.nexfit.app",
    "coach": "coach@demo.nexfit.app",
    "desk": "desk@demo.nexfit.app",
}
"""Owner and staff keys that can sign in under an address of their own."""


@dataclass(slots=True)
class OfferedPlan:
    """A plan as sold: the content and its document's id and price."""

    id: ObjectId
    content: Plan
    price: Decimal


@dataclass(slots=True)
class Branch:
    """A facility of the demo with the ids everything else refers to."""

    id: ObjectId
    content: Place
    plans: list[OfferedPlan]
    owner_id: ObjectId
    staff_ids: dict[str, ObjectId]

    @property
    def key(self) -> str:
        """The facility's id as PostgreSQL holds it."""
        return str(self.id)


@dataclass(slots=True)
class Businesses:
    """All businesses: the branches for the generators, and the documents to insert."""

    branches: list[Branch]
    people: dict[str, ObjectId]
    users: list[Row]
    facilities: list[Row]
    memberships: list[Row]


def user_document(
    user_id: ObjectId, email: str, first: str, last: str, phone: str, roles: list[str], data: Row, created: datetime
) -> Row:
    """A `users` document with its derived fields."""
    return {
        "_id": user_id,
        "email": email,
        "emailNormalized": normalize_email(email),
        "firstName": first,
        "lastName": last,
        "nameFolded": fold(f"{first} {last}"),
        "phoneNumber": phone,
        "role": roles,
        "isActive": True,
        "emailVerifiedAt": created,
        "phoneVerifiedAt": created,
        "roleSpecificData": data,
        "createdAt": created,
        "updatedAt": created,
    }


def make(chance: Chance, calendar: Calendar, keys: KeyRing) -> Businesses:
    """Every owner, staff member, facility and plan."""
    opened = calendar.at(calendar.opening, 9 * 60)
    ids = {key: chance.object_id("user") for key in (*OWNERS, *PEOPLE)}
    branches = [
        Branch(
            chance.object_id("facility"),
            place,
            [OfferedPlan(chance.object_id("membership"), plan, Decimal(plan.price)) for plan in place.plans],
            ids[place.owner],
            {entry.person: ids[entry.person] for entry in place.staff},
        )
        for place in PLACES
    ]
    users = [_owner(keys, key, number, ids[key], opened) for number, key in enumerate(OWNERS, 1)]
    users += [_staff_member(chance, key, number, ids[key], opened) for number, key in enumerate(PEOPLE, 11)]
    return Businesses(
        branches,
        ids,
        users,
        [_facility(branch, opened) for branch in branches],
        [_membership(branch, plan, opened) for branch in branches for plan in branch.plans],
    )


def _owner(keys: KeyRing, key: str, number: int, user_id: ObjectId, opened: datetime) -> Row:
    first, last, business = OWNERS[key]
    places = [place for place in PLACES if place.owner == key]
    role = "studio_owner" if all(place.type == "studio" for place in places) else "gym_owner"
    data = {
        role: {
            "businessName": business,
            "businessAddress": f"{places[0].street}, {places[0].district}/{places[0].city}",
            "businessPhoneNumber": places[0].phone,
            "businessEmail": places[0].email,
            **encrypt_tax_id(keys, user_id, role, f"{9_000_000_000 + number * 1_111}"),
        }
    }
    return user_document(user_id, LOGIN_EMAILS[key], first, last, _staff_phone(number), [role], data, opened)


def _staff_phone(number: int) -> str:
    return f"+90500{number:07d}"


def _staff_member(chance: Chance, key: str, number: int, user_id: ObjectId, opened: datetime) -> Row:
    first, last = PEOPLE[key]
    random = chance.stream(f"staff:{key}")
    posts = [(place, entry) for place in PLACES for entry in place.staff if entry.person == key]
    coaches = {place.type for place, entry in posts if entry.role == "coach"}
    roles: list[str] = []
    data: Row = {}
    if coaches:
        facts: Row = {
            "specializations": random.sample(SPECIALIZATIONS, 3),
            "bio": random.choice(BIOS),
            "experience": float(random.randint(2, 18)),
            "certifications": random.sample(CERTIFICATIONS, 2),
            "reviewCount": 0,
        }
        roles.append("coach")
        own = {"isFreelance": False, "hourlyRate": Decimal128(str(random.randint(9, 16) * 100)), "currency": CURRENCY}
        data["coach"] = facts | own
        for kind in sorted(coaches):
            roles.append(f"{kind}_coach")
            data[f"{kind}_coach"] = dict(facts)
    else:
        # Reception and managers have no platform-wide role of their own: what they may do is their staff entry.
        roles.append("client")
        data["client"] = {"fitnessGoals": []}
    domain = posts[0][0].email.partition("@")[2]
    email = LOGIN_EMAILS.get(key, f"{fold(first)}.{fold(last)}@{domain}")
    return user_document(user_id, email, first, last, _staff_phone(number), roles, data, opened)


def _facility(branch: Branch, opened: datetime) -> Row:
    place = branch.content
    hours: list[Row] = []
    for day, opening in zip(DAYS, place.hours, strict=True):
        if opening is None:
            hours.append({"day": day, "isClosed": True})
        else:
            hours.append({"day": day, "openTime": opening[0], "closeTime": opening[1], "isClosed": False})
    equipment = [entry.split("|") for entry in place.equipment]
    return {
        "_id": branch.id,
        "name": place.name,
        "nameFolded": fold(place.name),
        "type": place.type,
        "timezone": TIMEZONE,
        "address": {
            "street": f"{place.street}, {place.district}",
            "city": place.city,
            "cityFolded": fold(place.city),
            "state": place.city,
            "zipCode": place.zip_code,
            "country": COUNTRY,
            "coordinates": {"type": "Point", "coordinates": [place.longitude, place.latitude]},
        },
        "contact": {
            "phoneNumber": place.phone,
            "email": place.email,
            "website": f"https://{place.email.partition('@')[2]}/{place.key}",
        },
        "media": {"images": [], "pictures": []},
        "operatingHours": hours,
        "amenities": list(place.amenities),
        "features": list(place.features),
        "equipments": [
            {"name": name, "category": category, "quantity": int(quantity), "brand": brand}
            for name, category, quantity, brand in equipment
        ],
        "specialDays": [
            {"date": stored_date(date(year, month, day)), "name": name, "openings": []}
            for year in range(opened.year, opened.year + 4)
            for (month, day), name in HOLIDAYS.items()
        ],
        "rooms": [
            {"name": room, "capacity": max(slot.capacity for slot in slots if slot.room == room)}
            for slots in [TIMETABLE[place.key]]
            for room in dict.fromkeys(slot.room for slot in slots)
        ],
        "ownerId": branch.owner_id,
        "staff": [
            {
                "userId": branch.staff_ids[entry.person],
                "role": entry.role,
                "permissions": list(entry.permissions),
                "joinedAt": opened,
            }
            for entry in place.staff
        ],
        "subscriptionPlan": {"planId": "business", "startDate": opened, "isActive": True},
        "createdAt": opened,
        "updatedAt": opened,
    }


def _membership(branch: Branch, plan: OfferedPlan, opened: datetime) -> Row:
    content = plan.content
    limits: Row = {
        "classesIncluded": content.classes,
        "personalTrainingIncluded": content.pt_sessions > 0,
        "ptSessionsIncluded": content.pt_sessions,
    }
    if content.visits_per_week is not None:
        limits["maxVisitsPerWeek"] = content.visits_per_week
    if content.bookings_per_week is not None:
        limits["maxClassBookingsPerWeek"] = content.bookings_per_week
    years, months = divmod(content.months, 12)
    duration = {"value": years, "unit": "year"} if not months else {"value": content.months, "unit": "month"}
    return {
        "_id": plan.id,
        "facilityId": branch.id,
        "name": content.name,
        "description": content.description,
        "duration": duration,
        "price": Decimal128(plan.price),
        "currency": CURRENCY,
        "features": list(content.features),
        "limitations": limits,
        "isActive": True,
        "createdAt": opened - timedelta(days=5),
        "updatedAt": opened - timedelta(days=5),
    }
