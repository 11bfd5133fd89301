"""A facility's day so far is what both stores say of it, cached until one of them says something else."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from nexfit.domains.classes import today
from nexfit.domains.classes.today import TODAY as VIEW
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.versions import GENERATION
from nexfit.stores.commands import command_log
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreUnavailable

from .conftest import TODAY, Client, forget_views

DAY = TODAY - timedelta(days=1)
"""The demo's last whole day."""

EVENING = datetime(DAY.year, DAY.month, DAY.day, 18, tzinfo=UTC)


async def expected(stores: Stores) -> dict[str, dict[str, Any]]:
    """By other means: every document and row of these days, told apart by the local date of each."""
    facilities = {one["_id"]: one["timezone"] for one in await stores.mongo.find("facilities", {}, ["timezone"])}
    visits: Counter[Any] = Counter()
    classes: Counter[Any] = Counter()
    seats: Counter[Any] = Counter()
    taken: Counter[Any] = Counter()
    for visit in await stores.mongo.database["visits"].find({}).to_list():
        zone = ZoneInfo(facilities[visit["facilityId"]])
        visits[visit["facilityId"]] += visit["at"].astimezone(zone).date() == DAY
    for one in await stores.mongo.database["class_occurrences"].find({"status": "scheduled"}).to_list():
        id_ = one["facilityId"]
        if one["startsAt"].astimezone(ZoneInfo(facilities[id_])).date() == DAY:
            classes[id_] += 1
            seats[id_] += one["capacity"]
            taken[id_] += one["seatsTaken"]
    rows = await stores.postgres.fetch(
        """SELECT a.facility_id, a.currency, coalesce(sum(
             CASE WHEN t.transaction_type IN ('refund', 'chargeback') THEN -t.amount ELSE t.amount END), 0) AS total
           FROM finance.facility_accounts a
           JOIN unnest($1::text[], $2::text[]) AS z (facility_id, zone) USING (facility_id)
           LEFT JOIN finance.transactions t ON t.facility_id = a.facility_id AND t.status = 'succeeded'
             AND (t.created_at AT TIME ZONE z.zone)::date = $3
           GROUP BY 1, 2""",
        [str(id_) for id_ in facilities],
        list(facilities.values()),
        DAY,
    )
    money = {row["facility_id"]: {"revenue": row["total"], "currency": row["currency"]} for row in rows}
    return {
        str(id_): {
            "date": DAY,
            "visits": visits[id_],
            "classes": classes[id_],
            "capacity": seats[id_],
            "seats_taken": taken[id_],
            **money.get(str(id_), {"revenue": None, "currency": None}),
        }
        for id_ in facilities
    }


def _is_trusted(views: JoinedViews) -> bool:
    try:
        views.versions.check()
    except StoreUnavailable:
        return False
    return True


async def test_a_day_is_joined_from_both_stores_and_cached_under_the_tags_of_all_it_shows(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(today, "TODAY", replace(VIEW, lifetime=3600.0))  # nothing expires while a slow machine looks
    zones = {str(one["_id"]): one["timezone"] for one in await stores.mongo.find("facilities", {}, ["timezone"])}
    await stores.redis.send([("FLUSHDB",), ("SET", GENERATION, "1:1")])
    views = JoinedViews(stores.redis)
    for _ in range(200):  # Redis may have been away in an earlier test
        if _is_trusted(views):
            break
        await asyncio.sleep(0.05)

    async def day() -> tuple[dict[str, dict[str, Any]], int, int]:
        with command_log() as log:
            found = await today.of_facilities(stores.mongo, stores.postgres, views, zones, EVENING)
        return found, log.count("mongo"), log.count("postgres")

    truth = await expected(stores)
    assert any(one["visits"] for one in truth.values())
    assert any(one["seats_taken"] for one in truth.values())
    assert any(one["revenue"] for one in truth.values())
    assert await day() == (truth, 2, 1)
    assert await day() == (truth, 0, 0)
    facility = next(iter(zones))
    for area in ("visits", "classes", "money"):
        await views.invalidate([f"facility:{facility}:{area}"])
        assert await day() == (truth, 2, 1)
        assert await day() == (truth, 0, 0)
    assert views.counters[VIEW.name].loaded == len(zones) + 3


async def test_an_owner_asks_for_it_and_a_coach_may_not(owner: Client, coach: Client, settings: Any) -> None:
    await forget_views(settings)
    fields = "date visits capacity revenue { amount }"
    query = f'{{ facilities(first: 3, filter: {{city: "istanbul"}}) {{ nodes {{ today {{ {fields} }} }} }} }}'
    shown = (await owner.data(query))["facilities"]["nodes"]
    assert shown
    for facility in shown:
        assert facility["today"]["visits"] >= 0
        assert facility["today"]["revenue"]["amount"]
    refused = await coach.run(query)
    assert {error["extensions"]["code"] for error in refused["errors"]} == {"FORBIDDEN"}
    assert all(facility["today"] is None for facility in refused["data"]["facilities"]["nodes"])


@pytest.mark.parametrize("now", [EVENING.replace(hour=20, minute=59), EVENING.replace(hour=21)])
async def test_a_day_ends_at_the_facilitys_own_midnight(stores: Stores, now: datetime) -> None:
    [facility] = [
        one async for one in stores.mongo.database["facilities"].find({"timezone": "Europe/Istanbul"}).limit(1)
    ]
    zones = {str(facility["_id"]): "Europe/Istanbul"}
    found = await today.of_facilities(stores.mongo, stores.postgres, JoinedViews(stores.redis), zones, now)
    assert found[str(facility["_id"])]["date"].day == (14 if now.hour == 20 else 15)
