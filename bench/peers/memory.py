"""The work in memory: one query of 232 leaves over plain data, and its schema as a Strawberry user writes it.

`memory_compiled` has the same schema declared the way NexFit's API does. Node gets the types as SDL, the data as JSON.
"""

from __future__ import annotations

from typing import Any

import strawberry
from strawberry.extensions import ParserCache, ValidationCache

ID = "facility-1"

LEAVES = 232

QUERY = """
query Overview($facility: ID!) {
  facility(id: $facility) {
    name type timezone openNow address { city latitude longitude }
    classes(first: 10) { nodes { name category instructor { firstName lastName }
      occurrences(first: 2) { startsAt capacity seatsTaken waitlisted } } }
    memberships { name price { amount currency } activeSubscribers }
    outstanding { invoices }
    members(first: 11) { nodes { user { firstName lastName } status plan { name } balance { amount currency }
      lastPaymentAt lastVisitAt } }
  }
}
"""


def data() -> list[dict[str, Any]]:
    """The facilities as JSON can hold them."""
    people = [{"firstName": f"Ayşe {n}", "lastName": f"Yılmaz {n}"} for n in range(24)]
    plans = [
        {"name": f"Plan {n}", "price": {"amount": f"{450 + n}.50", "currency": "TRY"}, "activeSubscribers": 100 + n}
        for n in range(4)
    ]
    classes = [
        {
            "name": f"Class {n}",
            "category": "yoga",
            "instructor": people[n],
            "occurrences": [
                {
                    "startsAt": f"2026-11-{day:02}T18:00:00Z",
                    "capacity": 20,
                    "seatsTaken": (7 * n + day) % 21,
                    "waitlisted": day % 3,
                }
                for day in range(1, 4)
            ],
        }
        for n in range(12)
    ]
    members = [
        {
            "user": people[n],
            "status": "ACTIVE",
            "plan": {"name": plans[n % 4]["name"]},
            "balance": {"amount": f"{90 * n}.00", "currency": "TRY"},
            "lastPaymentAt": f"2026-10-{n + 1:02}T09:30:00Z",
            "lastVisitAt": f"2026-11-{n + 1:02}T07:15:00Z" if n % 4 else None,
        }
        for n in range(14)
    ]
    return [
        {
            "id": ID,
            "name": "Moda Spor Salonu",
            "type": "GYM",
            "timezone": "Europe/Istanbul",
            "openNow": True,
            "address": {"city": "İstanbul", "latitude": 40.98, "longitude": 29.03},
            "classes": classes,
            "memberships": plans,
            "outstanding": {"invoices": 17},
            "members": members,
        }
    ]


@strawberry.type
class Address:
    city: str
    latitude: float
    longitude: float


@strawberry.type
class Person:
    first_name: str
    last_name: str


@strawberry.type
class Occurrence:
    starts_at: str
    capacity: int
    seats_taken: int
    waitlisted: int


@strawberry.type
class Class:
    name: str
    category: str | None
    instructor: Person | None
    all_occurrences: strawberry.Private[list[Occurrence]]

    @strawberry.field
    def occurrences(self, first: int = 10) -> list[Occurrence]:
        return self.all_occurrences[:first]


@strawberry.type
class ClassConnection:
    nodes: list[Class]


@strawberry.type
class Money:
    amount: str
    currency: str


@strawberry.type
class Plan:
    name: str
    price: Money
    active_subscribers: int | None


@strawberry.type
class PlanName:
    name: str


@strawberry.type
class Outstanding:
    invoices: int


@strawberry.type
class Member:
    user: Person | None
    status: str
    plan: PlanName | None
    balance: Money | None
    last_payment_at: str | None
    last_visit_at: str | None


@strawberry.type
class MemberConnection:
    nodes: list[Member]


@strawberry.type
class Facility:
    id: strawberry.ID
    name: str
    type: str
    timezone: str
    open_now: bool | None
    address: Address
    memberships: list[Plan]
    outstanding: Outstanding | None
    all_classes: strawberry.Private[list[Class]]
    all_members: strawberry.Private[list[Member]]

    @strawberry.field
    def classes(self, first: int = 20) -> ClassConnection:
        return ClassConnection(nodes=self.all_classes[:first])

    @strawberry.field
    def members(self, first: int = 20) -> MemberConnection | None:
        return MemberConnection(nodes=self.all_members[:first])


def stock(*, caches: bool) -> strawberry.Schema:
    """The schema with resolvers over objects; `caches` adds Strawberry's own for parsing and validation."""
    facilities = {found["id"]: _facility(found) for found in data()}

    @strawberry.type
    class Query:
        @strawberry.field
        def facility(self, id: strawberry.ID) -> Facility | None:
            return facilities.get(id)

    return strawberry.Schema(query=Query, extensions=[ParserCache, ValidationCache] if caches else [])


def _facility(found: dict[str, Any]) -> Facility:
    def person(given: dict[str, Any]) -> Person:
        return Person(first_name=given["firstName"], last_name=given["lastName"])

    return Facility(
        id=strawberry.ID(found["id"]),
        name=found["name"],
        type=found["type"],
        timezone=found["timezone"],
        open_now=found["openNow"],
        address=Address(**found["address"]),
        memberships=[
            Plan(name=plan["name"], price=Money(**plan["price"]), active_subscribers=plan["activeSubscribers"])
            for plan in found["memberships"]
        ],
        outstanding=Outstanding(**found["outstanding"]),
        all_classes=[
            Class(
                name=one["name"],
                category=one["category"],
                instructor=person(one["instructor"]),
                all_occurrences=[
                    Occurrence(
                        starts_at=date["startsAt"],
                        capacity=date["capacity"],
                        seats_taken=date["seatsTaken"],
                        waitlisted=date["waitlisted"],
                    )
                    for date in one["occurrences"]
                ],
            )
            for one in found["classes"]
        ],
        all_members=[
            Member(
                user=person(one["user"]),
                status=one["status"],
                plan=PlanName(**one["plan"]),
                balance=Money(**one["balance"]),
                last_payment_at=one["lastPaymentAt"],
                last_visit_at=one["lastVisitAt"],
            )
            for one in found["members"]
        ],
    )
