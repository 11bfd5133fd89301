"""The part of PostgreSQL's `platform.member_facts` that is projected from MongoDB, made anew for all members.

The money columns are the triggers' business and are never touched here. One row per person and facility with a
subscription; where several subscriptions compete, the one that gives access now speaks for the member.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Protocol

from bson import ObjectId

from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres import Postgres

Fact = tuple[str, str, str, str, str | None, datetime | None, datetime | None, datetime | None, int | None]

Member = tuple[ObjectId, list[dict[str, Any]]]
"""A person and their subscriptions at one facility."""

BATCH = 5_000

COLUMNS = (
    *("facility_id", "user_id", "name_folded", "status", "plan_id", "joined_at", "last_visit_at", "next_booking_at"),
    "birthday",
)

# What says most about a member first. `pending` is MongoDB's word for a purchase PostgreSQL calls incomplete.
_STANDING = {
    status: rank
    for rank, status in enumerate(
        ("active", "past_due", "frozen", "suspended", "incomplete", "pending", "cancelled", "expired")
    )
}
_LAST = len(_STANDING)

_NEVER_PAID = frozenset({"incomplete", "incomplete_expired", "pending"})

_SUBSCRIPTION = {"userId": 1, "membershipId": 1, "status": 1, "startDate": 1, "createdAt": 1}
_PERSON = {"nameFolded": 1, "roleSpecificData.client.dateOfBirth": 1}

_MERGE = """
MERGE INTO platform.member_facts AS f
USING new_member_facts AS n ON f.facility_id = n.facility_id AND f.user_id = n.user_id
WHEN MATCHED AND (f.name_folded, f.status, f.plan_id, f.joined_at, f.last_visit_at, f.next_booking_at, f.birthday)
    IS DISTINCT FROM (n.name_folded, n.status, n.plan_id, n.joined_at, n.last_visit_at, n.next_booking_at, n.birthday)
  THEN UPDATE SET name_folded = n.name_folded, status = n.status, plan_id = n.plan_id, joined_at = n.joined_at,
    last_visit_at = n.last_visit_at, next_booking_at = n.next_booking_at, birthday = n.birthday
WHEN NOT MATCHED
  THEN INSERT (facility_id, user_id, name_folded, status, plan_id, joined_at, last_visit_at, next_booking_at, birthday)
    VALUES (n.facility_id, n.user_id, n.name_folded, n.status, n.plan_id, n.joined_at, n.last_visit_at,
      n.next_booking_at, n.birthday)
WHEN NOT MATCHED BY SOURCE AND (f.status <> 'none' OR f.next_booking_at IS NOT NULL)
  THEN UPDATE SET status = 'none', plan_id = NULL, joined_at = NULL, next_booking_at = NULL
"""


class Stores(Protocol):
    """The stores a rebuild reads and writes."""

    @property
    def mongo(self) -> Mongo:
        """Where members live."""

    @property
    def postgres(self) -> Postgres:
        """Where their facts are sorted and filtered."""


async def rebuild_member_facts(stores: Stores, *, now: datetime | None = None) -> int:
    """Project every facility's members as of `now`; answers how many rows were added or changed.

    Readers see the old facts until all new ones are there. Raises StoreError.
    """
    async with stores.postgres.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
        await connection.execute(
            "CREATE TEMPORARY TABLE new_member_facts (LIKE platform.member_facts INCLUDING DEFAULTS) ON COMMIT DROP"
        )
        async for batch in _facts(stores.mongo, now or datetime.now(UTC)):
            await connection.copy_records_to_table("new_member_facts", records=batch, columns=COLUMNS, timeout=3600)
        answer = await connection.execute(_MERGE, timeout=3600)
        return int(answer.rpartition(" ")[2])


async def _facts(mongo: Mongo, now: datetime) -> AsyncIterator[list[Fact]]:
    for facility in await mongo.find("facilities", {}, ()):
        facility_id: ObjectId = facility["_id"]
        visited = {"facilityId": facility_id, "at": {"$lte": now}}
        upcoming = {"facilityId": facility_id, "status": "booked", "date": {"$gt": now}}
        with mongo.unhurried() as database:
            subscriptions = await (
                database["member_subscriptions"].find({"facilityId": facility_id}, _SUBSCRIPTION).to_list()
            )
            visits = await _by_user(database["visits"], visited, {"$max": "$at"})
            bookings = await _by_user(database["class_bookings"], upcoming, {"$min": "$date"})
        subscriptions.sort(key=lambda row: row["userId"])
        members = [(user, list(rows)) for user, rows in groupby(subscriptions, key=lambda row: row["userId"])]
        for batch in _slices(members):
            with mongo.unhurried() as database:
                found = await database["users"].find({"_id": {"$in": [user for user, _ in batch]}}, _PERSON).to_list()
            people = {person["_id"]: person for person in found}
            yield [
                _fact(facility_id, user, rows, people.get(user, {}), visits.get(user), bookings.get(user))
                for user, rows in batch
            ]


async def _by_user(collection: Any, match: Mapping[str, Any], value: Mapping[str, str]) -> dict[ObjectId, datetime]:
    cursor = await collection.aggregate(
        [{"$match": match}, {"$group": {"_id": "$userId", "value": value}}], allowDiskUse=True, batchSize=BATCH
    )
    return {row["_id"]: row["value"] async for row in cursor}


def _slices(members: list[Member]) -> Iterator[list[Member]]:
    for start in range(0, len(members), BATCH):
        yield members[start : start + BATCH]


def _fact(
    facility_id: ObjectId,
    user_id: ObjectId,
    subscriptions: Iterable[Mapping[str, Any]],
    person: Mapping[str, Any],
    last_visit: datetime | None,
    next_booking: datetime | None,
) -> Fact:
    held = sorted(subscriptions, key=lambda row: row["startDate"], reverse=True)
    speaks = min(held, key=lambda row: _STANDING.get(row["status"], _LAST))
    status = "incomplete" if speaks["status"] == "pending" else speaks["status"]
    joined = [row["createdAt"] for row in held if row["status"] not in _NEVER_PAID]
    return (
        str(facility_id),
        str(user_id),
        person.get("nameFolded", ""),
        status,
        str(speaks["membershipId"]),
        min(joined, default=None),
        last_visit,
        next_booking,
        _birthday(person),
    )


def _birthday(person: Mapping[str, Any]) -> int | None:
    born = person.get("roleSpecificData", {}).get("client", {}).get("dateOfBirth")
    return None if born is None else born.month * 100 + born.day
