"""What `platform.member_facts` says of a member as far as MongoDB decides it: its one definition, and its writing.

The money columns belong to PostgreSQL's triggers and are never touched here. A row exists for everybody who holds or
held a membership at a facility, and for whom money was moved there. Facts are always read anew from the documents,
never taken from an event, so a late or repeated event changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from typing import Any

from bson import ObjectId

from nexfit.domains.memberships.members import last_visits
from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres import Postgres, Row
from nexfit.stores.postgres_transactions import PostgresTransaction

Pair = tuple[str, str]
"""A facility and a person, as PostgreSQL writes their ids."""

# What says most about a member first. `pending` is MongoDB's word for a purchase PostgreSQL calls incomplete.
_STANDING = {
    status: rank
    for rank, status in enumerate(
        ("active", "past_due", "frozen", "suspended", "incomplete", "pending", "cancelled", "expired")
    )
}
_LAST = len(_STANDING)
_NEVER_PAID = frozenset({"incomplete", "incomplete_expired", "pending"})


@dataclass(frozen=True, slots=True)
class Facts:
    """The columns of a row that MongoDB decides."""

    name_folded: str = ""
    status: str = "none"
    plan_id: str | None = None
    joined_at: datetime | None = None
    last_visit_at: datetime | None = None
    next_booking_at: datetime | None = None
    birthday: int | None = None

    @property
    def is_member(self) -> bool:
        """Whether the person holds or held a membership."""
        return self.status != "none"


COLUMNS = tuple(field.name for field in fields(Facts))
_NAMED = ", ".join(COLUMNS)
_ARRAYS = (
    "unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],"
    f" $8::timestamptz[], $9::smallint[]) AS n (facility_id, user_id, {_NAMED})"
)

# Whoever writes facts reads the documents while holding this, so what is written last was also read last.
_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('nexfit member facts', 0))"
# A row that somebody holds, perhaps a prepared transaction, must not make all others wait: it is left for later.
_PATIENCE = "SET LOCAL lock_timeout = '250ms'"
_STORED = f"""
SELECT facility_id, user_id, {_NAMED},
  currency IS NULL AND open_invoices = 0 AND last_payment_at IS NULL AS is_moneyless
FROM platform.member_facts JOIN unnest($1::text[], $2::text[]) AS p (facility_id, user_id) USING (facility_id, user_id)
"""  # noqa: S608 - our own names, here and below
_UPDATE = f"""
WITH free AS (
  SELECT f.facility_id, f.user_id FROM platform.member_facts f
  JOIN unnest($1::text[], $2::text[]) AS p (facility_id, user_id) USING (facility_id, user_id)
  ORDER BY 1, 2 FOR UPDATE OF f SKIP LOCKED)
UPDATE platform.member_facts f SET {", ".join(f"{column} = n.{column}" for column in COLUMNS)}
FROM {_ARRAYS} JOIN free USING (facility_id, user_id)
WHERE f.facility_id = n.facility_id AND f.user_id = n.user_id
RETURNING f.facility_id, f.user_id
"""  # noqa: S608
_INSERT = f"""
INSERT INTO platform.member_facts (facility_id, user_id, {_NAMED}) SELECT * FROM {_ARRAYS} ORDER BY 1, 2
ON CONFLICT (facility_id, user_id) DO NOTHING RETURNING facility_id, user_id
"""  # noqa: S608
_DELETE = """
WITH free AS (
  SELECT f.facility_id, f.user_id FROM platform.member_facts f
  JOIN unnest($1::text[], $2::text[]) AS p (facility_id, user_id) USING (facility_id, user_id)
  WHERE f.currency IS NULL AND f.open_invoices = 0 AND f.last_payment_at IS NULL
  ORDER BY 1, 2 FOR UPDATE OF f SKIP LOCKED)
DELETE FROM platform.member_facts f USING free WHERE f.facility_id = free.facility_id AND f.user_id = free.user_id
RETURNING f.facility_id, f.user_id
"""


@dataclass(frozen=True, slots=True)
class Projected:
    """Whose rows were written, and whose could not be because somebody holds them."""

    written: list[Pair]
    busy: list[Pair]


@dataclass(frozen=True, slots=True)
class Difference:
    """What a member's row says and should say; None where there is or should be no row."""

    pair: Pair
    stored: Facts | None
    true: Facts | None


def facts(
    subscriptions: Iterable[Mapping[str, Any]],
    person: Mapping[str, Any],
    last_visit: datetime | None,
    next_booking: datetime | None,
) -> Facts:
    """The facts of a person at a facility, from what they hold there; where several memberships compete, the one
    that gives access now speaks for the member, then the latest."""
    held = sorted(subscriptions, key=lambda row: row["startDate"], reverse=True)
    speaks = min(held, key=lambda row: _STANDING.get(row["status"], _LAST), default=None)
    born = person.get("roleSpecificData", {}).get("client", {}).get("dateOfBirth")
    return Facts(
        person.get("nameFolded", ""),
        "none" if speaks is None else "incomplete" if speaks["status"] == "pending" else speaks["status"],
        None if speaks is None else str(speaks["membershipId"]),
        min((row["createdAt"] for row in held if row["status"] not in _NEVER_PAID), default=None),
        last_visit,
        next_booking,
        None if born is None else born.month * 100 + born.day,
    )


