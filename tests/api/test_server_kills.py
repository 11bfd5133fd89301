"""`kill -9` of each server while clients of a running `nexfit serve` sell and book, and its return.

Nothing that was answered is lost, both stores tell the same, and the same process goes on. Clients do what clients are
told to do: what was not answered is asked again under the same key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from bson import ObjectId

from nexfit.embedded import EmbeddedServers, ServerName
from nexfit.settings import Settings
from nexfit.stores.connections import Stores, open_stores

from .conftest import Client, facility_of, global_id, local, login, seeded
from .test_outage import serving

CLIENTS = 6
ENOUGH = 30
"""Answered mutations before the kill, and again after it."""

PATIENCE = 60.0
"""Seconds until what must come has come."""

SELL = """mutation ($i: SellMembershipInput!) { payload: sellMembership(input: $i) {
  memberSubscription { id } userErrors { code message } } }"""
BOOK = """mutation ($i: BookClassInput!) { payload: bookClass(input: $i) {
  booking { id } userErrors { code message } } }"""
READ = """query ($id: ID!) { facility(id: $id) { name outstanding { invoices } classes(first: 3) { nodes { name } }
  members(first: 3) { nodes { user { firstName } status lastVisitAt standing { balance { amount } } } } } }"""


@dataclass
class Platform:
    """A process that serves, its servers, and what is sold there."""

    servers: EmbeddedServers
    settings: Settings
    stores: Stores
    owner: Client
    facility: ObjectId
    plan: dict[str, Any]
    dates: list[ObjectId]
    people: list[ObjectId]
    log: Path
    sold: dict[ObjectId, str] = field(default_factory=dict)
    """The contract that was answered, by person."""
    booked: dict[ObjectId, str] = field(default_factory=dict)
    refused: int = 0

    async def insist(self, mutation: str, **given: Any) -> dict[str, Any]:
        """Ask under one key until there is an answer."""
        variables = {"i": {"idempotencyKey": uuid4().hex, **given}}
        deadline = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < deadline, "there never was an answer"
            try:
                answer = await self.owner.run(mutation, variables)
            except httpx.TransportError:
                self.refused += 1
            else:
                if "errors" not in answer:
                    payload: dict[str, Any] = answer["data"]["payload"]
                    assert payload["userErrors"] == []
                    return payload
                assert {error["extensions"]["code"] for error in answer["errors"]} == {"UNAVAILABLE"}, answer
                self.refused += 1
            await asyncio.sleep(0.05)

    async def sell_and_book(self, number: int) -> None:
        """A new member, who takes a seat."""
        person = self.people.pop()
        user = global_id("User", person)
        offer = {"plan": global_id("Membership", self.plan["_id"]), "method": "CASH"}
        sold = await self.insist(SELL, user=user, expectedTotal=str(self.plan["price"]), **offer)
        self.sold[person] = local(sold["memberSubscription"]["id"])
        date = global_id("ClassOccurrence", self.dates[number % len(self.dates)])
        booked = await self.insist(BOOK, user=user, occurrence=date)
        self.booked[person] = local(booked["booking"]["id"])


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    folder = tmp_path_factory.mktemp("kills")
    # Servers of this module, which keep what they have confirmed when they are killed, as in production.
    servers = EmbeddedServers(folder / "servers", durable=True)
    urls = await asyncio.to_thread(servers.start)
    log = folder / "serve.log"
    try:
        async with (
            seeded(urls, scale=0.1, redis_database=0, patient=False) as settings,
            open_stores(settings) as stores,
        ):
            facility = await facility_of(stores, "karsiyaka")
            plan, dates, people = await _market(stores, facility)
            quiet = {"NEXFIT_HTTP_LOG_REQUESTS": "false", "NEXFIT_LIMITS_POINTS_PER_SECOND": "0"}
            with log.open("wb") as output:
                async with (
                    serving(settings, output, **quiet) as (process, address),
                    httpx.AsyncClient(base_url=address, timeout=PATIENCE) as http,
                ):
                    owner = await login(http, "owner@demo.nexfit.app")
                    yield Platform(servers, settings, stores, owner, facility, plan, dates, people, log)
                    assert process.returncode is None, "it was the same process all the time"
    finally:
        await asyncio.to_thread(servers.stop)


async def _market(stores: Stores, facility: ObjectId) -> tuple[dict[str, Any], list[ObjectId], list[ObjectId]]:
    """A plan with classes and without limits, dates of a class with seats for all, and people without a membership."""
    database, now = stores.mongo.database, datetime.now(UTC)
    plan = await database["memberships"].find_one({"facilityId": facility})
    class_ = await database["classes"].find_one({"facilityId": facility})
    assert plan is not None
    assert class_ is not None
    plan |= {"_id": ObjectId(), "name": "Made for kills", "limitations": {"classesIncluded": True}, "isActive": True}
    await database["memberships"].insert_one(plan)
    dates = [
        {
            "_id": ObjectId(),
            "classId": class_["_id"],
            "facilityId": facility,
            "originalStart": now + timedelta(minutes=20, seconds=number),
            "startsAt": now + timedelta(minutes=20, seconds=number),
            "endsAt": now + timedelta(minutes=70, seconds=number),
            "timezone": "Europe/Istanbul",
            "capacity": 500,
            "seatsTaken": 0,
            "waitlisted": 0,
            "waitlistLimit": 0,
            "status": "scheduled",
            "createdAt": now,
            "updatedAt": now,
        }
        for number in range(3)
    ]
    await database["class_occurrences"].insert_many(dates)
    ids = [ObjectId() for _ in range(600)]
    names = {"firstName": "Deniz", "lastName": "Kaya", "nameFolded": "deniz kaya", "role": ["client"], "isActive": True}
    people = [
        {"_id": id_, "email": f"{id_}@example.org", "emailNormalized": f"{id_}@example.org", **names}
        | {"createdAt": now, "updatedAt": now}
        for id_ in ids
    ]
    await database["users"].insert_many(people)
    return plan, [date["_id"] for date in dates], ids


async def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.02)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("gone", ["postgres", "mongo", "redis"])
async def test_nothing_that_was_answered_is_lost(platform: Platform, gone: ServerName) -> None:
    is_over, refused = False, platform.refused

    async def client(number: int) -> None:
        while not is_over:
            await platform.sell_and_book(number)

    def answered() -> int:
        return len(platform.sold) + len(platform.booked)

    clients = [asyncio.create_task(client(number)) for number in range(CLIENTS)]
    begun = answered()
    await _until(lambda: answered() >= begun + ENOUGH)
    await asyncio.to_thread(platform.servers.server(gone).kill)
    before = answered()
    if gone == "redis":  # without which all goes on
        await _until(lambda: answered() >= before + ENOUGH // 3)
    else:
        await _until(lambda: platform.refused > refused)
    await asyncio.to_thread(platform.servers.server(gone).start)
    before = answered()
    await _until(lambda: answered() >= before + ENOUGH)  # the same process goes on
    is_over = True
    await asyncio.gather(*clients)
    answer = await platform.owner.data(READ, {"id": global_id("Facility", platform.facility)})
    assert len(answer["facility"]["members"]["nodes"]) == 3
    await _nothing_is_prepared(platform.stores)
    await _both_stores_agree(platform)


PREPARED = "SELECT count(*) AS n FROM pg_prepared_xacts WHERE database = current_database()"


async def _nothing_is_prepared(stores: Stores) -> None:
    deadline = time.monotonic() + PATIENCE
    while (await stores.postgres.fetch(PREPARED))[0]["n"]:
        assert time.monotonic() < deadline, "a transaction stayed prepared"
        await asyncio.sleep(0.1)


async def _both_stores_agree(platform: Platform) -> None:
    """Every person has what was answered, in both stores, once; every seat is a booking."""
    database, postgres = platform.stores.mongo.database, platform.stores.postgres
    contracts = await database["member_subscriptions"].find({"membershipId": platform.plan["_id"]}).to_list()
    rows = await postgres.fetch(
        """SELECT s.subscription_id::text AS id, s.user_id,
             (SELECT count(*) FROM finance.invoices i WHERE i.subscription_id = s.subscription_id) AS invoices,
             (SELECT count(*) FROM finance.transactions t
              WHERE t.user_id = s.user_id AND t.facility_id = s.facility_id AND t.status = 'succeeded') AS payments
           FROM finance.subscriptions s WHERE s.plan_id = $1""",
        str(platform.plan["_id"]),
    )
    assert {one["subscriptionId"]: str(one["userId"]) for one in contracts} == {
        row["id"]: row["user_id"] for row in rows
    }
    assert {(row["invoices"], row["payments"]) for row in rows} == {(1, 1)}
    assert {one["userId"]: str(one["_id"]) for one in contracts} == platform.sold
    assert len(contracts) == len(platform.sold)
    bookings = await database["class_bookings"].find({"occurrenceId": {"$in": platform.dates}}).to_list()
    assert {one["userId"]: str(one["_id"]) for one in bookings} == platform.booked
    assert len(bookings) == len(platform.booked)
    assert {one["status"] for one in bookings} == {"booked"}
    async for date in database["class_occurrences"].find({"_id": {"$in": platform.dates}}):
        assert date["seatsTaken"] == sum(one["occurrenceId"] == date["_id"] for one in bookings)
