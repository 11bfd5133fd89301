"""The floor: the same rows, over the same drivers, by the same store commands, without GraphQL, rights or layers.

A bare ASGI handler under the same uvicorn as `nexfit serve`. It is written by hand for each work.
Of the product it takes what decides the rows: the SQL of finance, opening hours, the names of the joined views.
"""

from __future__ import annotations

import argparse
import asyncio
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import uvicorn
from bson import ObjectId

from bench.stores.floor_stores import Json, PlainDrivers, Reads, StoreLayer, Views
from nexfit.domains.facilities.hours import is_open, local_today
from nexfit.domains.finance.overview import OUTSTANDING, REVENUE, SUBSCRIBERS, money_tag, plan_tag
from nexfit.settings import Settings
from nexfit.stores.sql import load_sql

MEMBERS_SQL = """
SELECT p.parent__, page__.* FROM unnest($3::text[]) WITH ORDINALITY AS p (parent__, n__) CROSS JOIN LATERAL (
  SELECT * FROM ((
    SELECT t.balance, t.currency, t.facility_id, t.last_payment_at, t.plan_id, t.status, t.user_id, 0 AS range__
    FROM platform.member_facts t
    WHERE t.facility_id = p.parent__ AND (t.open_invoices > 0 AND t.oldest_open_due <
      (SELECT d.today FROM unnest($1::text[], $2::date[]) AS d (id, today) WHERE d.id = t.facility_id))
    ORDER BY t.last_payment_at DESC NULLS LAST, t.user_id DESC LIMIT 21
  )) AS ranges__
  ORDER BY range__, last_payment_at DESC NULLS LAST, user_id DESC LIMIT 21
) AS page__ ORDER BY p.n__
"""
INVOICE_SQL = """
SELECT currency, due_date, facility_id, invoice_id, invoice_number, issued_on, status, total_amount, user_id
FROM finance.invoices WHERE invoice_id = ANY ($1::uuid[])
"""

PAGE = 20

Receive = Callable[[], Awaitable[Json]]
Send = Callable[[Json], Awaitable[None]]
Route = Callable[[Json, str], Awaitable[Json]]
"""Variables and the viewer's id to the answer's `data`."""

sql = load_sql("nexfit.domains.finance")