async def truth(mongo: Mongo, pairs: Collection[Pair], now: datetime) -> dict[Pair, Facts]:
    """The facts of these members as the documents have them, in four commands. Raises StoreError."""
    keys = [(ObjectId(facility), ObjectId(user)) for facility, user in pairs]
    if not keys:
        return {}
    held = await contracts_of(mongo, keys)
    users = list({user for _, user in keys})
    found = await mongo.find("users", {"_id": {"$in": users}}, ("nameFolded", "roleSpecificData.client.dateOfBirth"))
    people = {person["_id"]: person for person in found}
    visits = dict(zip(keys, await last_visits(mongo, keys), strict=True))
    bookings = await next_bookings(mongo, keys, now)
    return {
        (str(facility), str(user)): facts(
            held.get((facility, user), ()),
            people.get(user, {}),
            visits.get((facility, user)),
            bookings.get((facility, user)),
        )
        for facility, user in keys
    }


async def contracts_of(
    mongo: Mongo, pairs: Sequence[tuple[ObjectId, ObjectId]]
) -> dict[tuple[ObjectId, ObjectId], list[Mapping[str, Any]]]:
    """What `facts` reads of the memberships each (facility, person) holds or held, in one command."""
    facilities, users = list({facility for facility, _ in pairs}), list({user for _, user in pairs})
    held: defaultdict[tuple[ObjectId, ObjectId], list[Mapping[str, Any]]] = defaultdict(list)
    for row in await mongo.find(
        "member_subscriptions",
        {"userId": {"$in": users}, "facilityId": {"$in": facilities}},
        ("userId", "facilityId", "membershipId", "status", "startDate", "createdAt"),
    ):
        held[row["facilityId"], row["userId"]].append(row)
    return dict(held)


async def next_bookings(
    mongo: Mongo, pairs: Sequence[tuple[ObjectId, ObjectId]], now: datetime
) -> dict[tuple[ObjectId, ObjectId], datetime]:
    """The start of each (facility, person)'s next booked class; absent without one."""
    upcoming = {"$eq": ["$facilityId", "$$facility"]}
    found = await mongo.aggregate_documents(
        [
            {"$documents": [{"facility": facility, "user": user} for facility, user in pairs]},
            {
                "$lookup": {
                    "from": "class_bookings",
                    "localField": "user",
                    "foreignField": "userId",
                    "let": {"facility": "$facility"},
                    "pipeline": [
                        {"$match": {"status": "booked", "date": {"$gt": now}, "$expr": upcoming}},
                        {"$sort": {"date": 1}},
                        {"$limit": 1},
                        {"$project": {"_id": 0, "date": 1}},
                    ],
                    "as": "bookings",
                }
            },
        ]
    )
    return {(row["facility"], row["user"]): row["bookings"][0]["date"] for row in found if row["bookings"]}


def difference(pair: Pair, row: Row | None, true: Facts) -> Difference | None:
    """How a stored row (None: there is none) differs from the truth; None when it does not."""
    stored = None if row is None else Facts(*(row[column] for column in COLUMNS))
    if not true.is_member and (row is None or row["is_moneyless"]):
        return None if row is None else Difference(pair, stored, None)
    return None if stored == true else Difference(pair, stored, true)


async def stored(postgres: Postgres | PostgresTransaction, pairs: Collection[Pair]) -> dict[Pair, Row]:
    """The rows of these members, and whether no money `is_moneyless` was ever moved for them. Raises StoreError."""
    rows = await postgres.fetch(_STORED, *_columns(pairs))
    return {(row["facility_id"], row["user_id"]): row for row in rows}


async def differences(
    postgres: Postgres | PostgresTransaction, mongo: Mongo, pairs: Collection[Pair], now: datetime
) -> list[Difference]:
    """Where the rows of these members differ from the documents, in the order of their keys. Raises StoreError."""
    true = await truth(mongo, pairs, now)
    rows = await stored(postgres, pairs)
    found = (difference(pair, rows.get(pair), true[pair]) for pair in sorted(true))
    return [one for one in found if one is not None]


async def project(transaction: PostgresTransaction, mongo: Mongo, pairs: Collection[Pair], now: datetime) -> Projected:
    """Make the rows of these members true, as far as nobody holds them. Raises StoreError, also where somebody who
    has not committed is making one of the rows."""
    if not pairs:
        return Projected([], [])
    await transaction.execute(_TURN)
    wrong = await differences(transaction, mongo, pairs, now)
    if not wrong:
        return Projected([], [])
    await transaction.execute(_PATIENCE)
    written: set[Pair] = set()
    for statement, chosen in (
        (_UPDATE, [one for one in wrong if one.stored is not None and one.true is not None]),
        (_INSERT, [one for one in wrong if one.stored is None]),
    ):
        if chosen:
            values = [(*one.pair, *astuple(one.true)) for one in chosen if one.true is not None]
            rows = await transaction.fetch(statement, *map(list, zip(*values, strict=True)))
            written |= {(row["facility_id"], row["user_id"]) for row in rows}
    surplus = [one.pair for one in wrong if one.true is None]
    if surplus:
        rows = await transaction.fetch(_DELETE, *_columns(surplus))
        written |= {(row["facility_id"], row["user_id"]) for row in rows}
    return Projected(sorted(written), [one.pair for one in wrong if one.pair not in written])


def _columns(pairs: Collection[Pair]) -> tuple[list[str], list[str]]:
    return [facility for facility, _ in pairs], [user for _, user in pairs]
