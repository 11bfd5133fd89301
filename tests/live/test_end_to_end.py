"""From the front desk to a socket of another process: outbox, relay, stream, reader; also while Valkey is killed."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from bson import ObjectId

from nexfit.app import create_app
from nexfit.embedded import EmbeddedServers
from nexfit.stores.connections import Stores, open_stores
from tests.api.conftest import Client, facility_of, global_id, login, seeded

from .conftest import Socket, opened, serve

RECORD = "mutation ($i: RecordVisitInput!) { recordVisit(input: $i) { visit { id } userErrors { code } } }"
SELL = "mutation ($i: SellMembershipInput!) { sellMembership(input: $i) { userErrors { code message } } }"
FOLLOW = """subscription ($facility: ID!, $after: String) { facilityActivity(facility: $facility, after: $after) {
  __typename cursor ... on VisitActivity { visit { id } } ... on ActivityNotice { state } } }"""


@dataclass(slots=True)
class Platform:
    """Two processes over the same servers; visits are recorded at the one and followed at the other."""

    servers: EmbeddedServers
    desk: Client
    elsewhere: str
    facility: ObjectId
    members: list[str]

    async def record(self) -> str:
        """A visit of one member after the other; its id."""
        member = self.members.pop()
        self.members.insert(0, member)
        answer = await self.desk.data(RECORD, {"i": {"member": member, "idempotencyKey": uuid4().hex}})
        assert answer["recordVisit"]["userErrors"] == []
        id_: str = answer["recordVisit"]["visit"]["id"]
        return id_

    async def follow(self, socket: Socket, after: str | None = None, id_: str = "1") -> Any:
        """Begin to follow; the first notice."""
        return await socket.follow(self.facility, after=after, id_=id_, query=FOLLOW)

    async def visits(self, socket: Socket, recorded: Collection[str], id_: str = "1") -> list[str]:
        """What is told of these visits until each was told of. What was written before may still be on its way."""
        told: list[str] = []
        while not {*recorded} <= {*told}:
            event = await socket.activity(id_, seconds=30)
            visit = event["visit"]["id"] if event["__typename"] == "VisitActivity" else None
            told += [visit] if visit in recorded else []
        return told


@pytest.fixture(scope="module")
async def platform() -> AsyncIterator[Platform]:
    with pytest.MonkeyPatch.context() as environment, tempfile.TemporaryDirectory(prefix="nexfit-test-") as folder:
        for name in ("MONGO", "POSTGRES", "REDIS"):  # servers that others share are not this module's to kill
            environment.delenv(f"NEXFIT_{name}_URL", raising=False)
        servers = EmbeddedServers(Path(folder) / "servers", durable=False)
        urls = await asyncio.to_thread(servers.start)
        try:
            async with seeded(urls, scale=0.1, redis_database=0, patient=False) as made, open_stores(made) as stores:
                settings = made.model_copy(update={"background": True})
                facility = await facility_of(stores, "kadikoy")
                with serve(create_app(settings), settings) as one, serve(create_app(settings), settings) as other:
                    async with httpx.AsyncClient(base_url=f"http://{one}", timeout=30) as http:
                        owner = await login(http, "owner@demo.nexfit.app")
                        members = await _unlimited(stores, owner, facility)
                        yield Platform(servers, owner, other, facility, members)
        finally:
            await asyncio.to_thread(servers.stop)


async def _unlimited(stores: Stores, owner: Client, facility: ObjectId) -> list[str]:
    """New members who may come as often as they like."""
    database = stores.mongo.database
    plans = database["memberships"].find({"facilityId": facility, "limitations.maxVisitsPerWeek": {"$exists": False}})
    plan = (await plans.to_list())[0]
    held = await database["member_subscriptions"].distinct("userId", {"facilityId": facility})
    people = await database["users"].find({"_id": {"$nin": held}}, {"_id": 1}).limit(4).to_list()
    for person in people:
        bought = {
            "plan": global_id("Membership", plan["_id"]),
            "user": global_id("User", person["_id"]),
            "method": "CASH",
            "expectedTotal": str(plan["price"]),
            "idempotencyKey": uuid4().hex,
        }
        answer = await owner.data(SELL, {"i": bought})
        assert answer["sellMembership"]["userErrors"] == []
    return [global_id("Member", f"{facility}:{person['_id']}") for person in people]


async def test_a_visit_reaches_a_socket_of_another_process(platform: Platform) -> None:
    async with opened(platform.elsewhere) as socket:
        await socket.init(platform.desk.token)
        await platform.follow(socket)
        seconds = []
        for _ in range(5):  # the first ones may have to wait until a relay leads
            recorded = await platform.record()
            answered = time.monotonic()
            assert await platform.visits(socket, [recorded]) == [recorded]
            seconds.append(time.monotonic() - answered)
        assert min(seconds) < 3
        many = await asyncio.gather(*(platform.record() for _ in platform.members))
        assert sorted(await platform.visits(socket, many)) == sorted(many)


async def test_valkey_is_killed_while_events_flow_and_nothing_is_lost_or_repeated(platform: Platform) -> None:
    recorded: list[str] = []
    over = False

    async def record() -> None:
        while not over:
            recorded.append(await platform.record())
            await asyncio.sleep(0.02)

    async with opened(platform.elsewhere) as socket:
        await socket.init(platform.desk.token)
        started = await platform.follow(socket)
        working = asyncio.create_task(record())
        for _ in range(2):
            await asyncio.to_thread(platform.servers.server("redis").kill)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(platform.servers.server("redis").start)
            await asyncio.sleep(1)
        over = True
        await working
        live = await platform.visits(socket, recorded)
        assert sorted(live) == sorted(recorded)
        # Who comes back with the first cursor gets all of it again, though the stream was lost twice.
        await platform.follow(socket, after=started["cursor"], id_="2")
        assert await platform.visits(socket, recorded, "2") == live