class Floor:
    """The handler of each route."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._views = Views(reads)
        self.routes: Mapping[str, Route] = {
            "/overview": self.overview,
            "/facility": self.facility,
            "/invoice": self.invoice,
        }

    async def facility(self, variables: Json, _: str) -> Json:
        """`facility(id:)` with three columns: one read of MongoDB."""
        id_ = ObjectId(_local(variables["facility"]))
        found = (await self._reads.find("facilities", {"_id": {"$in": [id_]}}, ("name", "timezone", "type")))[0]
        return {"facility": {"name": found["name"], "type": found["type"].upper(), "timezone": found["timezone"]}}

    async def invoice(self, variables: Json, viewer: str) -> Json:
        """`node(id:)` of an invoice: one read of PostgreSQL, one of MongoDB for the right to see it."""
        row = (await self._reads.fetch(INVOICE_SQL, [UUID(_local(variables["invoice"]))]))[0]
        user = ObjectId(viewer)
        staff = {"$elemMatch": {"userId": user, "permissions": {"$in": ["finance_read"]}}}
        managed = await self._reads.find("facilities", {"$or": [{"ownerId": user}, {"staff": staff}]}, ())
        if row["facility_id"] not in {str(facility["_id"]) for facility in managed}:
            return {"node": None}
        return {
            "node": {
                "number": row["invoice_number"],
                "status": row["status"].upper(),
                "total": _money(row["total_amount"], row["currency"]),
                "issuedOn": row["issued_on"],
                "dueDate": row["due_date"],
            }
        }

    async def overview(self, variables: Json, _: str) -> Json:
        """`OwnerOverview`: three levels, each store asked once per level and field."""
        now = datetime.now(UTC)
        id_ = _local(variables["facility"])
        columns = ("address.city", "address.coordinates", "name", "operatingHours", "specialDays", "timezone", "type")
        rights = ("ownerId", "staff.permissions", "staff.userId")
        record = (await self._reads.find("facilities", {"_id": {"$in": [ObjectId(id_)]}}, (*columns, *rights)))[0]
        zone, address = record["timezone"], record["address"]
        today = local_today(zone, now)
        plans = asyncio.ensure_future(self._plans(id_))
        classes, memberships, revenue, outstanding, members = await asyncio.gather(
            self._classes(id_, now),
            self._memberships(plans),
            self._revenue(id_, zone, date.fromisoformat(variables["from"]), date.fromisoformat(variables["to"])),
            self._outstanding(id_, today),
            self._members(id_, today, plans),
        )
        longitude, latitude = address["coordinates"]["coordinates"]
        return {
            "facility": {
                "name": record["name"],
                "type": record["type"].upper(),
                "timezone": zone,
                "address": {"city": address["city"], "latitude": latitude, "longitude": longitude},
                "openNow": is_open(record, now),
                "classes": {"nodes": classes},
                "memberships": memberships,
                "revenue": revenue,
                "outstanding": outstanding,
                "members": {"nodes": members},
            }
        }

    async def _classes(self, facility: str, now: datetime) -> list[Json]:
        found = await self._reads.find(
            "classes",
            {"facilityId": ObjectId(facility), "isActive": True},
            ("category", "instructor.userId", "name"),
            sort=[("name", 1), ("_id", 1)],
            limit=PAGE + 1,
        )
        shown = found[:PAGE]
        instructors = [row["instructor"]["userId"] if row.get("instructor") else None for row in shown]
        people, dates = await asyncio.gather(
            self._people({id_ for id_ in instructors if id_}), self._occurrences([row["_id"] for row in shown], now)
        )
        return [
            {
                "name": row["name"],
                "category": row.get("category"),
                "instructor": people.get(instructor),
                "occurrences": dates[row["_id"]],
            }
            for row, instructor in zip(shown, instructors, strict=True)
        ]

    async def _occurrences(self, classes: list[ObjectId], now: datetime) -> dict[ObjectId, list[Json]]:
        selected = {"_id": 0, "capacity": 1, "seatsTaken": 1, "startsAt": 1, "waitlisted": 1}
        steps = [
            {"$match": {"startsAt": {"$gte": now}}},
            {"$sort": {"startsAt": 1, "_id": 1}},
            {"$limit": 3},
            {"$project": selected},
        ]
        joined = {
            "from": "class_occurrences",
            "localField": "parent",
            "foreignField": "classId",
            "pipeline": steps,
            "as": "rows",
        }
        parents: list[Json] = [
            {"$documents": [{"_id": place, "parent": id_} for place, id_ in enumerate(classes)]},
            {"$lookup": joined},
            {"$project": {"rows": 1}},
        ]
        shown = ("startsAt", "capacity", "seatsTaken", "waitlisted")
        return {
            classes[found["_id"]]: [{key: row[key] for key in shown} for row in found["rows"]]
            for found in await self._reads.aggregate(parents)
        }

    async def _plans(self, facility: str) -> list[Json]:
        return await self._reads.find(
            "memberships",
            {"facilityId": {"$in": [ObjectId(facility)]}, "isActive": True},
            ("currency", "facilityId", "name", "price"),
            sort=[("name", 1), ("_id", 1)],
        )

    async def _memberships(self, loading: asyncio.Future[list[Json]]) -> list[Json]:
        plans = await loading
        ids = [str(plan["_id"]) for plan in plans]

        async def load() -> Mapping[str, Any]:
            rows = await self._reads.fetch(sql.active_subscribers, ids)
            counts = {row["plan_id"]: row["subscribers"] for row in rows}
            return {id_: counts.get(id_) for id_ in ids}

        counts = await self._views.get([(SUBSCRIBERS.key(id_), plan_tag(id_)) for id_ in ids], ids, load)
        return [
            {
                "name": plan["name"],
                "price": _money(plan["price"].to_decimal(), plan["currency"]),
                "activeSubscribers": counts[id_] or 0,
            }
            for plan, id_ in zip(plans, ids, strict=True)
        ]

    async def _revenue(self, facility: str, zone: str, first: date, last: date) -> list[Json]:
        async def load() -> Mapping[str, Any]:
            rows = await self._reads.fetch(sql.revenue, [facility], [zone], first, last, "month")
            keys = ("period", "total", "currency", "transactions", "refunds")
            return {facility: [{key: _stored(row[key]) for key in keys} for row in rows]}

        key = REVENUE.key(f"{facility}:{first}:{last}:month")
        periods = (await self._views.get([(key, money_tag(facility))], [facility], load))[facility]
        return [
            {
                "period": period["period"],
                "total": {"amount": period["total"], "currency": period["currency"]},
                "transactions": period["transactions"],
                "refunds": period["refunds"],
            }
            for period in periods
        ]

    async def _outstanding(self, facility: str, today: date) -> Json:
        async def load() -> Mapping[str, Any]:
            row = (await self._reads.fetch(sql.outstanding, [facility], [today]))[0]
            keys = ("currency", "invoices", "total", "overdue_invoices", "overdue_total")
            return {facility: {key: _stored(row[key]) for key in keys}}

        key = OUTSTANDING.key(f"{facility}:{today}")
        value = (await self._views.get([(key, money_tag(facility))], [facility], load))[facility]
        return {"invoices": value["invoices"], "total": {"amount": value["total"], "currency": value["currency"]}}

    async def _members(self, facility: str, today: date, plans: asyncio.Future[list[Json]]) -> list[Json]:
        found = (await self._reads.fetch(MEMBERS_SQL, [facility], [today], [facility]))[:PAGE]
        people, visits = await asyncio.gather(
            self._people({ObjectId(row["user_id"]) for row in found}),
            self._last_visits(ObjectId(facility), [ObjectId(row["user_id"]) for row in found]),
        )
        names = {str(plan["_id"]): {"name": plan["name"]} for plan in await plans}
        other_ids = {row["plan_id"] for row in found if row["plan_id"]} - names.keys()
        if other_ids:
            others = await self._reads.find("memberships", {"_id": {"$in": list(map(ObjectId, other_ids))}}, ("name",))
            names |= {str(plan["_id"]): {"name": plan["name"]} for plan in others}
        return [
            {
                "user": people[id_],
                "status": row["status"].upper(),
                "plan": names.get(row["plan_id"]),
                "balance": _money(row["balance"], row["currency"]),
                "lastPaymentAt": row["last_payment_at"],
                "lastVisitAt": visits.get(id_),
            }
            for row in found
            for id_ in [ObjectId(row["user_id"])]
        ]

    async def _last_visits(self, facility: ObjectId, users: list[ObjectId]) -> dict[ObjectId, datetime]:
        latest: list[Json] = [
            {"$match": {"facilityId": facility, "userId": {"$in": users}}},
            {"$sort": {"facilityId": 1, "userId": 1, "at": -1}},
            {"$group": {"_id": "$userId", "at": {"$first": "$at"}}},
        ]
        return {row["_id"]: row["at"] for row in await self._reads.aggregate(latest, "visits")}

    async def _people(self, ids: set[ObjectId]) -> dict[Any, Json]:
        found = await self._reads.find("users", {"_id": {"$in": list(ids)}}, ("firstName", "lastName"))
        return {row["_id"]: {"firstName": row["firstName"], "lastName": row["lastName"]} for row in found}


def _local(global_id: str) -> str:
    return urlsafe_b64decode(global_id + "=" * (-len(global_id) % 4)).decode().partition(":")[2]


def _money(amount: Decimal, currency: str) -> Json:
    return {"amount": f"{amount:f}", "currency": currency}


def _stored(value: object) -> object:
    return str(value) if isinstance(value, Decimal | date) else value


class App:
    """The ASGI application around a floor."""

    _floor: Floor

    def __init__(self, *, plain: bool) -> None:
        self._plain = plain

    async def __call__(self, scope: Json, receive: Receive, send: Send) -> None:
        """Serve one request, or the process's life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        route = self._floor.routes.get(scope["path"])
        if route is None:  # asked whether it is ready
            await _answer(send, b"{}")
            return
        data = await route(orjson.loads(body)["variables"], _viewer(scope["headers"]))
        # Plain PyMongo reads times without a zone; they are UTC.
        await _answer(send, orjson.dumps({"data": data}, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        settings = Settings()
        reads: Reads = await PlainDrivers.open(settings) if self._plain else await StoreLayer.open(settings)
        self._floor = Floor(reads)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await reads.close()
        await send({"type": "lifespan.shutdown.complete"})


def _viewer(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Whom the token names; whether it is genuine is not looked at."""
    for name, value in headers:
        if name == b"authorization":
            claims = value.split(b".")[1]
            subject: str = orjson.loads(urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)))["sub"]
            return subject
    return ""


async def _answer(send: Send, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve on a port, with the options of `nexfit serve`."""
    parser = argparse.ArgumentParser(description="Serve the floor; the stores are named by NEXFIT_* variables.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--plain", action="store_true", help="read through plain drivers")
    given = parser.parse_args()
    drain = int(Settings().http.drain_seconds)
    app = App(plain=given.plain)
    uvicorn.run(app, host="127.0.0.1", port=given.port, workers=1, timeout_graceful_shutdown=drain, access_log=False)


if __name__ == "__main__":
    main()
