"""A coach with clients who log workouts and measure themselves, written straight into both stores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from argon2 import PasswordHasher
from bson import Decimal128, ObjectId

from nexfit.domains.training import figures
from nexfit.domains.training.body_documents import BodyMeasurements
from nexfit.domains.training.measurements import encrypt_figures
from nexfit.stores.connections import Stores

CLIENTS = 50
DAYS = 2 * 365
EXERCISES, SETS = 6, 4
"""Of a workout."""

AREAS = ("chest", "back", "legs", "shoulders", "arms", "core")
WEEKS_OF_CLIENTS = 12
PASSWORD = "a password of the bench"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Practice:
    """Who asks for what: the coach's and the first client's addresses, what was filled in, and what can be trained."""

    emails: Sequence[str]
    clients: int
    days: int
    logs: int
    """Of the first client, in so many days."""
    today: date
    exercises: Sequence[ObjectId]
    client: ObjectId
    password: str = PASSWORD


async def fill(stores: Stores, *, clients: int = CLIENTS, days: int = DAYS, today: date | None = None) -> Practice:
    """Fill empty, migrated stores: the first client trains 4 days a week since `days`, the others 3 since 12 weeks."""
    now = datetime.now(UTC)
    today = today or now.date()
    database = stores.mongo.database
    exercises = [_exercise(number, now) for number in range(5 * EXERCISES)]
    coach, *people = [person(number, now) for number in range(clients + 1)]
    hashed = PasswordHasher().hash(PASSWORD)
    await database["exercises"].insert_many(exercises)
    await database["users"].insert_many([coach, *people])
    await database["credentials"].insert_many(
        {"_id": one["_id"], "passwordHash": hashed, "updatedAt": now} for one in (coach, people[0])
    )
    known = {one["_id"]: one for one in exercises}
    logs = list(_logs(people[0]["_id"], today, days, 4, known))
    first = len(logs)
    for client in people[1:]:
        logs += _logs(client["_id"], today, 7 * WEEKS_OF_CLIENTS, 3, known)
    await database["workout_logs"].insert_many(logs)
    for client in people:
        await database["measurements"].insert_many(_measured(stores, client["_id"], today))
    await database["program_enrolments"].insert_many(_enrolment(client["_id"], today, now) for client in people)
    await _relations(stores, coach["_id"], [client["_id"] for client in people], now)
    await _memberships(stores, coach["_id"], people, now)
    emails = coach["email"], people[0]["email"]
    return Practice(emails, clients, days, first, today, list(known), people[0]["_id"])


def person(number: int, now: datetime) -> Row:
    """Somebody, as stored; the first one is a coach."""
    id_ = ObjectId()
    email = f"{id_}@example.org"
    return {
        "_id": id_,
        "firstName": "Deniz",
        "lastName": f"Kaya {number}",
        "nameFolded": f"deniz kaya {number}",
        "role": ["client"] if number else ["coach"],
        "email": email,
        "emailNormalized": email,
        "isActive": True,
        "createdAt": now,
        "updatedAt": now,
    }


def _exercise(number: int, now: datetime) -> Row:
    area = AREAS[number % len(AREAS)]
    return {
        "_id": ObjectId(),
        "name": f"Exercise {number}",
        "nameFolded": f"exercise {number}",
        "nameWords": 2,
        "words": ["exercise", str(number)],
        "metadata": {"bodyAreas": [area], "primaryBodyAreas": [area], "equipment": []},
        "isPublic": True,
        "createdAt": now,
        "updatedAt": now,
    }


def _logs(person: ObjectId, today: date, days: int, a_week: int, exercises: dict[ObjectId, Row]) -> Iterator[Row]:
    """Workouts of so many days a week, with weights that grow, up to the day before today."""
    ids = list(exercises)
    for back in range(days - 1, 0, -1):
        day = today - timedelta(days=back)
        if day.weekday() >= a_week:
            continue
        began = datetime.combine(day, time(9), UTC)
        first = EXERCISES * (day.weekday() % (len(ids) // EXERCISES))
        weight = 40 + (days - back) // 14
        logged = [
            {
                "exerciseId": exercise,
                "sets": [{"kind": "working", "reps": 8, "weight": float(weight + place), "completed": True}] * SETS,
            }
            for place, exercise in enumerate(ids[first : first + EXERCISES])
        ]
        yield {
            "_id": ObjectId(),
            "userId": person,
            "name": "Workout",
            "startTime": began,
            "endTime": began + timedelta(hours=1),
            "duration": 3600.0,
            "exercises": logged,
            "figures": figures.of_workout(logged, exercises),
        }


def _measured(stores: Stores, person: ObjectId, today: date) -> list[Row]:
    rows, own = [], stores.keys.of_person(person)
    for week in range(1, WEEKS_OF_CLIENTS + 1):
        id_, at = ObjectId(), datetime.combine(today - timedelta(days=7 * week - 3), time(7), UTC)
        kept = encrypt_figures(own, id_, BodyMeasurements(weight=80 + week / 10, body_fat_percentage=20))
        rows.append({"_id": id_, "userId": person, "date": at, "measurements": kept})
    return rows


def _enrolment(person: ObjectId, today: date, now: datetime) -> Row:
    """A program of 12 weeks, half of whose days were done."""
    start = datetime.combine(today - timedelta(weeks=WEEKS_OF_CLIENTS), time(), UTC)
    days = [
        {"day": day, "isRestDay": day % 2 == 0, "state": "done" if day % 4 else "skipped"}
        for day in range(1, 7 * WEEKS_OF_CLIENTS)
    ]
    return {
        "userId": person,
        "programId": ObjectId(),
        "programVersion": 1,
        "name": "Program",
        "status": "active",
        "startDate": start,
        "pointer": len(days) + 1,
        "days": days,
        "restarts": 0,
        "createdAt": now,
        "updatedAt": now,
    }


async def _relations(stores: Stores, coach: ObjectId, people: Sequence[ObjectId], now: datetime) -> None:
    """Active relations with consents, a package of ten sessions each, one of them a week ahead."""
    database, began = stores.mongo.database, now - timedelta(days=100)
    ids = [ObjectId() for _ in people]
    sessions = [ObjectId() for _ in people]
    stamps = {"createdAt": began, "updatedAt": began}
    await database["coach_clients"].insert_many(
        {
            "_id": id_,
            "coachId": coach,
            "clientId": person,
            "relationship": {"status": "active", "startDate": began},
            **stamps,
        }
        for id_, person in zip(ids, people, strict=True)
    )
    await database["consents"].insert_many(
        {
            "userId": person,
            "granteeId": coach,
            "scopes": ["measurements", "workouts", "nutrition"],
            "grantedAt": began,
            "updatedAt": began,
        }
        for person in people
    )
    await database["pt_sessions"].insert_many(
        {
            "_id": session,
            "coachId": coach,
            "clientId": person,
            "startTime": now + timedelta(days=7, hours=place),
            "endTime": now + timedelta(days=7, hours=place + 1),
            "duration": 60,
            "status": "scheduled",
            "location": {"type": "online"},
            **stamps,
        }
        for place, (session, person) in enumerate(zip(sessions, people, strict=True))
    )
    async with stores.postgres.connection() as connection:
        await connection.executemany(
            """INSERT INTO finance.coaching_packages (package_id, relation_id, coach_id, client_id, name, created_at)
               VALUES ($1, $1, $2, $3, '10', $4)""",
            [(str(id_), str(coach), str(person), began) for id_, person in zip(ids, people, strict=True)],
        )
        for kind, granted in (("grant", 10), ("reserve", 1)):
            await connection.executemany(
                """INSERT INTO finance.package_credit_ledger
                     (package_id, coach_id, client_id, entry_type, credits, session_id)
                   VALUES ($1, $2, $3, $4, $5, $6)""",
                [
                    (str(id_), str(coach), str(person), kind, granted, str(session) if kind == "reserve" else None)
                    for id_, person, session in zip(ids, people, sessions, strict=True)
                ],
            )


async def _memberships(stores: Stores, coach: ObjectId, people: Sequence[Row], now: datetime) -> None:
    """The gym where the coach works and everybody is a member; every fifth owes an invoice."""
    database, facility, plan = stores.mongo.database, ObjectId(), ObjectId()
    stamps = {"createdAt": now, "updatedAt": now}
    place = {"name": "Bench", "nameFolded": "bench", "type": "gym", "timezone": "Europe/Istanbul"}
    staff = {"userId": coach, "role": "coach", "permissions": [], "joinedAt": now}
    await database["facilities"].insert_one(
        {
            "_id": facility,
            **place,
            "ownerId": ObjectId(),
            "staff": [staff],
            "address": {},
            "contact": {},
            "media": {},
            **stamps,
        }
    )
    await database["memberships"].insert_one(
        {
            "_id": plan,
            "facilityId": facility,
            "name": "Aylık",
            "duration": {"value": 1, "unit": "month"},
            "price": Decimal128(Decimal(900)),
            "currency": "TRY",
            "limitations": {"classesIncluded": True},
            "isActive": True,
            **stamps,
        }
    )
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    await database["member_subscriptions"].insert_many(
        {
            "userId": person["_id"],
            "facilityId": facility,
            "membershipId": plan,
            "subscriptionId": str(uuid4()),
            "startDate": day - timedelta(days=20),
            "endDate": day + timedelta(days=10),
            "status": "active",
            "autoRenew": True,
            **stamps,
        }
        for person in people
    )
    await database["visits"].insert_many(
        {
            "userId": person["_id"],
            "facilityId": facility,
            "at": now - timedelta(days=2),
            "source": "front_desk",
        }
        for person in people
    )
    async with stores.postgres.connection() as connection:
        await connection.executemany(
            """INSERT INTO platform.member_facts (facility_id, user_id, name_folded, status, plan_id, joined_at,
                 last_visit_at, balance, currency, open_invoices, oldest_open_due, last_payment_at)
               VALUES ($1, $2, $3, 'active', $4, $5, $5, $6, 'TRY', $7, $8, $5)""",
            [
                (str(facility), str(person["_id"]), person["nameFolded"], str(plan), now, *debt)
                for number, person in enumerate(people)
                for debt in [(Decimal(100), 1, now.date()) if number % 5 == 0 else (Decimal(0), 0, None)]
            ],
        )
