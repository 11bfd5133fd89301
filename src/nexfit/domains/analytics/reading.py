"""What happened at a facility on some of its local days, read from both stores one after another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bson import ObjectId

from nexfit.domains.analytics.figures import Booked, Cancelled, Happened, Held, Joined, Moved, Offered, Renewed, Visited
from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres import Postgres
from nexfit.stores.postgres_transactions import PostgresTransaction
from nexfit.stores.sql import load_sql

sql = load_sql("nexfit.domains.analytics")

_BACK = ("refund", "chargeback")


def midnight(zone: ZoneInfo, day: date) -> datetime:
    """The instant a local day begins."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


async def happened(
    mongo: Mongo, postgres: PostgresTransaction, facility: ObjectId, zone: ZoneInfo, first: date, last: date
) -> AsyncIterator[Happened]:
    """Everything the figures of these days are made of; documents come in batches, however many. Raises StoreError."""
    key, begins, ends = str(facility), midnight(zone, first), midnight(zone, last + timedelta(days=1))
    for row in await postgres.fetch(sql.movements, key, begins, ends):
        yield Moved(row["created_at"], row["amount"], row["transaction_type"] in _BACK)
    for row in await postgres.fetch(sql.joined, key, begins, ends):
        yield Joined(row["created_at"])
    for row in await postgres.fetch(sql.held, key, first, last):
        left = row["cancelled_at"] and row["cancelled_at"].astimezone(zone).date() + timedelta(days=1)
        yield Held(row["user_id"], row["start_date"], min(row["current_period_end"], left or date.max))
    for row in await postgres.fetch(sql.cancelled, key, begins, ends):
        yield Cancelled(row["cancelled_at"])
    for row in await postgres.fetch(sql.renewed, key, first, last):
        yield Renewed(row["payment_date"])
    within = {"$gte": begins, "$lt": ends}
    with mongo.unhurried() as database:
        async for visit in database["visits"].find({"facilityId": facility, "at": within}, {"at": 1}):
            yield Visited(visit["at"])
        async for booking in database["class_bookings"].find(
            {"facilityId": facility, "date": within}, {"date": 1, "status": 1}
        ):
            yield Booked(booking["date"], booking["status"])
        async for offered in database["class_occurrences"].find(
            {"facilityId": facility, "startsAt": within, "status": "scheduled"}, {"startsAt": 1, "capacity": 1}
        ):
            yield Offered(offered["startsAt"], offered["capacity"])


async def opening(mongo: Mongo, postgres: Postgres, facility: ObjectId, zone: ZoneInfo, created: datetime) -> date:
    """The first local day anything happened on, the facility's own registration included. Raises StoreError."""
    [ledger] = await postgres.fetch(sql.earliest, str(facility))
    moments = [created, *(ledger[name] for name in ("moved", "sold") if ledger[name] is not None)]
    for collection, at in (("visits", "at"), ("class_bookings", "date"), ("class_occurrences", "startsAt")):
        found = await mongo.find(collection, {"facilityId": facility}, (at,), sort=[(at, 1)], limit=1)
        moments += [document[at] for document in found]
    earliest: date = min(moments).astimezone(zone).date()
    covered: date | None = ledger["covered"]
    return min(filter(None, (earliest, covered)))
