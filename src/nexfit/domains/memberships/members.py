"""A facility's members, filtered, ordered and paged across both stores through `platform.member_facts`.

The money columns of that table are kept by PostgreSQL's own triggers in the transaction that moves the money; the
others are projected from MongoDB. Names are not in it: they are read from MongoDB for the page alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import lru_cache

from bson import ObjectId

from nexfit.domains.text import fold
from nexfit.hybrid.paging import Key, Page, PageRequest, instant, integer, object_id, text
from nexfit.hybrid.rows_paging import Conditions, RowList, pages_by_parent
from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres import Postgres, Row

TABLE = "platform.member_facts"
_SCOPE = ("facility_id", "user_id")


class MemberStatus(StrEnum):
    """State of the membership that counts most: a live one, else the latest."""

    NONE = "none"
    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    SUSPENDED = "suspended"
    FROZEN = "frozen"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class MemberOrder(StrEnum):
    """How a list of members is ordered; ties are broken by the person's id."""

    NAME = "NAME"
    LAST_PAYMENT = "LAST_PAYMENT"
    LAST_VISIT = "LAST_VISIT"
    JOINED = "JOINED"
    NEXT_BOOKING = "NEXT_BOOKING"
    BIRTHDAY = "BIRTHDAY"


@dataclass(frozen=True, slots=True)
class MemberFilter:
    """What a member must match; absent parts match everybody."""

    overdue: bool | None = None
    status: tuple[MemberStatus, ...] | None = None
    name: str | None = None
    plan_id: str | None = None
    tag: str | None = None
    owing: bool | None = None
    booked: bool | None = None
    born_in_month: int | None = None
    joined_since: datetime | None = None
    not_seen_since: datetime | None = None


@lru_cache
def list_of(order: MemberOrder, *, descending: bool) -> RowList:
    """The members' list in an order."""
    column = {
        MemberOrder.NAME: "name_folded",
        MemberOrder.LAST_PAYMENT: "last_payment_at",
        MemberOrder.LAST_VISIT: "last_visit_at",
        MemberOrder.JOINED: "joined_at",
        MemberOrder.NEXT_BOOKING: "next_booking_at",
        MemberOrder.BIRTHDAY: "birthday",
    }[order]
    parse = {MemberOrder.NAME: text, MemberOrder.BIRTHDAY: _birthday}.get(order, instant)
    first = Key(column, parse, descending, nullable=order is not MemberOrder.NAME)
    return RowList(TABLE, "facility_id", (first, Key("user_id", _user_id, descending)))


def _birthday(value: object) -> int:
    """Read a month and day as the table has them."""
    number = integer(value)
    if not 101 <= number <= 1231:
        raise ValueError
    return number


def _user_id(value: object) -> str:
    """Read the part of a place that names a person."""
    return str(object_id(value))


async def pages_of_facilities(
    postgres: Postgres,
    facilities: Mapping[str, date],
    filter: MemberFilter,
    rows: RowList,
    request: PageRequest,
    columns: Iterable[str],
) -> list[Page]:
    """A page per facility, in one statement. `facilities` gives each one's local today, on which overdue depends."""
    conditions = Conditions()
    if filter.overdue is not None:
        ids, days = conditions.parameter(list(facilities)), conditions.parameter(list(facilities.values()))
        today = (
            f"(SELECT d.today FROM unnest({ids}::text[], {days}::date[]) AS d (id, today) WHERE d.id = t.facility_id)"  # noqa: S608
        )
        # `open_invoices > 0` says the same again, in the words of the partial index.
        overdue = f"(t.open_invoices > 0 AND t.oldest_open_due < {today})"
        conditions.texts.append(overdue if filter.overdue else f"NOT {overdue}")
    if filter.status is not None:
        conditions.add("t.status = ANY ({}::text[])", [str(status) for status in filter.status])
    if filter.plan_id is not None:
        conditions.add("t.plan_id = {}", filter.plan_id)
    if filter.tag:
        conditions.add(
            "EXISTS (SELECT FROM platform.member_tags g WHERE g.facility_id = t.facility_id AND g.user_id = t.user_id"
            " AND g.tag_folded = {})",
            fold(filter.tag),
        )
    if filter.owing is not None:
        conditions.add("t.open_invoices > 0" if filter.owing else "t.open_invoices = 0")
    if filter.booked is not None:
        conditions.add(f"t.next_booking_at IS {'NOT ' if filter.booked else ''}NULL")
    if filter.born_in_month is not None:
        month = filter.born_in_month * 100
        conditions.add("t.birthday BETWEEN {} AND {}", month + 1, month + 31)
    if filter.joined_since is not None:
        conditions.add("t.joined_at >= {}", filter.joined_since)
    if filter.not_seen_since is not None:
        conditions.add("(t.last_visit_at IS NULL OR t.last_visit_at < {})", filter.not_seen_since)
    if filter.name:
        conditions.add("t.name_folded LIKE {}", f"%{_literal(fold(filter.name))}%")
    return await pages_by_parent(postgres, rows, list(facilities), request, {*columns, *_SCOPE}, conditions)


