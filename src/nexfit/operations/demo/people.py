"""The demo's members: who they are, before anything happens to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from bson import ObjectId

from nexfit.domains.identity.protected import encrypt_client_field, encrypt_medical_conditions
from nexfit.domains.text import fold
from nexfit.operations.demo.businesses import Branch, Row, user_document
from nexfit.operations.demo.calendar import Calendar, stored_date
from nexfit.operations.demo.chance import Chance
from nexfit.operations.demo.content.people import CONDITIONS, DIETS, GOALS, LEVELS, MEN, SURNAMES, WOMEN
from nexfit.stores.field_encryption import KeyRing

CLIENT_EMAIL = "client@demo.nexfit.app"
CLIENT_NAME = ("Ece", "Yıldırım")


@dataclass(slots=True)
class Person:
    """A member with the habits the generators draw on: `visits` is a usual number of visits a week."""

    id: ObjectId
    number: int
    first: str
    last: str
    born: date
    joined: date
    visits: float
    hour: int
    is_client_login: bool = False


def make(
    chance: Chance, calendar: Calendar, branch: Branch, count: int, first_number: int, *, with_client: bool
) -> list[Person]:
    """The people whose home a branch is, numbered from `first_number`; the demo's client leads them if asked for."""
    random = chance.stream(f"people:{branch.content.key}")
    days = max((calendar.today - calendar.opening).days - 1, 1)
    people = []
    for number in range(first_number, first_number + count):
        first = random.choice(WOMEN if random.random() < 0.52 else MEN)
        age = min(max(int(random.gauss(34, 10)), 16), 72)
        people.append(
            Person(
                chance.object_id("user"),
                number,
                first,
                random.choice(SURNAMES),
                calendar.today - timedelta(days=age * 365 + random.randrange(365)),
                # More people join in the first weeks than later.
                calendar.opening + timedelta(days=int(days * random.random() ** 1.35)),
                max(random.gauss(1.9, 1.1), 0.2),
                random.choice((7, 8, 10, 12, 17, 18, 18, 19, 20)),
            )
        )
    if with_client:
        client = people[0]
        client.first, client.last = CLIENT_NAME
        client.is_client_login = True
        client.joined = calendar.opening + timedelta(days=days // 3)
        client.visits = 3.0
    return people


def documents(
    chance: Chance,
    calendar: Calendar,
    keys: KeyRing,
    branch: Branch,
    people: list[Person],
    coach_of: Mapping[int, ObjectId],
) -> Iterator[Row]:
    """Their `users` documents; `coach_of` names the coach by member number."""
    random = chance.stream(f"profiles:{branch.content.key}")
    health = chance.stream(f"health:{branch.content.key}")
    kind = "gym_member" if branch.content.type == "gym" else "studio_client"
    for person in people:
        height = round(random.gauss(170, 9), 1)
        weight = round((height / 100) ** 2 * random.uniform(20, 29), 1)
        client: Row = {
            "dateOfBirth": stored_date(person.born),
            "fitnessGoals": random.sample(GOALS, random.randint(1, 2)),
            "fitnessLevel": random.choice(LEVELS),
        }
        told: Row = {"height": height, "weight": weight}
        if random.random() < 0.12:
            told["dietaryRestrictions"] = [random.choice(DIETS)]
        client |= {name: encrypt_client_field(keys, person.id, name, value) for name, value in told.items()}
        if person.is_client_login or health.random() < 0.15:
            conditions = health.sample(CONDITIONS, 1 if health.random() < 0.8 else 2)
            client["medicalConditions"] = encrypt_medical_conditions(keys, person.id, conditions)
        if person.number in coach_of:
            client["assignedCoachId"] = coach_of[person.number]
        email = f"{fold(person.first)}.{fold(person.last)}.{person.number}@uye.example".replace(" ", "")
        yield user_document(
            person.id,
            CLIENT_EMAIL if person.is_client_login else email,
            person.first,
            person.last,
            f"+90500{person.number:07d}",
            ["client", kind],
            {"client": client, kind: {"homeFacilityId": branch.id}},
            calendar.at(person.joined, 540 + random.randrange(480)),
        )
