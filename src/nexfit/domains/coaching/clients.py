"""A coach's clients at a glance: the next session, what is left of the package, how they stand where the coach works.

Two joined views: sessions and credits of a relation, which the coach's id in the key keeps to that coach; and the
standings of `nexfit.domains.memberships.standings`, which hold no rights. Who is a client, and where a coach works, is
never cached: it is read with each request, so that what ends has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from nexfit.domains.coaching.documents import RelationStatus, SessionStatus
from nexfit.domains.coaching.packages import PackagePayment
from nexfit.domains.facilities import directory
from nexfit.domains.memberships import standings
from nexfit.domains.memberships.standings import Standing
from nexfit.hybrid.joined_views import JoinedViews, View
from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres import Postgres, Row

LIFETIME = 10.0
"""Seconds until a value is loaded anew although nobody changed anything: time passes, and with it the next session."""

CLIENT = View("coach_client", 2, LIFETIME)

MOST_FACILITIES = 20
"""At which a coach works and a client is looked for."""

_CREDITS = """
SELECT p.relation_id, sum(b.total)::int AS total, sum(b.reserved)::int AS reserved, sum(b.used)::int AS used,
    sum(b.remaining)::int AS remaining,
    CASE WHEN bool_or(i.status = 'open') THEN 'open' WHEN bool_or(i.status = 'paid') THEN 'paid'
      ELSE 'unbilled' END AS payment
  FROM finance.coaching_packages p JOIN finance.package_balances b USING (package_id)
  LEFT JOIN finance.invoices i ON i.invoice_id = p.invoice_id
  WHERE p.relation_id = ANY ($1::text[]) GROUP BY p.relation_id
"""


@dataclass(frozen=True, slots=True)
class Credits:
    """Sessions of a relation's packages: bought, booked, had, and still to be booked."""

    total: int
    reserved: int
    used: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Glance:
    """What a coach sees of a client first."""

    next_session_at: datetime | None
    credits: Credits | None
    payment: PackagePayment | None
    memberships: Sequence[Standing]


def tags(coach: str, client: str) -> tuple[str, ...]:
    """What a client's sessions and credits depend on, and whether these are paid."""
    return f"user:{coach}:coaching", f"user:{client}:coaching", f"user:{client}:money"


async def at_a_glance(
    mongo: Mongo,
    postgres: Postgres,
    views: JoinedViews,
    coach: ObjectId,
    relations: Sequence[Mapping[str, Any]],
    now: datetime,
) -> dict[ObjectId, Glance]:
    """Each of the coach's active relations (records with `_id`, `coachId`, `clientId` and the status) by its id.

    One batch per store and level, however many clients there are. Raises StoreError.
    """
    active = [
        one
        for one in relations
        if one["coachId"] == coach and (one.get("relationship") or {}).get("status") == RelationStatus.ACTIVE
    ]
    if not active:
        return {}
    places, coached = await asyncio.gather(
        directory.worked_at(mongo, coach, MOST_FACILITIES), _coached(mongo, postgres, views, active, now)
    )
    pairs = [(str(place), str(one["clientId"])) for one in active for place in places]
    found = await standings.of_members(mongo, postgres, views, pairs, now)
    glances = {}
    for one in active:
        value = coached[one["_id"]]
        next_one = value["next_session_at"] and datetime.fromisoformat(value["next_session_at"])
        theirs = [found.get((str(place), str(one["clientId"]))) for place in places]
        glances[one["_id"]] = Glance(
            next_one if next_one and next_one > now else None,
            value["credits"] and Credits(**value["credits"]),
            value["payment"] and PackagePayment(value["payment"]),
            [standing for standing in theirs if standing is not None],
        )
    return glances


async def _coached(
    mongo: Mongo, postgres: Postgres, views: JoinedViews, relations: Sequence[Mapping[str, Any]], now: datetime
) -> dict[ObjectId, dict[str, Any]]:
    """Next session and credits by relation."""
    by_item = {f"{one['_id']}:{one['coachId']}:{one['clientId']}": one for one in relations}

    async def load(items: Sequence[str]) -> dict[str, Any]:
        asked = [by_item[item] for item in items]
        sessions, rows = await asyncio.gather(
            _next_sessions(mongo, asked, now), postgres.fetch(_CREDITS, [str(one["_id"]) for one in asked])
        )
        left = {row["relation_id"]: row for row in rows}
        return {
            item: {
                "next_session_at": starts.isoformat() if (starts := sessions.get(one["_id"])) else None,
                "credits": _counts(row) if (row := left.get(str(one["_id"]))) else None,
                "payment": row and row["payment"],
            }
            for item, one in zip(items, asked, strict=True)
        }

    def tags_of(item: str) -> Sequence[str]:
        return tags(*item.split(":")[1:])

    values = await views.get(CLIENT, list(by_item), load, tags=tags_of)
    return {one["_id"]: value for one, value in zip(by_item.values(), values, strict=True)}


def _counts(row: Row) -> dict[str, int]:
    return {name: row[name] for name in ("total", "reserved", "used", "remaining")}


async def _next_sessions(
    mongo: Mongo, relations: Sequence[Mapping[str, Any]], now: datetime
) -> dict[ObjectId, datetime]:
    """The start of each relation's next session; absent without one."""
    found = await mongo.aggregate_documents(
        [
            {
                "$documents": [
                    {"_id": one["_id"], "coach": one["coachId"], "client": one["clientId"]} for one in relations
                ]
            },
            {
                "$lookup": {
                    "from": "pt_sessions",
                    "localField": "client",
                    "foreignField": "clientId",
                    "let": {"coach": "$coach"},
                    "pipeline": [
                        {
                            "$match": {
                                "status": str(SessionStatus.SCHEDULED),
                                "startTime": {"$gt": now},
                                "$expr": {"$eq": ["$coachId", "$$coach"]},
                            }
                        },
                        {"$sort": {"startTime": 1}},
                        {"$limit": 1},
                        {"$project": {"_id": 0, "startTime": 1}},
                    ],
                    "as": "sessions",
                }
            },
        ]
    )
    return {row["_id"]: row["sessions"][0]["startTime"] for row in found if row["sessions"]}