async def by_ids(
    postgres: Postgres, ids: Sequence[tuple[str, str]], columns: Iterable[str]
) -> dict[tuple[str, str], Row]:
    """Members by (facility, person), in one statement; unknown pairs are absent."""
    selected = ", ".join(f"t.{column}" for column in sorted({*columns, *_SCOPE}))
    rows = await postgres.fetch(
        f"SELECT {selected} FROM {TABLE} t JOIN unnest($1::text[], $2::text[]) AS p (facility_id, user_id)"  # noqa: S608
        " USING (facility_id, user_id)",
        [facility for facility, _ in ids],
        [user for _, user in ids],
    )
    return {(row["facility_id"], row["user_id"]): row for row in rows}


async def members_among(postgres: Postgres, facilities: Iterable[ObjectId], users: Iterable[ObjectId]) -> set[ObjectId]:
    """Which of the people are members of one of the facilities, in one statement."""
    rows = await postgres.fetch(
        f"SELECT DISTINCT user_id FROM {TABLE} WHERE user_id = ANY ($1::text[]) AND facility_id = ANY ($2::text[])",  # noqa: S608
        [str(user) for user in users],
        [str(facility) for facility in facilities],
    )
    return {ObjectId(row["user_id"]) for row in rows}


async def last_visits(mongo: Mongo, pairs: Sequence[tuple[ObjectId, ObjectId]]) -> list[datetime | None]:
    """The latest visit of each (facility, person), from MongoDB in one command; None without a visit."""
    places = {place for place, _ in pairs}
    if len(places) == 1:
        latest = await _last_visits_at(mongo, places.pop(), {user for _, user in pairs})
        return [latest.get(user) for _, user in pairs]
    found = await mongo.aggregate_documents(
        [
            {"$documents": [{"_id": place, "facility": of, "user": user} for place, (of, user) in enumerate(pairs)]},
            {
                "$lookup": {
                    "from": "visits",
                    "localField": "user",
                    "foreignField": "userId",
                    "let": {"facility": "$facility"},
                    "pipeline": [
                        {"$match": {"$expr": {"$eq": ["$facilityId", "$$facility"]}}},
                        {"$sort": {"at": -1}},
                        {"$limit": 1},
                        {"$project": {"_id": 0, "at": 1}},
                    ],
                    "as": "visits",
                }
            },
            {"$project": {"visits": 1}},
        ],
        zoneless=True,
    )
    visits: list[datetime | None] = [None] * len(pairs)
    for row in found:
        if row["visits"]:
            visits[row["_id"]] = row["visits"][0]["at"].replace(tzinfo=UTC)
    return visits


async def _last_visits_at(mongo: Mongo, facility: ObjectId, users: Collection[ObjectId]) -> dict[ObjectId, datetime]:
    """The latest visits at one facility.

    Sorted as the index is, the first of each group is found by jumping in it from person to person (DISTINCT_SCAN), at
    a third of what a lookup for each costs; `$max` would read every visit.
    """
    found = await mongo.aggregate(
        "visits",
        [
            {"$match": {"facilityId": facility, "userId": {"$in": list(users)}}},
            {"$sort": {"facilityId": 1, "userId": 1, "at": -1}},
            {"$group": {"_id": "$userId", "at": {"$first": "$at"}}},
        ],
        zoneless=True,
    )
    return {row["_id"]: row["at"].replace(tzinfo=UTC) for row in found}


def _literal(pattern: str) -> str:
    """Text in which LIKE's own characters mean themselves."""
    return pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
